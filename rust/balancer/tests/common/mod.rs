// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

//! A balancer as a program of its own, endpoints that do as they are told, and clients that see every byte.
//!
//! `BALANCER_COMMAND` names another program than the native one: `wasmedge --dir /tmp:/tmp balancer.wasm`, for instance.
//! `BALANCER_LOG` shows what it says.
#![allow(dead_code)] // each test program uses its part

pub mod client;
pub mod upstream;

pub use client::{Answer, Client};
pub use upstream::Upstream;

use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Longer than anything here takes; shorter than anyone's patience.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// A running balancer; ended when dropped.
pub struct Balancer {
    pub http: SocketAddr,
    pub ops: SocketAddr,
    pub admin: SocketAddr,
    child: Child,
    folder: PathBuf,
}

pub const ADMIN_TOKEN: &str = "the-admin-token";

impl Balancer {
    /// Starts one with a pool `m` of these endpoints and further settings (TOML; tables after plain ones).
    pub fn start(endpoints: &[SocketAddr], settings: &str) -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("balancer-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("token"), ADMIN_TOKEN).unwrap();
        let [http, ops, admin] = free_ports();
        let endpoints: Vec<String> = endpoints.iter().map(|at| format!("\"{at}\"")).collect();
        let config = format!(
            "watch = false\n{settings}\n[listen]\nhttp = \"{http}\"\nops = \"{ops}\"\nadmin = \"{admin}\"\n\
             [files]\nkeys = \"{folder}/keys.json\"\nadmin_token = \"{folder}/token\"\n\
             [[pools]]\nname = \"m\"\nendpoints = [{endpoints}]\n",
            folder = folder.display(),
            endpoints = endpoints.join(", "),
        );
        let file = folder.join("config.toml");
        std::fs::write(&file, config).unwrap();
        let command = std::env::var("BALANCER_COMMAND").unwrap_or_default();
        let mut words = command.split_whitespace();
        let mut program = Command::new(words.next().unwrap_or(env!("CARGO_BIN_EXE_balancer")));
        program
            .args(words)
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        if std::env::var_os("BALANCER_LOG").is_none() {
            program.stderr(Stdio::null());
        }
        let child = program.spawn().unwrap();
        let balancer = Balancer {
            http,
            ops,
            admin,
            child,
            folder,
        };
        let began = Instant::now();
        while TcpStream::connect(balancer.admin).is_err() {
            assert!(began.elapsed() < PATIENCE, "the balancer does not listen");
            std::thread::sleep(Duration::from_millis(5));
        }
        balancer
    }

    /// With short time-outs, and nothing that happens without a request.
    pub fn quick(endpoints: &[SocketAddr]) -> Self {
        Self::start(endpoints, QUICK)
    }

    pub fn client(&self) -> Client {
        Client::new(self.http)
    }

    /// One request on a connection of its own.
    pub fn ask(&self, request: &str) -> Answer {
        self.client().ask(request)
    }

    /// A chat request for the pool `m`.
    pub fn chat(&self) -> Answer {
        self.ask(&chat("{\"model\":\"m\"}"))
    }

    /// The sum of a metric over its labels; 0 where it has none yet.
    pub fn metric(&self, name: &str) -> f64 {
        let request = "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        let text = Client::new(self.ops).ask(request).text();
        let lines = text
            .lines()
            .filter(|line| line.split(['{', ' ']).next() == Some(name));
        let values: Vec<&str> = lines.filter_map(|line| line.rsplit(' ').next()).collect();
        values
            .iter()
            .map(|value| value.parse::<f64>().unwrap())
            .sum()
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        let ended = self.child.try_wait().unwrap();
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
        if !std::thread::panicking() {
            assert!(ended.is_none(), "the balancer ended by itself: {ended:?}");
        }
    }
}

/// Time-outs in which a test can wait for each.
pub const QUICK: &str = "slots = 0\nretries = 2\n\
    [health]\ninterval = 0\neject_min = 0.05\neject_max = 0.1\n\
    [timeouts]\nheader = 0.4\nbody = 0.4\nconnect = 0.5\nfirst_byte = 0.6\nidle = 0.5\nkeep_alive = 1.5\nqueue = 1.0\n";

/// A chat request with this body.
pub fn chat(body: &str) -> String {
    post("/v1/chat/completions", body)
}

pub fn post(path: &str, body: &str) -> String {
    let length = body.len();
    format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}")
}

/// An address where nobody listens.
pub fn nobody() -> SocketAddr {
    free_ports::<1>()[0]
}

fn free_ports<const N: usize>() -> [SocketAddr; N] {
    let held: [TcpListener; N] = std::array::from_fn(|_| TcpListener::bind("127.0.0.1:0").unwrap());
    std::array::from_fn(|at| held[at].local_addr().unwrap())
}

/// Waits for something to become true.
pub fn soon(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Writes all, and does not mind that the other side may be gone.
pub fn send(stream: &mut TcpStream, bytes: impl AsRef<[u8]>) {
    let _ = stream.write_all(bytes.as_ref());
}

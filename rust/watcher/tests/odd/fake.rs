// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0
//! A server on 127.0.0.1 that says what a test wants, for what a real API server does not do when asked: half
//! answers, garbage, silence. What the real one does was recorded, or is tried on a real cluster.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, Once};
use std::time::Duration;
use std::{fs, thread};

use tempfile::TempDir;
use tokio::sync::watch::{channel, Receiver};
use wasinn_watcher::{watch, Config, Snapshot};

pub const TOKEN: &str = "first";

/// What was asked.
pub struct Asked {
    pub method: String,
    /// With the query.
    pub path: String,
    pub token: String,
    pub body: String,
    /// How many requests of this path without its query came before.
    pub before: usize,
}

impl Asked {
    pub fn watches(&self, what: &str) -> bool {
        self.path.contains(what) && self.path.contains("watch=true")
    }
}

/// What is said; the connection ends after all but a whole answer.
pub enum Say {
    Json(u16, String),
    /// Lines of a watch as chunks, then the end of the body.
    Lines(Vec<String>),
    /// The same, but the connection ends without the body's end.
    Cut(Vec<String>),
    /// The same a few bytes at a time, with the chunks' borders anywhere.
    Dribble(String),
    /// Lines, then nothing more for a long time.
    Silence(Vec<String>),
    Raw(&'static [u8]),
}

/// Serves until the test ends.
pub fn serve(answer: impl Fn(&Asked) -> Say + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    serve_on(listener, answer);
    address
}

pub fn serve_on(listener: TcpListener, answer: impl Fn(&Asked) -> Say + Send + Sync + 'static) {
    let answer = Arc::new(answer);
    let seen = Arc::new(Mutex::new(Vec::new()));
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (answer, seen) = (answer.clone(), seen.clone());
            thread::spawn(move || converse(stream, &*answer, &seen));
        }
    });
}

fn converse(stream: TcpStream, answer: &impl Fn(&Asked) -> Say, seen: &Mutex<Vec<String>>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    while let Some(mut asked) = read(&mut reader) {
        let bare = asked.path.split('?').next().unwrap().to_owned();
        {
            let mut seen = seen.lock().unwrap();
            asked.before = seen.iter().filter(|path| **path == bare).count();
            seen.push(bare);
        }
        if !say(&stream, answer(&asked)) {
            return;
        }
    }
}

fn read(reader: &mut impl BufRead) -> Option<Asked> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line.trim().is_empty() {
            break;
        }
        lines.push(line.trim().to_owned());
    }
    let header = |name: &str| {
        lines
            .iter()
            .find_map(|line| line.strip_prefix(name))
            .unwrap_or_default()
    };
    let mut body = vec![0; header("Content-Length: ").parse().unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    let mut words = lines[0].split(' ').map(str::to_owned);
    Some(Asked {
        method: words.next()?,
        path: words.next()?,
        token: header("Authorization: Bearer ").to_owned(),
        body: String::from_utf8(body).unwrap(),
        before: 0,
    })
}

/// Whether the connection may go on.
fn say(mut stream: &TcpStream, what: Say) -> bool {
    const HEAD: &str =
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    let chunks = |lines: &[String]| {
        let chunk = |line: &String| format!("{:x}\r\n{line}\n\r\n", line.len() + 1);
        lines.iter().map(chunk).collect::<String>()
    };
    let mut send = |bytes: &[u8]| stream.write_all(bytes).is_ok();
    match what {
        Say::Json(status, body) => send(
            format!(
                "HTTP/1.1 {status} Status\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            )
            .as_bytes(),
        ),
        Say::Lines(lines) => send(format!("{HEAD}{}0\r\n\r\n", chunks(&lines)).as_bytes()),
        Say::Cut(lines) => {
            let mut text = format!("{HEAD}{}", chunks(&lines));
            text.truncate(text.len() - 20);
            send(text.as_bytes());
            false
        }
        Say::Dribble(text) => {
            send(HEAD.as_bytes());
            for piece in text.as_bytes().chunks(7) {
                let chunk = [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat();
                for byte in chunk {
                    send(&[byte]);
                    thread::sleep(Duration::from_micros(200));
                }
            }
            send(b"0\r\nX-Trailer: yes\r\n\r\n")
        }
        Say::Silence(lines) => {
            send(format!("{HEAD}{}", chunks(&lines)).as_bytes());
            thread::sleep(Duration::from_secs(60));
            false
        }
        Say::Raw(bytes) => {
            send(bytes);
            false
        }
    }
}

/// A token's file and the configuration that goes with it; the folder lives as long as the test.
pub fn config(api: SocketAddr) -> (TempDir, Config) {
    let folder = TempDir::new().unwrap();
    let mut config = Config::new(format!("http://{api}"), "llamaedge".into());
    config.token_file = folder.path().join("token");
    fs::write(&config.token_file, TOKEN).unwrap();
    (folder, config)
}

/// Runs a test beside the watcher.
pub fn watching<F: std::future::Future>(
    config: Config,
    test: impl FnOnce(Receiver<Snapshot>) -> F,
) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let (updates, snapshots) = channel(Snapshot::default());
        tokio::select! {
            never = watch(config, updates) => never,
            outcome = test(snapshots) => outcome,
        }
    })
}

/// Waits for a snapshot of these pools, `name ready/all` each.
pub async fn expect(snapshots: &mut Receiver<Snapshot>, pools: &str) {
    let matches = |snapshot: &Snapshot| {
        snapshot.synced && snapshot.to_string().ends_with(&format!("pools: {pools}"))
    };
    let wait = async {
        while !matches(&snapshots.borrow_and_update()) {
            snapshots.changed().await.unwrap();
        }
    };
    let outcome = tokio::time::timeout(Duration::from_secs(20), wait).await;
    assert!(
        outcome.is_ok(),
        "wanted '{pools}', there is '{}'",
        *snapshots.borrow()
    );
}

/// Sentences that were logged in this process, of all its tests.
pub fn logged() -> &'static Mutex<Vec<String>> {
    static LOGGED: Mutex<Vec<String>> = Mutex::new(Vec::new());
    static ONCE: Once = Once::new();
    struct Logger;
    impl log::Log for Logger {
        fn enabled(&self, _: &log::Metadata) -> bool {
            true
        }
        fn log(&self, record: &log::Record) {
            LOGGED.lock().unwrap().push(record.args().to_string());
        }
        fn flush(&self) {}
    }
    ONCE.call_once(|| {
        log::set_logger(&Logger).unwrap();
        log::set_max_level(log::LevelFilter::Info);
    });
    &LOGGED
}

// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

//! An endpoint whose answers a test writes byte by byte.

use super::send;
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A request as the endpoint got it.
#[derive(Debug, Clone)]
pub struct Seen {
    pub head: String,
    pub body: Vec<u8>,
    /// Counted over all connections, from 0.
    pub number: usize,
    /// The connection's number, from 0.
    pub connection: usize,
}

impl Seen {
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self
            .head
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(": "));
        lines
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }
}

#[derive(Default)]
struct Shared {
    seen: Mutex<Vec<Seen>>,
    connections: AtomicUsize,
    /// Connections that the balancer closed.
    closed: AtomicUsize,
}

/// A listening endpoint.
pub struct Upstream {
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

impl Upstream {
    /// Each request is given to `answer`, which says whether the connection goes on.
    pub fn start(answer: impl Fn(&mut TcpStream, &Seen) -> bool + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let (answer, kept) = (Arc::new(answer), shared.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (answer, shared) = (answer.clone(), kept.clone());
                std::thread::spawn(move || serve(stream.unwrap(), &shared, &*answer));
            }
        });
        Upstream { address, shared }
    }

    /// Answers everything with this text as JSON.
    pub fn plain(text: &'static str) -> Self {
        Self::start(move |stream, _| {
            send(stream, reply(text));
            true
        })
    }

    /// Answers with the request's body.
    pub fn echo() -> Self {
        Self::start(|stream, seen| {
            let length = seen.body.len();
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n"
            );
            send(stream, [head.as_bytes(), &seen.body].concat());
            true
        })
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap().clone()
    }

    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Connections that ended from the balancer's side.
    pub fn closed(&self) -> usize {
        self.shared.closed.load(Ordering::SeqCst)
    }
}

/// A JSON answer.
pub fn reply(text: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{text}",
        text.len()
    )
}

/// The head of an event stream.
pub const EVENTS: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";

/// Text as one chunk.
pub fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}

/// Waits for the balancer to close this connection.
pub fn until_closed(stream: &mut TcpStream, within: Duration) -> bool {
    stream.set_read_timeout(Some(within)).unwrap();
    match stream.read(&mut [0; 1]) {
        Ok(read) => read == 0,
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

fn serve(mut stream: TcpStream, shared: &Shared, answer: &dyn Fn(&mut TcpStream, &Seen) -> bool) {
    stream.set_nodelay(true).unwrap();
    let connection = shared.connections.fetch_add(1, Ordering::SeqCst);
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    while let Some((head, body)) = request(&mut reader) {
        let seen = {
            let mut all = shared.seen.lock().unwrap();
            let seen = Seen {
                head,
                body,
                number: all.len(),
                connection,
            };
            all.push(seen.clone());
            seen
        };
        if !answer(&mut stream, &seen) {
            // Closes both halves although the reader has the stream as well.
            let _ = stream.shutdown(std::net::Shutdown::Both);
            return;
        }
    }
    shared.closed.fetch_add(1, Ordering::SeqCst);
}

fn request(reader: &mut impl BufRead) -> Option<(String, Vec<u8>)> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let length = head.lines().find_map(|line| {
        line.to_lowercase()
            .strip_prefix("content-length: ")
            .map(str::to_owned)
    });
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    reader.read_exact(&mut body).ok()?;
    Some((head, body))
}

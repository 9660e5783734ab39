// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

//! A client that sends bytes as they are, and reads answers by the rules.

use super::PATIENCE;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

/// A whole answer.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    pub status: u16,
    /// Status line and headers.
    pub head: String,
    /// Without its framing.
    pub body: Vec<u8>,
    /// The body ended as its framing says.
    pub whole: bool,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// A header's value; panics where it came twice.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut found = self
            .head
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(": "));
        let mut found = found
            .by_ref()
            .filter(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value);
        let first = found.next();
        assert_eq!(found.next(), None, "{name} came twice:\n{}", self.head);
        first
    }

    /// OpenAI's `error.code`.
    pub fn code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap().to_owned()
    }
}

/// A connection.
pub struct Client {
    pub stream: TcpStream,
    unread: Vec<u8>,
}

impl Client {
    pub fn new(to: SocketAddr) -> Self {
        let stream = TcpStream::connect(to).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Client {
            stream,
            unread: Vec::new(),
        }
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.stream.write_all(bytes.as_ref()).unwrap();
        self
    }

    /// Sends, and does not mind that the balancer may have hung up.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).is_ok()
    }

    pub fn ask(&mut self, request: impl AsRef<[u8]>) -> Answer {
        self.send(request).answer()
    }

    /// Sends no more, but listens.
    pub fn half_close(&mut self) -> &mut Self {
        self.stream.shutdown(Shutdown::Write).unwrap();
        self
    }

    /// Reads more; `false` at the end, however it came.
    pub fn more(&mut self) -> bool {
        let mut room = [0; 16 << 10];
        match self.stream.read(&mut room) {
            Ok(0) => false,
            Ok(read) => {
                self.unread.extend_from_slice(&room[..read]);
                true
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                panic!("no answer in time")
            }
            Err(_) => false,
        }
    }

    /// Reads until this text has come, and takes it and what is before it.
    pub fn until(&mut self, text: &str) -> String {
        loop {
            let found = self
                .unread
                .windows(text.len())
                .position(|window| window == text.as_bytes());
            if let Some(at) = found {
                let taken: Vec<u8> = self.unread.drain(..at + text.len()).collect();
                return String::from_utf8(taken).unwrap();
            }
            assert!(
                self.more(),
                "the connection ended before {text:?}: {:?}",
                String::from_utf8_lossy(&self.unread)
            );
        }
    }

    /// Everything until the end of the connection.
    pub fn rest(&mut self) -> String {
        while self.more() {}
        String::from_utf8_lossy(&std::mem::take(&mut self.unread)).into_owned()
    }

    /// The balancer has hung up.
    pub fn ended(&mut self) -> bool {
        self.unread.is_empty() && !self.more()
    }

    /// Nothing comes within this time, and the connection stays.
    pub fn silent_for(&mut self, time: Duration) -> bool {
        self.stream.set_read_timeout(Some(time)).unwrap();
        let read = self.stream.peek(&mut [0]);
        self.stream.set_read_timeout(Some(PATIENCE)).unwrap();
        self.unread.is_empty()
            && matches!(read, Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut))
    }

    /// The answer to a request with a body.
    pub fn answer(&mut self) -> Answer {
        self.answer_to(false)
    }

    /// The next answer; interim ones are read over.
    pub fn answer_to(&mut self, to_head: bool) -> Answer {
        let head = loop {
            let head = self.until("\r\n\r\n");
            if !head.starts_with("HTTP/1.1 1") {
                break head;
            }
        };
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let mut answer = Answer {
            status,
            head,
            ..Answer::default()
        };
        if to_head || status == 204 || status == 304 {
            answer.whole = true;
        } else if answer.header("transfer-encoding") == Some("chunked") {
            answer.whole = self.chunks(&mut answer.body);
        } else if let Some(length) = answer.header("content-length") {
            let length: usize = length.parse().unwrap();
            while self.unread.len() < length && self.more() {}
            answer.whole = self.unread.len() >= length;
            let taken = length.min(self.unread.len());
            answer.body = self.unread.drain(..taken).collect();
        } else {
            assert_eq!(
                answer.header("connection"),
                Some("close"),
                "{}",
                answer.head
            );
            while self.more() {}
            answer.body = std::mem::take(&mut self.unread);
            answer.whole = true;
        }
        answer
    }

    fn line(&mut self) -> Option<String> {
        loop {
            if let Some(at) = self.unread.windows(2).position(|window| window == b"\r\n") {
                let line: Vec<u8> = self.unread.drain(..at + 2).collect();
                return Some(String::from_utf8(line[..at].to_vec()).unwrap());
            }
            if !self.more() {
                return None;
            }
        }
    }

    fn chunks(&mut self, body: &mut Vec<u8>) -> bool {
        while let Some(line) = self.line() {
            let size =
                usize::from_str_radix(&line, 16).unwrap_or_else(|_| panic!("chunk size {line:?}"));
            while self.unread.len() < size + 2 {
                if !self.more() {
                    return false;
                }
            }
            body.extend(self.unread.drain(..size));
            assert_eq!(self.unread.drain(..2).collect::<Vec<_>>(), b"\r\n");
            if size == 0 {
                return true;
            }
        }
        false
    }
}

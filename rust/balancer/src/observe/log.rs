// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

//! The access log: one JSON line a request on standard output, without prompts, answers or keys.

use crate::clock;
use crate::config::AccessLog;
use serde::{Serialize, Serializer};
use std::cell::RefCell;
use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::yield_now;

/// One line. What a request did not have (a key, an endpoint, tokens) is left out.
#[derive(Serialize)]
pub struct Line<'a> {
    /// RFC 3339 in UTC, when the request ended.
    pub ts: String,
    pub id: &'a str,
    pub client: SocketAddr,
    /// The key's name, never the key.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub key: &'a str,
    pub method: &'a str,
    pub route: &'a str,
    /// The path as it was asked for, shortened, where it is not the route.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<&'a str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub model: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub pool: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<&'a str>,
    pub status: u16,
    pub stream: bool,
    pub bytes_in: u64,
    pub bytes_out: u64,
    #[serde(serialize_with = "seconds")]
    pub queue_s: Duration,
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "maybe_seconds"
    )]
    pub first_byte_s: Option<Duration>,
    #[serde(serialize_with = "seconds")]
    pub total_s: Duration,
    pub retries: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_in: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_out: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<&'a str>,
}

/// A tenth of a millisecond is enough, and is never written with an exponent.
fn seconds<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_f64((time.as_secs_f64() * 1e4).round() / 1e4)
}

fn maybe_seconds<S: Serializer>(time: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
    seconds(&time.unwrap_or_default(), to)
}

/// Now, as logs and the status page write it.
pub fn timestamp() -> String {
    humantime::format_rfc3339_millis(clock::wall()).to_string()
}

/// The first `limit` bytes of a text, or a few less where a character would be cut.
pub fn shortened(text: &str, limit: usize) -> &str {
    let mut end = text.len().min(limit);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Bytes that are written at once rather than kept for the next turn.
const FULL: usize = 32 << 10;

/// Where the lines go, and which.
pub struct Log {
    which: AccessLog,
    to: RefCell<Box<dyn Write>>,
    /// Whole lines.
    kept: RefCell<Vec<u8>>,
    more: Notify,
}

impl Log {
    pub fn new(which: AccessLog, to: Box<dyn Write>) -> Self {
        Log {
            which,
            to: RefCell::new(to),
            kept: RefCell::default(),
            more: Notify::new(),
        }
    }

    /// Whether a request that ended so is logged.
    pub fn wants(&self, status: u16, error: Option<&str>) -> bool {
        match self.which {
            AccessLog::All => true,
            AccessLog::Errors => status >= 400 || error.is_some(),
            AccessLog::Off => false,
        }
    }

    /// Keeps a line for [`Log::run`].
    pub fn write(&self, line: &Line<'_>) {
        let mut kept = self.kept.borrow_mut();
        let before = kept.len();
        match serde_json::to_writer(&mut *kept, line) {
            Ok(()) => kept.push(b'\n'),
            Err(_) => kept.truncate(before),
        }
        let full = kept.len() >= FULL;
        drop(kept);
        if full {
            self.flush();
        } else {
            self.more.notify_one();
        }
    }

    /// Writes the lines of a turn of the event loop together, for ever: a system call for each would be a tenth of all
    /// that a request costs.
    pub async fn run(&self) {
        loop {
            self.more.notified().await;
            yield_now().await;
            self.flush();
        }
    }

    /// Writes what is kept.
    pub fn flush(&self) {
        let mut kept = self.kept.borrow_mut();
        let mut to = self.to.borrow_mut();
        // Whoever closed our standard output does not want to read; requests go on.
        let _ = to.write_all(&kept).and_then(|()| to.flush());
        kept.clear();
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.flush();
    }
}

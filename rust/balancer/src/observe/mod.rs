// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

//! Metrics, access log and token counts.

use crate::config::Config;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

pub struct Observe {}

impl Observe {
    pub fn new(_config: &Config) -> Rc<Self> {
        Rc::new(Observe {})
    }

    /// Begins the record of a request whose head has come.
    pub fn begin(self: &Rc<Self>, method: &str, path: &str, id: &str, client: SocketAddr) -> Record {
        Record {
            observe: self.clone(),
            began: Instant::now(),
            method: method.to_owned(),
            path: path.to_owned(),
            id: id.to_owned(),
            client,
            model: String::new(),
            pool: String::new(),
            endpoint: None,
            key: String::new(),
            status: 0,
            stream: false,
            bytes_in: 0,
            bytes_out: 0,
            queued: Duration::ZERO,
            first_byte: None,
            retries: 0,
            error: None,
        }
    }

    /// A client's connection came (`true`) or went.
    pub fn connection(&self, _open: bool) {}
}

/// One request from its head to its last byte; on drop it is counted and logged.
pub struct Record {
    pub observe: Rc<Observe>,
    pub began: Instant,
    pub method: String,
    pub path: String,
    /// `X-Request-Id`.
    pub id: String,
    pub client: SocketAddr,
    /// The model that answered; what was asked for until then.
    pub model: String,
    pub pool: String,
    pub endpoint: Option<SocketAddr>,
    /// The key's name.
    pub key: String,
    /// 499 where the client left before the response.
    pub status: u16,
    /// The response is `text/event-stream`.
    pub stream: bool,
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub queued: Duration,
    /// From the head's arrival to the first byte of the response's body.
    pub first_byte: Option<Duration>,
    pub retries: u32,
    /// A short word: `client_gone`, `upstream_broken`, `connect_failed`, `first_byte_timeout`, … or a refusal's code.
    pub error: Option<&'static str>,
}

impl Record {
    /// Bytes of a response's body (framing taken off), as they came; sets `first_byte` at the first.
    pub fn chunk(&mut self, body: &[u8]) {
        if self.first_byte.is_none() {
            self.first_byte = Some(self.began.elapsed());
        }
        self.bytes_out += body.len() as u64;
    }
}

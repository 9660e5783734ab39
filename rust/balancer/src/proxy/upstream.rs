// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

//! Connections to endpoints: kept between requests, and one exchange on them up to the response's head.

use super::dispatch::Errand;
use crate::clock;
use crate::config::Timeouts;
use crate::http::conn::{Conn, Fault};
use crate::http::head;
use crate::App;
use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::time::Instant;

/// Connections that are kept for an endpoint.
const KEPT: usize = 64;
/// How long; less than what common servers keep theirs.
const IDLE: Duration = Duration::from_secs(15);
/// A kept connection that was closed meanwhile tells so within a round trip; one that ends later was at work.
const STALE: Duration = Duration::from_secs(1);
/// Bytes of a response's head.
const HEAD: usize = 64 << 10;

/// Kept connections by endpoint.
#[derive(Default)]
pub struct Upstreams {
    kept: RefCell<HashMap<SocketAddr, Vec<(Conn, Instant)>>>,
}

/// Why there is no response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    Connect,
    /// The connection ended, or what came is not HTTP.
    Broken,
    FirstByteTimeout,
}

/// A response whose head has come; it is the first `size` bytes of what the connection holds unread.
pub struct Response {
    pub conn: Conn,
    pub status: u16,
    pub keep_alive: bool,
}

impl Upstreams {
    /// Keeps a connection whose last response was read to its end.
    pub fn keep(&self, address: SocketAddr, conn: Conn) {
        if conn.unread().is_empty() {
            let mut kept = self.kept.borrow_mut();
            let conns = kept.entry(address).or_default();
            if conns.len() < KEPT {
                conns.push((conn, clock::now()));
            }
        }
    }

    /// Closes what was kept too long; run this now and then.
    pub fn sweep(&self) {
        let now = Instant::now();
        self.kept.borrow_mut().retain(|_, conns| {
            conns.retain(|(_, since)| now - *since < IDLE);
            !conns.is_empty()
        });
    }

    fn take(&self, address: SocketAddr) -> Option<Conn> {
        loop {
            let (mut conn, since) = self.kept.borrow_mut().get_mut(&address)?.pop()?;
            if clock::now() - since < IDLE && conn.quiet() {
                return Some(conn);
            }
        }
    }

    /// Sends a request and waits for the response's head. A kept connection that turns out to be closed does not
    /// count: the request goes out again on a fresh one, which those that may not be repeated get from the start.
    ///
    /// # Errors
    /// [`Failure`], before any byte of a response.
    pub async fn exchange(
        &self,
        to: SocketAddr,
        errand: &Errand<'_>,
        to_head: bool,
        app: &App,
    ) -> Result<Response, Failure> {
        let timeouts = &app.config.timeouts;
        let request = errand.message;
        let mut came = false;
        if let Some(conn) = errand.repeatable.then(|| self.take(to)).flatten() {
            let began = Instant::now();
            match ask(conn, request, to_head, timeouts, &mut came).await {
                Err(Failure::Broken) if !came && began.elapsed() < STALE => {
                    // The others of its age are closed as well, most likely.
                    self.kept.borrow_mut().remove(&to);
                }
                answered => return answered,
            }
        }
        let within = Duration::from_secs_f64(timeouts.connect);
        let began = Instant::now();
        let conn = Conn::connect(to, within)
            .await
            .map_err(|_| Failure::Connect)?;
        app.observe.connected(began.elapsed());
        ask(conn, request, to_head, timeouts, &mut came).await
    }
}

/// `came`: whether any byte did.
async fn ask(
    mut conn: Conn,
    request: &[u8],
    to_head: bool,
    timeouts: &Timeouts,
    came: &mut bool,
) -> Result<Response, Failure> {
    // One that answers before it has read everything (413, say) may close early: its answer counts all the same.
    // One that is busy reads a large request only when its turn comes, so that this is part of waiting for the answer.
    let pause = Duration::from_secs_f64(timeouts.first_byte);
    let written = conn.write(request, pause).await;
    let end = match written {
        Ok(()) => clock::now() + pause,
        Err(_) => Instant::now() + Duration::from_millis(100),
    };
    loop {
        let unread = conn.unread();
        if !unread.is_empty() {
            match head::response(unread, to_head) {
                Ok(Some(found)) if found.status == 101 => return Err(Failure::Broken),
                Ok(Some(found)) if found.status < 200 => {
                    let size = found.size;
                    conn.advance(size);
                    continue;
                }
                Ok(Some(found)) => {
                    let status = found.status;
                    let keep_alive = found.keep_alive && written.is_ok();
                    return Ok(Response {
                        conn,
                        status,
                        keep_alive,
                    });
                }
                Ok(None) if unread.len() < HEAD => {}
                _ => return Err(Failure::Broken),
            }
        }
        match conn.fill(end).await {
            Ok(1..) => *came = true,
            Err(Fault::Timeout) if written != Err(Fault::Gone) => {
                return Err(Failure::FirstByteTimeout)
            }
            _ => return Err(Failure::Broken),
        }
    }
}

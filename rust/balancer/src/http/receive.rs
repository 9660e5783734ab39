// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

//! Receives requests from a client: first the head, then the body, within limits and time.

use super::body::{Dechunk, Framing};
use super::conn::{Conn, Fault};
use super::head::{self, Malformed};
use crate::clock;
use crate::config::{Limits, Timeouts};
use crate::Refusal;
use std::time::Duration;

/// A body that comes slower than this many bytes a second, after a first grace, is not waited for.
const SLOWEST: u64 = 1024;

/// Asks a client for the body that it holds back.
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Why a request did not come.
#[derive(Debug)]
pub enum Trouble {
    /// To be answered; then the connection ends.
    Refused(Refusal),
    /// The client left, or said nothing in time: nobody to answer.
    Gone,
}

impl From<Fault> for Trouble {
    fn from(_: Fault) -> Self {
        Trouble::Gone
    }
}

/// A refusal of a message that broke HTTP's rules.
pub fn refusal(status: u16, code: &'static str, message: impl Into<String>) -> Refusal {
    Refusal {
        status,
        code,
        message: message.into(),
        retry_after: None,
    }
}

impl From<Malformed> for Trouble {
    fn from(malformed: Malformed) -> Self {
        Trouble::Refused(refusal(
            400,
            "bad_request",
            format!("This is not HTTP/1.1: {}.", malformed.0),
        ))
    }
}

impl From<head::Refused> for Trouble {
    fn from(refused: head::Refused) -> Self {
        match refused {
            head::Refused::Malformed(why) => Malformed(why).into(),
            head::Refused::TooLarge => Trouble::Refused(too_large_head()),
            head::Refused::Version => Trouble::Refused(refusal(
                505,
                "http_version",
                "Only HTTP/1.1 and HTTP/1.0 are spoken here.",
            )),
        }
    }
}

fn too_large_head() -> Refusal {
    refusal(
        431,
        "headers_too_large",
        "The request's headers are too large: send fewer or shorter ones.",
    )
}

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

/// Waits for a whole head and returns its size. An empty line before it is read over (RFC 9112, section 2.2).
///
/// # Errors
/// [`Trouble`]: too large, too slow, not HTTP, or gone.
pub async fn head(conn: &mut Conn, limits: &Limits, timeouts: &Timeouts) -> Result<usize, Trouble> {
    let mut scanned = 0;
    let mut end = None;
    loop {
        while scanned == 0 && conn.unread().starts_with(b"\r\n") {
            conn.advance(2);
        }
        let unread = conn.unread();
        match head::end(unread, scanned) {
            Some(size) if size <= limits.head => return Ok(size),
            None if unread.len() < limits.head => {}
            _ => return Err(Trouble::Refused(too_large_head())),
        }
        // What begins with another byte is no method: TLS, for instance, is told so instead of waited for.
        if unread
            .first()
            .is_some_and(|byte| !byte.is_ascii_alphabetic() && *byte != b'\r')
        {
            return Err(Malformed("the request does not begin with a method").into());
        }
        scanned = unread.len();
        let end = *end.get_or_insert_with(|| clock::now() + seconds(timeouts.header));
        match conn.fill(end).await {
            Ok(0) => return Err(Trouble::Gone),
            Ok(_) => {}
            Err(Fault::Timeout) if scanned > 0 => {
                return Err(Trouble::Refused(refusal(
                    408,
                    "timeout",
                    "The request's headers took too long to come.",
                )));
            }
            Err(_) => return Err(Trouble::Gone),
        }
    }
}

/// Waits for a whole body and appends it to `out`. `continues`: the client may wait to be asked for it, which it is
/// unless the body is too large anyway.
///
/// # Errors
/// [`Trouble`]: too large, too slow, not HTTP, or gone.
pub async fn body(
    conn: &mut Conn,
    framing: Framing,
    continues: bool,
    limits: &Limits,
    timeouts: &Timeouts,
    out: &mut Vec<u8>,
) -> Result<(), Trouble> {
    let too_large = || {
        let message = format!(
            "The request's body is larger than the limit of {} bytes.",
            limits.body
        );
        Trouble::Refused(refusal(413, "body_too_large", message))
    };
    let began = out.len();
    let mut dechunk = Dechunk::default();
    let mut left = match framing {
        Framing::None | Framing::Close => return Ok(()),
        Framing::Length(length) if length > limits.body as u64 => return Err(too_large()),
        Framing::Length(length) => length as usize,
        Framing::Chunked => 0,
    };
    let grace = seconds(timeouts.body);
    if continues && conn.unread().is_empty() {
        conn.write(CONTINUE, grace).await?;
    }
    let mut start = None;
    loop {
        let unread = conn.unread();
        let (taken, whole) = if framing == Framing::Chunked {
            (dechunk.decode(unread, out)?, dechunk.done())
        } else {
            let take = left.min(unread.len());
            out.extend_from_slice(&unread[..take]);
            left -= take;
            (take, left == 0)
        };
        conn.advance(taken);
        let received = out.len() - began;
        if received > limits.body {
            return Err(too_large());
        }
        if whole {
            return Ok(());
        }
        let now = clock::now();
        let slowest =
            *start.get_or_insert(now) + grace + Duration::from_secs(received as u64 / SLOWEST);
        match conn.fill(slowest.min(now + grace)).await {
            Ok(0) => return Err(Trouble::Gone),
            Ok(_) => {}
            Err(Fault::Timeout) => {
                return Err(Trouble::Refused(refusal(
                    408,
                    "timeout",
                    "The request's body took too long to come.",
                )));
            }
            Err(Fault::Gone) => return Err(Trouble::Gone),
        }
    }
}

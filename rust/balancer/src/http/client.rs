// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

//! A GET for health checks: one connection, one answer.

use super::body::{Dechunk, Framing};
use super::conn::{Conn, Fault};
use super::head;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::time::Instant;

/// Bytes that an answer may have, head and body together.
const ANSWER: usize = 1 << 20;

/// What a server answered.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
}

/// Asks `http://<address><path>`; everything together may take `within`.
///
/// # Errors
/// A few words: refused, timed out, or not HTTP.
pub async fn get(address: SocketAddr, path: &str, within: Duration) -> Result<Answer, String> {
    let end = Instant::now() + within;
    let mut conn = connect(address, within).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    let gone = |fault| match fault {
        Fault::Timeout => format!("no answer within {} s", within.as_secs_f32()),
        Fault::Gone => "the connection broke".to_owned(),
    };
    conn.write(request.as_bytes(), within).await.map_err(gone)?;
    let (status, framing) = loop {
        match head::response(conn.unread(), false).map_err(|malformed| malformed.0)? {
            Some(head) => {
                let (status, framing, size) = (head.status, head.framing, head.size);
                conn.advance(size);
                if status >= 200 {
                    break (status, framing);
                }
            }
            None => more(&mut conn, end)
                .await?
                .then_some(())
                .ok_or("the connection ended before an answer")?,
        }
    };
    let mut body = Vec::new();
    let mut dechunk = Dechunk::default();
    loop {
        let unread = conn.unread();
        let whole = match framing {
            Framing::None => true,
            Framing::Chunked => {
                let taken = dechunk
                    .decode(unread, &mut body)
                    .map_err(|malformed| malformed.0)?;
                conn.advance(taken);
                dechunk.done()
            }
            Framing::Length(_) | Framing::Close => {
                body.extend_from_slice(unread);
                let taken = unread.len();
                conn.advance(taken);
                matches!(framing, Framing::Length(length) if body.len() as u64 >= length)
            }
        };
        if body.len() > ANSWER {
            return Err("the answer is too large".to_owned());
        }
        if whole || !more(&mut conn, end).await? {
            let short = matches!(framing, Framing::Length(_) | Framing::Chunked) && !whole;
            return if short {
                Err("the answer is cut short".to_owned())
            } else {
                Ok(Answer { status, body })
            };
        }
    }
}

/// Opens a connection and closes it.
///
/// # Errors
/// A few words: refused or timed out.
pub async fn connect_only(address: SocketAddr, within: Duration) -> Result<(), String> {
    connect(address, within).await.map(drop)
}

async fn connect(address: SocketAddr, within: Duration) -> Result<Conn, String> {
    Conn::connect(address, within)
        .await
        .map_err(|error| format!("no connection: {error}"))
}

async fn more(conn: &mut Conn, end: Instant) -> Result<bool, String> {
    if conn.unread().len() > ANSWER {
        return Err("the answer is too large".to_owned());
    }
    match conn.fill(end).await {
        Ok(read) => Ok(read > 0),
        Err(Fault::Timeout) => Err("no answer in time".to_owned()),
        Err(Fault::Gone) => Err("the connection broke".to_owned()),
    }
}

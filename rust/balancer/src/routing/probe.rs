// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

//! One active check of an address.

use crate::http::conn::{Conn, Fault};
use crate::http::head;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::time::{timeout, Instant};

/// Bytes that an answer's head may have.
const HEAD: usize = 64 << 10;

/// What a connection has to outlast to count.
const MOMENT: Duration = Duration::from_millis(20);

/// What an active check found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    Well,
    /// Connected, but no answer in time: it may work for another balancer, whose request it answers first.
    Silent,
    /// An error, or something that is not HTTP.
    Wrong,
    /// No connection.
    Unreachable,
}

/// Opens a connection, and closes it once it has stood for a moment: WASI tells of one that was refused only when it
/// is read from.
pub(super) async fn connect(address: SocketAddr, within: Duration) -> Found {
    let Ok(mut conn) = Conn::connect(address, within).await else {
        return Found::Unreachable;
    };
    match conn.fill(Instant::now() + MOMENT).await {
        Ok(0) | Err(Fault::Gone) => Found::Unreachable,
        Ok(_) | Err(Fault::Timeout) => Found::Well,
    }
}

/// Asks for `/v1/models`: `connecting` for the connection, `answering` for the head of the answer.
pub(super) async fn get(address: SocketAddr, connecting: Duration, answering: Duration) -> Found {
    let Ok(mut conn) = Conn::connect(address, connecting).await else {
        return Found::Unreachable;
    };
    let found = match timeout(answering, status(&mut conn, address, answering)).await {
        Err(_) => Found::Silent,
        // One that lacks the route, or wants a key of its own, answers all the same.
        Ok(Some(..=499)) => Found::Well,
        Ok(_) => Found::Wrong,
    };
    tokio::task::spawn_local(conn.linger());
    found
}

/// The status of its answer; `None` where that is not HTTP, or the connection breaks.
async fn status(conn: &mut Conn, address: SocketAddr, within: Duration) -> Option<u16> {
    let request =
        format!("GET /v1/models HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    let end = Instant::now() + within;
    conn.write(request.as_bytes(), within).await.ok()?;
    while conn.unread().len() < HEAD {
        if let Some(head) = head::response(conn.unread(), false).ok()? {
            return Some(head.status);
        }
        match conn.fill(end).await {
            Ok(0) => return None,
            Ok(_) => {}
            // The time is the caller's to notice, as silence.
            Err(Fault::Timeout) => std::future::pending().await,
            Err(Fault::Gone) => return None,
        }
    }
    None
}

// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

//! One active check of an address.

use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

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

/// Opens a connection and closes it.
pub(super) async fn connect(address: SocketAddr, time: Duration) -> Found {
    match open(address, time).await {
        Some(_) => Found::Well,
        None => Found::Unreachable,
    }
}

async fn open(address: SocketAddr, time: Duration) -> Option<TcpStream> {
    timeout(time, TcpStream::connect(address)).await.ok()?.ok()
}

/// Asks for `/v1/models`: `connecting` for the connection, `answering` for the first line of the answer.
pub(super) async fn get(address: SocketAddr, connecting: Duration, answering: Duration) -> Found {
    let Some(stream) = open(address, connecting).await else {
        return Found::Unreachable;
    };
    match timeout(answering, status(stream, address)).await {
        Err(_) => Found::Silent,
        // One that lacks the route, or wants a key of its own, answers all the same.
        Ok(Some(100..=499)) => Found::Well,
        Ok(_) => Found::Wrong,
    }
}

/// The status of its answer; `None` where that is not HTTP, or the connection breaks.
async fn status(mut stream: TcpStream, address: SocketAddr) -> Option<u16> {
    let request =
        format!("GET /v1/models HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut start = [0; 12];
    stream.read_exact(&mut start).await.ok()?;
    // The rest is read so that the server does not meet a reset; it matters no more.
    let mut rest = stream.take(64 << 10);
    let _ = timeout(
        Duration::from_millis(100),
        tokio::io::copy(&mut rest, &mut tokio::io::sink()),
    )
    .await;
    let text = std::str::from_utf8(&start).ok()?;
    text.strip_prefix("HTTP/1.")?.get(2..)?.trim().parse().ok()
}

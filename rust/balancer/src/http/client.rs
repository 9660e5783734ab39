// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

//! A GET for health checks: one connection, one answer.

use std::net::SocketAddr;
use std::time::Duration;

/// What a server answered.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
}

/// Asks `http://<address><path>`.
///
/// # Errors
/// One sentence: refused, timed out, or not HTTP.
pub async fn get(_address: SocketAddr, _path: &str, _timeout: Duration) -> Result<Answer, String> {
    Err("not there yet".into())
}

/// Opens a connection and closes it.
///
/// # Errors
/// One sentence: refused or timed out.
pub async fn connect_only(_address: SocketAddr, _timeout: Duration) -> Result<(), String> {
    Err("not there yet".into())
}

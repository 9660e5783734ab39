// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

//! The configuration: one TOML file.

use serde::Deserialize;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Every setting; what the file leaves out has the default of [`Config::default`].
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    pub listen: Listen,
    pub limits: Limits,
    pub timeouts: Timeouts,
    pub affinity: Affinity,
    pub files: Files,
    /// Namespace watched for Services; `None` watches nothing (registrations by the API only).
    pub watch: bool,
    /// Attempts at other endpoints after the first, as long as no byte of a response came.
    pub retries: u32,
    /// Requests an endpoint takes at once, where its Service does not say (`llamaedge/slots`).
    pub slots: u32,
    /// Requests that wait in a pool's queue.
    pub queue: usize,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Listen {
    pub http: SocketAddr,
    pub ops: SocketAddr,
    pub admin: SocketAddr,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Bytes of a request line with its headers.
    pub head: usize,
    /// Headers of a request.
    pub headers: usize,
    /// Bytes of a request's body.
    pub body: usize,
    /// Client connections at once.
    pub connections: usize,
}

/// Seconds.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Timeouts {
    /// From a request's first byte to the end of its head.
    pub header: f64,
    /// Between two reads of a request's body, and two writes to a client.
    pub body: f64,
    pub connect: f64,
    /// From the request sent until the first byte of the response.
    pub first_byte: f64,
    /// Between two reads of a response.
    pub idle: f64,
    /// Of a client's connection between two requests.
    pub keep_alive: f64,
    /// In a pool's queue.
    pub queue: f64,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Affinity {
    /// Header whose value keeps requests on one endpoint.
    pub header: Option<String>,
    /// Bytes of the messages' beginning that keep requests on one endpoint; 0 is off.
    pub prefix: usize,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Files {
    pub keys: PathBuf,
    pub admin_token: PathBuf,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            listen: Listen::default(),
            limits: Limits::default(),
            timeouts: Timeouts::default(),
            affinity: Affinity::default(),
            files: Files::default(),
            watch: true,
            retries: 2,
            slots: 1,
            queue: 64,
        }
    }
}

impl Default for Listen {
    fn default() -> Self {
        let any = |port| SocketAddr::from(([0, 0, 0, 0], port));
        Listen { http: any(8080), ops: any(9090), admin: any(9091) }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Limits { head: 32 << 10, headers: 100, body: 16 << 20, connections: 4096 }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Timeouts { header: 10.0, body: 30.0, connect: 1.0, first_byte: 300.0, idle: 60.0, keep_alive: 75.0, queue: 30.0 }
    }
}

impl Default for Files {
    fn default() -> Self {
        Files { keys: "/etc/balancer/keys/keys.json".into(), admin_token: "/etc/balancer/admin/token".into() }
    }
}

impl Config {
    /// Reads a file.
    ///
    /// # Errors
    /// One sentence where it cannot be read or a setting is unknown or has a wrong type.
    pub fn load(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        toml::from_str(&text).map_err(|error| format!("{}: {}", path.display(), error.message()))
    }
}

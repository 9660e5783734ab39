// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

//! Whole messages, as the ops and admin ports exchange them, and our own replies.

use crate::Refusal;
use serde_json::json;
use std::io::Write;
use std::net::SocketAddr;

/// A request with its whole body.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: String,
    /// Without the query.
    pub path: String,
    /// What follows `?`; empty where there is none.
    pub query: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub client: SocketAddr,
}

impl Request {
    /// The first header of this (lower case) name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }
}

/// A response with its whole body; Content-Length and Connection are added on the way.
#[derive(Debug, Clone)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn new(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Reply {
            status,
            headers: vec![("Content-Type", content_type.to_owned())],
            body: body.into(),
        }
    }

    pub fn text(status: u16, body: impl Into<String>) -> Self {
        Reply::new(status, "text/plain; charset=utf-8", body.into())
    }

    pub fn json(status: u16, body: &impl serde::Serialize) -> Self {
        // Our own types have string keys only, so this cannot fail.
        Reply::new(
            status,
            "application/json",
            serde_json::to_vec(body).unwrap_or_default(),
        )
    }

    /// An error as OpenAI's clients understand it.
    pub fn refusal(refusal: &Refusal) -> Self {
        let kind = match refusal.status {
            401 => "authentication_error",
            403 => "permission_error",
            429 => "rate_limit_error",
            500.. => "server_error",
            _ => "invalid_request_error",
        };
        let param = (refusal.code == "model_not_found").then_some("model");
        let error =
            json!({"message": refusal.message, "type": kind, "param": param, "code": refusal.code});
        let mut reply = Reply::json(refusal.status, &json!({ "error": error }));
        if let Some(seconds) = refusal.retry_after {
            reply = reply.with("Retry-After", seconds.to_string());
        }
        if refusal.status == 401 {
            reply = reply.with("WWW-Authenticate", "Bearer");
        }
        reply
    }

    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The message's bytes, to be written at once. `to_head`: the request was HEAD, so the body stays away.
    pub fn bytes(&self, keep_alive: bool, to_head: bool) -> Vec<u8> {
        let mut out = Vec::with_capacity(256 + self.body.len());
        status_line(self.status, reason(self.status), &mut out);
        for (name, value) in &self.headers {
            field(name, value.as_bytes(), &mut out);
        }
        if self.status != 204 {
            let _ = write!(out, "Content-Length: {}\r\n", self.body.len());
        }
        out.extend_from_slice(if keep_alive {
            b"Connection: keep-alive\r\n\r\n"
        } else {
            b"Connection: close\r\n\r\n"
        });
        if !to_head && self.status != 204 {
            out.extend_from_slice(&self.body);
        }
        out
    }
}

/// Appends a status line.
pub fn status_line(status: u16, reason: &str, out: &mut Vec<u8>) {
    let _ = write!(out, "HTTP/1.1 {status} {reason}\r\n"); // a Vec takes everything
}

/// Appends a header.
pub fn field(name: &str, value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        204 => "No Content",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        409 => "Conflict",
        413 => "Content Too Large",
        417 => "Expectation Failed",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "Other",
    }
}

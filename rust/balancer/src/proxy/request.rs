// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

//! A request as an endpoint gets it.

use crate::http::body::Framing;
use crate::http::head::{self, RequestHead};
use crate::http::message::field;
use std::io::Write;
use std::net::SocketAddr;

/// Longer identifiers of clients are replaced.
const ID: usize = 128;

/// Headers that stay here, besides those of the hop: keys are checked here, and llama-api-server would log them; a
/// compressed answer could not be counted; the body was asked for already.
const OURS: [&str; 5] = [
    "authorization",
    "accept-encoding",
    "expect",
    "x-request-id",
    "x-forwarded-for",
];

/// The client's identifier of the request, where it is fit to be logged.
pub fn id<'b>(head: &RequestHead<'b>) -> Option<&'b str> {
    head::header(&head.headers, "x-request-id").filter(|id| {
        (1..=ID).contains(&id.len())
            && id
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte))
    })
}

/// Appends the head, but for the body's length and the empty line.
pub fn head(head: &RequestHead, id: &str, client: SocketAddr, out: &mut Vec<u8>) {
    out.extend_from_slice(head.method.as_bytes());
    out.push(b' ');
    out.extend_from_slice(origin_form(head.target).as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\n");
    let named: Vec<&str> = head::tokens(&head.headers, "connection").collect();
    let mut forwarded = String::new();
    for header in &head.headers {
        if header.name.eq_ignore_ascii_case("x-forwarded-for") {
            if let Ok(value) = std::str::from_utf8(header.value) {
                forwarded.push_str(value);
                forwarded.push_str(", ");
            }
        }
        if !head::hop_by_hop(header.name, &named)
            && !OURS
                .iter()
                .any(|ours| ours.eq_ignore_ascii_case(header.name))
        {
            field(header.name, header.value, out);
        }
    }
    if head.minor == 0 && head::header(&head.headers, "host").is_none() {
        field("Host", b"balancer", out);
    }
    let _ = write!(
        out,
        "X-Forwarded-For: {forwarded}{}\r\nX-Request-Id: {id}\r\n",
        client.ip()
    ); // a Vec takes everything
}

/// Appends the body's length, the empty line and the body.
pub fn finish(framing: Framing, body: &[u8], out: &mut Vec<u8>) {
    if framing != Framing::None || !body.is_empty() {
        let _ = write!(out, "Content-Length: {}\r\n", body.len());
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(body);
}

/// The target without scheme and host.
fn origin_form(target: &str) -> &str {
    match target.split_once("://") {
        Some((_, rest)) if !target.starts_with('/') => {
            rest.find('/').map_or("/", |slash| &rest[slash..])
        }
        _ => target,
    }
}

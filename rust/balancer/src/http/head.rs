// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

//! Heads of requests and responses: what httparse reads, and the rules against smuggling that it does not know.

use super::body::Framing;
use httparse::{Header, Status};
use std::mem::MaybeUninit;

/// Headers a response may have; those of a request are limited by the configuration.
const RESPONSE_HEADERS: usize = 128;
/// The most headers that the configuration may allow.
pub const MAX_HEADERS: usize = 256;

/// A message that breaks HTTP's grammar, and how: `400`, and the connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

/// Why a request's head is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// 400
    Malformed(&'static str),
    /// 431
    TooLarge,
    /// 505
    Version,
}

impl From<Malformed> for Refused {
    fn from(malformed: Malformed) -> Self {
        Refused::Malformed(malformed.0)
    }
}

/// A request's head, within the bytes that it was read from.
#[derive(Debug)]
pub struct RequestHead<'b> {
    pub method: &'b str,
    pub target: &'b str,
    /// 0 or 1, of HTTP/1.x
    pub minor: u8,
    pub headers: Vec<Header<'b>>,
    /// Bytes that the head takes.
    pub size: usize,
    pub framing: Framing,
    /// The client would go on after this request.
    pub keep_alive: bool,
    pub expects_continue: bool,
}

/// A response's head, likewise.
#[derive(Debug)]
pub struct ResponseHead<'b> {
    pub status: u16,
    pub reason: &'b str,
    pub minor: u8,
    pub headers: Vec<Header<'b>>,
    pub size: usize,
    pub framing: Framing,
    pub keep_alive: bool,
}

/// The value of the first header of this name.
pub fn header<'b>(headers: &[Header<'b>], name: &str) -> Option<&'b str> {
    let found = headers
        .iter()
        .find(|header| header.name.eq_ignore_ascii_case(name))?;
    std::str::from_utf8(found.value).ok().map(str::trim)
}

/// Where a head ends, if it does: after its empty line. `from` is where the search goes on; lone line feeds count, so
/// that a head that has them is refused at once instead of being waited for.
pub fn end(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from.saturating_sub(3);
    while let Some(feed) = memchr::memchr(b'\n', &bytes[at..]) {
        at += feed + 1;
        match &bytes[at..] {
            [b'\n', ..] => return Some(at + 1),
            [b'\r', b'\n', ..] => return Some(at + 2),
            _ => {}
        }
    }
    None
}

/// Reads a whole head ([`end`] found it).
///
/// # Errors
/// What breaks the grammar, or could be read in two ways by us and an endpoint.
pub fn request(bytes: &[u8], max_headers: usize) -> Result<RequestHead<'_>, Refused> {
    line_ends(bytes)?;
    let mut room = [const { MaybeUninit::uninit() }; MAX_HEADERS];
    let mut parsed = httparse::Request::new(&mut []);
    let room = &mut room[..max_headers.min(MAX_HEADERS)];
    let size = match parsed.parse_with_uninit_headers(bytes, room) {
        Ok(Status::Complete(size)) => size,
        Ok(Status::Partial) => return Err(Refused::Malformed("the head ends early")),
        Err(httparse::Error::TooManyHeaders) => return Err(Refused::TooLarge),
        Err(httparse::Error::Version) => return Err(Refused::Version),
        Err(_) => return Err(Refused::Malformed("the head breaks the grammar")),
    };
    let (method, target, minor) = (
        parsed.method.unwrap_or_default(),
        parsed.path.unwrap_or_default(),
        parsed.version.unwrap_or_default(),
    );
    if !target
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && byte != b'#')
    {
        return Err(Refused::Malformed(
            "the target has bytes that need percent-encoding",
        ));
    }
    let headers = parsed.headers.to_vec();
    let framing = framing(&headers, minor)?.unwrap_or(Framing::None);
    host(&headers, minor)?;
    Ok(RequestHead {
        method,
        target,
        minor,
        size,
        framing,
        keep_alive: keep_alive(&headers, minor),
        expects_continue: minor == 1
            && header(&headers, "expect").is_some_and(|v| v.eq_ignore_ascii_case("100-continue")),
        headers,
    })
}

/// Reads a response's head, if it is whole. `to_head`: the request was HEAD.
///
/// # Errors
/// What breaks the grammar, or leaves open where the response ends.
pub fn response(bytes: &[u8], to_head: bool) -> Result<Option<ResponseHead<'_>>, Malformed> {
    let mut room = [const { MaybeUninit::uninit() }; RESPONSE_HEADERS];
    let mut parsed = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    let size = match config.parse_response_with_uninit_headers(&mut parsed, bytes, &mut room) {
        Ok(Status::Complete(size)) => size,
        Ok(Status::Partial) => return Ok(None),
        Err(_) => return Err(Malformed("the response's head breaks the grammar")),
    };
    let status = parsed.code.unwrap_or_default();
    let minor = parsed.version.unwrap_or_default();
    let headers = parsed.headers.to_vec();
    let told = framing(&headers, 1)?;
    let framing = match status {
        _ if to_head => Framing::None,
        100..=199 | 204 | 304 => Framing::None,
        _ => told.unwrap_or(Framing::Close),
    };
    let keep_alive = framing != Framing::Close && keep_alive(&headers, minor);
    Ok(Some(ResponseHead {
        status,
        reason: parsed.reason.unwrap_or_default(),
        minor,
        headers,
        size,
        framing,
        keep_alive,
    }))
}

/// Every line ends in CR LF, and neither stands alone (httparse lets a lone LF pass).
fn line_ends(bytes: &[u8]) -> Result<(), Malformed> {
    let mut rest = bytes;
    while let Some(at) = memchr::memchr2(b'\r', b'\n', rest) {
        match &rest[at..] {
            [b'\r', b'\n', after @ ..] => rest = after,
            [b'\r'] => break,
            _ => return Err(Malformed("a line does not end in CR LF")),
        }
    }
    Ok(())
}

/// What the headers say of the body; `None` where they say nothing.
fn framing(headers: &[Header], minor: u8) -> Result<Option<Framing>, Malformed> {
    let mut found = None;
    for header in headers {
        let next = if header.name.eq_ignore_ascii_case("content-length") {
            Framing::Length(length(header.value)?)
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            if minor == 0 || !header.value.trim_ascii().eq_ignore_ascii_case(b"chunked") {
                return Err(Malformed("Transfer-Encoding may be 'chunked' only"));
            }
            Framing::Chunked
        } else {
            continue;
        };
        if found.replace(next).is_some() {
            return Err(Malformed(
                "Content-Length and Transfer-Encoding may come once, and not together",
            ));
        }
    }
    Ok(found)
}

fn length(value: &[u8]) -> Result<u64, Malformed> {
    let digits = value.trim_ascii();
    if digits.is_empty() || digits.len() > 18 || !digits.iter().all(u8::is_ascii_digit) {
        return Err(Malformed("Content-Length is not a number"));
    }
    Ok(digits
        .iter()
        .fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')))
}

/// HTTP/1.1 wants one Host, and it is a name.
fn host(headers: &[Header], minor: u8) -> Result<(), Malformed> {
    let mut hosts = headers
        .iter()
        .filter(|header| header.name.eq_ignore_ascii_case("host"));
    match (hosts.next(), hosts.next()) {
        (None, _) if minor == 0 => Ok(()),
        (Some(host), None)
            if host
                .value
                .iter()
                .all(|byte| byte.is_ascii_graphic() && !b"/?#@,\\".contains(byte)) =>
        {
            Ok(())
        }
        _ => Err(Malformed("there must be one Host")),
    }
}

fn keep_alive(headers: &[Header], minor: u8) -> bool {
    let has =
        |token: &str| tokens(headers, "connection").any(|found| found.eq_ignore_ascii_case(token));
    if minor == 1 {
        !has("close")
    } else {
        has("keep-alive") && !has("close")
    }
}

/// The comma separated words of all headers of this name.
pub fn tokens<'a, 'b>(
    headers: &'a [Header<'b>],
    name: &'a str,
) -> impl Iterator<Item = &'b str> + 'a {
    let named = headers
        .iter()
        .filter(move |header| header.name.eq_ignore_ascii_case(name));
    named
        .filter_map(|header| std::str::from_utf8(header.value).ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
}

/// Headers that are meant for the next hop alone (RFC 9110, section 7.6.1), and those that say how the body is framed.
/// `named`: the words of the message's `Connection`.
pub fn hop_by_hop(name: &str, named: &[&str]) -> bool {
    const NAMES: [&str; 10] = [
        "connection",
        "keep-alive",
        "proxy-connection",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "content-length",
    ];
    NAMES
        .iter()
        .chain(named)
        .any(|known| known.eq_ignore_ascii_case(name))
}

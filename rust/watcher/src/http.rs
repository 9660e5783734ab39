// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0
//! As much of an HTTP/1.1 client as an API server needs: one request at a time on a connection that is kept, bodies by
//! length, by chunks or to the end, whole or line by line.

use std::io;

use crate::stream::Stream;

const HEAD_LIMIT: usize = 64 * 1024;
const HEADERS: usize = 64;
/// Of a chunk's first line, and of a trailer's line.
const LINE_LIMIT: usize = 4 * 1024;

/// A connection between two exchanges.
pub(crate) struct Connection(Stream);

/// A response whose head was read.
pub(crate) struct Exchange {
    pub(crate) status: u16,
    stream: Stream,
    buffer: Vec<u8>,
    body: Body,
    keep: bool,
    /// The beginning of a line whose end has not come.
    line: Vec<u8>,
}

enum Body {
    Left(u64),
    ChunkSize,
    Chunk(u64),
    ChunkEnd,
    Trailers,
    ToTheEnd,
    Done,
}

impl Connection {
    pub(crate) fn new(stream: Stream) -> Self {
        Self(stream)
    }

    /// Sends a whole request and reads the response's head.
    pub(crate) async fn send(mut self, request: &[u8]) -> io::Result<Exchange> {
        self.0.write(request).await?;
        let mut buffer = Vec::new();
        loop {
            if let Some((head, status, body, keep)) = head(&buffer)? {
                buffer.drain(..head);
                if (100..200).contains(&status) {
                    continue;
                }
                return Ok(Exchange {
                    status,
                    stream: self.0,
                    buffer,
                    body,
                    keep,
                    line: Vec::new(),
                });
            }
            if buffer.len() > HEAD_LIMIT {
                return Err(garbage("the response's head has no end"));
            }
            if self.0.read(&mut buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

impl Exchange {
    /// The whole body, of no more than `limit` bytes.
    pub(crate) async fn whole(&mut self, limit: usize) -> io::Result<Vec<u8>> {
        let mut whole = Vec::new();
        while self.piece(&mut whole).await? {
            if whole.len() > limit {
                return Err(garbage(&format!("the body is longer than {limit} bytes")));
            }
        }
        Ok(whole)
    }

    /// The body's next line without its end, of no more than `limit` bytes; none at the body's end.
    pub(crate) async fn line(&mut self, limit: usize) -> io::Result<Option<Vec<u8>>> {
        let mut searched = 0;
        loop {
            if let Some(end) = self.line[searched..].iter().position(|&byte| byte == b'\n') {
                let rest = self.line.split_off(searched + end + 1);
                let mut line = std::mem::replace(&mut self.line, rest);
                line.pop();
                return Ok(Some(line));
            }
            searched = self.line.len();
            if searched > limit {
                return Err(garbage(&format!("a line is longer than {limit} bytes")));
            }
            let mut line = std::mem::take(&mut self.line);
            let more = self.piece(&mut line).await;
            self.line = line;
            if !more? {
                return match self.line.is_empty() {
                    true => Ok(None),
                    false => Err(io::ErrorKind::UnexpectedEof.into()),
                };
            }
        }
    }

    /// The connection for the next request, where the body was read to its end and the server keeps it.
    pub(crate) fn into_connection(self) -> Option<Connection> {
        let free = self.keep && matches!(self.body, Body::Done) && self.buffer.is_empty();
        free.then_some(Connection(self.stream))
    }

    /// Appends the body's next bytes; false at its end.
    async fn piece(&mut self, into: &mut Vec<u8>) -> io::Result<bool> {
        loop {
            match self.body {
                Body::Done => return Ok(false),
                Body::Left(0) => self.body = Body::Done,
                Body::Chunk(0) => self.body = Body::ChunkEnd,
                Body::Left(left) if !self.buffer.is_empty() => {
                    self.body = Body::Left(left - self.take(left, into));
                    return Ok(true);
                }
                Body::Chunk(left) if !self.buffer.is_empty() => {
                    self.body = Body::Chunk(left - self.take(left, into));
                    return Ok(true);
                }
                Body::ToTheEnd if !self.buffer.is_empty() => {
                    self.take(u64::MAX, into);
                    return Ok(true);
                }
                Body::ToTheEnd => {
                    if self.stream.read(&mut self.buffer).await? == 0 {
                        self.body = Body::Done;
                    }
                }
                Body::ChunkSize => match httparse::parse_chunk_size(&self.buffer) {
                    Ok(httparse::Status::Complete((length, size))) => {
                        self.buffer.drain(..length);
                        self.body = match size {
                            0 => Body::Trailers,
                            size => Body::Chunk(size),
                        };
                    }
                    Ok(httparse::Status::Partial) => self.more(LINE_LIMIT).await?,
                    Err(_) => return Err(garbage("a chunk has no length")),
                },
                Body::ChunkEnd if self.buffer.starts_with(b"\r\n") => {
                    self.buffer.drain(..2);
                    self.body = Body::ChunkSize;
                }
                Body::ChunkEnd if self.buffer.len() >= 2 => {
                    return Err(garbage("a chunk is longer than its length says"));
                }
                Body::Trailers => match self.buffer.iter().position(|&byte| byte == b'\n') {
                    Some(end) => {
                        if matches!(&self.buffer[..end], b"" | b"\r") {
                            self.body = Body::Done;
                        }
                        self.buffer.drain(..=end);
                    }
                    None => self.more(LINE_LIMIT).await?,
                },
                Body::Left(_) | Body::Chunk(_) | Body::ChunkEnd => self.more(usize::MAX).await?,
            }
        }
    }

    fn take(&mut self, left: u64, into: &mut Vec<u8>) -> u64 {
        let length = usize::try_from(left)
            .unwrap_or(usize::MAX)
            .min(self.buffer.len());
        into.extend(self.buffer.drain(..length));
        length as u64
    }

    async fn more(&mut self, limit: usize) -> io::Result<()> {
        if self.buffer.len() > limit {
            return Err(garbage("the body's framing has no end"));
        }
        match self.stream.read(&mut self.buffer).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

/// Length of the head, status, framing of the body, and whether the connection is kept; none while it is not whole.
#[allow(clippy::type_complexity)]
fn head(buffer: &[u8]) -> io::Result<Option<(usize, u16, Body, bool)>> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let length = match response.parse(buffer) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(error) => return Err(garbage(&format!("this is no HTTP/1.1 ({error})"))),
    };
    let status = response.code.unwrap_or_default();
    let mut body = Body::ToTheEnd;
    let mut keep = response.version == Some(1);
    for header in response.headers.iter() {
        let value = String::from_utf8_lossy(header.value).to_ascii_lowercase();
        match header.name.to_ascii_lowercase().as_str() {
            "transfer-encoding" if value.trim() == "chunked" => body = Body::ChunkSize,
            "transfer-encoding" => return Err(garbage("an unknown transfer encoding")),
            "content-length" if !matches!(body, Body::ChunkSize) => {
                let length = value.trim().parse();
                body = Body::Left(length.map_err(|_| garbage("Content-Length is no number"))?);
            }
            "connection" if value.contains("close") => keep = false,
            _ => {}
        }
    }
    if status == 204 || status == 304 {
        body = Body::Done;
    }
    Ok(Some((length, status, body, keep)))
}

fn garbage(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

//! A connection with what was read from it and not used yet, and a time-out for every wait.

use crate::clock;
use std::future::{poll_fn, Future};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{ready, Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{sleep_until, timeout, Instant, Sleep};

/// Bytes asked for in one read.
const READ: usize = 16 << 10;
/// Room that a connection keeps when everything in it was used.
const KEEP: usize = 64 << 10;

/// Why a read or write did not happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    Timeout,
    /// The other side is gone.
    Gone,
}

/// A TCP connection, read through a buffer.
pub struct Conn {
    io: TcpStream,
    buffer: Vec<u8>,
    /// Bytes at the beginning of `buffer` that were used.
    used: usize,
    timer: Pin<Box<Sleep>>,
}

impl Conn {
    pub fn new(io: TcpStream) -> Self {
        Conn {
            io,
            buffer: Vec::new(),
            used: 0,
            timer: Box::pin(sleep_until(Instant::now())),
        }
    }

    /// Connects.
    ///
    /// # Errors
    /// The system's, or that it took too long.
    pub async fn connect(address: SocketAddr, within: Duration) -> io::Result<Self> {
        match timeout(within, TcpStream::connect(address)).await {
            Ok(connected) => {
                let io = connected?;
                let _ = io.set_nodelay(true); // natively; WASI has no such option
                Ok(Conn::new(io))
            }
            Err(_) => Err(ErrorKind::TimedOut.into()),
        }
    }

    /// What was read and not used.
    pub fn unread(&self) -> &[u8] {
        &self.buffer[self.used..]
    }

    /// The first `size` bytes of [`Conn::unread`] are used.
    pub fn advance(&mut self, size: usize) {
        self.used += size;
        if self.used == self.buffer.len() {
            self.used = 0;
            self.buffer.clear();
            if self.buffer.capacity() > KEEP {
                self.buffer = Vec::new();
            }
        }
    }

    /// Reads once; 0 is the end of what the other side sends.
    pub fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.used > 0 && self.buffer.capacity() - self.buffer.len() < READ {
            self.buffer.drain(..self.used);
            self.used = 0;
        }
        self.buffer.reserve(READ);
        let mut room = ReadBuf::uninit(self.buffer.spare_capacity_mut());
        ready!(Pin::new(&mut self.io).poll_read(cx, &mut room))?;
        let read = room.filled().len();
        // SAFETY: poll_read initialised and filled this many bytes of the spare room.
        unsafe { self.buffer.set_len(self.buffer.len() + read) };
        Poll::Ready(Ok(read))
    }

    /// Reads once, and waits for it no longer than until `end`; 0 is the end of what the other side sends.
    ///
    /// # Errors
    /// [`Fault`].
    pub async fn fill(&mut self, end: Instant) -> Result<usize, Fault> {
        let mut armed = false;
        poll_fn(|cx| {
            if let Poll::Ready(read) = self.poll_fill(cx) {
                return Poll::Ready(read.map_err(|_| Fault::Gone));
            }
            if !armed {
                armed = true;
                self.timer.as_mut().reset(end);
            }
            self.timer.as_mut().poll(cx).map(|()| Err(Fault::Timeout))
        })
        .await
    }

    /// Writes everything; `pause` is the longest time that the other side may take nothing.
    ///
    /// # Errors
    /// [`Fault`].
    pub async fn write(&mut self, mut data: &[u8], pause: Duration) -> Result<(), Fault> {
        while !data.is_empty() {
            let mut armed = false;
            let written = poll_fn(|cx| {
                if let Poll::Ready(written) = Pin::new(&mut self.io).poll_write(cx, data) {
                    return Poll::Ready(written.map_err(|_| Fault::Gone));
                }
                if !armed {
                    armed = true;
                    self.timer.as_mut().reset(clock::now() + pause);
                }
                self.timer.as_mut().poll(cx).map(|()| Err(Fault::Timeout))
            })
            .await?;
            if written == 0 {
                return Err(Fault::Gone);
            }
            data = &data[written..];
        }
        Ok(())
    }

    /// Whether nothing has come since the last message: no byte, and not the end. For a connection that was kept.
    pub fn quiet(&mut self) -> bool {
        self.unread().is_empty()
            && matches!(self.io.try_read(&mut [0]), Err(error) if error.kind() == ErrorKind::WouldBlock)
    }

    /// Ends the connection so that the last message arrives: what the other side still sends is read over for a while,
    /// as closing with unread bytes would reset the connection and may destroy the message.
    pub async fn linger(mut self) {
        const PATIENCE: Duration = Duration::from_secs(2);
        const BYTES: usize = 32 << 20;
        let end = Instant::now() + PATIENCE;
        let mut left = BYTES;
        if self.io.shutdown().await.is_err() {
            return;
        }
        loop {
            let unread = self.unread().len();
            self.advance(unread);
            match self.fill(end).await {
                Ok(read) if read > 0 && read < left => left -= read,
                _ => return,
            }
        }
    }
}

// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

//! Sockets that do not wait.

use super::socket;
use super::source::Watched;
use crate::event::Source;
use crate::{Interest, Registry, Token};
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::os::wasi::io::{AsRawFd, FromRawFd, IntoRawFd, RawFd};
use wasmedge_wasi_socket as wasmedge;
use wasmedge_wasi_socket::socket::{AddressFamily, Socket, SocketType};

macro_rules! sources {
    ($($name:ident of $inner:ty),+) => {$(
        impl Source for $name {
            fn register(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
                registry.add(self.as_raw_fd(), token, interests, &self.0.directions);
                Ok(())
            }

            fn reregister(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
                registry.remove(self.as_raw_fd())?;
                self.register(registry, token, interests)
            }

            fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
                registry.remove(self.as_raw_fd())
            }
        }

        impl $name {
            /// The socket must not wait.
            pub fn from_std(socket: $inner) -> Self {
                $name(Watched::new(socket))
            }

            pub fn local_addr(&self) -> io::Result<SocketAddr> {
                socket::local(self.as_raw_fd())
            }

            pub fn take_error(&self) -> io::Result<Option<io::Error>> {
                Ok(self.0.socket.as_ref().take_error().err())
            }

            /// There is no such option in WASI.
            pub fn ttl(&self) -> io::Result<u32> {
                Err(io::ErrorKind::Unsupported.into())
            }

            /// There is no such option in WASI.
            pub fn set_ttl(&self, _: u32) -> io::Result<()> {
                Err(io::ErrorKind::Unsupported.into())
            }
        }

        impl AsRawFd for $name {
            fn as_raw_fd(&self) -> RawFd {
                self.0.socket.as_raw_fd()
            }
        }
    )+};
}

macro_rules! raw {
    ($($name:ident),+) => {$(
        impl IntoRawFd for $name {
            fn into_raw_fd(self) -> RawFd {
                self.0.socket.into_raw_fd()
            }
        }

        impl FromRawFd for $name {
            unsafe fn from_raw_fd(fd: RawFd) -> Self {
                // SAFETY: as the caller says.
                $name(Watched::new(unsafe { FromRawFd::from_raw_fd(fd) }))
            }
        }
    )+};
}

#[derive(Debug)]
pub struct TcpStream(Watched<wasmedge::TcpStream>);

#[derive(Debug)]
pub struct TcpListener(Watched<wasmedge::TcpListener>);

#[derive(Debug)]
pub struct UdpSocket(Watched<wasmedge::UdpSocket>);

sources!(TcpStream of wasmedge::TcpStream, TcpListener of wasmedge::TcpListener, UdpSocket of wasmedge::UdpSocket);
raw!(TcpStream, TcpListener);

impl TcpStream {
    /// Begins to connect: writable is established, or failed, which `take_error` tells.
    pub fn connect(to: SocketAddr) -> io::Result<TcpStream> {
        let socket = Socket::new(AddressFamily::from(&to), SocketType::Stream)?;
        socket.set_nonblocking(true)?;
        socket::connect(socket.as_raw_fd(), to)?;
        Ok(TcpStream::from_std(wasmedge::TcpStream::new(socket)))
    }

    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        socket::peer(self.as_raw_fd())
    }

    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.0.socket.shutdown(how)
    }

    /// There is no such option in WASI: nothing happens.
    pub fn set_nodelay(&self, _: bool) -> io::Result<()> {
        Ok(())
    }

    pub fn nodelay(&self) -> io::Result<bool> {
        Ok(false)
    }

    /// # Errors
    /// `Unsupported`: wasmedge_wasi_socket does not pass it on.
    pub fn peek(&self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub fn try_io<T>(&self, use_it: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        self.0.any(use_it)
    }
}

impl Read for &TcpStream {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        self.0.read(|socket| socket.as_ref().recv(room))
    }

    fn read_vectored(&mut self, rooms: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        match rooms.iter_mut().find(|room| !room.is_empty()) {
            Some(room) => self.read(room),
            None => Ok(0),
        }
    }
}

impl Write for &TcpStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .write(bytes.len(), |socket| socket.as_ref().send(bytes))
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        let bytes = pieces.iter().map(|piece| piece.len()).sum();
        self.0
            .write(bytes, |socket| socket.as_ref().send_vectored(pieces, 0))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for TcpStream {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        (&*self).read(room)
    }

    fn read_vectored(&mut self, rooms: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        (&*self).read_vectored(rooms)
    }
}

impl Write for TcpStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&*self).write(bytes)
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        (&*self).write_vectored(pieces)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl TcpListener {
    pub fn bind(at: SocketAddr) -> io::Result<TcpListener> {
        Ok(TcpListener::from_std(wasmedge::TcpListener::bind(
            at, true,
        )?))
    }

    pub fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let accepted = self.0.read(|listener| listener.as_ref().accept(true))?;
        let stream = TcpStream::from_std(wasmedge::TcpStream::new(accepted));
        let peer = stream.peer_addr()?;
        Ok((stream, peer))
    }
}

impl UdpSocket {
    pub fn bind(at: SocketAddr) -> io::Result<UdpSocket> {
        let socket = wasmedge::UdpSocket::bind(at)?;
        socket.as_ref().set_nonblocking(true)?;
        Ok(UdpSocket::from_std(socket))
    }

    pub fn recv(&self, room: &mut [u8]) -> io::Result<usize> {
        self.0.read(|socket| socket.as_ref().recv(room))
    }

    pub fn recv_from(&self, room: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.0.read(|socket| socket.recv_from(room))
    }

    pub fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .write(bytes.len(), |socket| socket.as_ref().send(bytes))
    }

    pub fn send_to(&self, bytes: &[u8], to: SocketAddr) -> io::Result<usize> {
        self.0
            .write(bytes.len(), |socket| socket.as_ref().send_to(bytes, to))
    }

    pub fn try_io<T>(&self, use_it: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        self.0.any(use_it)
    }
}

// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

//! WasmEdge's calls that wasmedge_wasi_socket 0.5 gets wrong: addresses are read from memory that the compiler may take
//! for constant there, and connecting to IPv6 is left out.

use std::io;
use std::net::{IpAddr, SocketAddr};

/// An IP address in memory: 4 or 16 bytes.
#[repr(C)]
struct Place {
    bytes: *mut u8,
    size: usize,
}

#[link(wasm_import_module = "wasi_snapshot_preview1")]
extern "C" {
    fn sock_connect(fd: u32, address: *mut Place, port: u32) -> u32;
    fn sock_getpeeraddr(fd: u32, address: *mut Place, family: *mut u32, port: *mut u32) -> u32;
    fn sock_getlocaladdr(fd: u32, address: *mut Place, family: *mut u32, port: *mut u32) -> u32;
}

fn check(errno: u32) -> io::Result<()> {
    match errno {
        0 => Ok(()),
        errno => Err(io::Error::from_raw_os_error(errno as i32)),
    }
}

/// Begins to connect; that it goes on is no error.
pub fn connect(fd: i32, to: SocketAddr) -> io::Result<()> {
    let mut bytes = [0; 16];
    let size = match to.ip() {
        IpAddr::V4(ip) => {
            bytes[..4].copy_from_slice(&ip.octets());
            4
        }
        IpAddr::V6(ip) => {
            bytes = ip.octets();
            16
        }
    };
    let mut place = Place {
        bytes: bytes.as_mut_ptr(),
        size,
    };
    // SAFETY: the place is as large as it says.
    match check(unsafe { sock_connect(fd as u32, &mut place, u32::from(to.port())) }) {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
        _ => Ok(()),
    }
}

pub fn peer(fd: i32) -> io::Result<SocketAddr> {
    address(fd, sock_getpeeraddr)
}

pub fn local(fd: i32) -> io::Result<SocketAddr> {
    address(fd, sock_getlocaladdr)
}

type Getter = unsafe extern "C" fn(u32, *mut Place, *mut u32, *mut u32) -> u32;

fn address(fd: i32, getter: Getter) -> io::Result<SocketAddr> {
    let mut bytes = [0_u8; 16];
    let (mut family, mut port) = (0, 0);
    let mut place = Place {
        bytes: bytes.as_mut_ptr(),
        size: bytes.len(),
    };
    // SAFETY: the place is as large as it says.
    check(unsafe { getter(fd as u32, &mut place, &mut family, &mut port) })?;
    // The family is a version in some of WasmEdge's releases and its own number in others.
    let ip: IpAddr = match family {
        1 | 4 => IpAddr::from([bytes[0], bytes[1], bytes[2], bytes[3]]),
        _ => IpAddr::from(bytes),
    };
    Ok(SocketAddr::new(ip, port as u16))
}

// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

//! What tokio_wasi needs of mio: natively mio itself, under WasmEdge our own.
//!
//! crates.io's mio_wasi 0.8.9 asks for writability after every read and write, so that each request costs several
//! polls that tell nothing new; ends the program where a signal interrupts a poll or one socket fails in it; takes a
//! refused connection for an established one; and shows every peer as 0.0.0.0. This one does not, and connects to
//! IPv6 addresses as well.

#[cfg(not(target_os = "wasi"))]
pub use real::*;

#[cfg(target_os = "wasi")]
mod wasi;
#[cfg(target_os = "wasi")]
pub use wasi::*;

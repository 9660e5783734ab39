// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

//! mio's interface over `poll_oneoff` and WasmEdge's sockets.

pub mod event;
pub mod net;
mod poll;
mod socket;
mod source;

pub use event::Events;
pub use poll::{Poll, Registry, Waker};

use std::num::NonZeroU8;
use std::ops;

/// Given back with the events of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub usize);

/// What is to be told of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Interest(NonZeroU8);

const READ: u8 = 1;
const WRITE: u8 = 2;

impl Interest {
    pub const READABLE: Interest = Interest(NonZeroU8::new(READ).unwrap());
    pub const WRITABLE: Interest = Interest(NonZeroU8::new(WRITE).unwrap());

    #[allow(clippy::should_implement_trait)] // as mio has it
    pub const fn add(self, other: Interest) -> Interest {
        match NonZeroU8::new(self.0.get() | other.0.get()) {
            Some(both) => Interest(both),
            None => self,
        }
    }

    pub const fn is_readable(self) -> bool {
        self.0.get() & READ != 0
    }

    pub const fn is_writable(self) -> bool {
        self.0.get() & WRITE != 0
    }
}

impl ops::BitOr for Interest {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        self.add(other)
    }
}

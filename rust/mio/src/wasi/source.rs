// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

//! A socket with what is asked of it.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::Arc;

/// What a poll asks of one direction of a socket.
///
/// `poll_oneoff` tells levels and tokio wants edges: told once, a direction is told again only after it was used.
/// Reading stays subscribed meanwhile, as nearly every reader is quick and WasmEdge keeps what does not change; only a
/// second telling in a row takes it out. Writing is asked for at the beginning, and where a write did not fit.
#[derive(Debug)]
pub struct Directions {
    read: AtomicU8,
    write: AtomicU8,
    /// It was written to after it was last read, so that an answer may come: how often that is still tried.
    awaits: AtomicU8,
    /// The last read found nothing.
    dry: AtomicBool,
}

/// It is asked, and will be told.
const ARMED: u8 = 0;
/// It is not asked. Between the two, reading was told once and is asked nevertheless.
const MUTE: u8 = 2;
/// How often an answer is looked for without asking whether it is there.
const TRIES: u8 = 3;

impl Directions {
    fn new() -> Arc<Self> {
        Arc::new(Directions {
            read: AtomicU8::new(ARMED),
            write: AtomicU8::new(ARMED),
            awaits: AtomicU8::new(0),
            dry: AtomicBool::new(false),
        })
    }

    pub fn asks_read(&self) -> bool {
        self.read.load(Ordering::Relaxed) != MUTE
    }

    pub fn asks_write(&self) -> bool {
        self.write.load(Ordering::Relaxed) == ARMED
    }

    /// There is something to read: whether that is news.
    pub fn tell_read(&self) -> bool {
        let before = self.read.load(Ordering::Relaxed);
        self.read
            .store(before.saturating_add(1).min(MUTE), Ordering::Relaxed);
        before == ARMED
    }

    /// An answer may have come.
    pub fn hopes(&self) -> bool {
        let left = self.awaits.load(Ordering::Relaxed);
        self.awaits.store(left.saturating_sub(1), Ordering::Relaxed);
        left > 0
    }

    pub fn dry(&self) -> bool {
        self.dry.load(Ordering::Relaxed)
    }

    /// There is room to write.
    pub fn tell_write(&self) {
        self.write.store(MUTE, Ordering::Relaxed);
    }
}

/// A socket whose use arms what is asked of it.
#[derive(Debug)]
pub struct Watched<S> {
    pub socket: S,
    pub directions: Arc<Directions>,
}

impl<S> Watched<S> {
    pub fn new(socket: S) -> Self {
        Watched {
            socket,
            directions: Directions::new(),
        }
    }

    /// Reads or accepts.
    pub fn read<T>(&self, use_it: impl FnOnce(&S) -> io::Result<T>) -> io::Result<T> {
        let used = use_it(&self.socket);
        let Directions {
            read, awaits, dry, ..
        } = &*self.directions;
        read.store(ARMED, Ordering::Relaxed);
        if used.is_ok() {
            awaits.store(0, Ordering::Relaxed);
        }
        dry.store(used.is_err(), Ordering::Relaxed);
        used
    }

    /// Writes this many bytes.
    pub fn write(
        &self,
        bytes: usize,
        use_it: impl FnOnce(&S) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let used = use_it(&self.socket);
        if matches!(&used, Ok(written) if *written == bytes) {
            self.directions.awaits.store(TRIES, Ordering::Relaxed);
        } else {
            self.directions.write.store(ARMED, Ordering::Relaxed);
        }
        used
    }

    /// Does anything.
    pub fn any<T>(&self, use_it: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let used = use_it();
        self.directions.read.store(ARMED, Ordering::Relaxed);
        self.directions.write.store(ARMED, Ordering::Relaxed);
        used
    }
}

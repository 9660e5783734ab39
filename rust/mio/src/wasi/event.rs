// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

//! What a poll tells.

use crate::{Interest, Registry, Token};
use std::io;

/// A source became ready.
#[derive(Debug, Clone)]
pub struct Event {
    pub(super) token: Token,
    pub(super) writable: bool,
}

impl Event {
    pub fn token(&self) -> Token {
        self.token
    }

    pub fn is_readable(&self) -> bool {
        !self.writable
    }

    pub fn is_writable(&self) -> bool {
        self.writable
    }

    /// Never: the next read tells.
    pub fn is_read_closed(&self) -> bool {
        false
    }

    /// Never: the next write tells.
    pub fn is_write_closed(&self) -> bool {
        false
    }
}

/// The events of one poll.
#[derive(Debug)]
pub struct Events(pub(super) Vec<Event>);

impl Events {
    pub fn with_capacity(capacity: usize) -> Events {
        Events(Vec::with_capacity(capacity))
    }

    pub fn iter(&self) -> std::slice::Iter<'_, Event> {
        self.0.iter()
    }
}

/// What can be registered.
pub trait Source {
    fn register(
        &mut self,
        registry: &Registry,
        token: Token,
        interests: Interest,
    ) -> io::Result<()>;
    fn reregister(
        &mut self,
        registry: &Registry,
        token: Token,
        interests: Interest,
    ) -> io::Result<()>;
    fn deregister(&mut self, registry: &Registry) -> io::Result<()>;
}

impl<T: Source + ?Sized> Source for Box<T> {
    fn register(
        &mut self,
        registry: &Registry,
        token: Token,
        interests: Interest,
    ) -> io::Result<()> {
        (**self).register(registry, token, interests)
    }

    fn reregister(
        &mut self,
        registry: &Registry,
        token: Token,
        interests: Interest,
    ) -> io::Result<()> {
        (**self).reregister(registry, token, interests)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        (**self).deregister(registry)
    }
}

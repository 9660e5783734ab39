// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

//! One `poll_oneoff` over all sockets.

use super::source::Directions;
use crate::event::{Event, Events, Source};
use crate::{Interest, Token};
use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use wasmedge_wasi_socket::wasi_poll as wasi;

/// A socket that is polled.
#[derive(Debug)]
struct Entry {
    token: Token,
    interests: Interest,
    directions: Arc<Directions>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Ordered, so that WasmEdge gets the same sockets in the same order each time.
    entries: Mutex<BTreeMap<wasi::Fd, Entry>>,
    /// The next poll is not to wait.
    woken: AtomicBool,
}

/// Names the clock among subscriptions; a socket's has its number, doubled, and 1 more for writing.
const CLOCK: wasi::Userdata = wasi::Userdata::MAX;
/// Where there are neither sockets nor a time: there is but one thread, so that nothing can happen meanwhile.
const NOTHING: Duration = Duration::from_secs(1);
/// The clock is never set shorter: WasmEdge takes 0 for no timer at all.
const SHORTEST: u64 = 10;

#[derive(Debug)]
pub struct Poll {
    registry: Registry,
    room: Mutex<Room>,
}

/// Sockets that may be ready are tried without asking where there are at least so many of them.
const MANY: usize = 4;
/// Rounds of that between two polls, so that everything else has its turn.
const ROUNDS: i32 = 8;
/// Polls after a round that found less than half of what it hoped for.
const DOUBT: i32 = 16;

/// Kept between polls.
#[derive(Default)]
struct Room {
    /// Told without being asked for in the last round.
    hoped: Vec<Arc<Directions>>,
    /// Rounds that may follow without a poll; below zero, polls until there may be one again.
    trust: i32,
    subscriptions: Vec<wasi::Subscription>,
    told: Vec<wasi::Event>,
}

impl std::fmt::Debug for Room {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Room").finish_non_exhaustive()
    }
}

impl Poll {
    pub fn new() -> io::Result<Poll> {
        Ok(Poll {
            registry: Registry::default(),
            room: Mutex::default(),
        })
    }

    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Waits until something is ready or the time has passed.
    ///
    /// # Errors
    /// The system's; a socket's are left to its next use.
    pub fn poll(&mut self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        events.0.clear();
        let room = self.room.get_mut().unwrap_or_else(|held| held.into_inner());
        let entries = self.registry.entries();
        if room.hope(&entries, events) {
            return Ok(());
        }
        let Room {
            subscriptions,
            told,
            ..
        } = room;
        subscriptions.clear();
        for (&fd, entry) in entries.iter() {
            if entry.interests.is_readable() && entry.directions.asks_read() {
                subscriptions.push(of_socket(fd, wasi::EVENTTYPE_FD_READ));
            }
            if entry.interests.is_writable() && entry.directions.asks_write() {
                subscriptions.push(of_socket(fd, wasi::EVENTTYPE_FD_WRITE));
            }
        }
        let timeout = match timeout {
            _ if self.registry.0.woken.swap(false, Ordering::Relaxed) => Some(Duration::ZERO),
            None if subscriptions.is_empty() => Some(NOTHING), // which poll_oneoff refuses
            timeout => timeout,
        };
        if let Some(timeout) = timeout {
            subscriptions.push(of_clock(timeout));
        }
        told.resize(subscriptions.len(), wasi::Event::empty());
        // SAFETY: both are as long as they are said to be, and initialised.
        let count = match unsafe {
            wasi::poll(
                subscriptions.as_ptr(),
                told.as_mut_ptr(),
                subscriptions.len(),
            )
        } {
            Ok(count) => count.min(told.len()),
            Err(error) if error.kind() == ErrorKind::Interrupted => 0,
            Err(error) => return Err(error),
        };
        for event in &told[..count] {
            if event.userdata == CLOCK {
                continue;
            }
            // A socket's error is told as readiness: its next use tells which.
            let writable = event.userdata & 1 == 1;
            let Some(entry) = entries.get(&((event.userdata >> 1) as wasi::Fd)) else {
                continue;
            };
            if writable {
                entry.directions.tell_write();
            } else if !entry.directions.tell_read() {
                continue;
            }
            events.0.push(Event {
                token: entry.token,
                writable,
            });
        }
        Ok(())
    }
}

impl Room {
    /// Tells sockets that were written to and not read since, without a system call, and whether it did.
    ///
    /// WasmEdge's poll costs one call for each socket that is asked about and one more for each that is ready. Under load
    /// the answer to what was written in the last round has nearly always come: reading says so just as well.
    fn hope(&mut self, entries: &BTreeMap<wasi::Fd, Entry>, events: &mut Events) -> bool {
        let dry = self.hoped.iter().filter(|hoped| hoped.dry()).count();
        if dry * 2 > self.hoped.len() {
            self.trust = -DOUBT;
        }
        self.hoped.clear();
        if self.trust > 0 {
            self.trust -= 1;
            for entry in entries.values() {
                if entry.interests.is_readable() && entry.directions.hopes() {
                    events.0.push(Event {
                        token: entry.token,
                        writable: false,
                    });
                    self.hoped.push(entry.directions.clone());
                }
            }
            if self.hoped.len() >= MANY {
                return true;
            }
            events.0.clear();
            self.hoped.clear();
        }
        self.trust = if self.trust < 0 {
            self.trust + 1
        } else {
            ROUNDS
        };
        false
    }
}

fn of_socket(fd: wasi::Fd, tag: wasi::Eventtype) -> wasi::Subscription {
    let writing = u64::from(tag == wasi::EVENTTYPE_FD_WRITE);
    wasi::Subscription {
        userdata: u64::from(fd) << 1 | writing,
        u: wasi::SubscriptionU {
            tag,
            u: wasi::SubscriptionUU {
                fd_read: wasi::SubscriptionFdReadwrite {
                    file_descriptor: fd,
                },
            },
        },
    }
}

fn of_clock(timeout: Duration) -> wasi::Subscription {
    let nanoseconds = u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX);
    wasi::Subscription {
        userdata: CLOCK,
        u: wasi::SubscriptionU {
            tag: wasi::EVENTTYPE_CLOCK,
            u: wasi::SubscriptionUU {
                clock: wasi::SubscriptionClock {
                    id: wasi::CLOCKID_MONOTONIC,
                    timeout: nanoseconds.max(SHORTEST),
                    precision: 0,
                    flags: 0, // from now on
                },
            },
        },
    }
}

/// The sockets that are polled.
#[derive(Debug, Default)]
pub struct Registry(Arc<Shared>);

impl Registry {
    fn entries(&self) -> MutexGuard<'_, BTreeMap<wasi::Fd, Entry>> {
        self.0
            .entries
            .lock()
            .unwrap_or_else(|held| held.into_inner())
    }

    pub fn register<S: Source + ?Sized>(
        &self,
        source: &mut S,
        token: Token,
        interests: Interest,
    ) -> io::Result<()> {
        source.register(self, token, interests)
    }

    pub fn reregister<S: Source + ?Sized>(
        &self,
        source: &mut S,
        token: Token,
        interests: Interest,
    ) -> io::Result<()> {
        source.reregister(self, token, interests)
    }

    pub fn deregister<S: Source + ?Sized>(&self, source: &mut S) -> io::Result<()> {
        source.deregister(self)
    }

    pub fn try_clone(&self) -> io::Result<Registry> {
        Ok(Registry(self.0.clone()))
    }

    pub(super) fn add(
        &self,
        fd: i32,
        token: Token,
        interests: Interest,
        directions: &Arc<Directions>,
    ) {
        let entry = Entry {
            token,
            interests,
            directions: directions.clone(),
        };
        self.entries().insert(fd as wasi::Fd, entry);
    }

    pub(super) fn remove(&self, fd: i32) -> io::Result<()> {
        match self.entries().remove(&(fd as wasi::Fd)) {
            Some(_) => Ok(()),
            None => Err(ErrorKind::NotFound.into()),
        }
    }
}

/// Keeps the next poll from waiting. tokio calls it for what was woken while a future of its own ran, and goes to sleep
/// all the same: without it that future would wait for the next packet or timer.
#[derive(Debug)]
pub struct Waker(Arc<Shared>);

impl Waker {
    pub fn new(registry: &Registry, _: Token) -> io::Result<Waker> {
        Ok(Waker(registry.0.clone()))
    }

    pub fn wake(&self) -> io::Result<()> {
        self.0.woken.store(true, Ordering::Relaxed);
        Ok(())
    }
}

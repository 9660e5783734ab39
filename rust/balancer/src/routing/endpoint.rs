// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

//! One address of a pool: how busy it is, and whether it may be asked.

use serde::Serialize;
use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Why an endpoint is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// A request could not connect.
    Connect,
    /// It closed a request's connection before the first byte of a response.
    Broken,
    /// Responses with status 5xx, or none in time, several in a row.
    Errors,
    /// Active checks failed.
    Check,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Ejection {
    pub reason: Reason,
    /// From then on one request at a time may try; `None`: only a check brings it back.
    pub until: Option<Instant>,
}

/// What passive and active checks remember.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Health {
    /// Responses in a row that were errors.
    pub errors: u32,
    /// Checks in a row that failed; a connection that failed counts as one.
    pub misses: u32,
    /// How often the next ejection's time is doubled.
    pub level: u32,
    pub ejection: Option<Ejection>,
}

pub(super) struct Endpoint {
    pub address: SocketAddr,
    pub pod: Rc<str>,
    pub node: Rc<str>,
    /// Place on the ring of rendezvous hashing.
    hash: u64,
    pub ready: Cell<bool>,
    pub terminating: Cell<bool>,
    /// Turned unready while it worked for us: taken for busy, not for broken.
    pub excused: Cell<bool>,
    /// No longer in any source.
    pub gone: Cell<bool>,
    pub in_flight: Cell<u32>,
    /// When `in_flight` last left zero.
    pub busy_since: Cell<Instant>,
    pub health: Cell<Health>,
    /// When the next active check is due; `None` while one runs.
    pub next_check: Cell<Option<Instant>>,
    /// Grows each time requests at this endpoint are given up for lost.
    losses: Cell<u32>,
    lost: Notify,
    pub requests: Cell<u64>,
    pub failures: Cell<u64>,
    pub ejections: Cell<u64>,
}

/// Adds one to a counter.
pub(super) fn count(counter: &Cell<u64>) {
    counter.set(counter.get() + 1);
}

impl Endpoint {
    /// Its first check is due within `interval`, not with all others at once.
    pub fn new(
        address: SocketAddr,
        pod: &str,
        node: &str,
        now: Instant,
        interval: f64,
    ) -> Rc<Self> {
        // FNV-1a: the same in every replica, so that all of them prefer the same endpoint.
        let hash = address
            .to_string()
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
            });
        let first = Duration::from_secs_f64(interval * (mix(hash) % 1000) as f64 / 1000.0);
        Rc::new(Endpoint {
            address,
            pod: pod.into(),
            node: node.into(),
            hash,
            ready: Cell::new(false),
            terminating: Cell::new(false),
            excused: Cell::new(false),
            gone: Cell::new(false),
            in_flight: Cell::new(0),
            busy_since: Cell::new(now),
            health: Cell::default(),
            next_check: Cell::new(Some(now + first)),
            losses: Cell::new(0),
            lost: Notify::new(),
            requests: Cell::new(0),
            failures: Cell::new(0),
            ejections: Cell::new(0),
        })
    }

    /// Requests that it may have at once now, of `slots` (0: no limit).
    pub fn places(&self, slots: u32, now: Instant) -> u32 {
        let serves = self.ready.get() || self.excused.get();
        if !serves || self.terminating.get() || self.gone.get() {
            return 0;
        }
        match self.health.get().ejection {
            None if slots == 0 => u32::MAX,
            None => slots,
            Some(Ejection {
                until: Some(until), ..
            }) if now >= until => 1,
            Some(_) => 0,
        }
    }

    /// Preference of requests with this affinity: the highest wins.
    pub fn rank(&self, affinity: u64) -> u64 {
        mix(self.hash ^ mix(affinity))
    }

    /// Takes over what a source says of it now.
    pub fn update(&self, ready: bool, terminating: bool, trust_busy: bool) {
        let served = self.ready.get() || self.excused.get();
        if ready && !self.ready.get() {
            // The kubelet has just reached it: what was said about connections is out of date.
            let mut health = self.health.get();
            health.misses = 0;
            health.ejection = health
                .ejection
                .filter(|ejection| !ejection.reason.is_about_reach());
            self.health.set(health);
        }
        self.excused.set(
            !ready && trust_busy && served && (self.excused.get() || self.in_flight.get() > 0),
        );
        self.ready.set(ready);
        self.terminating.set(terminating);
    }

    /// Gives up the requests that wait here for a first byte.
    pub fn lose(&self) {
        self.losses.set(self.losses.get().wrapping_add(1));
        self.lost.notify_waiters();
    }

    pub fn losses(&self) -> u32 {
        self.losses.get()
    }

    /// Resolves once [`Endpoint::lose`] was called after `losses` was read.
    pub async fn lost_since(&self, losses: u32) {
        loop {
            let notified = self.lost.notified();
            if self.losses.get() != losses {
                return;
            }
            notified.await;
        }
    }

    /// Leaves it out; for how long, unless only a check may bring it back. `None` where it is out already.
    pub fn eject(
        &self,
        reason: Reason,
        now: Instant,
        shortest: f64,
        longest: f64,
    ) -> Option<Duration> {
        let mut health = self.health.get();
        let out = health
            .ejection
            .is_some_and(|old| old.until.is_none_or(|until| now < until));
        if out && reason != Reason::Check {
            return None;
        }
        let time = (Duration::from_secs_f64(shortest) * (1 << health.level))
            .min(Duration::from_secs_f64(longest));
        let until = (reason != Reason::Check).then(|| now + time);
        health.ejection = Some(Ejection { reason, until });
        health.level = (health.level + 1).min(16);
        self.health.set(health);
        self.excused.set(false);
        count(&self.ejections);
        Some(time)
    }
}

impl Reason {
    /// Whether a connection that succeeds disproves it.
    pub fn is_about_reach(self) -> bool {
        matches!(self, Reason::Connect | Reason::Check)
    }
}

/// Spreads a number's bits (SplitMix64's finaliser).
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

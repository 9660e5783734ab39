// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

//! One pool: its endpoints, whose turn it is, and who waits.

use super::endpoint::{Endpoint, Reason};
use super::sources::{PoolSpec, Source};
use super::{Kind, Slot};
use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::rc::Rc;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// Which pools a request may go to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Scope {
    Model(Rc<str>),
    /// Any of its kind, of these models (their own names) where the key is limited.
    Open(Kind, Option<Rc<[Rc<str>]>>),
}

/// Order in a queue: retries first, since they had waited for their turn before, and in order of arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub first: bool,
    pub number: u64,
}

impl Key {
    fn order(self) -> (bool, u64) {
        (!self.first, self.number)
    }
}

pub(super) struct Waiter {
    pub key: Key,
    pub scope: Scope,
    pub affinity: Option<u64>,
    pub tried: Vec<SocketAddr>,
    pub since: Instant,
    pub place: oneshot::Sender<Slot>,
}

pub(super) struct Pool {
    /// Stays the same as long as the pool is known; its index does not.
    pub id: u64,
    pub name: Rc<str>,
    pub model: Rc<str>,
    pub aliases: Vec<String>,
    pub kind: Kind,
    pub weight: u32,
    /// 0: no limit.
    pub slots: u32,
    pub source: Source,
    pub endpoints: Vec<Rc<Endpoint>>,
    /// Sorted by key.
    pub queue: VecDeque<Waiter>,
    /// Where the search for the least busy begins: ties take turns.
    turn: Cell<usize>,
    /// Standing in the smooth weighted round robin among its model's pools, and among all of its kind.
    pub standing: [i64; 2],
    /// Seconds that a request holds its place, averaged over about the last ten; 0 before the first.
    pub service: f64,
    pub requests: u64,
    /// Turned away because the queue was full.
    pub refused: u64,
    /// Turned away because the queue's time passed.
    pub expired: u64,
    /// Of all endpoints it ever had, by reason.
    pub ejections: BTreeMap<Reason, u64>,
}

impl Pool {
    pub fn new(id: u64, spec: &PoolSpec) -> Self {
        Pool {
            id,
            name: spec.name.as_str().into(),
            model: spec.model.as_str().into(),
            aliases: spec.aliases.clone(),
            kind: spec.kind,
            weight: spec.weight,
            slots: spec.slots,
            source: spec.source,
            endpoints: Vec::new(),
            queue: VecDeque::new(),
            turn: Cell::new(0),
            standing: [0; 2],
            service: 0.0,
            requests: 0,
            refused: 0,
            expired: 0,
            ejections: BTreeMap::new(),
        }
    }

    /// Whether a request of this scope may come here at all. `zero` lets weight 0 pass.
    pub fn takes(&self, scope: &Scope, zero: bool) -> bool {
        let named = match scope {
            Scope::Model(model) => self.model == *model,
            Scope::Open(kind, models) => {
                self.kind == *kind
                    && models
                        .as_ref()
                        .is_none_or(|models| models.contains(&self.model))
            }
        };
        named && (self.weight > 0 || zero)
    }

    pub fn usable(&self, now: Instant) -> bool {
        self.endpoints
            .iter()
            .any(|endpoint| endpoint.places(self.slots, now) > 0)
    }

    /// Whether an endpoint is usable that this request has not failed at.
    pub fn usable_besides(&self, tried: &[SocketAddr], now: Instant) -> bool {
        self.endpoints
            .iter()
            .any(|endpoint| self.is_new(endpoint, tried, now))
    }

    fn is_new(&self, endpoint: &Endpoint, tried: &[SocketAddr], now: Instant) -> bool {
        endpoint.places(self.slots, now) > 0 && !tried.contains(&endpoint.address)
    }

    pub fn has_free(&self, now: Instant) -> bool {
        self.endpoints
            .iter()
            .any(|endpoint| endpoint.in_flight.get() < endpoint.places(self.slots, now))
    }

    /// Requests that all usable endpoints may have at once.
    pub fn places(&self, now: Instant) -> u64 {
        self.endpoints
            .iter()
            .map(|endpoint| u64::from(endpoint.places(self.slots, now)))
            .sum()
    }

    pub fn in_flight(&self) -> u32 {
        self.endpoints
            .iter()
            .map(|endpoint| endpoint.in_flight.get())
            .sum()
    }

    /// The free endpoint that this request should have: the one its affinity prefers, else the least busy.
    /// Endpoints it failed at count only where the pool has no other that is usable.
    pub fn pick(
        &self,
        affinity: Option<u64>,
        tried: &[SocketAddr],
        now: Instant,
    ) -> Option<&Rc<Endpoint>> {
        let tried = if tried.is_empty() || self.usable_besides(tried, now) {
            tried
        } else {
            &[]
        };
        let candidates = || {
            self.endpoints
                .iter()
                .filter(|endpoint| self.is_new(endpoint, tried, now))
        };
        let free =
            |endpoint: &&Rc<Endpoint>| endpoint.in_flight.get() < endpoint.places(self.slots, now);
        if let Some(affinity) = affinity {
            // The bound: a preferred endpoint that is full is not waited for.
            let preferred = candidates().max_by_key(|endpoint| endpoint.rank(affinity));
            if let Some(endpoint) = preferred.filter(|endpoint| free(endpoint)) {
                return Some(endpoint);
            }
        }
        let count = self.endpoints.len();
        let after = |at: usize| (at + count - self.turn.get() % count) % count;
        let (at, endpoint) = self
            .endpoints
            .iter()
            .enumerate()
            .filter(|(_, endpoint)| self.is_new(endpoint, tried, now) && free(endpoint))
            .min_by_key(|(at, endpoint)| (endpoint.in_flight.get(), after(*at)))?;
        self.turn.set(at + 1);
        Some(endpoint)
    }

    /// Lets a request wait, in its place.
    pub fn enqueue(&mut self, waiter: Waiter) {
        let order = waiter.key.order();
        let at = self
            .queue
            .partition_point(|other| other.key.order() < order);
        self.queue.insert(at, waiter);
    }

    /// Takes a request out of the queue; whether it was there.
    pub fn leave(&mut self, key: Key) -> bool {
        let at = self
            .queue
            .partition_point(|other| other.key.order() < key.order());
        if self.queue.get(at).is_none_or(|waiter| waiter.key != key) {
            return false;
        }
        self.queue.remove(at);
        true
    }

    /// A request held its place for so many seconds.
    pub fn served(&mut self, seconds: f64) {
        self.service += (seconds - self.service) * if self.service == 0.0 { 1.0 } else { 0.1 };
    }

    /// Seconds after which one more request would probably get a place, for `Retry-After`.
    pub fn retry_after(&self, now: Instant) -> u32 {
        let places = self.places(now).max(1) as f64;
        let service = if self.service > 0.0 {
            self.service
        } else {
            1.0
        };
        // Not as f64, whose `clamp` becomes libm's fmin: WasmEdge's compiler takes that for a function of the module.
        ((service * (self.queue.len() + 1) as f64 / places).ceil() as u32).clamp(1, 60)
    }
}

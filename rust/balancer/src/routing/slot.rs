// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

//! A place at an endpoint, and what its request learns there.

use super::endpoint::{count, Endpoint, Reason};
use super::pool::Pool;
use super::Routing;
use crate::clock;
use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;
use tokio::time::Instant;

/// What became of a request at an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The status of its response.
    Answered(u16),
    ConnectFailed,
    /// The connection ended before the response did.
    Broken,
    FirstByteTimeout,
}

/// One place at an endpoint; dropping it frees the place and wakes the queue.
pub struct Slot {
    routing: Rc<Routing>,
    endpoint: Rc<Endpoint>,
    pool_id: u64,
    pool: Rc<str>,
    model: Rc<str>,
    began: Instant,
    waited: Duration,
    /// The endpoint's losses when the place was given.
    losses: u32,
    answered: Cell<bool>,
}

impl Slot {
    pub fn address(&self) -> SocketAddr {
        self.endpoint.address
    }

    /// The model's own name, also where an alias was asked for.
    pub fn model(&self) -> &str {
        &self.model
    }

    pub fn pool(&self) -> &str {
        &self.pool
    }

    /// Time spent in the queue.
    pub fn waited(&self) -> Duration {
        self.waited
    }

    /// Resolves when the endpoint is known to be dead or has vanished: a request without a first byte may be tried
    /// elsewhere at once.
    pub async fn lost(&self) {
        self.endpoint.lost_since(self.losses).await;
    }

    /// Tells what became of the request, for passive ejection: `Answered` with the head of the response, others when
    /// they happen, so that one slot may tell of both.
    pub fn outcome(&self, outcome: Outcome) {
        if let Outcome::Answered(status) = outcome {
            self.answered.set(true);
            if status < 500 {
                self.routing.succeeded(&self.endpoint);
                return;
            }
        }
        count(&self.endpoint.failures);
        match outcome {
            Outcome::Answered(_) | Outcome::FirstByteTimeout => {
                self.routing.erred(self.pool_id, &self.endpoint)
            }
            Outcome::ConnectFailed => self.routing.unreached(self.pool_id, &self.endpoint),
            // A response that broke off in its middle says less: a check finds out.
            Outcome::Broken if self.answered.get() => self.routing.check_soon(&self.endpoint),
            Outcome::Broken => self
                .routing
                .eject(self.pool_id, &self.endpoint, Reason::Broken),
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let endpoint = &self.endpoint;
        endpoint.in_flight.set(endpoint.in_flight.get() - 1);
        self.routing.held.set(self.routing.held.get() - 1);
        let now = clock::now();
        let mut state = self.routing.state.borrow_mut();
        let Some(at) = state.pools.iter().position(|pool| pool.id == self.pool_id) else {
            return;
        };
        if self.answered.get() {
            state.pools[at].served((now - self.began).as_secs_f64());
        }
        self.routing.dispatch(&mut state, at, now);
    }
}

impl Routing {
    pub(super) fn slot(
        &self,
        pool: &mut Pool,
        endpoint: &Rc<Endpoint>,
        since: Instant,
        now: Instant,
    ) -> Slot {
        let in_flight = endpoint.in_flight.get();
        if in_flight == 0 {
            endpoint.busy_since.set(now);
        }
        endpoint.in_flight.set(in_flight + 1);
        count(&endpoint.requests);
        pool.requests += 1;
        self.held.set(self.held.get() + 1);
        Slot {
            routing: self.this.upgrade().expect("a borrowed Routing lives"),
            endpoint: endpoint.clone(),
            pool_id: pool.id,
            pool: pool.name.clone(),
            model: pool.model.clone(),
            began: now,
            waited: now - since,
            losses: endpoint.losses(),
            answered: Cell::new(false),
        }
    }
}

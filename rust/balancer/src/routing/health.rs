// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

//! Which endpoints are left out, and for how long: passive ejection by what requests meet, and active checks.

use super::endpoint::{Endpoint, Reason};
use super::probe::{self, Found};
use super::Routing;
use crate::config::seconds;
use std::rc::Rc;
use std::time::Duration;
use tokio::time::{sleep_until, Instant};

impl Routing {
    /// A request was answered without an error: whatever was held against the endpoint is over.
    pub(super) fn succeeded(&self, endpoint: &Endpoint) {
        let mut health = endpoint.health.get();
        let ejected = health.ejection.take().is_some();
        (health.errors, health.level) = (0, 0);
        endpoint.health.set(health);
        if ejected {
            log::info!("{} answers and takes requests again.", endpoint.address);
            self.settle(&mut self.state.borrow_mut(), Instant::now());
        }
    }

    /// A request got status 5xx, or no first byte in time. The last usable endpoint of a pool stays: an error may be
    /// the request's own fault, and where nothing else is left an error that says why serves a client better than a
    /// wait that ends without one.
    pub(super) fn erred(&self, pool: u64, endpoint: &Rc<Endpoint>) {
        let mut health = endpoint.health.get();
        health.errors += 1;
        endpoint.health.set(health);
        let now = Instant::now();
        let others = |endpoints: &[Rc<Endpoint>], slots| {
            endpoints
                .iter()
                .any(|other| !Rc::ptr_eq(other, endpoint) && other.places(slots, now) > 0)
        };
        let trial = health.ejection.is_some();
        if health.errors < self.config.health.errors && !trial {
            return;
        }
        let replaceable = self
            .state
            .borrow_mut()
            .pool(pool)
            .is_some_and(|pool| others(&pool.endpoints, pool.slots));
        if replaceable {
            self.eject(pool, endpoint, Reason::Errors);
        } else if trial {
            // It answers: better than nothing.
            health.ejection = None;
            endpoint.health.set(health);
            self.settle(&mut self.state.borrow_mut(), now);
        }
    }

    /// A request could not connect. The pod or its node may be gone: what stands on the same node is checked now, and
    /// the endpoint again in a moment, so that a second failure frees the requests that wait there.
    pub(super) fn unreached(&self, pool: u64, endpoint: &Rc<Endpoint>) {
        let mut health = endpoint.health.get();
        health.misses += 1;
        endpoint.health.set(health);
        self.eject(pool, endpoint, Reason::Connect);
        self.check_neighbours(endpoint);
        self.check_at(
            endpoint,
            Instant::now() + seconds(self.config.health.recheck),
        );
    }

    fn check_neighbours(&self, endpoint: &Endpoint) {
        if endpoint.node.is_empty() {
            return;
        }
        for other in self
            .state
            .borrow()
            .pools
            .iter()
            .flat_map(|pool| &pool.endpoints)
        {
            if other.node == endpoint.node
                && other.address != endpoint.address
                && other.health.get().misses == 0
            {
                self.check_soon(other);
            }
        }
    }

    pub(super) fn check_soon(&self, endpoint: &Endpoint) {
        self.check_at(endpoint, Instant::now());
    }

    /// Brings the next check forward, unless one runs.
    fn check_at(&self, endpoint: &Endpoint, time: Instant) {
        if endpoint.next_check.get().is_some_and(|next| time < next) {
            endpoint.next_check.set(Some(time));
            self.changed.notify_one();
        }
    }

    pub(super) fn eject(&self, pool: u64, endpoint: &Endpoint, reason: Reason) {
        if endpoint.gone.get() || endpoint.terminating.get() {
            return; // It gets no requests anyway, and its end is no fault.
        }
        let now = Instant::now();
        let health = &self.config.health;
        let mut state = self.state.borrow_mut();
        let Some(time) = endpoint.eject(reason, now, health.eject_min, health.eject_max) else {
            return;
        };
        if let Some(pool) = state.pool(pool) {
            *pool.ejections.entry(reason).or_default() += 1;
            let time = time.as_secs_f64();
            let what = match reason {
                Reason::Connect => format!("for {time} s: a request could not connect"),
                Reason::Broken => {
                    format!("for {time} s: it closed a request's connection without an answer")
                }
                Reason::Errors => format!("for {time} s: it answered with errors"),
                Reason::Check => "until a check succeeds: checks have failed".into(),
            };
            log::warn!(
                "{} of pool {} is left out {what}.",
                endpoint.address,
                pool.name
            );
        }
        self.settle(&mut state, now);
        self.changed.notify_one();
    }

    /// Runs active checks and ends ejections, for ever. At [`crate::config::Health`] stands how soon a lost node is
    /// noticed. Needs a `LocalSet`.
    pub async fn check_health(self: Rc<Self>) {
        loop {
            let next = self.tend();
            tokio::select! {
                () = sleep_until(next) => {}
                () = self.changed.notified() => {}
            }
        }
    }

    /// Starts the checks that are due; when to come again.
    pub(super) fn tend(self: &Rc<Self>) -> Instant {
        let now = Instant::now();
        let mut state = self.state.borrow_mut();
        // Endpoints whose ejection has just ended may serve those that wait.
        self.settle(&mut state, now);
        let mut next = now + Duration::from_secs(3600);
        for pool in &state.pools {
            for endpoint in &pool.endpoints {
                if let Some(until) = endpoint
                    .health
                    .get()
                    .ejection
                    .and_then(|ejection| ejection.until)
                {
                    if until > now {
                        next = next.min(until);
                    }
                }
                let Some(check) = endpoint
                    .next_check
                    .get()
                    .filter(|_| self.config.health.interval > 0.0)
                else {
                    continue;
                };
                if check > now {
                    next = next.min(check);
                } else if endpoint.terminating.get()
                    || !(endpoint.ready.get() || endpoint.in_flight.get() > 0)
                {
                    // One that is going may close its port while it ends its requests; one that is not ready yet has
                    // nothing to lose.
                    let again = now + self.pause(endpoint, now);
                    endpoint.next_check.set(Some(again));
                    next = next.min(again);
                } else {
                    endpoint.next_check.set(None);
                    tokio::task::spawn_local(self.clone().check(pool.id, endpoint.clone()));
                }
            }
        }
        next
    }

    async fn check(self: Rc<Self>, pool: u64, endpoint: Rc<Endpoint>) {
        let found = self.look(&endpoint).await;
        if !endpoint.gone.get() {
            self.checked(pool, &endpoint, found);
        }
    }

    async fn look(&self, endpoint: &Endpoint) -> Found {
        let connect = seconds(self.config.timeouts.connect);
        if endpoint.in_flight.get() > 0 {
            // llama-api-server answers nothing else while it generates; its kernel still accepts connections.
            probe::connect(endpoint.address, connect).await
        } else {
            probe::get(
                endpoint.address,
                connect,
                seconds(self.config.health.timeout),
            )
            .await
        }
    }

    fn checked(&self, pool: u64, endpoint: &Rc<Endpoint>, found: Found) {
        let now = Instant::now();
        let mut health = endpoint.health.get();
        if matches!(found, Found::Well | Found::Silent) {
            endpoint
                .next_check
                .set(Some(now + self.pause(endpoint, now)));
            health.misses = 0;
            let back = health
                .ejection
                .is_some_and(|ejection| ejection.reason.is_about_reach());
            if back {
                health.ejection = None;
            }
            endpoint.health.set(health);
            if back {
                log::info!(
                    "{} takes requests again: a check succeeded.",
                    endpoint.address
                );
                self.settle(&mut self.state.borrow_mut(), now);
            }
        } else {
            endpoint
                .next_check
                .set(Some(now + seconds(self.config.health.recheck)));
            health.misses += 1;
            endpoint.health.set(health);
            if health.misses == 1 {
                self.check_neighbours(endpoint);
            }
            let out = health
                .ejection
                .is_some_and(|ejection| ejection.reason == Reason::Check);
            if health.misses >= self.config.health.failures && !out {
                if found == Found::Unreachable {
                    endpoint.lose();
                }
                self.eject(pool, endpoint, Reason::Check);
            }
        }
        self.changed.notify_one();
    }

    /// Between two checks. Connections that a busy server has not accepted pile up in its kernel (128 are usual), and
    /// a full pile looks like a lost node: the longer it is busy, the rarer the checks.
    fn pause(&self, endpoint: &Endpoint, now: Instant) -> Duration {
        let interval = seconds(self.config.health.interval);
        if endpoint.in_flight.get() == 0 {
            return interval;
        }
        interval.max((now - endpoint.busy_since.get()) / 10)
    }
}

// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

//! How a request comes by its place: at once, or by waiting.

use super::pool::{Key, Scope, Waiter};
use super::state::{Fit, State};
use super::{Ask, Kind, Refusal, Routing, Slot};
use crate::clock;
use crate::config::seconds;
use std::rc::Rc;
use tokio::sync::oneshot;
use tokio::time::{timeout_at, Instant};

/// A request in a queue; it leaves it when dropped, and gives back the place that it got and did not take.
struct Waiting<'a> {
    routing: &'a Routing,
    key: Key,
    place: oneshot::Receiver<Slot>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut state = self.routing.state.borrow_mut();
        let _ = state.pools.iter_mut().any(|pool| pool.leave(self.key));
    }
}

enum Entered<'a> {
    Served(Slot),
    Queued(Waiting<'a>),
}

impl Routing {
    /// A place at an endpoint. Waits for one in a pool's queue, at most `timeouts.queue`; dropping the future leaves
    /// the queue.
    ///
    /// # Errors
    /// 403 and 404 for the model, 429 where the queue is full, 503 where its time passed.
    pub async fn acquire(self: &Rc<Self>, ask: &Ask<'_>) -> Result<Slot, Refusal> {
        let since = clock::now();
        let deadline = since + seconds(self.config.timeouts.queue);
        let mut key = None;
        loop {
            let mut waiting = match self.enter(ask, &mut key, since)? {
                Entered::Served(slot) => return Ok(slot),
                Entered::Queued(waiting) => waiting,
            };
            match timeout_at(deadline, &mut waiting.place).await {
                Ok(Ok(slot)) => return Ok(slot),
                // Its pool is no more; the model may live elsewhere.
                Ok(Err(_)) => continue,
                Err(_) => return Err(self.expired(&waiting)),
            }
        }
    }

    fn enter(
        &self,
        ask: &Ask<'_>,
        key: &mut Option<Key>,
        since: Instant,
    ) -> Result<Entered<'_>, Refusal> {
        let now = clock::now();
        let mut state = self.state.borrow_mut();
        let scope = self.scope(&state, ask)?;
        // A request that had its place, or a queue's, is not turned away for coming back: it counts as taken in.
        let back = key.is_some() || !ask.tried.is_empty();
        let limit = if back { usize::MAX } else { self.config.queue };
        let Some((at, fit)) = state.choose(&scope, ask.tried, limit, now) else {
            return Err(no_open_model(ask.kind));
        };
        let pool = &mut state.pools[at];
        if fit == Fit::Full {
            pool.refused += 1;
            let wait = pool.retry_after(now);
            let message = format!(
                "The model `{}` is busy and {} requests wait already; try again in {wait} s.",
                pool.model,
                pool.queue.len()
            );
            return Err(Refusal {
                status: 429,
                code: "queue_full",
                message,
                retry_after: Some(wait),
            });
        }
        if pool.queue.is_empty() {
            if let Some(endpoint) = pool.pick(ask.affinity, ask.tried, now).cloned() {
                return Ok(Entered::Served(self.slot(pool, &endpoint, since, now)));
            }
        }
        let (sender, place) = oneshot::channel();
        let key = *key.get_or_insert(Key {
            first: !ask.tried.is_empty(),
            number: state.next_number,
        });
        state.next_number += 1;
        state.pools[at].enqueue(Waiter {
            key,
            scope,
            affinity: ask.affinity,
            tried: ask.tried.to_vec(),
            since,
            place: sender,
        });
        // Those before it may wait for an endpoint that this one needs not wait for.
        self.dispatch(&mut state, at, now);
        Ok(Entered::Queued(Waiting {
            routing: self,
            key,
            place,
        }))
    }

    fn scope(&self, state: &State, ask: &Ask<'_>) -> Result<Scope, Refusal> {
        let may = |model: &str| state.allows(ask.allowed, model);
        if let Some(name) = ask.model.filter(|name| !name.is_empty()) {
            if let Some(model) = state.resolve(name) {
                if may(model) {
                    return Ok(Scope::Model(model.clone()));
                }
                let message = format!("Your key may not use the model `{name}`.");
                return Err(Refusal {
                    status: 403,
                    code: "model_not_allowed",
                    message,
                    retry_after: None,
                });
            }
            if !self.ready() && !self.draining() {
                return Err(not_ready());
            }
            if name != "default" {
                // OpenAI's words: clients look for them.
                let message =
                    format!("The model `{name}` does not exist or you do not have access to it.");
                return Err(Refusal {
                    status: 404,
                    code: "model_not_found",
                    message,
                    retry_after: None,
                });
            }
        } else if !self.ready() && !self.draining() && state.pools.is_empty() {
            return Err(not_ready());
        }
        let default = self
            .config
            .default_model
            .as_deref()
            .and_then(|name| state.resolve(name));
        Ok(
            match default.filter(|model| ask.kind == Kind::Chat && may(model)) {
                Some(model) => Scope::Model(model.clone()),
                None => {
                    let own = |names: &Rc<[String]>| {
                        names
                            .iter()
                            .filter_map(|name| state.resolve(name).cloned())
                            .collect()
                    };
                    Scope::Open(ask.kind, ask.allowed.map(own))
                }
            },
        )
    }

    /// Gives free places of a pool to those that wait in it.
    pub(super) fn dispatch(&self, state: &mut State, at: usize, now: Instant) {
        let pool = &mut state.pools[at];
        let mut next = 0;
        while next < pool.queue.len() && pool.has_free(now) {
            let waiter = &pool.queue[next];
            // One that waits for another endpoint than it has tried does not hold up those behind it.
            let Some(endpoint) = pool.pick(waiter.affinity, &waiter.tried, now).cloned() else {
                next += 1;
                continue;
            };
            let Some(waiter) = pool.queue.remove(next) else {
                break;
            };
            let slot = self.slot(pool, &endpoint, waiter.since, now);
            // Its receiver lives: it takes the waiter out of the queue when it goes.
            if waiter.place.send(slot).is_err() {
                unreachable!("a waiter is in the queue without its request");
            }
        }
    }

    /// After any change of what is usable: gives free places away, and moves those that wait where nothing is usable
    /// to another pool that may take them.
    pub(super) fn settle(&self, state: &mut State, now: Instant) {
        for at in 0..state.pools.len() {
            let stranded = !state.pools[at].queue.is_empty() && !state.pools[at].usable(now);
            if !stranded {
                continue;
            }
            for waiter in std::mem::take(&mut state.pools[at].queue) {
                let other = state.choose(&waiter.scope, &waiter.tried, self.config.queue, now);
                let to = other
                    .filter(|(_, fit)| *fit >= Fit::Tried)
                    .map_or(at, |(to, _)| to);
                state.pools[to].enqueue(waiter);
            }
        }
        for at in 0..state.pools.len() {
            self.dispatch(state, at, now);
        }
    }

    fn expired(&self, waiting: &Waiting<'_>) -> Refusal {
        let now = Instant::now();
        let time = self.config.timeouts.queue;
        let mut state = self.state.borrow_mut();
        let waits = |queue: &std::collections::VecDeque<Waiter>| {
            queue.iter().any(|waiter| waiter.key == waiting.key)
        };
        let Some(pool) = state.pools.iter_mut().find(|pool| waits(&pool.queue)) else {
            return not_ready();
        };
        pool.expired += 1;
        let (code, message) = if pool.usable(now) {
            (
                "queue_timeout",
                format!(
                    "The model `{}` was busy for {time} s; try again later.",
                    pool.model
                ),
            )
        } else {
            let message = format!(
                "No endpoint of the model `{}` became ready within {time} s; try again later.",
                pool.model
            );
            ("no_endpoint", message)
        };
        Refusal {
            status: 503,
            code,
            message,
            retry_after: Some(pool.retry_after(now)),
        }
    }
}

fn not_ready() -> Refusal {
    let message = "The balancer does not know its models yet; try again in a second.".into();
    Refusal {
        status: 503,
        code: "not_ready",
        message,
        retry_after: Some(1),
    }
}

fn no_open_model(kind: Kind) -> Refusal {
    let kind = match kind {
        Kind::Chat => "chat",
        Kind::Embedding => "embedding",
    };
    let message = format!(
        "No {kind} model takes requests that name none; GET /v1/models lists the models there are."
    );
    Refusal {
        status: 404,
        code: "model_not_found",
        message,
        retry_after: None,
    }
}

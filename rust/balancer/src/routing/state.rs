// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

//! All pools together: names, shares between pools, and what changes when a source speaks.

use super::endpoint::Endpoint;
use super::pool::{Pool, Scope};
use super::sources::{PoolSpec, Sources};
use crate::config::Config;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use tokio::time::Instant;

pub(super) struct State {
    pub sources: Sources,
    /// Sorted as the sources name them; few, so that they are searched one after the other.
    pub pools: Vec<Pool>,
    /// Models' names and aliases, to the model's name.
    names: HashMap<Rc<str>, Rc<str>>,
    /// The next pool's id.
    next_id: u64,
    /// The next request's number.
    pub next_number: u64,
}

/// How well a pool can serve a request; higher goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fit {
    /// Its queue is full.
    Full,
    /// No endpoint is usable: the request waits for one.
    Waits,
    /// Only endpoints are usable that it has failed at.
    Tried,
    Serves,
}

impl State {
    pub fn new(config: &Config) -> Self {
        let sources = Sources::new(config);
        State {
            sources,
            pools: Vec::new(),
            names: HashMap::new(),
            next_id: 0,
            next_number: 0,
        }
    }

    /// A model's own name, from it or an alias.
    pub fn resolve(&self, name: &str) -> Option<&Rc<str>> {
        self.names.get(name)
    }

    /// Whether a key that is limited to these models, by names or aliases, may use this one, given by its own name.
    pub fn allows(&self, names: Option<&Rc<[String]>>, model: &str) -> bool {
        names.is_none_or(|names| {
            names
                .iter()
                .any(|name| self.resolve(name).is_some_and(|own| **own == *model))
        })
    }

    pub fn pool(&mut self, id: u64) -> Option<&mut Pool> {
        self.pools.iter_mut().find(|pool| pool.id == id)
    }

    /// The pool whose turn it is among those that serve best, by smooth weighted round robin: each candidate gains
    /// its weight, the highest goes and pays for all. `None` where no pool may take it. `limit` is of queues.
    pub fn choose(
        &mut self,
        scope: &Scope,
        tried: &[SocketAddr],
        limit: usize,
        now: Instant,
    ) -> Option<(usize, Fit)> {
        // Weight 0 gets a model's requests only where none of its pools has more.
        let zero = matches!(scope, Scope::Model(_))
            && !self.pools.iter().any(|pool| pool.takes(scope, false));
        let fit = |pool: &Pool| {
            if !pool.has_free(now) && pool.queue.len() >= limit {
                Fit::Full
            } else if pool.usable_besides(tried, now) {
                Fit::Serves
            } else if !tried.is_empty() && pool.usable(now) {
                Fit::Tried
            } else {
                Fit::Waits
            }
        };
        let best = self
            .pools
            .iter()
            .filter(|pool| pool.takes(scope, zero))
            .map(fit)
            .max()?;
        let field = usize::from(matches!(scope, Scope::Open(..)));
        let mut total = 0;
        let mut chosen: Option<(usize, i64)> = None;
        for (at, pool) in self.pools.iter_mut().enumerate() {
            if !pool.takes(scope, zero) || fit(pool) != best {
                continue;
            }
            let weight = i64::from(pool.weight.max(1));
            total += weight;
            pool.standing[field] += weight;
            if chosen.is_none_or(|(_, highest)| pool.standing[field] > highest) {
                chosen = Some((at, pool.standing[field]));
            }
        }
        let (at, _) = chosen?;
        self.pools[at].standing[field] -= total;
        Some((at, best))
    }

    /// Makes the pools what the sources say; requests in flight go on. Those that wait in a pool that is no more
    /// learn it by the end of their channel, and ask again.
    pub fn rebuild(&mut self, config: &Config, now: Instant) {
        let mut old = std::mem::take(&mut self.pools);
        let mut shares_change = false;
        for spec in self.sources.pools() {
            let mut pool = match old.iter().position(|pool| *pool.name == *spec.name) {
                Some(at) => old.remove(at),
                None => {
                    self.next_id += 1;
                    shares_change = true;
                    Pool::new(self.next_id, &spec)
                }
            };
            shares_change |= update(&mut pool, &spec, config, now);
            self.pools.push(pool);
        }
        if shares_change || !old.is_empty() {
            self.pools
                .iter_mut()
                .for_each(|pool| pool.standing = [0; 2]);
        }
        // Who deletes a Service, or unregisters, says nothing about its pods: their requests go on.
        for endpoint in old.iter().flat_map(|pool| &pool.endpoints) {
            endpoint.gone.set(true);
        }
        self.names.clear();
        for pool in &self.pools {
            self.names.insert(pool.model.clone(), pool.model.clone());
        }
        for pool in &self.pools {
            for alias in &pool.aliases {
                // A model's own name and an earlier alias go first.
                self.names
                    .entry(alias.as_str().into())
                    .or_insert_with(|| pool.model.clone());
            }
        }
    }
}

/// Makes a pool what a source says; whether its share among others changes.
fn update(pool: &mut Pool, spec: &PoolSpec, config: &Config, now: Instant) -> bool {
    let share = (*pool.model == *spec.model, pool.kind, pool.weight);
    pool.model = spec.model.as_str().into();
    pool.aliases.clone_from(&spec.aliases);
    (pool.kind, pool.weight, pool.slots, pool.source) =
        (spec.kind, spec.weight, spec.slots, spec.source);
    let mut old = std::mem::take(&mut pool.endpoints);
    for told in &spec.endpoints {
        if pool
            .endpoints
            .iter()
            .any(|endpoint| endpoint.address == told.address)
        {
            continue;
        }
        // An address that another pod has got is another endpoint.
        let same = |endpoint: &Rc<Endpoint>| {
            endpoint.address == told.address && *endpoint.pod == *told.pod
        };
        let endpoint = match old.iter().position(same) {
            Some(at) => old.remove(at),
            None => Endpoint::new(
                told.address,
                &told.pod,
                &told.node,
                now,
                config.health.interval,
            ),
        };
        endpoint.update(told.ready, told.terminating, config.health.trust_busy);
        pool.endpoints.push(endpoint);
    }
    old.iter().for_each(|endpoint| vanish(endpoint));
    share != (true, spec.kind, spec.weight)
}

/// Its pool names it no more. One that was terminating ends its requests by itself; of others nothing is known but
/// that they are gone, as with a node that was deleted.
fn vanish(endpoint: &Endpoint) {
    endpoint.gone.set(true);
    if !endpoint.terminating.get() {
        endpoint.lose();
    }
}

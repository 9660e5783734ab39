// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

//! Everything the status page shows, as `GET /api/status` gives it.

use super::history::{Columns, Totals, Trouble, STEP};
use super::state::State;
use super::{timestamp, Observe, Pool, TARGET};
use crate::routing::{EndpointView, Kind, PoolView, Reason, Source};
use serde::Serialize;
use std::net::SocketAddr;
use std::time::Instant;

/// The balancer now and in the last two minutes.
#[derive(Serialize)]
pub struct Status {
    version: &'static str,
    /// `wasm32-wasip1` or `native`.
    target: &'static str,
    /// The pod's name, where it is known; each replica counts for itself.
    instance: String,
    /// RFC 3339, UTC.
    now: String,
    uptime_s: u64,
    ready: bool,
    draining: bool,
    totals: Counts,
    tokens_in: u64,
    in_flight: usize,
    waiting: usize,
    /// Seconds of a step of the histories, which are oldest first.
    step_s: u64,
    history: Columns,
    pools: Vec<PoolStatus>,
    troubles: Vec<Trouble>,
}

/// Since the start.
#[derive(Default, Serialize)]
struct Counts {
    requests: u64,
    errors: u64,
    tokens_out: u64,
}

#[derive(Serialize)]
struct PoolStatus {
    name: String,
    model: String,
    aliases: Vec<String>,
    kind: Kind,
    weight: u32,
    source: Source,
    in_flight: u32,
    waiting: usize,
    queue_limit: usize,
    totals: Counts,
    history: Columns,
    endpoints: Vec<EndpointStatus>,
}

#[derive(Serialize)]
struct EndpointStatus {
    address: SocketAddr,
    pod: String,
    node: String,
    state: State,
    /// Why it is ejected, and for how many seconds still; without seconds: until a check succeeds.
    reason: Option<Reason>,
    ejected_s: Option<f64>,
    in_flight: u32,
    /// Requests it takes at once; 0 is no limit.
    slots: u32,
    totals: Counts,
}

impl From<&Totals> for Counts {
    fn from(of: &Totals) -> Self {
        Counts {
            requests: of.requests.get(),
            errors: of.errors.get(),
            tokens_out: of.tokens.get(),
        }
    }
}

impl Observe {
    /// Collects the status.
    pub fn status(&self) -> Status {
        let (view, now) = (self.routing.view(), Instant::now());
        self.prune(&view, now);
        Status {
            version: env!("CARGO_PKG_VERSION"),
            target: TARGET,
            instance: ["POD_NAME", "HOSTNAME"]
                .iter()
                .find_map(|name| std::env::var(name).ok())
                .unwrap_or_default(),
            now: timestamp(),
            uptime_s: self.began.elapsed().as_secs(),
            ready: view.ready,
            draining: view.draining,
            totals: Counts::from(&self.totals),
            tokens_in: self.tokens_in.get(),
            in_flight: view.in_flight,
            waiting: view.waiting,
            step_s: STEP.as_secs(),
            history: self.all.borrow_mut().columns(now),
            pools: view
                .pools
                .into_iter()
                .map(|pool| self.pool_status(pool, now))
                .collect(),
            troubles: self.troubles.borrow().list(),
        }
    }

    fn pool_status(&self, pool: PoolView, now: Instant) -> PoolStatus {
        let series = self.series.borrow();
        let endpoint = |of: EndpointView| {
            let counted = series
                .get(&Some(of.address))
                .and_then(|list| list.iter().find(|one| one.pool == pool.name));
            EndpointStatus {
                state: State::of(&of, pool.slots),
                address: of.address,
                pod: of.pod,
                node: of.node,
                reason: of.ejected.as_ref().map(|ejected| ejected.reason),
                ejected_s: of.ejected.and_then(|ejected| ejected.seconds),
                in_flight: of.in_flight,
                slots: pool.slots,
                totals: counted
                    .map(|one| Counts::from(&one.totals))
                    .unwrap_or_default(),
            }
        };
        let endpoints = pool.endpoints.into_iter().map(endpoint).collect();
        let mut pools = self.pools.borrow_mut();
        let counted = pools
            .entry(pool.name.clone())
            .or_insert_with(|| Pool::new(self.began));
        PoolStatus {
            name: pool.name,
            model: pool.model,
            aliases: pool.aliases,
            kind: pool.kind,
            weight: pool.weight,
            source: pool.source,
            in_flight: pool.in_flight,
            waiting: pool.waiting,
            queue_limit: pool.queue_limit,
            totals: Counts::from(&counted.totals),
            history: counted.history.columns(now),
            endpoints,
        }
    }
}

// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

//! What the registry shows: `/v1/models`, `/metrics`, the admin API and the status page are made of it.

use super::endpoint::Reason;
use super::{Kind, Routing, Source};
use serde::Serialize;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use tokio::time::Instant;

/// A model that clients can ask for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ModelView {
    pub id: String,
    pub aliases: Vec<String>,
    pub kind: Kind,
    /// Its pools' names.
    pub pools: Vec<String>,
    /// An endpoint is usable now; requests to others wait.
    pub available: bool,
}

#[derive(Debug, Clone, Serialize)]
pub struct RoutingView {
    pub ready: bool,
    pub draining: bool,
    /// Requests that have a place.
    pub in_flight: usize,
    /// Requests that wait for one.
    pub waiting: usize,
    pub pools: Vec<PoolView>,
}

#[derive(Debug, Clone, Serialize)]
pub struct PoolView {
    pub name: String,
    pub model: String,
    pub aliases: Vec<String>,
    pub kind: Kind,
    pub weight: u32,
    /// Requests at once at each endpoint; 0 is no limit.
    pub slots: u32,
    pub source: Source,
    /// Endpoints that take requests now.
    pub usable: usize,
    pub in_flight: u32,
    pub waiting: usize,
    pub queue_limit: usize,
    /// Seconds that a request holds its place, of late; 0 before the first.
    pub service_seconds: f64,
    /// Places given, retries included.
    pub requests: u64,
    /// Requests turned away because the queue was full.
    pub refused: u64,
    /// Requests turned away because the queue's time passed.
    pub expired: u64,
    /// Ejections, of endpoints that are gone as well.
    pub ejections: BTreeMap<Reason, u64>,
    pub endpoints: Vec<EndpointView>,
}

#[derive(Debug, Clone, Serialize)]
pub struct EndpointView {
    pub address: SocketAddr,
    pub pod: String,
    pub node: String,
    pub ready: bool,
    pub terminating: bool,
    /// Takes requests now.
    pub usable: bool,
    pub ejected: Option<Ejected>,
    pub in_flight: u32,
    /// Places given.
    pub requests: u64,
    pub failures: u64,
    pub ejections: u64,
}

#[derive(Debug, Clone, Serialize)]
pub struct Ejected {
    pub reason: Reason,
    /// Seconds until a request may try it; `None`: a check has to succeed first.
    pub seconds: Option<f64>,
}

impl Routing {
    /// The union of all models, or of those that a key is limited to, sorted by name.
    pub fn models(&self, allowed: Option<&Rc<[String]>>) -> Vec<ModelView> {
        let now = Instant::now();
        let mut models: Vec<ModelView> = Vec::new();
        let state = self.state.borrow();
        for pool in &state.pools {
            if !state.allows(allowed, &pool.model) {
                continue;
            }
            let usable = pool.usable(now);
            let at = models
                .iter()
                .position(|model| *model.id == *pool.model)
                .unwrap_or(models.len());
            if at == models.len() {
                models.push(ModelView {
                    id: pool.model.to_string(),
                    aliases: Vec::new(),
                    kind: pool.kind,
                    pools: Vec::new(),
                    available: false,
                });
            }
            let model = &mut models[at];
            model.available |= usable;
            model.pools.push(pool.name.to_string());
            for alias in &pool.aliases {
                if !model.aliases.contains(alias) {
                    model.aliases.push(alias.clone());
                }
            }
        }
        models.sort_by(|one, other| one.id.cmp(&other.id));
        models
    }

    /// Everything, as it is now.
    pub fn view(&self) -> RoutingView {
        let now = Instant::now();
        let state = self.state.borrow();
        let pools = state.pools.iter().map(|pool| {
            let endpoints = pool.endpoints.iter().map(|endpoint| EndpointView {
                address: endpoint.address,
                pod: endpoint.pod.to_string(),
                node: endpoint.node.to_string(),
                ready: endpoint.ready.get(),
                terminating: endpoint.terminating.get(),
                usable: endpoint.places(pool.slots, now) > 0,
                ejected: endpoint.health.get().ejection.map(|ejection| Ejected {
                    reason: ejection.reason,
                    seconds: ejection
                        .until
                        .map(|until| until.saturating_duration_since(now).as_secs_f64()),
                }),
                in_flight: endpoint.in_flight.get(),
                requests: endpoint.requests.get(),
                failures: endpoint.failures.get(),
                ejections: endpoint.ejections.get(),
            });
            let endpoints: Vec<_> = endpoints.collect();
            PoolView {
                name: pool.name.to_string(),
                model: pool.model.to_string(),
                aliases: pool.aliases.clone(),
                kind: pool.kind,
                weight: pool.weight,
                slots: pool.slots,
                source: pool.source,
                usable: endpoints.iter().filter(|endpoint| endpoint.usable).count(),
                in_flight: pool.in_flight(),
                waiting: pool.queue.len(),
                queue_limit: self.config.queue,
                service_seconds: pool.service,
                requests: pool.requests,
                refused: pool.refused,
                expired: pool.expired,
                ejections: pool.ejections.clone(),
                endpoints,
            }
        });
        let pools: Vec<_> = pools.collect();
        RoutingView {
            ready: self.ready(),
            draining: self.draining(),
            in_flight: self.held.get(),
            waiting: pools.iter().map(|pool| pool.waiting).sum(),
            pools,
        }
    }
}

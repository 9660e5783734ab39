// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

//! What happened: metrics, access log, token counts, and the last two minutes for the status page.

mod history;
mod log;
mod metrics;
mod record;
mod route;
mod state;
mod status;
#[cfg(test)]
mod tests;
mod tokens;

pub use log::timestamp;
pub use record::{Record, CLIENT_GONE};
pub use state::State;
pub use status::Status;

use crate::config::Config;
use crate::routing::{Reason, Routing, RoutingView};
use history::{History, Totals, Troubles};
use metrics::{Families, Series};
use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// What the balancer runs as.
pub const TARGET: &str = if cfg!(target_os = "wasi") {
    "wasm32-wasip1"
} else {
    "native"
};
/// How long the figures of an endpoint that has gone are still given, so that no scrape misses the last of them.
const KEEP: Duration = Duration::from_secs(300);
/// Counts and logs every request. One thread, so no locks.
pub struct Observe {
    routing: Rc<Routing>,
    families: Families,
    log: log::Log,
    began: Instant,
    /// By endpoint; one endpoint may be in several pools.
    series: RefCell<HashMap<Option<SocketAddr>, Vec<Rc<Series>>>>,
    pools: RefCell<HashMap<String, Pool>>,
    all: RefCell<History>,
    totals: Totals,
    tokens_in: Cell<u64>,
    troubles: RefCell<Troubles>,
}

/// What is kept of a pool.
struct Pool {
    history: History,
    totals: Totals,
    gone: Gone,
}

impl Pool {
    fn new(began: Instant) -> Self {
        Pool {
            history: History::new(began),
            totals: Totals::default(),
            gone: Gone::default(),
        }
    }
}

impl Observe {
    /// Logs to standard output; reads endpoints and queues from `routing` when asked for figures.
    pub fn new(config: &Config, routing: Rc<Routing>) -> Rc<Self> {
        Self::logging(config, routing, Box::new(std::io::stdout()))
    }

    /// The same with the access log elsewhere.
    pub fn logging(config: &Config, routing: Rc<Routing>, to: Box<dyn std::io::Write>) -> Rc<Self> {
        let began = Instant::now();
        Rc::new(Observe {
            routing,
            families: Families::new(),
            log: log::Log::new(config.access_log, to),
            began,
            series: RefCell::default(),
            pools: RefCell::default(),
            all: RefCell::new(History::new(began)),
            totals: Totals::default(),
            tokens_in: Default::default(),
            troubles: RefCell::default(),
        })
    }

    /// Writes the access log, for ever.
    pub async fn write_log(self: Rc<Self>) {
        self.log.run().await;
    }

    /// Begins the record of a request whose head has come.
    pub fn begin(
        self: &Rc<Self>,
        method: &str,
        path: &str,
        id: &str,
        client: SocketAddr,
    ) -> Record {
        Record::new(self.clone(), method, path, id, client)
    }

    /// A client's connection came (`true`) or went.
    pub fn connection(&self, open: bool) {
        self.families.connections.add(if open { 1 } else { -1 });
    }

    /// A new connection to an endpoint was made.
    pub fn connected(&self, took: Duration) {
        self.families.connect.observe(took.as_secs_f64());
    }

    /// Everything in Prometheus' text format 0.0.4.
    pub fn metrics(&self) -> Vec<u8> {
        let view = self.routing.view();
        self.prune(&view, Instant::now());
        self.gauges(&view);
        self.families.text()
    }

    /// The series that a request is counted in. Models that the routing does not know are no labels.
    fn series(&self, model: &str, pool: &str, endpoint: Option<SocketAddr>) -> Rc<Series> {
        let model = if endpoint.is_some() || self.routing.knows(model) {
            model
        } else {
            ""
        };
        let mut all = self.series.borrow_mut();
        let of_endpoint = all.entry(endpoint).or_default();
        if let Some(known) = of_endpoint
            .iter()
            .find(|known| known.pool == pool && known.model == model)
        {
            return known.clone();
        }
        let name = endpoint
            .map(|address| address.to_string())
            .unwrap_or_default();
        let new = Rc::new(Series::new(&self.families, model, pool, &name));
        of_endpoint.push(new.clone());
        new
    }

    /// Drops what belongs to endpoints and pools that have been gone for [`KEEP`].
    fn prune(&self, view: &RoutingView, now: Instant) {
        let mut live = HashSet::new();
        for pool in &view.pools {
            live.extend(
                pool.endpoints
                    .iter()
                    .map(|endpoint| (pool.name.as_str(), Some(endpoint.address))),
            );
        }
        let models: HashSet<&str> = view.pools.iter().map(|pool| pool.model.as_str()).collect();
        self.series.borrow_mut().retain(|endpoint, list| {
            list.retain(|series| {
                let lives = match endpoint {
                    Some(_) => live.contains(&(series.pool.as_str(), *endpoint)),
                    None => series.model.is_empty() || models.contains(series.model.as_str()),
                };
                let keep = !series.gone.over(lives, now);
                if !keep {
                    let [model, pool, endpoint] = series.place();
                    self.families
                        .forget(&[("model", model), ("pool", pool), ("server", endpoint)]);
                }
                keep
            });
            !list.is_empty()
        });
        self.pools.borrow_mut().retain(|name, pool| {
            let lives = view.pools.iter().any(|known| known.name == *name);
            let keep = !pool.gone.over(lives, now);
            if !keep {
                self.families.forget(&[("pool", name)]);
            }
            keep
        });
    }

    /// Sets what is read from the routing rather than counted.
    fn gauges(&self, view: &RoutingView) {
        let to = &self.families;
        for family in [
            &to.in_flight,
            &to.slots,
            &to.queue_length,
            &to.queue_limit,
            &to.weight,
            &to.endpoints,
        ] {
            family.reset();
        }
        to.ready.set(view.ready.into());
        to.draining.set(view.draining.into());
        for pool in &view.pools {
            let labels = [pool.model.as_str(), pool.name.as_str()];
            to.queue_length
                .with_label_values(&labels)
                .set(pool.waiting as i64);
            to.queue_limit
                .with_label_values(&labels)
                .set(pool.queue_limit as i64);
            to.weight.with_label_values(&labels).set(pool.weight.into());
            for (state, name) in State::ALL {
                let count = pool
                    .endpoints
                    .iter()
                    .filter(|endpoint| State::of(endpoint, pool.slots) == state)
                    .count();
                to.endpoints
                    .with_label_values(&[labels[0], labels[1], name])
                    .set(count as i64);
            }
            for endpoint in &pool.endpoints {
                let place = [labels[0], labels[1], &endpoint.address.to_string()];
                to.in_flight
                    .with_label_values(&place)
                    .set(endpoint.in_flight.into());
                to.slots.with_label_values(&place).set(pool.slots.into());
            }
            for (reason, count) in &pool.ejections {
                let counter =
                    to.ejections
                        .with_label_values(&[labels[0], labels[1], reason_name(*reason)]);
                counter.inc_by(count.saturating_sub(counter.get()));
            }
        }
    }
}

fn reason_name(reason: Reason) -> &'static str {
    match reason {
        Reason::Connect => "connect",
        Reason::Broken => "broken",
        Reason::Errors => "errors",
        Reason::Check => "check",
    }
}

/// Since when something has been gone.
#[derive(Default)]
struct Gone(Cell<Option<Instant>>);

impl Gone {
    /// Whether what does not live has been gone for [`KEEP`].
    fn over(&self, lives: bool, now: Instant) -> bool {
        let since = self.0.get().unwrap_or(now);
        self.0.set((!lives).then_some(since));
        !lives && now.saturating_duration_since(since) >= KEEP
    }
}

// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

//! The metrics, named after vLLM's production stack and OpenTelemetry's GenAI conventions (buckets), with the prefix
//! `llamaedge_lb_`. An endpoint is the label `server`, as in vLLM's stack: Prometheus' operator has its own `endpoint`.
//!
//! Every label comes from a bounded set: models, pools and endpoints that the routing knows, routes of
//! [`route`](super::route), status codes, keys of the keys file. Nothing that a client writes becomes a label.

use super::history::Totals;
use prometheus::core::{Collector, MetricVec, MetricVecBuilder};
use prometheus::{
    Encoder, Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, TextEncoder,
};
use std::cell::RefCell;
use std::collections::HashMap;

/// Seconds; `gen_ai.server.request.duration` and room for a CPU's slow answers.
const DURATION: &[f64] = &[
    0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92, 163.84,
];
/// Seconds; `gen_ai.server.time_to_first_token` and room for long prompts on a CPU.
const FIRST_TOKEN: &[f64] = &[
    0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 30.0, 60.0,
];
/// Seconds; `gen_ai.server.time_per_output_token`.
const PER_TOKEN: &[f64] = &[
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5,
];
/// Seconds; up to the default time-out of the queue.
const QUEUE: &[f64] = &[
    0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0,
];
/// Seconds; up to the default time-out of connecting.
const CONNECT: &[f64] = &[
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0,
];

const PLACE: &[&str] = &["model", "pool", "server"];
const POOL: &[&str] = &["model", "pool"];

/// Every series' family.
pub(super) struct Families {
    registry: Registry,
    pub requests: IntCounterVec,
    pub duration: HistogramVec,
    pub first_token: HistogramVec,
    pub per_token: HistogramVec,
    pub tokens: IntCounterVec,
    pub queue_wait: HistogramVec,
    pub connect: Histogram,
    pub retries: IntCounterVec,
    pub aborts: IntCounterVec,
    pub refused: IntCounterVec,
    pub keys: IntCounterVec,
    pub ejections: IntCounterVec,
    pub connections: IntGauge,
    pub in_flight: IntGaugeVec,
    pub slots: IntGaugeVec,
    pub queue_length: IntGaugeVec,
    pub queue_limit: IntGaugeVec,
    pub weight: IntGaugeVec,
    pub endpoints: IntGaugeVec,
    pub ready: IntGauge,
    pub draining: IntGauge,
}

impl Families {
    pub fn new() -> Self {
        let made = Registered(Registry::new());
        made.gauges(
            "build_info",
            "What this is; always 1.",
            &["version", "target"],
        )
        .with_label_values(&[env!("CARGO_PKG_VERSION"), super::TARGET])
        .set(1);
        made.start_time();
        Families {
            requests: made.counters(
                "requests_total",
                "Requests that ended, by what answered (empty where no endpoint did) and status; 499: the client left.",
                &["model", "pool", "server", "route", "code"],
            ),
            duration: made.histograms(
                "request_duration_seconds",
                "From a request's head to the last byte of its response.",
                PLACE,
                DURATION,
            ),
            first_token: made.histograms(
                "time_to_first_token_seconds",
                "Streams only: from a request's head to the first text of the answer.",
                PLACE,
                FIRST_TOKEN,
            ),
            per_token: made.histograms(
                "time_per_output_token_seconds",
                "Streams only: mean time between an answer's tokens after the first.",
                PLACE,
                PER_TOKEN,
            ),
            tokens: made.counters(
                "tokens_total",
                "Tokens of prompts (direction=\"input\") and answers (direction=\"output\").",
                &["model", "pool", "server", "direction"],
            ),
            queue_wait: made.histograms("queue_wait_seconds", "Time requests waited for a place.", POOL, QUEUE),
            connect: made.histograms("upstream_connect_seconds", "Time new connections to endpoints took.", &[], CONNECT)
                .with_label_values(&[] as &[&str]),
            retries: made.counters(
                "retries_total",
                "Attempts at another endpoint, by why the one before failed; none after the first byte.",
                &["model", "pool", "reason"],
            ),
            aborts: made.counters("client_aborts_total", "Requests whose client left before the end.", POOL),
            refused: made.counters("refused_total", "Requests turned away by the balancer itself.", &["code"]),
            keys: made.counters("key_requests_total", "Requests by the name of their key.", &["key"]),
            ejections: made.counters(
                "ejections_total",
                "Times an endpoint was taken out of its pool for failing.",
                &["model", "pool", "reason"],
            ),
            connections: made.gauge("client_connections", "Open connections of clients."),
            in_flight: made.gauges("in_flight", "Requests at an endpoint now.", PLACE),
            slots: made.gauges("slots", "Requests an endpoint takes at once.", PLACE),
            queue_length: made.gauges("queue_length", "Requests that wait in a pool's queue now.", POOL),
            queue_limit: made.gauges("queue_limit", "Requests that may wait in a pool's queue.", POOL),
            weight: made.gauges("pool_weight", "A pool's weight among those that a request may go to.", POOL),
            endpoints: made.gauges("endpoints", "Endpoints of a pool by state.", &["model", "pool", "state"]),
            ready: made.gauge("ready", "1 while the balancer knows its models and does not drain."),
            draining: made.gauge("draining", "1 from when the balancer is to end on."),
            registry: made.0,
        }
    }

    /// Takes the series with these labels out of every family.
    pub fn forget(&self, labels: &[(&str, &str)]) {
        for family in [
            &self.requests,
            &self.tokens,
            &self.retries,
            &self.aborts,
            &self.ejections,
        ] {
            forget(family, labels);
        }
        for family in [
            &self.duration,
            &self.first_token,
            &self.per_token,
            &self.queue_wait,
        ] {
            forget(family, labels);
        }
    }

    /// The text format 0.0.4.
    pub fn text(&self) -> Vec<u8> {
        let mut text = Vec::with_capacity(32 << 10);
        // Only a family without samples or a writer that fails are errors; `gather` leaves out the first.
        let _ = TextEncoder::new().encode(&self.registry.gather(), &mut text);
        text
    }
}

fn forget<B: MetricVecBuilder>(family: &MetricVec<B>, labels: &[(&str, &str)])
where
    MetricVec<B>: Collector,
{
    for metric in family
        .collect()
        .iter()
        .flat_map(|family| family.get_metric())
    {
        let of: HashMap<&str, &str> = metric
            .get_label()
            .iter()
            .map(|pair| (pair.name(), pair.value()))
            .collect();
        if labels
            .iter()
            .all(|(name, value)| of.get(name) == Some(value))
        {
            // An error would say that it is gone already.
            let _ = family.remove(&of);
        }
    }
}

/// Makes families and registers them. Names and labels are constants of this file, so that a mistake in them is a
/// panic in every test.
struct Registered(Registry);

impl Registered {
    fn add<C: Collector + Clone + 'static>(&self, made: prometheus::Result<C>) -> C {
        let made = made.expect("a metric's name, labels and buckets are valid");
        self.0
            .register(Box::new(made.clone()))
            .expect("a metric's name is there once");
        made
    }

    fn opts(name: &str, help: &str) -> Opts {
        Opts::new(format!("llamaedge_lb_{name}"), help)
    }

    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.add(IntCounterVec::new(Self::opts(name, help), labels))
    }

    fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        self.add(IntGaugeVec::new(Self::opts(name, help), labels))
    }

    fn gauge(&self, name: &str, help: &str) -> IntGauge {
        self.add(IntGauge::with_opts(Self::opts(name, help)))
    }

    fn histograms(&self, name: &str, help: &str, labels: &[&str], buckets: &[f64]) -> HistogramVec {
        let opts = HistogramOpts::from(Self::opts(name, help)).buckets(buckets.to_vec());
        self.add(HistogramVec::new(opts, labels))
    }

    /// The one that every exporter has, without prefix.
    fn start_time(&self) {
        let opts = Opts::new(
            "process_start_time_seconds",
            "Start time of the process since unix epoch in seconds.",
        );
        let gauge: Gauge = self.add(Gauge::with_opts(opts));
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        gauge.set(now.map_or(0.0, |now| now.as_secs_f64()));
    }
}

/// The series of one endpoint in one pool, looked up once a request instead of once a figure. Without an endpoint:
/// requests that none answered.
pub(super) struct Series {
    pub model: String,
    pub pool: String,
    pub endpoint: String,
    pub duration: Histogram,
    pub queue_wait: Histogram,
    pub tokens: [IntCounter; 2],
    pub totals: Totals,
    pub gone: super::Gone,
    /// Status counters by route; few, so a list is quicker than a map.
    codes: RefCell<Vec<(&'static str, u16, IntCounter)>>,
}

impl Series {
    pub fn new(families: &Families, model: &str, pool: &str, endpoint: &str) -> Self {
        Series {
            model: model.to_owned(),
            pool: pool.to_owned(),
            endpoint: endpoint.to_owned(),
            duration: families
                .duration
                .with_label_values(&[model, pool, endpoint]),
            queue_wait: families.queue_wait.with_label_values(&[model, pool]),
            tokens: ["input", "output"].map(|direction| {
                families
                    .tokens
                    .with_label_values(&[model, pool, endpoint, direction])
            }),
            totals: Totals::default(),
            gone: super::Gone::default(),
            codes: RefCell::default(),
        }
    }

    /// The three labels.
    pub fn place(&self) -> [&str; 3] {
        [&self.model, &self.pool, &self.endpoint]
    }

    /// One more request that ended so.
    pub fn ended(&self, families: &Families, route: &'static str, code: u16) {
        let mut codes = self.codes.borrow_mut();
        if let Some((_, _, counter)) = codes
            .iter()
            .find(|known| known.0 == route && known.1 == code)
        {
            return counter.inc();
        }
        let [model, pool, endpoint] = self.place();
        let counter =
            families
                .requests
                .with_label_values(&[model, pool, endpoint, route, &code.to_string()]);
        counter.inc();
        codes.push((route, code, counter));
    }
}

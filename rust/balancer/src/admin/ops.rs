// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

//! `/healthz`, `/readyz`, `/metrics`, `/queue.json` and `/drained`.

use super::{guarded, problem, wrong_method};
use crate::http::{Reply, Request};
use crate::App;
use serde::Serialize;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;
use tokio::time::{sleep, Instant};

/// What the nodes' proxies get to take out a pod that ends.
const SETTLE: Duration = Duration::from_secs(5);
/// How long `/drained` waits at most if its query does not say; a pod's default grace period.
const DRAIN: Duration = Duration::from_secs(30);
/// Nobody waits longer than this.
const DRAIN_MAX: Duration = Duration::from_secs(3600);
/// Between two looks at what is still running.
const LOOK: Duration = Duration::from_millis(50);

/// Answers on the ops port.
pub async fn ops(app: Rc<App>, request: Request) -> Reply {
    if !matches!(request.method.as_str(), "GET" | "HEAD") {
        return wrong_method("GET, HEAD");
    }
    match request.path.as_str() {
        "/healthz" => guarded(Reply::text(200, "ok\n")),
        "/readyz" => readyz(&app),
        "/metrics" => guarded(Reply::new(
            200,
            "text/plain; version=0.0.4; charset=utf-8",
            app.observe.metrics(),
        )),
        "/queue.json" => guarded(Reply::json(200, &queue(&app))),
        "/drained" => drained(&app, &request.query).await,
        _ => problem(
            404,
            "not_found",
            "This port has /healthz, /readyz, /metrics, /queue.json and /drained.",
        ),
    }
}

fn readyz(app: &App) -> Reply {
    let (status, words) = if app.routing.draining() {
        (503, "draining\n")
    } else if app.routing.ready() {
        (200, "ready\n")
    } else {
        (503, "the cluster's Services are not known yet\n")
    };
    guarded(Reply::text(status, words))
}

/// What an autoscaler asks of one model; KEDA's metrics-api scaler takes `models.<name>.wanted` by `valueLocation`.
#[derive(Debug, Default, Serialize, PartialEq, Eq)]
struct Load {
    in_flight: usize,
    queued: usize,
    /// Requests that need a place now: in flight and queued.
    wanted: usize,
    /// Endpoints that take requests.
    endpoints: usize,
    /// Places at them; 0 where there is no limit.
    slots: usize,
}

#[derive(Debug, Default, Serialize, PartialEq, Eq)]
struct Queue {
    in_flight: usize,
    queued: usize,
    models: BTreeMap<String, Load>,
    pools: BTreeMap<String, Load>,
}

fn queue(app: &App) -> Queue {
    let view = app.routing.view();
    let mut queue = Queue {
        in_flight: view.in_flight,
        queued: view.waiting,
        ..Queue::default()
    };
    for pool in view.pools {
        for load in [
            queue.models.entry(pool.model).or_default(),
            queue.pools.entry(pool.name).or_default(),
        ] {
            load.in_flight += pool.in_flight as usize;
            load.queued += pool.waiting;
            load.wanted += pool.in_flight as usize + pool.waiting;
            load.endpoints += pool.usable;
            load.slots += pool.usable * pool.slots as usize;
        }
    }
    queue
}

/// The preStop hook: answers once the balancer drains and its last request has ended, or when the time is over. Not
/// before [`SETTLE`]: the nodes learn only by and by that no connections are to come here.
async fn drained(app: &App, query: &str) -> Reply {
    let timeout = match timeout(query) {
        Ok(timeout) => timeout,
        Err(message) => return problem(400, "invalid_timeout", message),
    };
    let end = Instant::now() + timeout;
    while !(app.routing.drains_for(SETTLE) && app.proxy.running() == 0) {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            // 200: a hook that fails makes the kubelet warn, and there is nothing more to wait for.
            let still = app.proxy.running();
            return guarded(Reply::text(
                200,
                format!("time is over; {still} requests are in flight\n"),
            ));
        }
        sleep(LOOK.min(left)).await;
    }
    guarded(Reply::text(200, "drained\n"))
}

fn timeout(query: &str) -> Result<Duration, String> {
    let Some(value) = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("timeout="))
    else {
        return Ok(DRAIN);
    };
    let seconds: f64 = value.parse().map_err(|_| {
        format!(
            "timeout is \"{value}\", which is no number; give it in seconds, as in ?timeout=30."
        )
    })?;
    if !(0.0..=DRAIN_MAX.as_secs_f64()).contains(&seconds) {
        return Err(format!(
            "timeout is {seconds} s; give it from 0 to {} s.",
            DRAIN_MAX.as_secs()
        ));
    }
    Ok(Duration::from_secs_f64(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts() {
        assert_eq!(timeout(""), Ok(DRAIN));
        assert_eq!(timeout("x=1&timeout=0.5"), Ok(Duration::from_millis(500)));
        for bad in [
            "timeout=",
            "timeout=soon",
            "timeout=-1",
            "timeout=NaN",
            "timeout=inf",
            "timeout=3601",
        ] {
            assert!(timeout(bad).is_err(), "{bad}");
        }
    }
}

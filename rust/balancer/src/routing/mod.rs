// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

//! Models, their pools and endpoints, and who gets the next request.

use crate::config::Config;
pub use crate::Refusal;
use serde::Serialize;
use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;
pub use wasinn_watcher::Kind;

pub struct Routing {
    draining: Cell<bool>,
}

/// What a request needs of an endpoint.
pub struct Ask<'a> {
    /// `None` leaves the model open.
    pub model: Option<&'a str>,
    pub kind: Kind,
    pub affinity: Option<u64>,
    /// Endpoints that failed this request already.
    pub tried: &'a [SocketAddr],
}

/// What became of a request at an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Answered(u16),
    ConnectFailed,
    /// The connection ended before the response did.
    Broken,
    FirstByteTimeout,
}

/// One place at an endpoint; dropping it frees the place and wakes the queue.
pub struct Slot {
    address: SocketAddr,
}

impl Slot {
    pub fn address(&self) -> SocketAddr {
        self.address
    }
    pub fn model(&self) -> &str {
        ""
    }
    pub fn pool(&self) -> &str {
        ""
    }
    /// Time spent in the queue.
    pub fn waited(&self) -> Duration {
        Duration::ZERO
    }
    /// Resolves when the endpoint is ejected as dead or has vanished.
    pub async fn lost(&self) {
        std::future::pending().await
    }
    /// Tells what became of the request, for passive ejection.
    pub fn outcome(&self, _outcome: Outcome) {}
}

#[derive(Debug, Clone, Serialize)]
pub struct ModelView {
    pub id: String,
    pub aliases: Vec<String>,
}

#[derive(Debug, Clone, Serialize)]
pub struct RoutingView {}

impl Routing {
    pub fn new(_config: &Config) -> Rc<Self> {
        Rc::new(Routing { draining: Cell::new(false) })
    }
    /// A place at an endpoint; waits in the pool's queue, and leaves it when dropped.
    pub async fn acquire(self: &Rc<Self>, _ask: &Ask<'_>) -> Result<Slot, Refusal> {
        Err(Refusal { status: 503, code: "no_endpoint", message: "No endpoint is known.".into(), retry_after: Some(1) })
    }
    pub fn apply(&self, _snapshot: &wasinn_watcher::Snapshot) {}
    pub fn models(&self) -> Vec<ModelView> {
        Vec::new()
    }
    pub fn view(&self) -> RoutingView {
        RoutingView {}
    }
    pub fn ready(&self) -> bool {
        false
    }
    pub fn drain(&self) {
        self.draining.set(true);
    }
    pub fn draining(&self) -> bool {
        self.draining.get()
    }
    pub fn in_flight(&self) -> usize {
        0
    }
    /// Active checks, for ever.
    pub async fn check_health(self: Rc<Self>) {
        std::future::pending().await
    }
}

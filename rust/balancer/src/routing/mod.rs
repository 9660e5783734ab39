// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

//! Models, their pools and endpoints, and who gets the next request.
//!
//! Requests are divided between pools by weight, exactly; in the pool the least busy endpoint gets them. Where all
//! its places are taken, they wait in the pool's queue, first come, first served. A pool without a usable endpoint is
//! passed over, those that wait in it included, as long as another may take the request.

mod acquire;
mod endpoint;
mod health;
mod pool;
mod probe;
mod slot;
mod sources;
mod state;
#[cfg(test)]
mod tests;
mod view;

pub use crate::Refusal;
pub use endpoint::Reason;
pub use slot::{Outcome, Slot};
pub use sources::{Change, Registration, Source};
pub use view::{Ejected, EndpointView, ModelView, PoolView, RoutingView};
pub use wasinn_watcher::Kind;

use crate::config::Config;
use state::State;
use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::{Rc, Weak};
use tokio::sync::Notify;
use tokio::time::{Duration, Instant};

/// What a request needs of an endpoint.
#[derive(Debug, Clone, Default)]
pub struct Ask<'a> {
    /// `None` and `""` leave the model open, as does `"default"` where no model has that name.
    pub model: Option<&'a str>,
    pub kind: Kind,
    /// Requests with the same number prefer the same endpoint of a pool.
    pub affinity: Option<u64>,
    /// Endpoints that failed this request already; such a request goes to the front of the queue.
    pub tried: &'a [SocketAddr],
    /// The models that the caller's key is limited to, by names or aliases ([`crate::keys::Caller::models`]).
    pub allowed: Option<&'a Rc<[String]>>,
}

/// The registry of models and all decisions on it; one per process, on one thread.
pub struct Routing {
    this: Weak<Routing>,
    config: Config,
    state: RefCell<State>,
    /// Slots that are held.
    held: Cell<usize>,
    /// Since when.
    draining: Cell<Option<Instant>>,
    /// The cluster's Services were listed once.
    synced: Cell<bool>,
    /// An endpoint's next check or return has moved.
    changed: Notify,
}

impl Routing {
    /// Knows the pools of the configuration; [`Routing::apply`] and [`Routing::register`] tell of others.
    pub fn new(config: &Config) -> Rc<Self> {
        let routing = Rc::new_cyclic(|this| Routing {
            this: this.clone(),
            config: config.clone(),
            state: RefCell::new(State::new(config)),
            held: Cell::new(0),
            draining: Cell::new(None),
            synced: Cell::new(false),
            changed: Notify::new(),
        });
        routing.rebuild();
        routing
    }

    /// Takes over what the watcher sees. Requests in flight go on; endpoints that are unready or terminating take no
    /// new ones; of those that vanished from their pool without terminating the requests are given up for lost
    /// ([`Slot::lost`]).
    pub fn apply(&self, snapshot: &wasinn_watcher::Snapshot) {
        if snapshot.own_pod_terminating {
            self.drain();
        }
        if !snapshot.synced {
            return;
        }
        self.synced.set(true);
        self.state.borrow_mut().sources.watched(snapshot);
        self.rebuild();
    }

    /// Adds a pool of one address, or changes it.
    ///
    /// # Errors
    /// 400 for a registration that makes no sense, 409 where the name is a Service's or the configuration's.
    pub fn register(&self, registration: Registration) -> Result<Change, Refusal> {
        let change = self.state.borrow_mut().sources.register(registration)?;
        if change != Change::Unchanged {
            self.rebuild();
        }
        Ok(change)
    }

    /// Takes a registered pool away; its requests in flight go on where they still can.
    ///
    /// # Errors
    /// 404 where the name is not registered, 409 where it comes from elsewhere.
    pub fn unregister(&self, name: &str) -> Result<(), Refusal> {
        self.state.borrow_mut().sources.unregister(name)?;
        self.rebuild();
        Ok(())
    }

    fn rebuild(&self) {
        let now = Instant::now();
        let mut state = self.state.borrow_mut();
        state.rebuild(&self.config, now);
        self.settle(&mut state, now);
        self.changed.notify_one();
    }

    /// Knows its models and is not about to go.
    pub fn ready(&self) -> bool {
        !self.draining() && (self.synced.get() || !self.config.watch)
    }

    /// Is not ready from now on, so that no new connections come; those that do are still served.
    pub fn drain(&self) {
        if !self.draining() {
            self.draining.set(Some(Instant::now()));
        }
    }

    pub fn draining(&self) -> bool {
        self.draining.get().is_some()
    }

    /// Whether it drains for so long already.
    pub fn drains_for(&self, time: Duration) -> bool {
        self.draining
            .get()
            .is_some_and(|since| since.elapsed() >= time)
    }

    /// Requests that have a place or wait for one.
    #[cfg(test)]
    fn in_flight(&self) -> usize {
        self.held.get() + self.waiting()
    }

    /// Whether a pool has this model (its own name, no alias).
    pub fn knows(&self, model: &str) -> bool {
        self.state
            .borrow()
            .pools
            .iter()
            .any(|pool| *pool.model == *model)
    }

    #[cfg(test)]
    fn waiting(&self) -> usize {
        self.state
            .borrow()
            .pools
            .iter()
            .map(|pool| pool.queue.len())
            .sum()
    }
}

// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

//! The data path: a client's connection to an endpoint and back.
//!
//! [`client`] reads a request whole (so that it can be sent again), [`dispatch`] finds an endpoint that answers, and
//! [`forward`] passes the answer on as it comes.

mod asked;
mod client;
mod dispatch;
mod forward;
mod models;
mod request;
mod route;
mod upstream;

use crate::http::server::accept;
use crate::App;
use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::spawn_local;
use tokio::time::sleep;

/// What the data path keeps between requests.
pub struct Proxy {
    upstreams: upstream::Upstreams,
    /// Client connections.
    open: Cell<usize>,
    /// Requests from the head's arrival to the answer's last byte.
    running: Cell<usize>,
    /// Tells idle connections to end.
    drain: Notify,
    /// What identifiers of requests begin with, unlike that of other replicas.
    name: u32,
    requests: Cell<u32>,
    /// Unix time of the start, seconds.
    began: u64,
}

impl Default for Proxy {
    fn default() -> Self {
        Proxy {
            upstreams: upstream::Upstreams::default(),
            open: Cell::new(0),
            running: Cell::new(0),
            drain: Notify::new(),
            name: RandomState::new().hash_one("replica") as u32,
            requests: Cell::new(0),
            began: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| since.as_secs()),
        }
    }
}

/// A request that has not ended.
struct Running<'a>(&'a Proxy);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.set(self.0.running.get() - 1);
    }
}

impl Proxy {
    /// Requests that have not ended, wherever they are: on their way here, waiting, at an endpoint, on their way back.
    pub fn running(&self) -> usize {
        self.running.get()
    }

    /// One more, until what is returned is dropped.
    fn run(&self) -> Running<'_> {
        self.running.set(self.running.get() + 1);
        Running(self)
    }

    /// A new identifier for a request that has none.
    fn next_id(&self) -> String {
        let number = self.requests.get().wrapping_add(1);
        self.requests.set(number);
        format!("req-{:08x}{number:08x}", self.name)
    }
}

/// Connections beyond the limit that are told so; more are closed at once.
const TURNED_AWAY: usize = 64;

/// Serves clients for ever.
pub async fn serve(app: Rc<App>, listener: TcpListener) {
    spawn_local(housekeeping(app.clone()));
    let most = app.config.limits.connections;
    accept(listener, move |stream, address| {
        let open = app.proxy.open.get();
        if open >= most + TURNED_AWAY {
            return;
        }
        app.proxy.open.set(open + 1);
        app.observe.connection(true);
        let app = app.clone();
        spawn_local(async move {
            if open < most {
                client::connection(&app, stream, address).await;
            } else {
                client::turn_away(&app, stream).await;
            }
            app.proxy.open.set(app.proxy.open.get() - 1);
            app.observe.connection(false);
        });
    })
    .await;
}

/// Ends idle connections while draining, and closes those to endpoints that were kept too long.
async fn housekeeping(app: Rc<App>) {
    let mut beats: u32 = 0;
    loop {
        sleep(Duration::from_millis(250)).await;
        if app.routing.draining() {
            app.proxy.drain.notify_waiters();
        }
        beats = beats.wrapping_add(1);
        if beats % 20 == 0 {
            app.proxy.upstreams.sweep();
        }
    }
}

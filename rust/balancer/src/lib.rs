// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

//! An OpenAI-compatible load balancer for LlamaEdge pods: one thread, for wasm32-wasip1 and native alike.
//!
//! A request goes through [`proxy`]: [`keys`] admit its caller, [`routing`] gives it a place at an endpoint, its
//! bytes pass as [`http`] frames them, and [`observe`] counts what happened. [`admin`] answers on the other ports.

pub mod admin;
mod clock;
pub mod config;
pub mod http;
pub mod keys;
pub mod observe;
pub mod proxy;
pub mod routing;
pub mod runtime;

use std::rc::Rc;

/// What every connection shares.
pub struct App {
    pub config: Rc<config::Config>,
    pub routing: Rc<routing::Routing>,
    pub keys: Rc<keys::Keys>,
    pub observe: Rc<observe::Observe>,
    pub proxy: proxy::Proxy,
}

impl App {
    /// Everything that the configuration describes; nothing runs yet.
    pub fn new(config: config::Config) -> Rc<Self> {
        let routing = routing::Routing::new(&config);
        Rc::new(App {
            keys: keys::Keys::new(&config),
            observe: observe::Observe::new(&config, routing.clone()),
            routing,
            proxy: proxy::Proxy::default(),
            config: Rc::new(config),
        })
    }
}

/// Why a request is turned away before it reaches an endpoint; answered in OpenAI's shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub status: u16,
    /// OpenAI's machine-readable `error.code`, e.g. `model_not_found`.
    pub code: &'static str,
    /// One sentence with cause and remedy.
    pub message: String,
    /// Seconds for `Retry-After`.
    pub retry_after: Option<u32>,
}

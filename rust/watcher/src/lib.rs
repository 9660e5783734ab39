// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0
//! Lists and watches the Services of one namespace that carry `llamaedge/target=true`, and their EndpointSlices, and
//! tells each change as a whole [`Snapshot`]. Runs as WebAssembly under WasmEdge and natively, on one thread.
//!
//! What it needs is a Role in its namespace with `list` and `watch` on `services` and on
//! `endpointslices.discovery.k8s.io`, nothing more.

mod api;
mod backoff;
mod config;
mod dns;
mod http;
pub mod logging;
mod merge;
mod objects;
mod reflector;
pub mod registry;
mod snapshot;
mod stream;

pub use config::{Config, SERVICE_ACCOUNT};
pub use snapshot::{Endpoint, Kind, Pool, Snapshot};

use std::collections::HashMap;

use tokio::sync::{watch::Sender, Notify};

use crate::api::Api;
use crate::objects::{EndpointSlice, Service};
use crate::reflector::Reflector;

/// Keeps `updates` equal to the cluster, for ever: troubles are logged and tried again with growing pauses, and the
/// last snapshot stays while the API server is away.
///
/// # Panics
/// Where `config.api` is no address: [`Config::check`] says so before.
pub async fn watch(config: Config, updates: Sender<Snapshot>) -> ! {
    let api = Api::new(config).expect("an address that Config::check accepts");
    let changed = Notify::new();
    let services =
        Reflector::<Service>::new(&api, &changed, "api/v1", "services", &api.config.selector);
    // Slices without the label belong to nobody.
    let slices = Reflector::<EndpointSlice>::new(
        &api,
        &changed,
        "apis/discovery.k8s.io/v1",
        "endpointslices",
        "kubernetes.io/service-name",
    );
    tokio::select! {
        never = services.run() => never,
        never = slices.run() => never,
        never = publish(&api.config, &services, &slices, &changed, &updates) => never,
    }
}

async fn publish(
    config: &Config,
    services: &Reflector<'_, Service>,
    slices: &Reflector<'_, EndpointSlice>,
    changed: &Notify,
    updates: &Sender<Snapshot>,
) -> ! {
    let mut complained = HashMap::new();
    let mut going = false;
    loop {
        changed.notified().await;
        if !services.synced.get() || !slices.synced.get() {
            continue;
        }
        let (services, slices) = (services.objects.borrow(), slices.objects.borrow());
        if let (Some(pod), Some(service)) = (&config.own_pod, &config.own_service) {
            // It stays so when the pod has left the slice.
            going = going || merge::terminating(&slices, service, pod);
        }
        let snapshot = Snapshot {
            own_pod_terminating: going,
            ..merge::snapshot(&services, &slices)
        };
        complained.retain(|name, _| services.contains_key(name));
        for service in services.values() {
            let complaints = merge::complaints(service);
            if complained.get(&service.metadata.name) != Some(&complaints) {
                complaints
                    .iter()
                    .for_each(|sentence| log::warn!("{sentence}"));
                complained.insert(service.metadata.name.clone(), complaints);
            }
        }
        updates.send_if_modified(|known| {
            let modified = *known != snapshot;
            if modified {
                log::info!("{snapshot}");
                *known = snapshot;
            }
            modified
        });
    }
}

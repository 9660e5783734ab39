// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0
//! `watcher`: keeps the registry of a balancer in another pod equal to the cluster.

use wasinn_watcher::{logging, watch, Config, Snapshot};

fn main() {
    logging::init(log::LevelFilter::Debug);
    let config = Config::in_cluster()
        .and_then(|c| c.check().map(|()| c))
        .unwrap_or_else(|e| {
            eprintln!("{e}");
            std::process::exit(2)
        });
    let rt = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    rt.block_on(async {
        let (tx, mut rx) = tokio::sync::watch::channel(Snapshot::default());
        tokio::select! {
            _ = watch(config, tx) => {}
            _ = async { loop { rx.changed().await.unwrap(); println!("{}", serde_json::to_string(&*rx.borrow()).unwrap()); } } => {}
        }
    });
}

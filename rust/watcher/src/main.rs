// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0
//! `watcher`: keeps the registry of a balancer in another pod equal to the cluster.

fn main() {
    let _ = wasinn_watcher::Config::in_cluster();
}

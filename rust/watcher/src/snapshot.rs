// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0
//! What the watcher tells: pools of endpoints, as the cluster has them now.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// The cluster's pools at one time. `default()` is what is known before the first list: nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Snapshot {
    /// One per Service with the label, sorted by name.
    pub pools: Vec<Pool>,
    /// ClusterIP and port of the pools' Services, for those who want kube-proxy to choose; headless ones have none.
    pub services: BTreeMap<String, SocketAddr>,
    /// False until Services and EndpointSlices were listed once: the empty `pools` then mean nothing.
    pub synced: bool,
    /// The pod that watches ([`crate::Config::own_pod`]) is about to go: take no new work, end the old.
    pub own_pod_terminating: bool,
}

impl fmt::Display for Snapshot {
    /// For logs: `2 pools: a 3/3, b 1/2`, ready endpoints of all.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pools = self.pools.iter().map(|pool| {
            let ready = pool
                .endpoints
                .iter()
                .filter(|endpoint| endpoint.ready)
                .count();
            format!("{} {ready}/{}", pool.name, pool.endpoints.len())
        });
        write!(
            f,
            "{} pools: {}",
            self.pools.len(),
            pools.collect::<Vec<_>>().join(", ")
        )?;
        match self.own_pod_terminating {
            true => f.write_str("; this pod is terminating"),
            false => Ok(()),
        }
    }
}

/// One Service labelled `llamaedge/target=true`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Pool {
    /// The Service's name.
    pub name: String,
    /// Annotation `llamaedge/model`: the name that clients ask for; the Service's name without it.
    pub model: String,
    /// Annotation `llamaedge/aliases`, comma separated: other names of the model.
    pub aliases: Vec<String>,
    /// Annotation `llamaedge/kind`.
    pub kind: Kind,
    /// Annotation `llamaedge/weight`, 1 without it.
    pub weight: u32,
    /// Annotation `llamaedge/slots`: requests at once for each endpoint.
    pub slots: Option<u32>,
    /// Sorted by address; each address once, and one address of each pod.
    pub endpoints: Vec<Endpoint>,
}

/// One address of a pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Endpoint {
    /// Pod IP and port.
    pub address: SocketAddr,
    /// The pod's name, empty where the slice names none.
    pub pod: String,
    /// The node's name, empty where the slice names none.
    pub node: String,
    /// Takes new requests: ready, and not terminating.
    pub ready: bool,
    /// Is going: requests that run may end.
    pub terminating: bool,
}

/// What a model is for.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// `/v1/chat/completions`, `/v1/completions` and the rest.
    #[default]
    Chat,
    /// `/v1/embeddings`.
    Embedding,
}

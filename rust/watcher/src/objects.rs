// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0
//! What is read of the API's objects: `v1` Service and `discovery.k8s.io/v1` EndpointSlice.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

/// A field that is absent or null is the default: the API leaves empty lists out, and writes null in some places.
fn nullable<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Meta {
    pub(crate) name: String,
    pub(crate) resource_version: String,
    #[serde(deserialize_with = "nullable")]
    pub(crate) labels: BTreeMap<String, String>,
    #[serde(deserialize_with = "nullable")]
    pub(crate) annotations: BTreeMap<String, String>,
    /// Of a list: where the next page begins.
    #[serde(rename = "continue")]
    pub(crate) next: String,
}

#[derive(Deserialize)]
#[serde(bound = "T: Deserialize<'de>")]
pub(crate) struct List<T> {
    pub(crate) metadata: Meta,
    #[serde(default = "Vec::new", deserialize_with = "nullable")]
    pub(crate) items: Vec<T>,
}

/// A line of a watch, as far as it says how to read the rest.
#[derive(Deserialize)]
pub(crate) struct EventType {
    #[serde(rename = "type")]
    pub(crate) name: String,
}

#[derive(Deserialize)]
pub(crate) struct Event<T> {
    pub(crate) object: T,
}

/// What the API says in place of an answer.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Status {
    pub(crate) code: u16,
    pub(crate) message: String,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct Service {
    pub(crate) metadata: Meta,
    #[serde(deserialize_with = "nullable")]
    pub(crate) spec: ServiceSpec,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct ServiceSpec {
    #[serde(rename = "clusterIP")]
    pub(crate) cluster_ip: String,
    #[serde(deserialize_with = "nullable")]
    pub(crate) ip_families: Vec<String>,
    #[serde(deserialize_with = "nullable")]
    pub(crate) ports: Vec<Port>,
}

/// A port of a Service or of an EndpointSlice.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct Port {
    #[serde(deserialize_with = "nullable")]
    pub(crate) name: String,
    /// Null in a slice: all ports.
    pub(crate) port: Option<u16>,
    /// TCP without it.
    pub(crate) protocol: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct EndpointSlice {
    pub(crate) metadata: Meta,
    pub(crate) address_type: String,
    #[serde(deserialize_with = "nullable")]
    pub(crate) endpoints: Vec<SliceEndpoint>,
    #[serde(deserialize_with = "nullable")]
    pub(crate) ports: Vec<Port>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct SliceEndpoint {
    #[serde(deserialize_with = "nullable")]
    pub(crate) addresses: Vec<String>,
    #[serde(deserialize_with = "nullable")]
    pub(crate) conditions: Conditions,
    #[serde(deserialize_with = "nullable")]
    pub(crate) target_ref: Target,
    #[serde(deserialize_with = "nullable")]
    pub(crate) node_name: String,
}

/// Null means: ready, and not terminating.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct Conditions {
    pub(crate) ready: Option<bool>,
    pub(crate) terminating: Option<bool>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct Target {
    pub(crate) kind: String,
    pub(crate) name: String,
}

/// What a watched object has in common.
pub(crate) trait Object: for<'de> Deserialize<'de> + Clone + PartialEq {
    fn meta(&self) -> &Meta;
}

impl Object for Service {
    fn meta(&self) -> &Meta {
        &self.metadata
    }
}

impl Object for EndpointSlice {
    fn meta(&self) -> &Meta {
        &self.metadata
    }
}

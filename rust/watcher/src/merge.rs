// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0
//! Services and EndpointSlices as a snapshot: <https://kubernetes.io/docs/concepts/services-networking/endpoint-slices/>

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use crate::objects::{EndpointSlice, Object, Port, Service, SliceEndpoint};
use crate::snapshot::{Endpoint, Kind, Pool, Snapshot};

/// The label by which a slice says whose it is.
const OWNER: &str = "kubernetes.io/service-name";

/// The pools of all `services`, sorted by name.
pub(crate) fn snapshot(
    services: &BTreeMap<String, Service>,
    slices: &BTreeMap<String, EndpointSlice>,
) -> Snapshot {
    let pools = services
        .values()
        .map(|service| pool(service, slices))
        .collect();
    let addresses = services
        .iter()
        .filter_map(|(name, service)| Some((name.clone(), cluster_address(service)?)))
        .collect();
    Snapshot {
        pools,
        services: addresses,
        synced: true,
        own_pod_terminating: false,
    }
}

/// Whether a slice of the Service says that the pod is on its way out.
pub(crate) fn terminating(
    slices: &BTreeMap<String, EndpointSlice>,
    service: &str,
    pod: &str,
) -> bool {
    slices_of(slices, service)
        .flat_map(|slice| &slice.endpoints)
        .any(|endpoint| {
            endpoint.target_ref.name == pod && endpoint.conditions.terminating == Some(true)
        })
}

/// Sentences about annotations that say nothing usable; their default is taken.
pub(crate) fn complaints(service: &Service) -> Vec<String> {
    let name = &service.metadata.name;
    let wrong = |key: &str, what: &str, used: &str| {
        let value = annotation(service, key)?;
        Some(format!("Service {name}: annotation llamaedge/{key} is '{value}', which is not {what}; {used} is used."))
    };
    let number = |key| annotation(service, key).is_some_and(|value| value.parse::<u32>().is_err());
    let slots = annotation(service, "slots")
        .is_some_and(|value| !value.parse::<u32>().is_ok_and(|slots| slots > 0));
    let kind = annotation(service, "kind").is_some_and(|value| kind(value).is_none());
    [
        number("weight").then(|| wrong("weight", "a whole number from 0 on", "1")),
        slots.then(|| {
            wrong(
                "slots",
                "a whole number from 1 on",
                "the balancer's default",
            )
        }),
        kind.then(|| wrong("kind", "chat or embedding", "chat")),
    ]
    .into_iter()
    .flatten()
    .flatten()
    .collect()
}

fn annotation<'a>(service: &'a Service, key: &str) -> Option<&'a str> {
    let value = service
        .metadata
        .annotations
        .get(&format!("llamaedge/{key}"))?
        .trim();
    (!value.is_empty()).then_some(value)
}

fn number<T: FromStr>(service: &Service, key: &str) -> Option<T> {
    annotation(service, key)?.parse().ok()
}

fn kind(text: &str) -> Option<Kind> {
    match text {
        "chat" => Some(Kind::Chat),
        "embedding" | "embeddings" => Some(Kind::Embedding),
        _ => None,
    }
}

fn pool(service: &Service, slices: &BTreeMap<String, EndpointSlice>) -> Pool {
    let name = service.metadata.name.clone();
    let aliases = annotation(service, "aliases")
        .unwrap_or_default()
        .split(',')
        .map(str::trim);
    Pool {
        model: annotation(service, "model").unwrap_or(&name).to_owned(),
        aliases: aliases
            .filter(|alias| !alias.is_empty())
            .map(str::to_owned)
            .collect(),
        kind: annotation(service, "kind")
            .and_then(kind)
            .unwrap_or_default(),
        weight: number(service, "weight").unwrap_or(1),
        slots: number(service, "slots").filter(|slots| *slots > 0),
        endpoints: endpoints(service, slices),
        name,
    }
}

fn slices_of<'a>(
    slices: &'a BTreeMap<String, EndpointSlice>,
    service: &'a str,
) -> impl Iterator<Item = &'a EndpointSlice> {
    slices.values().filter(move |slice| {
        slice
            .meta()
            .labels
            .get(OWNER)
            .is_some_and(|owner| owner == service)
    })
}

/// Of all slices together. A pod with addresses of both families counts once: of the family that the Service prefers.
fn endpoints(service: &Service, slices: &BTreeMap<String, EndpointSlice>) -> Vec<Endpoint> {
    let mut families: HashMap<&str, BTreeMap<SocketAddr, Endpoint>> = HashMap::new();
    for slice in slices_of(slices, &service.metadata.name) {
        let Some(port) = http_port(&slice.ports) else {
            continue;
        };
        let family = families.entry(&slice.address_type).or_default();
        for endpoint in &slice.endpoints {
            let Some(found) = read(endpoint, port) else {
                continue;
            };
            // While a pod moves between slices, both may name it: the better news counts.
            match family.get(&found.address) {
                Some(known) if rank(known) >= rank(&found) => {}
                _ => drop(family.insert(found.address, found)),
            }
        }
    }
    let preferred = service.spec.ip_families.iter().map(String::as_str);
    let chosen = preferred
        .chain(["IPv4", "IPv6"])
        .find(|family| families.get(family).is_some_and(|all| !all.is_empty()));
    chosen
        .and_then(|family| families.remove(family))
        .unwrap_or_default()
        .into_values()
        .collect()
}

fn rank(endpoint: &Endpoint) -> (bool, bool) {
    (endpoint.ready, !endpoint.terminating)
}

fn read(endpoint: &SliceEndpoint, port: u16) -> Option<Endpoint> {
    // The API: all addresses of an endpoint are the same pod, and the first is enough.
    let address = endpoint.addresses.first()?.parse::<IpAddr>().ok()?;
    let conditions = &endpoint.conditions;
    let terminating = conditions.terminating.unwrap_or(false);
    let pod = if endpoint.target_ref.kind == "Pod" {
        endpoint.target_ref.name.clone()
    } else {
        String::new()
    };
    Some(Endpoint {
        address: SocketAddr::new(address, port),
        pod,
        node: endpoint.node_name.clone(),
        ready: conditions.ready.unwrap_or(true) && !terminating,
        terminating,
    })
}

/// The TCP port named `http`, else the first.
fn http_port(ports: &[Port]) -> Option<u16> {
    let tcp = || {
        ports
            .iter()
            .filter(|port| port.protocol.as_deref().unwrap_or("TCP") == "TCP")
    };
    tcp()
        .find(|port| port.name == "http")
        .or_else(|| tcp().next())?
        .port
}

fn cluster_address(service: &Service) -> Option<SocketAddr> {
    let address = service.spec.cluster_ip.parse().ok()?; // "None" is headless
    Some(SocketAddr::new(address, http_port(&service.spec.ports)?))
}

#[cfg(test)]
#[path = "merge_tests.rs"]
mod tests;

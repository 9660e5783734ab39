// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0
//! Lists recorded from kube-apiserver 1.34: a Deployment of two pods that were just deleted, and a Service without a
//! selector whose slices overlap.

use serde_json::{json, Value};

use super::*;
use crate::objects::List;

const SERVICES: &str = include_str!("../tests/recorded/services.json");
const SLICES: &str = include_str!("../tests/recorded/endpointslices.json");

fn named<T: Object>(list: Value) -> BTreeMap<String, T> {
    let list: List<T> = serde_json::from_value(list).unwrap();
    list.items
        .into_iter()
        .map(|object| (object.meta().name.clone(), object))
        .collect()
}

fn recorded() -> (Value, Value) {
    (
        serde_json::from_str(SERVICES).unwrap(),
        serde_json::from_str(SLICES).unwrap(),
    )
}

fn merged((services, slices): (Value, Value)) -> Snapshot {
    snapshot(&named(services), &named(slices))
}

fn pool<'a>(snapshot: &'a Snapshot, name: &str) -> &'a Pool {
    snapshot
        .pools
        .iter()
        .find(|pool| pool.name == name)
        .unwrap()
}

/// Address, pod, ready, terminating.
fn seen(pool: &Pool) -> Vec<(String, &str, bool, bool)> {
    let row = |one: &'_ Endpoint| (one.address.to_string(), one.ready, one.terminating);
    let rows = pool
        .endpoints
        .iter()
        .map(|one| (row(one), one.pod.as_str()));
    rows.map(|((address, ready, terminating), pod)| (address, pod, ready, terminating))
        .collect()
}

/// The item of that name in a list.
fn item<'a>(list: &'a mut Value, prefix: &str) -> &'a mut Value {
    let items = list["items"].as_array_mut().unwrap();
    items
        .iter_mut()
        .find(|item| {
            item["metadata"]["name"]
                .as_str()
                .unwrap()
                .starts_with(prefix)
        })
        .unwrap()
}

#[test]
fn pods_that_go_and_pods_that_come() {
    let snapshot = merged(recorded());
    let alpha = pool(&snapshot, "alpha");
    assert_eq!(
        seen(alpha),
        [
            (
                "10.42.0.3:8080".into(),
                "alpha-5f985494f5-t7vxr",
                false,
                true
            ),
            (
                "10.42.0.4:8080".into(),
                "alpha-5f985494f5-j9t6q",
                true,
                false
            ),
            (
                "10.42.1.5:8080".into(),
                "alpha-5f985494f5-zqjrn",
                false,
                true
            ),
            (
                "10.42.1.6:8080".into(),
                "alpha-5f985494f5-m8kcm",
                true,
                false
            ),
        ]
    );
    assert_eq!(alpha.endpoints[0].node, "node1");
    assert_eq!(
        (alpha.model.as_str(), alpha.weight, alpha.slots, alpha.kind),
        ("alpha-chat", 3, Some(2), Kind::Chat)
    );
    assert_eq!(alpha.aliases, ["gpt-4o", "small"]);
    assert!(snapshot.synced && !snapshot.own_pod_terminating);
    assert_eq!(snapshot.services["alpha"].port(), 80);
    assert!(
        !snapshot.services.contains_key("outside"),
        "a headless Service has no address"
    );
    assert_eq!(
        snapshot.to_string(),
        "4 pools: alpha 2/4, extra 0/0, outside 2/2, smollm2-135m-instruct 1/1"
    );
}

#[test]
fn overlapping_slices_count_each_address_once_and_the_better_news() {
    let snapshot = merged(recorded());
    let outside = pool(&snapshot, "outside");
    // Of an endpoint's addresses the first; .9 is unready in one slice and ready in another; IPv6 is the other family.
    assert_eq!(
        seen(outside),
        [
            ("192.0.2.7:8080".into(), "", true, false),
            ("192.0.2.9:8080".into(), "", true, false)
        ]
    );
    assert_eq!(
        (outside.weight, outside.slots, outside.kind),
        (1, None, Kind::Embedding)
    );
}

#[test]
fn the_family_that_the_service_prefers() {
    let mut lists = recorded();
    item(&mut lists.0, "outside")["spec"]["ipFamilies"] = json!(["IPv6", "IPv4"]);
    assert_eq!(
        seen(pool(&merged(lists.clone()), "outside")),
        [("[2001:db8::7]:8080".into(), "", true, false)]
    );
    item(&mut lists.1, "outside-c")["endpoints"] = Value::Null;
    assert_eq!(
        pool(&merged(lists), "outside").endpoints.len(),
        2,
        "none of that family: the other"
    );
}

#[test]
fn ports() {
    let ports_of = |ports: Value| {
        let mut lists = recorded();
        item(&mut lists.1, "alpha")["ports"] = ports;
        let found = merged(lists);
        pool(&found, "alpha")
            .endpoints
            .first()
            .map(|one| one.address.port())
    };
    assert_eq!(
        ports_of(json!([{"name": "grpc", "port": 1}, {"name": "http", "port": 2}])),
        Some(2)
    );
    assert_eq!(
        ports_of(json!([{"name": "grpc", "port": 1}, {"name": "web", "port": 2}])),
        Some(1)
    );
    assert_eq!(
        ports_of(
            json!([{"name": "http", "port": 1, "protocol": "UDP"}, {"port": 2, "protocol": "TCP"}])
        ),
        Some(2)
    );
    assert_eq!(
        ports_of(json!([{"name": null, "port": 3, "protocol": null}])),
        Some(3)
    );
    assert_eq!(
        ports_of(json!([{"name": "http", "port": null}])),
        None,
        "all ports is none"
    );
    assert_eq!(ports_of(Value::Null), None);
}

#[test]
fn conditions_that_are_unknown_mean_ready() {
    let with = |conditions: Value| {
        let mut lists = recorded();
        item(&mut lists.1, "smollm2")["endpoints"][0]["conditions"] = conditions;
        let found = merged(lists);
        let endpoint = &pool(&found, "smollm2-135m-instruct").endpoints[0];
        (endpoint.ready, endpoint.terminating)
    };
    assert_eq!(with(json!({})), (true, false));
    assert_eq!(with(Value::Null), (true, false));
    assert_eq!(
        with(json!({"ready": null, "terminating": null})),
        (true, false)
    );
    assert_eq!(with(json!({"ready": false})), (false, false));
    // publishNotReadyAddresses: ready all the time, also on the way out.
    assert_eq!(
        with(json!({"ready": true, "serving": true, "terminating": true})),
        (false, true)
    );
}

#[test]
fn addresses_that_are_none_are_left_out() {
    for addresses in [json!([]), json!(["db.example.com"]), Value::Null] {
        let mut lists = recorded();
        item(&mut lists.1, "smollm2")["endpoints"][0]["addresses"] = addresses;
        assert!(pool(&merged(lists), "smollm2-135m-instruct")
            .endpoints
            .is_empty());
    }
}

#[test]
fn a_pod_learns_from_its_services_slice_that_it_goes() {
    let slices = named(recorded().1);
    assert!(terminating(&slices, "alpha", "alpha-5f985494f5-t7vxr"));
    assert!(!terminating(&slices, "alpha", "alpha-5f985494f5-j9t6q"));
    assert!(
        !terminating(&slices, "outside", "alpha-5f985494f5-t7vxr"),
        "another Service's slices say nothing"
    );
    assert!(!terminating(&slices, "alpha", "nobody"));
}

#[test]
fn annotations_that_cannot_be_are_told() {
    let services: BTreeMap<_, Service> = named(recorded().0);
    assert!(complaints(&services["alpha"]).is_empty());
    let said = complaints(&services["outside"]);
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(
        said[0].contains("llamaedge/weight is 'lots'")
            && said[1].contains("llamaedge/slots is '0'"),
        "{said:?}"
    );
    let mut lists = recorded();
    item(&mut lists.0, "alpha")["metadata"]["annotations"] = json!({
        "llamaedge/kind": "chatty", "llamaedge/weight": " 0 ", "llamaedge/model": "", "llamaedge/aliases": ""
    });
    let services: BTreeMap<_, Service> = named(lists.0.clone());
    assert!(complaints(&services["alpha"])[0].contains("'chatty'"));
    let found = merged(lists);
    let alpha = pool(&found, "alpha");
    assert_eq!(
        (
            alpha.kind,
            alpha.weight,
            alpha.model.as_str(),
            alpha.aliases.len()
        ),
        (Kind::Chat, 0, "alpha", 0)
    );
}

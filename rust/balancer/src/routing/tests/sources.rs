// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

use std::time::Duration;

use super::super::{Change, Registration, Source};
use super::*;

fn registration(name: &str, weight: u32, port: u16) -> Registration {
    // What the seed demo's watcher posts.
    let json = format!(r#"{{"name":"{name}","weight":{weight},"ip":"10.1.0.1","port":{port}}}"#);
    serde_json::from_str(&json).unwrap()
}

#[tokio::test]
async fn registrations_live_beside_services() {
    let routing = routing("", vec![pool("svc", "svc", 1, &[1])]);
    assert_eq!(
        routing.register(registration("seed", 3, 8080)),
        Ok(Change::Added)
    );
    assert_eq!(
        routing.register(registration("seed", 3, 8080)),
        Ok(Change::Unchanged)
    );
    let slot = now(&routing, &named("seed")).await;
    assert_eq!(slot.address(), address("10.1.0.1:8080"));
    assert_eq!(
        routing.register(registration("seed", 5, 8080)),
        Ok(Change::Updated)
    );
    assert!(!is_lost(&slot));
    // A snapshot leaves registrations alone.
    routing.apply(&snapshot(vec![]));
    let view = routing.view();
    assert_eq!(
        (view.pools.len(), view.pools[0].weight, view.pools[0].source),
        (1, 5, Source::Registration)
    );
    assert_eq!(view.pools[0].in_flight, 1);
    assert_eq!(routing.unregister("seed"), Ok(()));
    assert_eq!(routing.unregister("seed").unwrap_err().status, 404);
    assert!(routing.models(None).is_empty());
    // Its address may well go on with what it has.
    assert!(!is_lost(&slot));
    assert_eq!(routing.in_flight(), 1);
}

#[tokio::test]
async fn a_services_name_is_its_own() {
    let routing = routing(
        "[[pools]]\nname = 'fixed'\nendpoints = ['10.9.0.1:1']",
        vec![pool("svc", "svc", 1, &[1])],
    );
    for (name, words) in [
        ("svc", "the cluster's Service"),
        ("fixed", "the configuration file"),
    ] {
        let refusal = routing.register(registration(name, 1, 8080)).unwrap_err();
        assert_eq!((refusal.status, refusal.code), (409, "name_taken"));
        assert!(refusal.message.contains(words), "{}", refusal.message);
        assert_eq!(routing.unregister(name).unwrap_err().status, 409);
    }
    assert_eq!(
        routing
            .register(registration("x", 1, 0))
            .unwrap_err()
            .status,
        400
    );
    // A Service that comes later takes the name over, and gives it back when it goes.
    routing.register(registration("late", 1, 8080)).unwrap();
    routing.apply(&snapshot(vec![pool("late", "late", 1, &[2])]));
    assert_eq!(
        now(&routing, &named("late")).await.address(),
        endpoint(2).address
    );
    routing.apply(&snapshot(vec![]));
    assert_eq!(
        now(&routing, &named("late")).await.address(),
        address("10.1.0.1:8080")
    );
}

#[tokio::test]
async fn snapshots_leave_requests_in_flight_alone() {
    let routing = routing("", vec![pool("a", "a", 1, &[1, 2, 3])]);
    let ask = named("a");
    let slots = [
        now(&routing, &ask).await,
        now(&routing, &ask).await,
        now(&routing, &ask).await,
    ];
    let at = |number| {
        slots
            .iter()
            .find(|slot| slot.address() == endpoint(number).address)
            .unwrap()
    };
    // One terminates, one vanishes, one stays.
    let mut next = pool("a", "a", 1, &[1, 2]);
    (next.endpoints[0].ready, next.endpoints[0].terminating) = (false, true);
    routing.apply(&snapshot(vec![next]));
    assert!(!is_lost(at(1)) && !is_lost(at(2)) && is_lost(at(3)));
    // The one that terminated may go: its request ends by itself.
    routing.apply(&snapshot(vec![pool("a", "a", 1, &[2])]));
    assert!(!is_lost(at(1)) && !is_lost(at(2)));
    // An address that another pod has got is another endpoint.
    let mut other = pool("a", "a", 1, &[2]);
    other.endpoints[0].pod = "another".into();
    routing.apply(&snapshot(vec![other]));
    assert!(is_lost(at(2)));
    assert_eq!(routing.view().pools[0].in_flight, 0);
    assert_eq!(routing.in_flight(), 3);
    let slot = now(&routing, &ask).await;
    assert!(!is_lost(&slot));
    drop(slots);
    assert_eq!(
        (routing.in_flight(), routing.view().pools[0].in_flight),
        (1, 1)
    );
}

#[tokio::test]
async fn unready_and_terminating_endpoints_take_no_new_requests() {
    let mut a = pool("a", "a", 1, &[1, 2, 3]);
    a.endpoints[0].ready = false;
    a.endpoints[1].terminating = true;
    let routing = routing("", vec![a]);
    for _ in 0..5 {
        assert_eq!(
            now(&routing, &named("a")).await.address(),
            endpoint(3).address
        );
    }
}

#[tokio::test]
async fn a_busy_endpoint_that_misses_its_probe_stays() {
    let unready = || {
        let mut a = pool("a", "a", 1, &[1]);
        a.endpoints[0].ready = false;
        snapshot(vec![a])
    };
    let ask = named("a");
    let trusting = routing("", vec![pool("a", "a", 1, &[1])]);
    let busy = now(&trusting, &ask).await;
    trusting.apply(&unready());
    trusting.apply(&unready());
    drop(busy);
    let slot = now(&trusting, &ask).await;
    // Once it fails a request, the probe is believed.
    slot.outcome(Outcome::Broken);
    drop(slot);
    has_to_wait(&trusting, &ask);
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    has_to_wait(&trusting, &ask);
    trusting.apply(&snapshot(vec![pool("a", "a", 1, &[1])]));
    now(&trusting, &ask).await;
    // Idle and unready is unready.
    trusting.apply(&unready());
    has_to_wait(&trusting, &ask);
    let strict = routing(
        "[health]\ninterval = 0\ntrust_busy = false",
        vec![pool("a", "a", 1, &[1])],
    );
    let busy = now(&strict, &ask).await;
    strict.apply(&unready());
    drop(busy);
    has_to_wait(&strict, &ask);
}

#[tokio::test]
async fn ready_once_the_models_are_known_until_it_drains() {
    let watching = Routing::new(&Config::default());
    assert!(!watching.ready());
    let refusal = watching.acquire(&named("a")).await.err().unwrap();
    assert_eq!((refusal.status, refusal.retry_after), (503, Some(1)));
    watching.apply(&Snapshot::default());
    assert!(!watching.ready());
    watching.apply(&snapshot(vec![pool("a", "a", 1, &[1])]));
    assert!(watching.ready());
    assert_eq!(
        watching.acquire(&named("b")).await.err().unwrap().status,
        404
    );
    // It is about to go: those that still come are served.
    let own = Snapshot {
        own_pod_terminating: true,
        ..snapshot(vec![pool("a", "a", 1, &[1])])
    };
    watching.apply(&own);
    assert!(watching.draining() && !watching.ready());
    now(&watching, &named("a")).await;
    // The hook waits for a while from the first word of it on, however often it is said.
    assert!(!watching.drains_for(Duration::from_millis(50)));
    tokio::time::sleep(Duration::from_millis(60)).await;
    watching.apply(&own);
    assert!(watching.drains_for(Duration::from_millis(50)));
    let alone = Routing::new(&Config::parse("watch = false").unwrap());
    assert!(alone.ready());
    alone.drain();
    assert!(!alone.ready());
}

#[tokio::test]
async fn views() {
    let mut a = pool("a", "m", 1, &[1]);
    a.aliases = vec!["n".into()];
    let routing = routing(
        "",
        vec![a, pool("b", "m", 2, &[]), pool("c", "alone", 0, &[])],
    );
    let models = routing.models(None);
    let names: Vec<_> = models
        .iter()
        .map(|model| (&*model.id, model.available))
        .collect();
    assert_eq!(names, [("alone", false), ("m", true)]);
    assert_eq!(
        (&models[1].pools[..], &models[1].aliases[..]),
        (&["a".to_owned(), "b".into()][..], &["n".to_owned()][..])
    );
    let _slot = now(&routing, &named("m")).await;
    let json = serde_json::to_value(routing.view()).unwrap();
    assert_eq!(json["pools"][0]["source"], "service");
    assert_eq!(json["pools"][0]["endpoints"][0]["address"], "10.0.0.1:8080");
    assert_eq!(json["pools"][0]["endpoints"][0]["in_flight"], 1);
    assert_eq!(
        json["pools"][0]["endpoints"][0]["ejected"],
        serde_json::Value::Null
    );
    assert_eq!(json["in_flight"], 1);
}

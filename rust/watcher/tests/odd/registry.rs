// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0
//! A balancer's admin API: one that forgets, refuses, or is an older one.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{json, Value};
use tempfile::TempDir;
use tokio::sync::watch::{channel, Sender};
use tokio::time::{sleep, timeout};
use wasinn_watcher::registry::Registry;
use wasinn_watcher::{Endpoint, Kind, Pool, Snapshot};

use crate::fake::{logged, serve, Asked, Say, TOKEN};

type Known = Arc<Mutex<BTreeMap<String, Value>>>;

fn snapshot(pools: &[(&str, u32)]) -> Snapshot {
    let endpoint = |last| Endpoint {
        address: ([10, 42, 0, last], 8080).into(),
        pod: String::new(),
        node: String::new(),
        ready: last < 9,
        terminating: false,
    };
    let pool = |&(name, weight): &(&str, u32)| Pool {
        name: name.into(),
        model: "m".into(),
        aliases: vec!["x".into()],
        kind: Kind::Chat,
        weight,
        slots: Some(2),
        endpoints: vec![endpoint(1), endpoint(2), endpoint(9)],
    };
    let services = pools
        .iter()
        .map(|(name, _)| ((*name).to_owned(), ([10, 43, 0, 7], 80).into()))
        .collect();
    Snapshot {
        pools: pools.iter().map(pool).collect(),
        services,
        synced: true,
        own_pod_terminating: false,
    }
}

/// Keeps what is registered; the list is made of it by `shown`.
fn admin(known: &Known, shown: fn(&Value) -> Value) -> String {
    let known = known.clone();
    let address = serve(move |asked: &Asked| {
        let mut known = known.lock().unwrap();
        if asked.token != TOKEN {
            return Say::Json(401, "{}".into());
        }
        match (asked.method.as_str(), asked.path.as_str()) {
            ("GET", "/api/services") => {
                Say::Json(200, Value::from_iter(known.values().map(shown)).to_string())
            }
            ("POST", "/api/register") => {
                let body: Value = serde_json::from_str(&asked.body).unwrap();
                if body["name"] == "refused" {
                    return Say::Json(
                        400,
                        r#"{"error":{"message":"name is taken; choose another."}}"#.into(),
                    );
                }
                known.insert(body["name"].as_str().unwrap().to_owned(), body);
                Say::Json(200, "{}".into())
            }
            ("DELETE", path) => {
                assert!(
                    known
                        .remove(path.strip_prefix("/api/unregister/").unwrap())
                        .is_some(),
                    "{path}"
                );
                Say::Json(200, "{}".into())
            }
            other => panic!("not asked for: {other:?}"),
        }
    });
    format!("http://{address}")
}

/// Runs a test beside a registry that is kept.
fn keeping<F: std::future::Future>(url: &str, test: impl FnOnce(Sender<Snapshot>, PathBuf) -> F) {
    let folder = TempDir::new().unwrap();
    let token = folder.path().join("token");
    fs::write(&token, TOKEN).unwrap();
    let registry = Registry::new(url, token.clone()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let (updates, snapshots) = channel(Snapshot::default());
        tokio::select! {
            never = registry.keep(snapshots) => never,
            _ = test(updates, token) => (),
        }
    });
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let wait = async {
        while !holds() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(
        timeout(Duration::from_secs(20), wait).await.is_ok(),
        "{what}"
    );
}

#[test]
fn the_registry_follows_and_a_balancer_started_anew_learns_it_again() {
    let known = &Known::default();
    known.lock().unwrap().insert(
        "watched".into(),
        json!({"name": "watched", "weight": 1, "source": "service"}),
    );
    known.lock().unwrap().insert(
        "stale".into(),
        json!({"name": "stale", "weight": 1, "source": "registration"}),
    );
    let url = admin(known, Value::clone);
    let names = || known.lock().unwrap().keys().cloned().collect::<Vec<_>>();
    keeping(&url, |updates, _| async move {
        sleep(Duration::from_millis(300)).await;
        assert_eq!(
            names(),
            ["stale", "watched"],
            "nothing is known of the cluster yet, so nothing is changed"
        );
        updates.send_replace(snapshot(&[("a", 3), ("b", 1)]));
        until(
            "registered; what the balancer watches by itself stays",
            || names() == ["a", "b", "watched"],
        )
        .await;
        assert_eq!(
            known.lock().unwrap()["a"],
            json!({"name": "a", "weight": 3, "ip": "10.43.0.7", "port": 80, "model": "m", "aliases": ["x"], "kind": "chat", "slots": 4})
        );
        updates.send_replace(snapshot(&[("a", 5)]));
        until("weight and removal", || {
            names() == ["a", "watched"] && known.lock().unwrap()["a"]["weight"] == 5
        })
        .await;
        known.lock().unwrap().clear();
        until("registered again after a restart", || names() == ["a"]).await;
    });
}

#[test]
fn the_seed_demos_list_is_enough() {
    let known = &Known::default();
    let seed = |entry: &Value| json!({"name": entry["name"], "weight": entry["weight"], "ip": entry["ip"], "port": entry["port"]});
    let url = admin(known, seed);
    let names = || known.lock().unwrap().keys().cloned().collect::<Vec<_>>();
    keeping(&url, |updates, _| async move {
        updates.send_replace(snapshot(&[("a", 3)]));
        until("registered", || names() == ["a"]).await;
        updates.send_replace(snapshot(&[]));
        until("unregistered", || names().is_empty()).await;
    });
}

#[test]
fn a_refusal_is_told_and_the_others_are_made() {
    let known = &Known::default();
    let url = admin(known, Value::clone);
    let logged = logged();
    let said = &|words: &str| {
        logged
            .lock()
            .unwrap()
            .iter()
            .filter(|line| line.contains(&url) && line.contains(words))
            .count()
    };
    keeping(&url, |updates, token| async move {
        let mut wanted = snapshot(&[("refused", 1), ("z", 1), ("headless", 1)]);
        wanted.services.remove("headless");
        updates.send_replace(wanted);
        until("the others", || known.lock().unwrap().contains_key("z")).await;
        until("told", || {
            said("refused: The balancer") == 1 && said("name is taken") == 1
        })
        .await;
        assert!(logged
            .lock()
            .unwrap()
            .iter()
            .any(|line| line.contains("No ClusterIP to register: headless")));
        fs::write(&token, "another").unwrap();
        until("told", || said("does not accept the token") == 1).await;
        fs::write(&token, TOKEN).unwrap();
        updates.send_replace(snapshot(&[("z", 2)]));
        until("goes on", || known.lock().unwrap()["z"]["weight"] == 2).await;
    });
    assert_eq!(said("name is taken"), 1, "once, not at each attempt");
}

#[test]
fn what_cannot_begin_says_why() {
    let folder = TempDir::new().unwrap();
    let token = folder.path().join("token");
    let error = |url: &str| Registry::new(url, token.clone()).err().unwrap();
    assert!(error("http://b:9091").contains("mount the Secret"));
    fs::write(&token, "t").unwrap();
    for url in [
        "b:9091",
        "https://b:9091",
        "http://b",
        "http://b:9091/api",
        "http://b:high",
    ] {
        assert!(error(url).contains("give http://host:port"), "{url}");
    }
    assert!(Registry::new("http://b:9091/", token).is_ok());
}

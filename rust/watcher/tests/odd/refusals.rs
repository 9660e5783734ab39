// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0
//! An API server that says no, and what is said of it.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use crate::api::{event, list, no_slices, page, service};
use crate::fake::{config, expect, logged, serve, watching, Say, TOKEN};

#[test]
fn gone_as_status_and_in_the_middle_of_pages() {
    let api = serve(|asked| {
        if let Some(say) = no_slices(asked) {
            return say;
        }
        let gone = r#"{"kind":"Status","code":410,"reason":"Expired","message":"too old"}"#;
        match (asked.before, asked.watches("services")) {
            (0, false) => page(10, &[service("old", 1)], "more"),
            (1, false) => Say::Json(410, gone.into()), // the page's token expired
            (2, false) => list(20, &[service("first", 1)]),
            (3, true) => Say::Json(410, gone.into()),
            (4, false) => list(30, &[service("second", 1)]),
            (_, true) => Say::Silence(vec![]),
            other => panic!("not asked for: {other:?}"),
        }
    });
    let (_folder, config) = config(api);
    watching(config, |mut snapshots| async move {
        expect(&mut snapshots, "first 0/0").await;
        expect(&mut snapshots, "second 0/0").await;
    });
}

#[test]
fn forbidden_says_which_role_is_missing() {
    let allowed = Arc::new(AtomicBool::new(false));
    let api = serve({
        let allowed = allowed.clone();
        move |asked| {
            match no_slices(asked) {
            Some(say) => say,
            None if !allowed.load(Ordering::Relaxed) => Say::Json(
                403,
                // As kube-apiserver 1.34 says it.
                r#"{"kind":"Status","code":403,"reason":"Forbidden","message":"services is forbidden: User \"system:serviceaccount:llamaedge:w\" cannot list resource \"services\" in API group \"\" in the namespace \"llamaedge\""}"#.into(),
            ),
            None if asked.watches("services") => Say::Silence(vec![]),
            None => list(1, &[service("a", 1)]),
        }
        }
    });
    let logged = logged();
    let (_folder, config) = config(api);
    watching(config, |mut snapshots| async move {
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(!snapshots.borrow().synced);
        allowed.store(true, Ordering::Relaxed);
        expect(&mut snapshots, "a 0/0").await;
    });
    let said = logged
        .lock()
        .unwrap()
        .iter()
        .filter(|line| line.contains("cannot list resource"))
        .cloned()
        .collect::<Vec<_>>();
    assert_eq!(said.len(), 1, "said once, not at each attempt: {said:#?}");
    assert!(
        said[0].contains("Role in namespace llamaedge with list and watch on services"),
        "{said:#?}"
    );
}

#[test]
fn a_watch_that_is_forbidden_is_told_once_and_lists_go_on() {
    let lists = Arc::new(AtomicUsize::new(0));
    let api = serve({
        let lists = lists.clone();
        move |asked| match no_slices(asked) {
            Some(say) => say,
            None if asked.watches("services") => Say::Json(
                403,
                r#"{"message":"cannot watch resource services"}"#.into(),
            ),
            None => match lists.fetch_add(1, Ordering::Relaxed) {
                0 => list(1, &[service("a", 1)]),
                _ => list(2, &[service("a", 1), service("b", 2)]),
            },
        }
    });
    let logged = logged();
    let (_folder, config) = config(api);
    watching(config, |mut snapshots| async move {
        expect(&mut snapshots, "a 0/0, b 0/0").await;
        tokio::time::sleep(Duration::from_secs(4)).await;
    });
    let said = logged
        .lock()
        .unwrap()
        .iter()
        .filter(|line| line.contains("cannot watch resource"))
        .count();
    assert_eq!(said, 1);
    assert!(lists.load(Ordering::Relaxed) < 5, "pauses grow");
}

#[test]
fn a_token_that_was_replaced_is_read_again() {
    let rotated = Arc::new(AtomicBool::new(false));
    let refused = Arc::new(AtomicBool::new(false));
    let api = serve({
        let (rotated, refused) = (rotated.clone(), refused.clone());
        move |asked| {
            let wanted = if rotated.load(Ordering::Relaxed) {
                "second"
            } else {
                TOKEN
            };
            match no_slices(asked) {
                _ if asked.token != wanted => {
                    refused.store(true, Ordering::Relaxed);
                    Say::Json(401, r#"{"code":401,"message":"Unauthorized"}"#.into())
                }
                Some(say) => say,
                None if asked.before == 0 => list(1, &[service("a", 1)]),
                None if asked.before == 1 => {
                    while !rotated.load(Ordering::Relaxed) {
                        sleep(Duration::from_millis(20));
                    }
                    Say::Lines(vec![])
                }
                None if asked.watches("services") => {
                    Say::Silence(vec![event("ADDED", &service("b", 2))])
                }
                None => list(2, &[service("a", 1), service("b", 2)]),
            }
        }
    });
    let (folder, config) = config(api);
    watching(config, |mut snapshots| async move {
        expect(&mut snapshots, "a 0/0").await;
        rotated.store(true, Ordering::Relaxed);
        while !refused.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        fs::write(folder.path().join("token"), "second\n").unwrap();
        expect(&mut snapshots, "a 0/0, b 0/0").await;
    });
}

#[test]
fn what_cannot_begin_says_why() {
    let (folder, mut config) = config("127.0.0.1:9".parse().unwrap());
    config.check().unwrap();
    for (api, word) in [
        ("127.0.0.1:6443", "give https://host:port"),
        ("ftp://127.0.0.1", "give https://host:port"),
        ("https://127.0.0.1:port", "give https://host:port"),
        ("http://10.43.0.1:6443", "no TLS"), // the token would be readable on the way
    ] {
        let mut wrong = config.clone();
        wrong.api = api.into();
        assert!(
            wrong.check().unwrap_err().contains(word),
            "{api}: {:?}",
            wrong.check()
        );
    }
    config.api = "https://[fd00::1]:6443".into();
    config.ca_file = folder.path().join("ca.crt");
    assert!(config
        .check()
        .unwrap_err()
        .contains("ca.crt cannot be read"));
    fs::write(&config.ca_file, "no certificate").unwrap();
    assert!(config
        .check()
        .unwrap_err()
        .contains("no file of CA certificates"));
    fs::write(&config.token_file, "\n").unwrap();
    assert!(config.check().unwrap_err().contains("token is empty"));
}

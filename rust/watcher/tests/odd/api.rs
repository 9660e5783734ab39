// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0
//! An API server at its worst.

use std::net::TcpListener;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::fake::{config, expect, logged, serve, serve_on, watching, Asked, Say};

const RECORDED: &str = include_str!("../recorded/watch.jsonl");

pub fn service(name: &str, version: u32) -> String {
    format!(
        r#"{{"metadata":{{"name":"{name}","resourceVersion":"{version}"}},"spec":{{"clusterIP":"10.43.0.9"}}}}"#
    )
}

pub fn event(kind: &str, object: &str) -> String {
    format!(r#"{{"type":"{kind}","object":{object}}}"#)
}

pub fn list(version: u32, items: &[String]) -> Say {
    page(version, items, "")
}

pub fn page(version: u32, items: &[String], next: &str) -> Say {
    let items = items.join(",");
    let body = format!(
        r#"{{"metadata":{{"resourceVersion":"{version}","continue":"{next}"}},"items":[{items}]}}"#
    );
    Say::Json(200, body)
}

/// Slices are listed once, there are none, and their watches are quiet.
pub fn no_slices(asked: &Asked) -> Option<Say> {
    let slices = asked.path.contains("/endpointslices");
    slices.then(|| match asked.watches("endpointslices") {
        true => Say::Silence(vec![]),
        false => list(1, &[]),
    })
}

#[test]
fn pages_then_what_a_real_server_told() {
    let api = serve(|asked| {
        if let Some(say) = no_slices(asked) {
            return say;
        }
        match asked.path.split_once("continue=").map(|(_, rest)| rest) {
            Some("") => page(1618, &[service("a", 5)], "page/2="),
            Some("page%2F2%3D") => page(1618, &[service("b", 6), service("extra", 7)], ""),
            Some(other) => panic!("no such page: {other}"),
            None if asked.path.contains("resourceVersion=1618") => {
                assert!(
                    asked
                        .path
                        .contains("labelSelector=llamaedge%2Ftarget%3Dtrue"),
                    "{}",
                    asked.path
                );
                assert!(
                    asked.path.contains("allowWatchBookmarks=true"),
                    "{}",
                    asked.path
                );
                // MODIFIED and DELETED of extra, a bookmark, and the error of a version that is too old.
                sleep(Duration::from_millis(200));
                Say::Lines(RECORDED.lines().map(str::to_owned).collect())
            }
            None => Say::Silence(vec![]),
        }
    });
    let (_folder, config) = config(api);
    watching(config, |mut snapshots| async move {
        expect(&mut snapshots, "a 0/0, b 0/0, extra 0/0").await;
        expect(&mut snapshots, "a 0/0, b 0/0").await;
        // The recorded error is 410: everything is listed again.
        expect(&mut snapshots, "a 0/0, b 0/0, extra 0/0").await;
    });
}

#[test]
fn a_cut_watch_goes_on_where_it_was() {
    let api = serve(|asked| {
        if let Some(say) = no_slices(asked) {
            return say;
        }
        match asked.before {
            0 => list(10, &[]),
            1 => Say::Cut(vec![
                event("ADDED", &service("a", 11)),
                event("ADDED", &service("b", 12)),
            ]),
            2 => {
                assert!(
                    asked.path.contains("resourceVersion=11"),
                    "b's event was cut: {}",
                    asked.path
                );
                Say::Silence(vec![event("ADDED", &service("b", 12))])
            }
            _ => panic!("not asked for: {}", asked.path),
        }
    });
    let (_folder, config) = config(api);
    watching(config, |mut snapshots| async move {
        expect(&mut snapshots, "a 0/0, b 0/0").await
    });
}

#[test]
fn bytes_that_come_one_by_one() {
    let api = serve(|asked| {
        if let Some(say) = no_slices(asked) {
            return say;
        }
        match asked.before {
            0 => list(10, &[]),
            1 => Say::Dribble(format!(
                "{}\n{}\n",
                event("ADDED", &service("a", 11)),
                event("ADDED", &service("b", 12))
            )),
            _ => Say::Silence(vec![]),
        }
    });
    let (_folder, config) = config(api);
    watching(config, |mut snapshots| async move {
        expect(&mut snapshots, "a 0/0, b 0/0").await
    });
}

#[test]
fn garbage_is_survived_and_the_last_snapshot_stays() {
    let api = serve(|asked| {
        if let Some(say) = no_slices(asked) {
            return say;
        }
        match (asked.before, asked.watches("services")) {
            (0, _) => list(10, &[service("a", 1)]),
            (1, true) => Say::Lines(vec!["this is no JSON".into()]),
            (2, true) => Say::Raw(b"\x16\x03\x01garbage\r\n\r\n"),
            (3, true) => Say::Raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
            (4, true) => Say::Raw(b""),
            // After so many troubles it lists.
            (5, false) => Say::Json(500, "<html>a proxy's page</html>".into()),
            (6, false) => list(20, &[service("a", 1), service("b", 2)]),
            (_, true) => Say::Silence(vec![]),
            other => panic!("not asked for: {other:?}"),
        }
    });
    let logged = logged();
    let (_folder, config) = config(api);
    watching(config, |mut snapshots| async move {
        expect(&mut snapshots, "a 0/0").await;
        snapshots.changed().await.unwrap();
        expect(&mut snapshots, "a 0/0, b 0/0").await; // nothing was lost in between
    });
    let said = logged
        .lock()
        .unwrap()
        .iter()
        .filter(|line| line.contains(&api.to_string()))
        .cloned()
        .collect::<Vec<_>>();
    assert!(
        said.iter()
            .any(|line| line.contains("is it a Kubernetes API server?")),
        "{said:#?}"
    );
    assert!(
        said.iter().any(|line| line.contains("answers 500")),
        "{said:#?}"
    );
}

#[test]
fn a_server_that_falls_silent_is_left_within_the_watchs_time() {
    let api = serve(|asked| match no_slices(asked) {
        Some(say) => say,
        None => match asked.before {
            0 => list(1, &[]),
            1 => Say::Silence(vec![]), // asked to end after 1 s, it never does
            _ if asked.watches("services") => Say::Silence(vec![]),
            _ => list(2, &[service("late", 2)]),
        },
    });
    let (_folder, mut config) = config(api);
    config.reconcile = Duration::from_secs(1);
    let began = Instant::now();
    watching(config, |mut snapshots| async move {
        expect(&mut snapshots, "late 0/0").await
    });
    assert!(began.elapsed() > Duration::from_secs(5) && began.elapsed() < Duration::from_secs(9));
}

#[test]
fn the_list_mends_what_watches_missed() {
    let api = serve(|asked| match no_slices(asked) {
        Some(say) => say,
        None if asked.before == 0 => list(1, &[service("stale", 1)]),
        None if asked.watches("services") => {
            sleep(Duration::from_millis(500));
            Say::Lines(vec![event(
                "BOOKMARK",
                r#"{"metadata":{"resourceVersion":"9"}}"#,
            )])
        }
        None => list(9, &[service("real", 9)]),
    });
    let (_folder, mut config) = config(api);
    config.reconcile = Duration::from_secs(2);
    watching(config, |mut snapshots| async move {
        expect(&mut snapshots, "stale 0/0").await;
        expect(&mut snapshots, "real 0/0").await;
    });
}

#[test]
fn an_api_that_is_away_is_waited_for() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let api = listener.local_addr().unwrap();
    drop(listener);
    let (_folder, config) = config(api);
    watching(config, |mut snapshots| async move {
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert!(!snapshots.borrow().synced);
        serve_on(TcpListener::bind(api).unwrap(), |asked| {
            match no_slices(asked) {
                Some(say) => say,
                None if asked.watches("services") => Say::Silence(vec![]),
                None => list(1, &[service("a", 1)]),
            }
        });
        expect(&mut snapshots, "a 0/0").await;
    });
}

// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

use super::*;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::time::advance;

/// A folder as a Secret's volume is: `keys.json` → `..data` → `..<version>`, swapped as a whole.
struct Volume(PathBuf);

impl Volume {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "balancer-keys-{}-{}",
            std::process::id(),
            NUMBER.fetch_add(1, Ordering::Relaxed)
        );
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        Volume(folder)
    }

    fn file(&self) -> PathBuf {
        self.0.join("keys.json")
    }

    fn publish(&self, version: &str, json: &str) {
        let folder = self.0.join(format!("..{version}"));
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("keys.json"), json).unwrap();
        let link = |target: &Path, name: &str| {
            let temporary = self.0.join("..temporary");
            std::os::unix::fs::symlink(target, &temporary).unwrap();
            std::fs::rename(temporary, self.0.join(name)).unwrap();
        };
        link(Path::new(&format!("..{version}")), "..data");
        if !self.file().exists() {
            link(Path::new("..data/keys.json"), "keys.json");
        }
    }

    fn keys(&self, settings: &str) -> Rc<Keys> {
        let text = format!("[files]\nkeys = {:?}\n[keys]\n{settings}", self.file());
        Keys::new(&Config::parse(&text).unwrap())
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn sha256(key: &str) -> String {
    Sha256::digest(key)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// A file of one key, "secret", of alice's; `limits` begin with a comma.
fn alice(limits: &str) -> String {
    format!(
        r#"{{"keys":[{{"name":"alice","sha256":"{}"{limits}}}]}}"#,
        sha256("secret")
    )
}

fn fails(keys: &Keys, authorization: Option<&str>) -> (u16, &'static str, Option<u32>) {
    match keys.authorise(authorization) {
        Ok(caller) => panic!("{} is admitted", caller.name),
        Err(refusal) => (refusal.status, refusal.code, refusal.retry_after),
    }
}

const ALICE: Option<&str> = Some("Bearer secret");

#[test]
fn who_is_admitted() {
    let volume = Volume::new();
    volume.publish("1", &alice(""));
    let keys = volume.keys("");
    for header in ["Bearer secret", "bearer secret", " Bearer   secret "] {
        let caller = keys.authorise(Some(header)).unwrap();
        assert_eq!(caller.name, "alice");
        assert!(caller.models().is_none());
    }
    for header in [
        None,
        Some(""),
        Some("Bearer"),
        Some("Bearer "),
        Some("Basic secret"),
        Some("secret"),
    ] {
        assert_eq!(
            fails(&keys, header),
            (401, "missing_api_key", None),
            "{header:?}"
        );
    }
    for header in [
        "Bearer Secret",
        "Bearer secret2",
        "Bearer secre",
        "Bearer x",
    ] {
        assert_eq!(
            fails(&keys, Some(header)),
            (401, "invalid_api_key", None),
            "{header:?}"
        );
    }
    // The hash is no key.
    assert_eq!(
        fails(&keys, Some(&format!("Bearer {}", sha256("secret")))).0,
        401
    );
}

#[test]
fn models_of_a_key() {
    let volume = Volume::new();
    volume.publish("1", &alice(r#","models":["llama"]"#));
    let caller = volume.keys("").authorise(ALICE).unwrap();
    assert_eq!(**caller.models().unwrap(), ["llama".to_owned()]);
}

#[tokio::test(start_paused = true)]
async fn requests_per_minute() {
    let volume = Volume::new();
    volume.publish("1", &alice(r#","requests_per_minute":6"#));
    let keys = volume.keys("");
    for _ in 0..6 {
        keys.authorise(ALICE).unwrap();
    }
    assert_eq!(fails(&keys, ALICE), (429, "rate_limit_exceeded", Some(10)));
    advance(Duration::from_secs(7)).await;
    assert_eq!(fails(&keys, ALICE), (429, "rate_limit_exceeded", Some(3)));
    advance(Duration::from_secs(3)).await;
    keys.authorise(ALICE).unwrap();
    assert_eq!(fails(&keys, ALICE).0, 429);
    // A long pause fills it up, and no further.
    advance(Duration::from_secs(3600)).await;
    assert_eq!((0..10).filter(|_| keys.authorise(ALICE).is_ok()).count(), 6);
    // Each of three replicas lets a third pass.
    let keys = volume.keys("replicas = 3");
    assert_eq!((0..10).filter(|_| keys.authorise(ALICE).is_ok()).count(), 2);
    assert_eq!(fails(&keys, ALICE).2, Some(30));
}

#[tokio::test(start_paused = true)]
async fn requests_at_once() {
    let volume = Volume::new();
    volume.publish("1", &alice(r#","concurrent":2,"requests_per_minute":3"#));
    let keys = volume.keys("");
    let first = keys.authorise(ALICE).unwrap();
    let _second = keys.authorise(ALICE).unwrap();
    assert_eq!(
        fails(&keys, ALICE),
        (429, "concurrency_limit_exceeded", Some(1))
    );
    drop(first);
    // The refused one has used nothing up.
    let _third = keys.authorise(ALICE).unwrap();
    assert_eq!(fails(&keys, ALICE).1, "concurrency_limit_exceeded");
    assert_eq!(
        volume.keys("replicas = 2").authorise(ALICE).map(|_| ()),
        Ok(())
    );
}

#[tokio::test(start_paused = true)]
async fn a_new_file_counts_within_two_seconds_and_usage_stays() {
    let volume = Volume::new();
    volume.publish("1", &alice(r#","concurrent":1"#));
    let keys = volume.keys("");
    let local = tokio::task::LocalSet::new();
    local.spawn_local(keys.clone().reload());
    local
        .run_until(async {
            let running = keys.authorise(ALICE).unwrap();
            let bob = format!(r#"{{"name":"bob","sha256":"{}"}}"#, sha256("bobs"));
            volume.publish(
                "2",
                &alice(r#","concurrent":1"#).replace("[", &format!("[{bob},")),
            );
            assert_eq!(fails(&keys, Some("Bearer bobs")).0, 401);
            tokio::time::sleep(Duration::from_millis(2100)).await;
            assert_eq!(keys.authorise(Some("Bearer bobs")).unwrap().name, "bob");
            // Alice's request still runs.
            assert_eq!(fails(&keys, ALICE).1, "concurrency_limit_exceeded");
            drop(running);
            keys.authorise(ALICE).unwrap();
            // Broken, then gone: the last good one stays.
            volume.publish("3", r#"{"keys":"#);
            tokio::time::sleep(Duration::from_secs(5)).await;
            keys.authorise(ALICE).unwrap();
            std::fs::remove_file(volume.file()).unwrap();
            tokio::time::sleep(Duration::from_secs(5)).await;
            keys.authorise(ALICE).unwrap();
            assert_eq!(fails(&keys, Some("Bearer x")).0, 401);
            // Taken away.
            volume.publish("4", r#"{"keys":[]}"#);
            tokio::time::sleep(Duration::from_secs(3)).await;
            assert_eq!(fails(&keys, ALICE).0, 401);
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn open_without_a_file_until_there_is_one() {
    let volume = Volume::new();
    let keys = volume.keys("");
    assert_eq!(keys.authorise(None).unwrap().name, "");
    assert!(Keys::new(&Config::parse("[files]\nkeys = ''").unwrap())
        .authorise(Some("Bearer x"))
        .is_ok());
    volume.publish("1", &alice(""));
    keys.look();
    assert_eq!(fails(&keys, None).0, 401);
    // Broken from the start: closed, not open.
    let volume = Volume::new();
    volume.publish("1", "no JSON");
    let keys = volume.keys("");
    assert_eq!(fails(&keys, ALICE), (503, "keys_unreadable", Some(60)));
    volume.publish("2", &alice(""));
    keys.look();
    keys.authorise(ALICE).unwrap();
}

#[test]
fn faults_are_named_and_show_no_secret() {
    let hash = sha256("secret");
    for (json, words) in [
        (
            r#"{"keys":"hunter2"}"#.into(),
            "not what it should be (line 1, column 17)",
        ),
        (
            alice(r#","hunter2":1"#),
            "not what it should be (line 1, column",
        ),
        ("hunter2".into(), "not JSON (line 1, column 1)"),
        ("{\"keys\":[\n".into(), "ends too early (line 2, column 0)"),
        (alice(r#","concurrent":0"#), "concurrent of `alice` is 0"),
        (
            alice("").replace(&hash, "hunter2"),
            "sha256 of `alice` is not 64",
        ),
        (
            alice("").replace(&hash, &"é".repeat(32)),
            "sha256 of `alice` is not 64",
        ),
        (alice("").replace("alice", ""), "empty name"),
        (
            format!(
                r#"{{"keys":[{{"name":"a","sha256":"{hash}"}},{{"name":"a","sha256":"{hash}"}}]}}"#
            ),
            "two keys are named `a`",
        ),
        (
            format!(
                r#"{{"keys":[{{"name":"a","sha256":"{hash}"}},{{"name":"b","sha256":"{hash}"}}]}}"#
            ),
            "`a` and `b` are the same",
        ),
    ] {
        let fault = file::parse(json.as_bytes()).unwrap_err();
        assert!(fault.contains(words), "{fault}");
        assert!(
            !fault.contains("hunter2") && !fault.contains(&hash),
            "{fault}"
        );
    }
}

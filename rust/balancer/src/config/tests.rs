// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

use super::*;

#[test]
fn printed_defaults_are_the_defaults() {
    let text = Config::defaults();
    let read = Config::parse(&text).unwrap();
    // An empty string and none mean the same.
    let off = Some(String::new());
    let affinity = Affinity {
        header: off.clone(),
        ..Affinity::default()
    };
    assert_eq!(
        read,
        Config {
            default_model: off,
            affinity,
            ..Config::default()
        }
    );
    let commented = text
        .lines()
        .filter(|line| line.contains(" = ") && !line.starts_with('#'))
        .count();
    assert!(commented > 30, "{text}");
    // The example of a pool works once its comment signs are gone.
    let pools = text
        .split("[[pools]]")
        .nth(1)
        .unwrap()
        .replace("\n# ", "\n");
    let read = Config::parse(&format!("[[pools]]{pools}")).unwrap();
    assert_eq!(read.pools[0].endpoints, ["10.0.0.1:8080".parse().unwrap()]);
}

#[test]
fn an_unknown_setting_is_named_with_its_line() {
    let error = Config::parse("queue = 3\n[timeouts]\ndial = 2\n").unwrap_err();
    assert!(
        error.starts_with(" line 3 (`dial = 2`): unknown field `dial`, expected one of `header`"),
        "{error}"
    );
    assert!(Config::parse("quue = 3")
        .unwrap_err()
        .contains("unknown field `quue`"));
    assert!(Config::parse("[[pools]]\nname='a'\nendpoints=[]\nwait=1")
        .unwrap_err()
        .contains("`wait`"));
}

#[test]
fn values_out_of_range_are_refused() {
    for (text, part) in [
        ("[timeouts]\nqueue = 0", "timeouts.queue is 0"),
        ("[timeouts]\nqueue = nan", "timeouts.queue is NaN"),
        ("[timeouts]\nidle = 1e9", "timeouts.idle"),
        ("[health]\ninterval = -1", "health.interval"),
        ("[health]\neject_min = 70", "health.eject_min is above"),
        ("[keys]\nreplicas = 0", "keys.replicas is 0"),
        ("queue = -1", "line 1 (`queue = -1`): invalid value"),
        (
            "[[pools]]\nname='a'\nendpoints=[]\n[[pools]]\nname='a'\nendpoints=[]",
            "two pools are named `a`",
        ),
        ("[listen]\nhttp = 'everywhere'", "line 2"),
    ] {
        let error = Config::parse(text).unwrap_err();
        assert!(error.contains(part), "{text}: {error}");
    }
    assert_eq!(
        Config::parse("[health]\ninterval = 0\n[timeouts]\nqueue = 5")
            .unwrap()
            .timeouts
            .queue,
        5.0
    );
}

#[test]
fn a_file_that_is_missing_is_named() {
    let error = Config::load(Path::new("/nowhere/config.toml")).unwrap_err();
    assert!(
        error.starts_with("/nowhere/config.toml cannot be read"),
        "{error}"
    );
}

// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

use super::*;
use std::collections::HashMap;

async fn shares(routing: &Rc<Routing>, ask: &Ask<'_>, requests: usize) -> HashMap<String, i64> {
    let mut shares = HashMap::new();
    for _ in 0..requests {
        *shares
            .entry(now(routing, ask).await.pool().to_owned())
            .or_default() += 1;
    }
    shares
}

#[tokio::test]
async fn shares_are_exact() {
    for (weights, requests) in [
        ([3, 1, 0], 1000),
        ([5, 3, 2], 1000),
        ([97, 2, 1], 1000),
        ([7, 7, 1], 999),
    ] {
        let pools = weights
            .iter()
            .zip(["a", "b", "c"])
            .zip(1..)
            .map(|((&weight, name), number)| pool(name, name, weight, &[number]));
        let routing = routing("", pools.collect());
        let shares = shares(&routing, &Ask::default(), requests).await;
        let total: u32 = weights.iter().sum();
        for (weight, name) in weights.iter().zip(["a", "b", "c"]) {
            let expected = requests as f64 * f64::from(*weight) / f64::from(total);
            let share = shares.get(name).copied().unwrap_or(0) as f64;
            assert!(
                (share - expected).abs() <= 1.0,
                "{weights:?}: {name} got {share} of {expected}"
            );
        }
    }
}

#[tokio::test]
async fn shares_are_exact_while_requests_overlap_and_wait() {
    let routing = routing(
        "queue = 1000",
        vec![pool("a", "a", 3, &[1, 2, 3]), pool("b", "b", 1, &[4, 5])],
    );
    let ask = Ask::default();
    let mut waiting: Vec<_> = (0..400).map(|_| Box::pin(routing.acquire(&ask))).collect();
    let mut shares: HashMap<String, i64> = HashMap::new();
    while !waiting.is_empty() {
        waiting.retain_mut(|request| match poll(request) {
            Poll::Ready(slot) => {
                *shares.entry(slot.unwrap().pool().to_owned()).or_default() += 1;
                false
            }
            Poll::Pending => true,
        });
    }
    assert_eq!(
        shares,
        HashMap::from([("a".into(), 300), ("b".into(), 100)])
    );
}

#[tokio::test]
async fn a_canary_divides_one_model_and_an_asked_model_is_given() {
    let pools = || {
        vec![
            pool("new", "llama", 1, &[1]),
            pool("old", "llama", 9, &[2]),
            pool("other", "qwen", 5, &[3]),
        ]
    };
    let routing = routing("", pools());
    assert_eq!(
        shares(&routing, &named("llama"), 100).await,
        HashMap::from([("new".into(), 10), ("old".into(), 90)])
    );
    assert_eq!(
        shares(&routing, &named("qwen"), 100).await,
        HashMap::from([("other".into(), 100)])
    );
    // Shifted, and back.
    let mut shifted = pools();
    (shifted[0].weight, shifted[1].weight) = (1, 0);
    routing.apply(&snapshot(shifted));
    assert_eq!(
        shares(&routing, &named("llama"), 100).await,
        HashMap::from([("new".into(), 100)])
    );
    routing.apply(&snapshot(pools()));
    assert_eq!(
        shares(&routing, &named("llama"), 100).await,
        HashMap::from([("new".into(), 10), ("old".into(), 90)])
    );
}

#[tokio::test]
async fn weight_zero_answers_by_name_and_alone_only() {
    let routing = routing("", vec![pool("a", "a", 0, &[1]), pool("b", "b", 1, &[2])]);
    assert_eq!(
        shares(&routing, &Ask::default(), 20).await,
        HashMap::from([("b".into(), 20)])
    );
    assert_eq!(
        shares(&routing, &named("a"), 5).await,
        HashMap::from([("a".into(), 5)])
    );
}

#[tokio::test]
async fn names_aliases_and_the_open_model() {
    let mut llama = pool("llama-pool", "llama", 1, &[1]);
    llama.aliases = vec!["gpt-4o".into(), "qwen".into()];
    let mut embed = pool("embed", "embed", 1, &[3]);
    embed.kind = Kind::Embedding;
    let routing = routing(
        "default_model = 'gpt-4o'",
        vec![embed, llama, pool("qwen", "qwen", 8, &[2])],
    );
    assert_eq!(now(&routing, &named("gpt-4o")).await.model(), "llama");
    // A model's own name goes before another's alias; a pool's name is none.
    assert_eq!(now(&routing, &named("qwen")).await.model(), "qwen");
    let error = routing.acquire(&named("llama-pool")).await.err().unwrap();
    assert_eq!((error.status, error.code), (404, "model_not_found"));
    assert_eq!(
        error.message,
        "The model `llama-pool` does not exist or you do not have access to it."
    );
    for open in [None, Some(""), Some("default")] {
        assert_eq!(
            now(
                &routing,
                &Ask {
                    model: open,
                    ..Ask::default()
                }
            )
            .await
            .model(),
            "llama"
        );
    }
    let embedding = Ask {
        kind: Kind::Embedding,
        ..Ask::default()
    };
    assert_eq!(now(&routing, &embedding).await.model(), "embed");
    routing.apply(&snapshot(vec![pool("qwen", "qwen", 0, &[2])]));
    for ask in [Ask::default(), embedding] {
        let error = routing.acquire(&ask).await.err().unwrap();
        assert_eq!(
            (error.status, error.code),
            (404, "model_not_found"),
            "{}",
            error.message
        );
    }
}

#[tokio::test]
async fn a_key_gets_its_models_only() {
    let mut a = pool("a", "a", 5, &[1]);
    a.aliases = vec!["nick".into()];
    let routing = routing("", vec![a, pool("b", "b", 5, &[2])]);
    let only_b: Rc<[String]> = Rc::new(["b".to_owned()]);
    let ask = Ask {
        allowed: Some(&only_b),
        ..Ask::default()
    };
    assert_eq!(
        shares(&routing, &ask, 10).await,
        HashMap::from([("b".into(), 10)])
    );
    let error = routing
        .acquire(&Ask {
            model: Some("a"),
            ..ask
        })
        .await
        .err()
        .unwrap();
    assert_eq!((error.status, error.code), (403, "model_not_allowed"));
    let nick: Rc<[String]> = Rc::new(["nick".to_owned()]);
    let ask = Ask {
        allowed: Some(&nick),
        ..Ask::default()
    };
    assert_eq!(
        now(
            &routing,
            &Ask {
                model: Some("nick"),
                ..ask.clone()
            }
        )
        .await
        .model(),
        "a"
    );
    assert_eq!(now(&routing, &ask).await.model(), "a");
}

#[tokio::test]
async fn a_key_may_name_its_models_by_an_alias() {
    let mut a = pool("a", "a", 5, &[1]);
    // "b" is a model's own name, so that this alias leads nowhere.
    a.aliases = vec!["nick".into(), "b".into()];
    let routing = routing(
        "default_model = 'a'",
        vec![a, pool("b", "b", 5, &[2]), pool("c", "c", 5, &[3])],
    );
    let names = |allowed: &Rc<[String]>| {
        let models = routing.models(Some(allowed)).into_iter();
        models.map(|model| model.id).collect::<Vec<_>>()
    };
    let nick: Rc<[String]> = Rc::new(["nick".to_owned(), "c".to_owned()]);
    assert_eq!(names(&nick), ["a", "c"]);
    let ask = Ask {
        allowed: Some(&nick),
        ..Ask::default()
    };
    // The default model, and not what the weights say.
    assert_eq!(
        shares(&routing, &ask, 10).await,
        HashMap::from([("a".into(), 10)])
    );
    let own = Ask {
        model: Some("a"),
        ..ask
    };
    assert_eq!(now(&routing, &own).await.model(), "a");
    let b: Rc<[String]> = Rc::new(["b".to_owned()]);
    assert_eq!(names(&b), ["b"]);
    let ask = Ask {
        allowed: Some(&b),
        ..Ask::default()
    };
    assert_eq!(
        shares(&routing, &ask, 10).await,
        HashMap::from([("b".into(), 10)])
    );
}

#[tokio::test]
async fn the_least_busy_endpoint_gets_it_and_ties_take_turns() {
    let mut a = pool("a", "a", 1, &[1, 2, 3]);
    a.slots = Some(4);
    let routing = routing("", vec![a]);
    let mut turns = Vec::new();
    for _ in 0..6 {
        turns.push(now(&routing, &named("a")).await.address());
    }
    assert_eq!(turns[..3], turns[3..]);
    assert_eq!(
        turns[..3]
            .iter()
            .collect::<std::collections::HashSet<_>>()
            .len(),
        3
    );
    let held: Vec<_> = [
        now(&routing, &named("a")).await,
        now(&routing, &named("a")).await,
    ]
    .into();
    let free = endpoint(1).address;
    let free = [free, endpoint(2).address, endpoint(3).address]
        .into_iter()
        .find(|one| held.iter().all(|slot| slot.address() != *one));
    assert_eq!(Some(now(&routing, &named("a")).await.address()), free);
}

#[tokio::test]
async fn affinity_stays_moves_little_and_does_not_wait_for_the_full() {
    let routing = routing("slots = 2", vec![pool("a", "a", 1, &[1, 2, 3, 4])]);
    let mut homes = HashMap::new();
    for affinity in 0..400 {
        let ask = Ask {
            affinity: Some(affinity),
            ..named("a")
        };
        let home = now(&routing, &ask).await.address();
        assert_eq!(now(&routing, &ask).await.address(), home);
        homes.insert(affinity, home);
    }
    for number in 1..=4 {
        let share = homes
            .values()
            .filter(|home| **home == endpoint(number).address)
            .count();
        assert!((60..=140).contains(&share), "{share} of 400");
    }
    // The bound: two places are taken, the third request goes elsewhere at once.
    let ask = Ask {
        affinity: Some(7),
        ..named("a")
    };
    let held = [now(&routing, &ask).await, now(&routing, &ask).await];
    assert_eq!(held[0].address(), held[1].address());
    assert_ne!(now(&routing, &ask).await.address(), homes[&7]);
    drop(held);
    // Without one endpoint only its requests move.
    routing.apply(&snapshot(vec![pool("a", "a", 1, &[1, 2, 4])]));
    for (affinity, home) in homes {
        let new = now(
            &routing,
            &Ask {
                affinity: Some(affinity),
                ..named("a")
            },
        )
        .await
        .address();
        assert!(new == home || home == endpoint(3).address);
    }
}

#[tokio::test]
async fn a_retry_goes_elsewhere_while_there_is_an_elsewhere() {
    let routing = routing(
        "",
        vec![pool("a", "m", 1, &[1, 2]), pool("b", "m", 1, &[3])],
    );
    let tried = [endpoint(1).address, endpoint(3).address];
    for _ in 0..4 {
        let slot = now(
            &routing,
            &Ask {
                tried: &tried,
                ..named("m")
            },
        )
        .await;
        assert_eq!(slot.address(), endpoint(2).address);
    }
    // It rather waits for the other one than to go where it failed.
    let held = now(
        &routing,
        &Ask {
            tried: &tried,
            ..named("m")
        },
    )
    .await;
    let ask = Ask {
        tried: &tried,
        ..named("m")
    };
    let mut request = waits(&routing, &ask);
    drop(held);
    assert_eq!(got(poll(&mut request)).address(), endpoint(2).address);
    // Nothing else left: again where it failed.
    let all = [1, 2, 3].map(|number| endpoint(number).address);
    now(
        &routing,
        &Ask {
            tried: &all,
            ..named("m")
        },
    )
    .await;
}

#[tokio::test]
async fn a_pool_without_a_usable_endpoint_is_passed_over() {
    let mut a = pool("a", "m", 9, &[1]);
    a.endpoints[0].ready = false;
    let routing = routing(
        "",
        vec![a, pool("b", "m", 1, &[2]), pool("c", "other", 1, &[])],
    );
    assert_eq!(
        shares(&routing, &named("m"), 10).await,
        HashMap::from([("b".into(), 10)])
    );
    assert_eq!(
        shares(&routing, &Ask::default(), 10).await,
        HashMap::from([("b".into(), 10)])
    );
    has_to_wait(&routing, &named("other"));
}

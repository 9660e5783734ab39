// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

use super::*;
use std::time::Duration;
use tokio::time::advance;

#[tokio::test(start_paused = true)]
async fn first_come_first_served_and_retries_before_them() {
    let routing = routing("", vec![pool("a", "a", 1, &[1])]);
    let ask = named("a");
    let tried = [endpoint(1).address];
    let again = Ask {
        tried: &tried,
        ..named("a")
    };
    let held = now(&routing, &ask).await;
    let (mut first, mut second) = (waits(&routing, &ask), waits(&routing, &ask));
    let mut retry = waits(&routing, &again);
    assert_eq!(routing.in_flight(), 4);
    advance(Duration::from_secs(2)).await;
    drop(held);
    assert!(poll(&mut first).is_pending() && poll(&mut second).is_pending());
    let slot = got(poll(&mut retry));
    assert_eq!(slot.waited(), Duration::from_secs(2));
    drop(slot);
    assert!(poll(&mut second).is_pending());
    drop(got(poll(&mut first)));
    drop(got(poll(&mut second)));
    assert_eq!(routing.in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn one_that_leaves_makes_room_and_gives_its_place_on() {
    let routing = routing("queue = 2", vec![pool("a", "a", 1, &[1])]);
    let ask = named("a");
    let held = now(&routing, &ask).await;
    let (first, second) = (waits(&routing, &ask), waits(&routing, &ask));
    assert_eq!(routing.acquire(&ask).await.err().unwrap().status, 429);
    drop(first);
    let mut third = waits(&routing, &ask);
    // The place is given to the second, which leaves before it takes it.
    drop(held);
    assert!(poll(&mut third).is_pending());
    drop(second);
    drop(got(poll(&mut third)));
    assert_eq!(routing.in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_says_when_to_come_again() {
    let routing = routing("queue = 3", vec![pool("a", "a", 1, &[1, 2])]);
    let ask = named("a");
    for _ in 0..20 {
        let slot = now(&routing, &ask).await;
        advance(Duration::from_secs(10)).await;
        slot.outcome(Outcome::Answered(200));
    }
    let _held = [now(&routing, &ask).await, now(&routing, &ask).await];
    let _waiting = [
        waits(&routing, &ask),
        waits(&routing, &ask),
        waits(&routing, &ask),
    ];
    let refusal = routing.acquire(&ask).await.err().unwrap();
    // Four requests of 10 s each on two places.
    assert_eq!(
        (refusal.status, refusal.code, refusal.retry_after),
        (429, "queue_full", Some(20))
    );
    assert_eq!(
        refusal.message,
        "The model `a` is busy and 3 requests wait already; try again in 20 s."
    );
    // One that comes back after a failure is not turned away.
    let tried = [endpoint(1).address];
    has_to_wait(
        &routing,
        &Ask {
            tried: &tried,
            ..named("a")
        },
    );
    let view = routing.view();
    assert_eq!(
        (view.pools[0].refused, view.waiting, view.in_flight),
        (1, 3, 2)
    );
}

#[tokio::test(start_paused = true)]
async fn an_open_request_goes_where_a_queue_has_room() {
    let routing = routing(
        "queue = 1",
        vec![pool("a", "a", 9, &[1]), pool("b", "b", 1, &[2])],
    );
    let open = Ask::default();
    let a = named("a");
    let _held = now(&routing, &a).await;
    let _waiting = waits(&routing, &a);
    assert_eq!(now(&routing, &open).await.pool(), "b");
}

#[tokio::test(start_paused = true)]
async fn the_queues_time_passes() {
    let routing = routing(
        "[timeouts]\nqueue = 5",
        vec![pool("a", "a", 1, &[1]), pool("none", "none", 1, &[])],
    );
    let ask = named("a");
    let _held = now(&routing, &ask).await;
    let before = tokio::time::Instant::now();
    let refusal = routing.acquire(&ask).await.err().unwrap();
    assert_eq!(before.elapsed().as_secs(), 5);
    assert_eq!((refusal.status, refusal.code), (503, "queue_timeout"));
    assert!(refusal.retry_after.is_some());
    let refusal = routing.acquire(&named("none")).await.err().unwrap();
    assert_eq!((refusal.status, refusal.code), (503, "no_endpoint"));
    assert_eq!(
        refusal.message,
        "No endpoint of the model `none` became ready within 5 s; try again later."
    );
    assert_eq!(
        (routing.in_flight(), routing.view().pools[0].expired),
        (1, 1)
    );
}

#[tokio::test(start_paused = true)]
async fn from_zero_to_one() {
    let routing = routing("", vec![pool("a", "a", 1, &[])]);
    let ask = named("a");
    let mut request = waits(&routing, &ask);
    let mut starting = pool("a", "a", 1, &[1]);
    starting.endpoints[0].ready = false;
    routing.apply(&snapshot(vec![starting]));
    assert!(poll(&mut request).is_pending());
    routing.apply(&snapshot(vec![pool("a", "a", 1, &[1])]));
    assert_eq!(got(poll(&mut request)).address(), endpoint(1).address);
}

#[tokio::test(start_paused = true)]
async fn those_that_wait_move_to_a_pool_that_serves() {
    let routing = routing("", vec![pool("a", "m", 1, &[1]), pool("b", "m", 0, &[2])]);
    let ask = named("m");
    let open = Ask::default();
    let held = now(&routing, &ask).await;
    let (mut first, mut second) = (waits(&routing, &ask), waits(&routing, &open));
    // Weight 0 does not count as long as another pool of the model has more.
    routing.apply(&snapshot(vec![
        pool("a", "m", 1, &[]),
        pool("b", "m", 0, &[2]),
    ]));
    assert!(is_lost(&held));
    assert!(poll(&mut first).is_pending());
    // Now it does, for both; in order.
    routing.apply(&snapshot(vec![
        pool("a", "m", 1, &[]),
        pool("b", "m", 1, &[2]),
    ]));
    assert!(poll(&mut second).is_pending());
    drop(got(poll(&mut first)));
    assert_eq!(got(poll(&mut second)).pool(), "b");
}

#[tokio::test(start_paused = true)]
async fn a_pool_that_goes_sends_its_requests_on() {
    let routing = routing(
        "",
        vec![
            pool("a", "m", 9, &[1]),
            pool("b", "m", 1, &[2]),
            pool("c", "c", 1, &[3]),
        ],
    );
    let (ask, only) = (named("m"), named("c"));
    let held = [now(&routing, &ask).await, now(&routing, &only).await];
    assert_eq!(held[0].pool(), "a");
    let mut moves = waits(&routing, &ask);
    let mut fails = waits(&routing, &only);
    routing.apply(&snapshot(vec![pool("b", "m", 1, &[2])]));
    assert_eq!(got(poll(&mut moves)).pool(), "b");
    match poll(&mut fails) {
        Poll::Ready(Err(refusal)) => assert_eq!(refusal.status, 404),
        _ => panic!("the model is gone"),
    }
    // Those that run go on: what is gone is the Service, and of the pods nothing is said.
    assert!(!is_lost(&held[0]) && !is_lost(&held[1]));
    drop(held);
    assert_eq!(routing.in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn zero_slots_are_no_limit() {
    let mut a = pool("a", "a", 1, &[1]);
    a.slots = Some(0);
    let routing = routing("", vec![a]);
    let ask = named("a");
    let mut held = Vec::new();
    for _ in 0..500 {
        held.push(now(&routing, &ask).await);
    }
    assert_eq!(routing.view().pools[0].endpoints[0].in_flight, 500);
}

// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

use super::super::Reason;
use super::*;
use std::cell::{Cell, RefCell};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::{spawn_local, LocalSet};
use tokio::time::{sleep, Instant};

fn ejected(routing: &Routing, at: usize) -> Option<Reason> {
    routing.view().pools[0].endpoints[at]
        .ejected
        .as_ref()
        .map(|ejected| ejected.reason)
}

/// With the loop that ends ejections.
async fn tended<F: Future>(routing: &Rc<Routing>, test: F) -> F::Output {
    let local = LocalSet::new();
    local.spawn_local(routing.clone().check_health());
    local.run_until(test).await
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_fails_ejects_at_once_and_longer_each_time() {
    let routing = routing("[timeouts]\nqueue = 100", vec![pool("a", "a", 1, &[1])]);
    let ask = named("a");
    tended(&routing, async {
        let mut times = Vec::new();
        for _ in 0..8 {
            let slot = now(&routing, &ask).await;
            slot.outcome(Outcome::ConnectFailed);
            drop(slot);
            assert_eq!(ejected(&routing, 0), Some(Reason::Connect));
            let before = Instant::now();
            // It waits for the end of the ejection, though it is the pool's only endpoint.
            drop(routing.acquire(&ask).await.unwrap());
            times.push(before.elapsed().as_secs());
        }
        assert_eq!(times, [1, 2, 4, 8, 16, 32, 60, 60]);
        // An answer makes good for all.
        now(&routing, &ask).await.outcome(Outcome::Answered(200));
        assert_eq!(ejected(&routing, 0), None);
        now(&routing, &ask).await.outcome(Outcome::Broken);
        assert_eq!(ejected(&routing, 0), Some(Reason::Broken));
        let before = Instant::now();
        drop(routing.acquire(&ask).await.unwrap());
        assert_eq!(before.elapsed().as_secs(), 1);
    })
    .await;
    assert_eq!(routing.view().pools[0].ejections.values().sum::<u64>(), 9);
}

#[tokio::test(start_paused = true)]
async fn one_request_tries_at_a_time() {
    let mut a = pool("a", "a", 1, &[1]);
    a.slots = Some(3);
    let routing = routing("", vec![a]);
    let ask = named("a");
    let slots = [now(&routing, &ask).await, now(&routing, &ask).await];
    // Both failures are one event.
    slots.iter().for_each(|slot| slot.outcome(Outcome::Broken));
    drop(slots);
    assert_eq!(routing.view().pools[0].endpoints[0].ejections, 1);
    has_to_wait(&routing, &ask);
    tended(&routing, async {
        let trial = routing.acquire(&ask).await.unwrap();
        let mut other = waits(&routing, &ask);
        trial.outcome(Outcome::Answered(200));
        let other = got(poll(&mut other));
        drop((trial, other));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn errors_eject_after_three_in_a_row_but_never_the_last() {
    let routing = routing("", vec![pool("a", "a", 1, &[1, 2])]);
    let (first, second) = ([endpoint(2).address], [endpoint(1).address]);
    let first = Ask {
        tried: &first,
        ..named("a")
    };
    let second = Ask {
        tried: &second,
        ..named("a")
    };
    for outcome in [500, 502, 200, 500, 503] {
        now(&routing, &first)
            .await
            .outcome(Outcome::Answered(outcome));
    }
    assert_eq!(ejected(&routing, 0), None);
    now(&routing, &first)
        .await
        .outcome(Outcome::FirstByteTimeout);
    assert_eq!(ejected(&routing, 0), Some(Reason::Errors));
    for _ in 0..10 {
        now(&routing, &second).await.outcome(Outcome::Answered(500));
    }
    assert_eq!(ejected(&routing, 1), None);
    // 4xx is an answer.
    tended(&routing, sleep(Duration::from_millis(1100))).await;
    for _ in 0..10 {
        now(&routing, &first).await.outcome(Outcome::Answered(400));
    }
    assert_eq!(ejected(&routing, 0), None);
    assert_eq!(routing.view().pools[0].endpoints[0].failures, 5);
}

#[tokio::test(start_paused = true)]
async fn those_that_wait_leave_an_ejected_pool() {
    let routing = routing("", vec![pool("a", "m", 9, &[1]), pool("b", "m", 1, &[2])]);
    let ask = named("m");
    let held = now(&routing, &ask).await;
    let mut request = waits(&routing, &ask);
    held.outcome(Outcome::ConnectFailed);
    assert_eq!(got(poll(&mut request)).pool(), "b");
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_pod_is_no_fault() {
    let routing = routing("", vec![pool("a", "a", 1, &[1, 2])]);
    let ask = named("a");
    let slots = [now(&routing, &ask).await, now(&routing, &ask).await];
    let mut going = pool("a", "a", 1, &[1]);
    going.endpoints[0].terminating = true;
    routing.apply(&snapshot(vec![going]));
    slots.iter().for_each(|slot| slot.outcome(Outcome::Broken));
    assert!(routing.view().pools[0].ejections.is_empty());
}

/// A server as llama-api-server is: one request at a time, others wait in the kernel.
struct Server {
    address: SocketAddr,
    status: Cell<u16>,
    silent: Cell<bool>,
    seen: RefCell<Vec<String>>,
}

impl Server {
    async fn start() -> (Rc<Self>, tokio::task::JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = Rc::new(Server {
            address,
            status: Cell::new(200),
            silent: Cell::new(false),
            seen: RefCell::default(),
        });
        let task = spawn_local(server.clone().serve(listener));
        (server, task)
    }

    async fn serve(self: Rc<Self>, listener: TcpListener) {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut buffer = [0; 1000];
            let length = stream.read(&mut buffer).await.unwrap_or(0);
            let line = String::from_utf8_lossy(&buffer[..length])
                .lines()
                .next()
                .unwrap_or_default()
                .to_owned();
            self.seen.borrow_mut().push(line);
            while self.silent.get() {
                sleep(Duration::from_millis(10)).await;
            }
            let answer = format!(
                "HTTP/1.1 {} x\r\ncontent-length: 2\r\n\r\n{{}}",
                self.status.get()
            );
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    }
}

const QUICK: &str =
    "[timeouts]\nconnect = 0.2\n[health]\ninterval = 0.1\nrecheck = 0.05\ntimeout = 0.1";

fn at(addresses: &[SocketAddr]) -> Vec<Pool> {
    let mut a = pool("a", "a", 1, &[1, 2, 3][..addresses.len()]);
    a.endpoints
        .iter_mut()
        .zip(addresses)
        .for_each(|(endpoint, address)| endpoint.address = *address);
    vec![a]
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    for _ in 0..300 {
        if condition() {
            return;
        }
        sleep(Duration::from_millis(10)).await;
    }
    panic!("not within 3 s: {what}");
}

#[tokio::test]
async fn checks_ask_the_idle_and_only_connect_to_the_busy() {
    LocalSet::new()
        .run_until(async {
            let (server, task) = Server::start().await;
            let routing = routing(QUICK, at(&[server.address]));
            spawn_local(routing.clone().check_health());
            until("asked", || {
                server
                    .seen
                    .borrow()
                    .iter()
                    .filter(|line| *line == "GET /v1/models HTTP/1.1")
                    .count()
                    >= 3
            })
            .await;
            let busy = now(&routing, &named("a")).await;
            sleep(Duration::from_millis(150)).await;
            server.seen.borrow_mut().clear();
            until("connected to", || server.seen.borrow().len() >= 3).await;
            assert!(
                server.seen.borrow().iter().all(|line| line.is_empty()),
                "{:?}",
                server.seen.borrow()
            );
            // Silent while idle for us: it works for another balancer.
            drop(busy);
            server.silent.set(true);
            sleep(Duration::from_millis(600)).await;
            assert_eq!(ejected(&routing, 0), None);
            server.silent.set(false);
            // It answers with errors: out after two, in after one that is none. It is not dead, though.
            let slot = now(&routing, &named("a")).await;
            sleep(Duration::from_millis(150)).await;
            drop(slot);
            server.status.set(500);
            until("ejected", || ejected(&routing, 0) == Some(Reason::Check)).await;
            server.status.set(200);
            until("back", || ejected(&routing, 0).is_none()).await;
            task.abort();
        })
        .await;
}

#[tokio::test]
async fn a_dead_endpoints_requests_are_lost_and_it_comes_back() {
    LocalSet::new()
        .run_until(async {
            let (server, task) = Server::start().await;
            let (other, _other) = Server::start().await;
            let routing = routing(QUICK, at(&[server.address, other.address]));
            spawn_local(routing.clone().check_health());
            let slots = [
                now(&routing, &named("a")).await,
                now(&routing, &named("a")).await,
            ];
            let dead = slots
                .iter()
                .find(|slot| slot.address() == server.address)
                .unwrap();
            let alive = slots
                .iter()
                .find(|slot| slot.address() == other.address)
                .unwrap();
            sleep(Duration::from_millis(300)).await;
            assert!(!is_lost(dead));
            task.abort();
            let _ = task.await;
            let before = std::time::Instant::now();
            dead.lost().await;
            // Interval, recheck, and what two refused connections take.
            assert!(
                before.elapsed() < Duration::from_millis(500),
                "{:?}",
                before.elapsed()
            );
            assert!(!is_lost(alive));
            assert_eq!(ejected(&routing, 0), Some(Reason::Check));
            let listener = TcpListener::bind(server.address).await.unwrap();
            spawn_local(server.clone().serve(listener));
            until("back", || ejected(&routing, 0).is_none()).await;
            drop(slots);
            // A place of its new life is not lost.
            let tried = [other.address];
            assert!(!is_lost(
                &now(
                    &routing,
                    &Ask {
                        tried: &tried,
                        ..named("a")
                    }
                )
                .await
            ));
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_node_that_swallows_packets_is_noticed_in_time() {
    // 192.0.2.0/24 is nobody's; where the machine answers for it at once, the times below are just shorter.
    let routing = routing(
        "[health]\n[timeouts]\nconnect = 1",
        at(&[address("192.0.2.1:80")]),
    );
    tended(&routing, async {
        let slot = now(&routing, &named("a")).await;
        let before = Instant::now();
        slot.lost().await;
        assert!(
            before.elapsed() <= Duration::from_millis(8100),
            "{:?}",
            before.elapsed()
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_failed_connection_has_the_same_nodes_endpoints_checked() {
    LocalSet::new()
        .run_until(async {
            // Two on one node, the third elsewhere; an hour between checks.
            let gone = [
                address("127.0.0.1:1"),
                address("127.0.0.1:2"),
                address("127.0.0.1:3"),
            ];
            let mut pools = at(&gone);
            pools[0].endpoints[2].node = "elsewhere".into();
            let routing = routing("[health]\ninterval = 3600", pools);
            spawn_local(routing.clone().check_health());
            let ask = named("a");
            let slots = [
                now(&routing, &ask).await,
                now(&routing, &ask).await,
                now(&routing, &ask).await,
            ];
            let of = |address| slots.iter().find(|slot| slot.address() == address).unwrap();
            of(gone[0]).outcome(Outcome::ConnectFailed);
            let before = Instant::now();
            of(gone[0]).lost().await;
            of(gone[1]).lost().await;
            assert!(
                before.elapsed() < Duration::from_secs(3),
                "{:?}",
                before.elapsed()
            );
            assert!(!is_lost(of(gone[2])));
        })
        .await;
}

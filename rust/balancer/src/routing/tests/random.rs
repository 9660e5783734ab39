// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

//! Random requests, cancellations, failures and snapshots; after each step the state has to make sense.

use super::super::pool::Scope;
use super::*;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::task::Wake;
use std::time::Duration;
use tokio::time::Instant;

struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % limit
    }

    fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }
}

#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

struct Request {
    number: usize,
    /// Neither a retry nor limited to some endpoints: such requests keep their order in a pool.
    plain: bool,
    woken: Arc<Flag>,
    future: Pin<Box<dyn Future<Output = Result<Slot, Refusal>>>>,
}

struct World {
    random: Random,
    routing: Rc<Routing>,
    waiting: Vec<Request>,
    held: Vec<Slot>,
    arrived: usize,
    granted: usize,
    refused: usize,
}

const SLOTS: u32 = 2;

impl World {
    fn cluster(&mut self) -> Snapshot {
        let random = &mut self.random;
        let mut pools = Vec::new();
        for (name, model) in [("a", "m"), ("b", "m"), ("c", "n"), ("d", "o")] {
            if random.one_in(12) {
                continue;
            }
            let mut pool = pool(name, model, random.below(4) as u32, &[]);
            for number in 0..3 {
                if random.one_in(4) {
                    continue;
                }
                let mut endpoint = endpoint(name.as_bytes()[0] - b'a' + 10 * (number + 1));
                endpoint.ready = !random.one_in(4);
                endpoint.terminating = random.one_in(8);
                pool.endpoints.push(endpoint);
            }
            pools.push(pool);
        }
        snapshot(pools)
    }

    fn arrive(&mut self) {
        let random = &mut self.random;
        let model = [None, Some("m"), Some("n"), Some("o")][random.below(4)];
        let affinity = random.one_in(3).then(|| random.below(9) as u64);
        let tried: Vec<_> = self
            .held
            .iter()
            .take(random.below(3))
            .map(Slot::address)
            .collect();
        let tried = if random.one_in(4) { tried } else { Vec::new() };
        let plain = tried.is_empty();
        let routing = self.routing.clone();
        let future = Box::pin(async move {
            let ask = Ask {
                model,
                affinity,
                tried: &tried,
                ..Ask::default()
            };
            routing.acquire(&ask).await
        });
        self.arrived += 1;
        let woken = Arc::new(Flag(AtomicBool::new(true)));
        self.waiting.push(Request {
            number: self.arrived,
            plain,
            woken,
            future,
        });
    }

    /// Polls those that were woken, and no others: a wake-up that is lost shows.
    fn poll(&mut self) {
        let mut granted: HashMap<String, Vec<(usize, bool)>> = HashMap::new();
        let mut at = 0;
        while at < self.waiting.len() {
            let request = &mut self.waiting[at];
            if !request.woken.0.swap(false, Ordering::Relaxed) {
                at += 1;
                continue;
            }
            let waker = Waker::from(request.woken.clone());
            match request
                .future
                .as_mut()
                .poll(&mut Context::from_waker(&waker))
            {
                Poll::Pending => at += 1,
                Poll::Ready(result) => {
                    let request = self.waiting.remove(at);
                    match result {
                        Ok(slot) => {
                            granted
                                .entry(slot.pool().into())
                                .or_default()
                                .push((request.number, request.plain));
                            self.held.push(slot);
                            self.granted += 1;
                        }
                        Err(refusal) => {
                            assert!(matches!(refusal.status, 404 | 429 | 503), "{refusal:?}");
                            self.refused += 1;
                        }
                    }
                }
            }
        }
        self.check();
    }

    fn step(&mut self) {
        match self.random.below(20) {
            0..=7 => self.arrive(),
            8..=14 if !self.held.is_empty() => {
                let at = self.random.below(self.held.len());
                let slot = self.held.swap_remove(at);
                match self.random.below(12) {
                    0 => slot.outcome(Outcome::ConnectFailed),
                    1 => slot.outcome(Outcome::Broken),
                    2 => slot.outcome(Outcome::FirstByteTimeout),
                    3 => slot.outcome(Outcome::Answered(500)),
                    4 => {}
                    _ => slot.outcome(Outcome::Answered(200)),
                }
            }
            15..=16 if !self.waiting.is_empty() => {
                let at = self.random.below(self.waiting.len());
                drop(self.waiting.swap_remove(at));
                self.waiting.sort_by_key(|request| request.number);
            }
            17 if self.random.one_in(4) => {
                let cluster = self.cluster();
                self.routing.apply(&cluster);
            }
            _ => {}
        }
    }

    fn check(&self) {
        let now = Instant::now();
        let state = self.routing.state.borrow();
        let mut queued = 0;
        for pool in &state.pools {
            for endpoint in &pool.endpoints {
                assert!(
                    endpoint.in_flight.get() <= SLOTS,
                    "{} has too many",
                    endpoint.address
                );
            }
            let keys: Vec<_> = pool
                .queue
                .iter()
                .map(|waiter| (!waiter.key.first, waiter.key.number))
                .collect();
            assert!(
                keys.windows(2).all(|pair| pair[0] < pair[1]),
                "out of order: {keys:?}"
            );
            queued += pool.queue.len();
            for waiter in &pool.queue {
                assert!(
                    pool.pick(waiter.affinity, &waiter.tried, now).is_none(),
                    "one waits beside a free place"
                );
                let zero = |scope: &Scope| {
                    matches!(scope, Scope::Model(_))
                        && !state.pools.iter().any(|pool| pool.takes(scope, false))
                };
                let other = state.pools.iter().find(|other| {
                    other.takes(&waiter.scope, zero(&waiter.scope))
                        && other.has_free(now)
                        && other.usable_besides(&waiter.tried, now)
                });
                assert!(
                    other.is_none() || pool.usable(now),
                    "one waits in a dead pool beside a free place"
                );
            }
        }
        assert_eq!(queued, self.waiting.len(), "requests and queues differ");
        assert_eq!(
            self.routing.held.get(),
            self.held.len(),
            "a place leaks, or a wake-up was lost"
        );
        let here: u32 = state.pools.iter().map(|pool| pool.in_flight()).sum();
        assert!(here as usize <= self.held.len());
    }
}

#[tokio::test(start_paused = true)]
async fn any_order_of_events_makes_sense() {
    let (mut granted, mut refused, mut waited) = (0, 0, 0);
    for seed in 1..=60 {
        let settings = format!("slots = {SLOTS}\nqueue = 6\n[timeouts]\nqueue = 4\n");
        let mut world = World {
            random: Random(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed)),
            routing: routing(&settings, vec![]),
            waiting: Vec::new(),
            held: Vec::new(),
            arrived: 0,
            granted: 0,
            refused: 0,
        };
        let first = world.cluster();
        world.routing.apply(&first);
        for _ in 0..1500 {
            world.step();
            world.poll();
            waited = waited.max(world.waiting.len());
            if world.random.one_in(5) {
                tokio::time::advance(Duration::from_millis(200)).await;
                // The end of ejections; queues' times wake their requests by themselves.
                world.routing.tend();
                world.poll();
            }
        }
        world.waiting.clear();
        world.check();
        world.held.clear();
        world.check();
        (granted, refused) = (granted + world.granted, refused + world.refused);
        assert_eq!(world.routing.in_flight(), 0);
        // Nothing is left behind: a fresh cluster serves all its places at once.
        let routing = &world.routing;
        routing.apply(&snapshot(vec![pool("fresh", "fresh", 1, &[201, 202])]));
        let ask = named("fresh");
        let mut all = Vec::new();
        for _ in 0..2 * SLOTS {
            all.push(now(routing, &ask).await);
        }
        has_to_wait(routing, &ask);
    }
    assert!(
        granted > 10_000 && refused > 1000 && waited > 6,
        "too tame: {granted}, {refused}, {waited}"
    );
}

/// As above, without failures: strictly first come, first served in each pool.
#[tokio::test(start_paused = true)]
async fn plain_requests_keep_their_order() {
    // A task that never pauses is held up by tokio after 128 events; this is one.
    tokio::task::unconstrained(keep_order()).await;
}

async fn keep_order() {
    let mut random = Random(42);
    let routing = routing("queue = 1000", vec![pool("a", "a", 1, &[1, 2, 3])]);
    let ask = named("a");
    let (mut waiting, mut held, mut last, mut checked) =
        (std::collections::VecDeque::new(), Vec::new(), 0, 0);
    for number in 1..5000 {
        let mut future = Box::pin(routing.acquire(&ask));
        match poll(&mut future) {
            Poll::Ready(slot) => {
                assert!(waiting.is_empty(), "{number} overtakes");
                held.push(slot.unwrap());
            }
            Poll::Pending => waiting.push_back((number, future)),
        }
        if random.one_in(5) && !waiting.is_empty() {
            drop(waiting.remove(random.below(waiting.len())));
        }
        while random.below(10) < 4 && !held.is_empty() {
            drop(held.swap_remove(random.below(held.len())));
            if let Some((number, mut future)) = waiting.pop_front() {
                held.push(got(poll(&mut future)));
                assert!(number > last);
                (last, checked) = (number, checked + 1);
            }
        }
        assert!(waiting
            .iter_mut()
            .all(|(_, future)| poll(future).is_pending()));
    }
    assert!(checked > 1000, "too tame: {checked}");
}

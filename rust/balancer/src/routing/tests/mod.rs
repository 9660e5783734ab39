// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

mod health;
mod picking;
mod queue;
mod random;
mod sources;

use super::{Ask, Kind, Outcome, Refusal, Routing, Slot};
use crate::config::Config;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use wasinn_watcher::{Endpoint, Pool, Snapshot};

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// `10.0.0.<number>:8080`, ready.
fn endpoint(number: u8) -> Endpoint {
    let address = SocketAddr::from(([10, 0, 0, number], 8080));
    let (pod, node) = (format!("pod-{number}"), format!("node-{}", number / 10));
    Endpoint {
        address,
        pod,
        node,
        ready: true,
        terminating: false,
    }
}

fn pool(name: &str, model: &str, weight: u32, endpoints: &[u8]) -> Pool {
    Pool {
        name: name.into(),
        model: model.into(),
        aliases: Vec::new(),
        kind: Kind::Chat,
        weight,
        slots: None,
        endpoints: endpoints.iter().copied().map(endpoint).collect(),
    }
}

fn snapshot(pools: Vec<Pool>) -> Snapshot {
    Snapshot {
        pools,
        synced: true,
        ..Snapshot::default()
    }
}

fn routing(settings: &str, pools: Vec<Pool>) -> Rc<Routing> {
    // No active checks but where a test wants them: nothing listens at these addresses.
    let settings = if settings.contains("[health]") {
        settings.into()
    } else {
        format!("{settings}\n[health]\ninterval = 0\n")
    };
    let routing = Routing::new(&Config::parse(&settings).unwrap());
    routing.apply(&snapshot(pools));
    routing
}

fn named(model: &str) -> Ask<'_> {
    Ask {
        model: Some(model),
        ..Ask::default()
    }
}

/// A place that is free at once.
async fn now(routing: &Rc<Routing>, ask: &Ask<'_>) -> Slot {
    let mut future = Box::pin(routing.acquire(ask));
    match poll(&mut future) {
        Poll::Ready(Ok(slot)) => slot,
        Poll::Ready(Err(refusal)) => panic!("refused: {refusal:?}"),
        Poll::Pending => panic!("has to wait"),
    }
}

type Future_<'a> = Pin<Box<dyn Future<Output = Result<Slot, Refusal>> + 'a>>;

/// A request that finds no place free.
fn waits<'a>(routing: &'a Rc<Routing>, ask: &'a Ask<'a>) -> Future_<'a> {
    let mut future: Future_<'a> = Box::pin(routing.acquire(ask));
    assert!(poll(&mut future).is_pending(), "a place is free");
    future
}

fn has_to_wait(routing: &Rc<Routing>, ask: &Ask<'_>) {
    drop(waits(routing, ask));
}

fn poll<F: Future + ?Sized>(future: &mut Pin<Box<F>>) -> Poll<F::Output> {
    future
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()))
}

fn is_lost(slot: &Slot) -> bool {
    let mut lost: Pin<Box<dyn Future<Output = ()> + '_>> = Box::pin(slot.lost());
    poll(&mut lost).is_ready()
}

fn got(result: Poll<Result<Slot, Refusal>>) -> Slot {
    match result {
        Poll::Ready(Ok(slot)) => slot,
        Poll::Ready(Err(refusal)) => panic!("refused: {refusal:?}"),
        Poll::Pending => panic!("still waits"),
    }
}

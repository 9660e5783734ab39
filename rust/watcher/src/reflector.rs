// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0
//! One kind of object, listed once and then watched: a copy of what the API server has.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{sleep, timeout, Instant};

use crate::api::{Api, Failure};
use crate::backoff::{chance, Backoff};
use crate::http::Connection;
use crate::objects::{Event, EventType, List, Object, Status};

/// Objects on a page of a list.
const PAGE: usize = 500;
/// A page, or one event: far above what etcd takes for an object.
const LIMIT: usize = 32 * 1024 * 1024;
const LIST: Duration = Duration::from_secs(60);
/// A watch ends after this and up to half as much again, and the next goes on over the same connection. An API server
/// that is gone without a word is noticed as soon, since WASI has no TCP keep-alive.
const WATCH: Duration = Duration::from_secs(30);
/// The server ends a watch itself; this is for its last words.
const GRACE: Duration = Duration::from_secs(5);
/// A server that ends each watch at once is not asked without a pause.
const BRIEF: Duration = Duration::from_secs(1);
/// After so many failures in a row a list, which mends everything, comes before the next watch.
const ENOUGH: u32 = 3;

pub(crate) struct Reflector<'a, T> {
    api: &'a Api,
    /// `services`, for example.
    what: &'static str,
    /// Path and selector, to which parameters are added.
    path: String,
    pub(crate) objects: RefCell<BTreeMap<String, T>>,
    /// Listed at least once.
    pub(crate) synced: Cell<bool>,
    version: RefCell<String>,
    kept: RefCell<Option<Connection>>,
    /// The watch that runs, or ran last, was granted.
    watching: Cell<bool>,
    /// The trouble that was told last, until a watch is granted.
    complaint: RefCell<String>,
    changed: &'a Notify,
}

impl<'a, T: Object> Reflector<'a, T> {
    /// `group` is `api/v1` or the like; objects with other labels than the selector's are not asked for.
    pub(crate) fn new(
        api: &'a Api,
        changed: &'a Notify,
        group: &str,
        what: &'static str,
        selector: &str,
    ) -> Self {
        let namespace = &api.config.namespace;
        Self {
            api,
            what,
            path: format!(
                "/{group}/namespaces/{namespace}/{what}?labelSelector={}",
                encoded(selector)
            ),
            objects: RefCell::default(),
            synced: Cell::new(false),
            version: RefCell::default(),
            kept: RefCell::default(),
            watching: Cell::new(false),
            complaint: RefCell::default(),
            changed,
        }
    }

    /// Lists and watches for ever. Each new trouble is logged once, and its end.
    pub(crate) async fn run(&self) -> ! {
        let mut backoff = Backoff::default();
        let mut listed: Option<Instant> = None;
        loop {
            let due = listed.map_or(Duration::ZERO, |at| {
                self.api.config.reconcile.saturating_sub(at.elapsed())
            });
            let began = Instant::now();
            self.watching.set(false);
            let outcome = match due.is_zero() {
                true => self.list().await.map(|()| listed = Some(Instant::now())),
                false => self.watch(due).await,
            };
            // A list alone proves little: the watch may still be forbidden, or end at once.
            let lasted = self.watching.get() && began.elapsed() > BRIEF;
            if lasted {
                backoff.reset();
            }
            match outcome {
                Ok(()) if lasted || due.is_zero() => continue,
                Ok(()) => {}
                Err(Failure::Gone) => {
                    log::info!("{}: {}", self.what, Failure::Gone);
                    listed = None;
                }
                Err(Failure::Trouble(sentence)) => self.complain(sentence),
            }
            sleep(backoff.next()).await;
            if backoff.attempts() > ENOUGH {
                listed = None;
            }
        }
    }

    fn complain(&self, sentence: String) {
        let mut complaint = self.complaint.borrow_mut();
        if *complaint != sentence {
            log::warn!("{}: {sentence}", self.what);
            *complaint = sentence;
        }
    }

    fn watching(&self) {
        self.watching.set(true);
        if !self.complaint.take().is_empty() {
            let count = self.objects.borrow().len();
            log::info!("The API server answers again: {count} {}.", self.what);
        }
    }

    /// All objects, page by page; what was known is replaced at the end.
    async fn list(&self) -> Result<(), Failure> {
        let mut objects = BTreeMap::new();
        let mut next = String::new();
        let version = loop {
            let page = self.page(&next).await?;
            objects.extend(
                page.items
                    .into_iter()
                    .map(|object: T| (object.meta().name.clone(), object)),
            );
            next = page.metadata.next;
            if next.is_empty() {
                break page.metadata.resource_version;
            }
        };
        if self.synced.get() && *self.objects.borrow() != objects {
            log::debug!(
                "{}: the list differs from what the watches told.",
                self.what
            );
        }
        *self.version.borrow_mut() = version;
        *self.objects.borrow_mut() = objects;
        self.synced.set(true);
        self.changed.notify_one();
        Ok(())
    }

    async fn page(&self, next: &str) -> Result<List<T>, Failure> {
        let path = format!("{}&limit={PAGE}&continue={}", self.path, encoded(next));
        let mut kept = self.kept.take();
        let mut exchange = self.api.get(&mut kept, &path).await?;
        let body = self.api.within(LIST, exchange.whole(LIMIT)).await?;
        let page = serde_json::from_slice(&body).map_err(|error| self.garbage("list", &error))?;
        *self.kept.borrow_mut() = exchange.into_connection();
        Ok(page)
    }

    /// Takes events until the server ends the watch, `due` or earlier.
    async fn watch(&self, due: Duration) -> Result<(), Failure> {
        let seconds = WATCH
            .mul_f64(1.0 + 0.5 * chance())
            .min(due)
            .as_secs()
            .max(1);
        let limit = Duration::from_secs(seconds) + GRACE;
        match timeout(limit, self.events(seconds)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Failure::Trouble(format!(
                "The API server {} did not end a watch of {seconds} s: connecting anew.",
                self.api.config.api
            ))),
        }
    }

    async fn events(&self, seconds: u64) -> Result<(), Failure> {
        let version = self.version.borrow().clone();
        let path = format!(
            "{}&watch=true&allowWatchBookmarks=true&timeoutSeconds={seconds}&resourceVersion={}",
            self.path,
            encoded(&version)
        );
        let mut kept = self.kept.take();
        let mut exchange = self.api.get(&mut kept, &path).await?;
        self.watching();
        let forever = Duration::from_secs(seconds) + GRACE;
        while let Some(line) = self.api.within(forever, exchange.line(LIMIT)).await? {
            self.take(&line)?;
        }
        *self.kept.borrow_mut() = exchange.into_connection();
        Ok(())
    }

    /// One event of a watch.
    fn take(&self, line: &[u8]) -> Result<(), Failure> {
        let kind: EventType =
            serde_json::from_slice(line).map_err(|error| self.garbage("event", &error))?;
        if kind.name == "ERROR" {
            let event: Event<Status> =
                serde_json::from_slice(line).map_err(|error| self.garbage("event", &error))?;
            return Err(self.api.refusal(&event.object));
        }
        let event: Event<T> =
            serde_json::from_slice(line).map_err(|error| self.garbage("event", &error))?;
        let name = event.object.meta().name.clone();
        let version = event.object.meta().resource_version.clone();
        match kind.name.as_str() {
            "ADDED" | "MODIFIED" => drop(self.objects.borrow_mut().insert(name, event.object)),
            "DELETED" => drop(self.objects.borrow_mut().remove(&name)),
            _ => {} // BOOKMARK, and what may come: only how far the watch is
        }
        if !version.is_empty() {
            *self.version.borrow_mut() = version;
        }
        if kind.name != "BOOKMARK" {
            self.changed.notify_one();
        }
        Ok(())
    }

    fn garbage(&self, what: &str, error: &serde_json::Error) -> Failure {
        Failure::Trouble(format!(
            "{} sends a {what} that cannot be read ({error}): is it a Kubernetes API server?",
            self.api.config.api
        ))
    }
}

/// For a value in a query.
fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                out.push(char::from(byte))
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
        out
    })
}

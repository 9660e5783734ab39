// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

//! One request from its head to its last byte.

use super::history::{Step, Trouble};
use super::log::{shortened, timestamp, Line};
use super::metrics::Series;
use super::route::route;
use super::tokens::{Body, Counter, Tokens};
use super::{Observe, Pool};
use crate::clock;
use crate::routing::Slot;
use crate::Refusal;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// The word for a client that left; also the reason where no status had been sent, which is then 499 as nginx has it.
pub const CLIENT_GONE: &str = "client_gone";
const CLIENT_GONE_STATUS: u16 = 499;
/// Bytes of a client's words (path, model) that are kept or logged.
const SHORT: usize = 128;

/// One request; on drop it is counted and logged.
pub struct Record {
    observe: Rc<Observe>,
    pub began: Instant,
    pub method: String,
    pub path: String,
    /// `X-Request-Id`.
    pub id: String,
    pub client: SocketAddr,
    /// The model that answered; what was asked for until then.
    pub model: String,
    pub pool: String,
    pub endpoint: Option<SocketAddr>,
    /// The key's name.
    pub key: String,
    /// 499 where the client left before the response.
    pub status: u16,
    /// The response is `text/event-stream`.
    pub stream: bool,
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub queued: Duration,
    /// From the head's arrival to the first byte of the response's body.
    pub first_byte: Option<Duration>,
    pub retries: u32,
    /// A short word: `client_gone`, `upstream_broken`, `connect_failed`, `first_byte_timeout`, … or a refusal's code.
    pub error: Option<&'static str>,
    counter: Counter,
    /// First and last text of a streamed answer.
    text: Option<(Instant, Instant)>,
}

impl Record {
    pub(super) fn new(
        observe: Rc<Observe>,
        method: &str,
        path: &str,
        id: &str,
        client: SocketAddr,
    ) -> Self {
        Record {
            observe,
            began: clock::now().into_std(),
            method: method.to_owned(),
            path: path.to_owned(),
            id: id.to_owned(),
            client,
            model: String::new(),
            pool: String::new(),
            endpoint: None,
            key: String::new(),
            status: 0,
            stream: false,
            bytes_in: 0,
            bytes_out: 0,
            queued: Duration::ZERO,
            first_byte: None,
            retries: 0,
            error: None,
            counter: Counter::default(),
            text: None,
        }
    }

    /// The request has a place.
    pub fn place(&mut self, slot: &Slot) {
        slot.model().clone_into(&mut self.model);
        slot.pool().clone_into(&mut self.pool);
        self.endpoint = Some(slot.address());
        self.queued += slot.waited();
    }

    /// The attempt at this place failed before the first byte, and another place is asked for.
    pub fn retried(&mut self, reason: &'static str) {
        self.retries += 1;
        self.observe
            .families
            .retries
            .with_label_values(&[self.model.as_str(), &self.pool, reason])
            .inc();
    }

    /// The balancer answers by itself, with an error.
    pub fn refused(&mut self, refusal: &Refusal) {
        self.status = refusal.status;
        self.error = Some(refusal.code);
    }

    /// A response's head goes to the client.
    pub fn reply(&mut self, status: u16, content_type: Option<&str>) {
        let body = Body::of(content_type);
        self.status = status;
        self.stream = body == Body::Events;
        self.counter = Counter::new(body);
    }

    /// Bytes of a response's body (framing taken off), as they came.
    pub fn chunk(&mut self, body: &[u8]) {
        self.bytes_out += body.len() as u64;
        let text = self.counter.feed(body);
        if self.first_byte.is_none() || (text && self.stream) {
            let now = clock::now().into_std();
            self.first_byte.get_or_insert(now - self.began);
            if text && self.stream {
                self.text = Some((self.text.map_or(now, |(first, _)| first), now));
            }
        }
    }

    fn count(&self, series: &Series, tokens: Tokens, total: Duration) {
        let to = &self.observe.families;
        series.ended(to, route(&self.path), self.status);
        series.duration.observe(total.as_secs_f64());
        if self.endpoint.is_some() {
            series.queue_wait.observe(self.queued.as_secs_f64());
        } else if let Some(code) = self.error.filter(|error| *error != CLIENT_GONE) {
            to.refused.with_label_values(&[code]).inc();
        }
        if self.error == Some(CLIENT_GONE) {
            to.aborts
                .with_label_values(&[series.model.as_str(), &series.pool])
                .inc();
        }
        if !self.key.is_empty() {
            to.keys.with_label_values(&[&self.key]).inc();
        }
        for (counter, count) in series.tokens.iter().zip([tokens.input, tokens.output]) {
            counter.inc_by(count.unwrap_or(0));
        }
        if let Some((first, last)) = self.text {
            to.first_token
                .with_label_values(&series.place())
                .observe((first - self.began).as_secs_f64());
            if let Some(more) = tokens
                .output
                .map(|count| count.saturating_sub(1))
                .filter(|more| *more > 0)
            {
                to.per_token
                    .with_label_values(&series.place())
                    .observe((last - first).as_secs_f64() / more as f64);
            }
        }
    }

    fn remember(&self, series: &Series, tokens: Tokens) {
        let observe = &*self.observe;
        let output = tokens.output.unwrap_or(0);
        let failed = self.failed();
        let step = Step {
            requests: 1,
            errors: failed.into(),
            tokens: u32::try_from(output).unwrap_or(u32::MAX),
        };
        let now = clock::now().into_std();
        observe.all.borrow_mut().add(now, step);
        observe.totals.add(step);
        series.totals.add(step);
        observe
            .tokens_in
            .set(observe.tokens_in.get() + tokens.input.unwrap_or(0));
        if self.endpoint.is_some() {
            let mut pools = observe.pools.borrow_mut();
            if !pools.contains_key(&self.pool) {
                pools.insert(self.pool.clone(), Pool::new(observe.began));
            }
            if let Some(pool) = pools.get_mut(&self.pool) {
                pool.history.add(now, step);
                pool.totals.add(step);
            }
        }
        if self.status >= 400 || failed {
            observe.troubles.borrow_mut().add(Trouble {
                at: timestamp(),
                id: self.id.clone(),
                count: 1,
                model: shortened(&self.model, SHORT).to_owned(),
                endpoint: series.endpoint.clone(),
                route: route(&self.path),
                status: self.status,
                error: self.error.unwrap_or_default(),
            });
        }
    }

    /// Something of ours went wrong: the client did not get what it could have got.
    fn failed(&self) -> bool {
        self.status >= 500
            || self
                .error
                .is_some_and(|error| error != CLIENT_GONE && self.status < 400)
    }

    fn log(&self, series: &Series, tokens: Tokens, total: Duration) {
        let route = route(&self.path);
        self.observe.log.write(&Line {
            ts: timestamp(),
            id: &self.id,
            client: self.client,
            key: &self.key,
            method: &self.method,
            route,
            path: (route != self.path).then(|| shortened(&self.path, SHORT)),
            model: shortened(&self.model, SHORT),
            pool: &self.pool,
            endpoint: self.endpoint.map(|_| series.endpoint.as_str()),
            status: self.status,
            stream: self.stream,
            bytes_in: self.bytes_in,
            bytes_out: self.bytes_out,
            queue_s: self.queued,
            first_byte_s: self.first_byte,
            total_s: total,
            retries: self.retries,
            tokens_in: tokens.input,
            tokens_out: tokens.output,
            error: self.error,
        });
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        if self.status == 0 {
            // Nothing was answered: whoever held this was dropped, because the client had left.
            self.status = CLIENT_GONE_STATUS;
            self.error.get_or_insert(CLIENT_GONE);
        }
        let (total, tokens) = (clock::now().into_std() - self.began, self.counter.tokens());
        let series = self.observe.series(&self.model, &self.pool, self.endpoint);
        self.count(&series, tokens, total);
        self.remember(&series, tokens);
        if self.observe.log.wants(self.status, self.error) {
            self.log(&series, tokens, total);
        }
    }
}

// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

//! How much of its limits a key has used.

use super::file::Key;
use super::refuse;
use crate::Refusal;
use std::cell::Cell;
use tokio::time::Instant;

#[derive(Debug, Default)]
pub(super) struct Usage {
    running: Cell<u32>,
    /// Requests that the token bucket has left, and when that was; `None`: it is full.
    left: Cell<Option<(f64, Instant)>>,
}

impl Usage {
    /// Lets a request in; [`Usage::leave`] is its end. One that is refused uses nothing up.
    ///
    /// # Errors
    /// 429 above a limit.
    pub fn enter(&self, key: &Key, replicas: u32, now: Instant) -> Result<(), Refusal> {
        if let Some(limit) = key.concurrent {
            if self.running.get() >= limit.div_ceil(replicas) {
                let message = format!(
                    "Concurrency limit reached for the key `{}`: {limit} requests at once; try again when one has ended.",
                    key.name
                );
                return Err(refuse(429, "concurrency_limit_exceeded", message, Some(1)));
            }
        }
        if let Some(limit) = key.requests_per_minute {
            // A full bucket is a minute's worth.
            let full = if limit < replicas {
                1.0
            } else {
                f64::from(limit) / f64::from(replicas)
            };
            let rate = f64::from(limit) / f64::from(replicas) / 60.0;
            let (left, then) = self.left.get().unwrap_or((full, now));
            // No f64::min in WebAssembly: it may end as libm's fmin, and WasmEdge takes a compiled file's symbols that begin
            // with an f for functions of the module; then it interprets the file.
            let refilled = left + (now - then).as_secs_f64() * rate;
            let left = if refilled < full { refilled } else { full };
            // A billionth is lost in calculating.
            if left < 1.0 - 1e-9 {
                let wait = ((1.0 - left) / rate).ceil().clamp(1.0, 3600.0) as u32;
                let message = format!(
                    "Rate limit reached for the key `{}`: {limit} requests per minute. Please try again in {wait} s.",
                    key.name
                );
                return Err(refuse(429, "rate_limit_exceeded", message, Some(wait)));
            }
            self.left.set(Some((left - 1.0, now)));
        }
        self.running.set(self.running.get() + 1);
        Ok(())
    }

    pub fn leave(&self) {
        self.running.set(self.running.get() - 1);
    }
}

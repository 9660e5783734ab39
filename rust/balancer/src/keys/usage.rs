// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

//! How much of its limits a key has used.

use super::file::Key;
use super::refuse;
use crate::Refusal;
use std::cell::Cell;
use std::time::Duration;
use tokio::time::Instant;

const MINUTE: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub(super) struct Usage {
    running: Cell<u32>,
    /// When the token bucket is full again; `None`: it is.
    full: Cell<Option<Instant>>,
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
            // The token bucket, counted in time: it is full at `full`, a request takes `spacing` out of it, and it
            // holds a minute's worth.
            let spacing = MINUTE * replicas / limit;
            let full = self.full.get().filter(|full| *full > now).unwrap_or(now) + spacing;
            let ahead = (full - now).saturating_sub(MINUTE.max(spacing));
            if !ahead.is_zero() {
                let wait = ahead.as_secs() + u64::from(ahead.subsec_nanos() > 0);
                let message = format!(
                    "Rate limit reached for the key `{}`: {limit} requests per minute. Please try again in {wait} s.",
                    key.name
                );
                return Err(refuse(
                    429,
                    "rate_limit_exceeded",
                    message,
                    u32::try_from(wait).ok(),
                ));
            }
            self.full.set(Some(full));
        }
        self.running.set(self.running.get() + 1);
        Ok(())
    }

    pub fn leave(&self) {
        self.running.set(self.running.get() - 1);
    }
}

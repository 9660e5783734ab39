// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0
//! Pauses between attempts: twice as long each time, by chance up to half shorter, so that pods don't come in step.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

const FIRST: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(5);

#[derive(Default)]
pub(crate) struct Backoff {
    attempts: u32,
}

impl Backoff {
    /// The pause before the next attempt.
    pub(crate) fn next(&mut self) -> Duration {
        let pause = FIRST
            .saturating_mul(1 << self.attempts.min(10))
            .min(LONGEST);
        self.attempts += 1;
        pause.mul_f64(0.5 + 0.5 * chance())
    }

    /// How many pauses there were since it worked.
    pub(crate) fn attempts(&self) -> u32 {
        self.attempts
    }

    /// It worked: the next pause is a short one.
    pub(crate) fn reset(&mut self) {
        self.attempts = 0;
    }
}

/// From 0 to 1, from the seed of the standard library's hash maps.
pub(crate) fn chance() -> f64 {
    RandomState::new().build_hasher().finish() as f64 / u64::MAX as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_stay_below_the_longest() {
        let mut backoff = Backoff::default();
        let pauses: Vec<_> = (0..40).map(|_| backoff.next()).collect();
        assert!(pauses[0] >= FIRST / 2 && pauses[0] <= FIRST);
        assert!(pauses[5] > pauses[0] * 8);
        assert!(pauses.iter().all(|pause| *pause <= LONGEST));
        assert!(pauses[39] >= LONGEST / 2);
        backoff.reset();
        assert!(backoff.next() <= FIRST);
    }

    #[test]
    fn chance_differs() {
        let drawn: Vec<_> = (0..100).map(|_| chance()).collect();
        assert!(drawn.iter().all(|value| (0.0..=1.0).contains(value)));
        assert!(drawn.iter().any(|value| *value < 0.3) && drawn.iter().any(|value| *value > 0.7));
    }
}

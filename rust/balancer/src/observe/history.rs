// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

//! The last two minutes in figures and the last troubles, for the status page.

use serde::Serialize;
use std::cell::Cell;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Width of one step of the history.
pub const STEP: Duration = Duration::from_secs(2);
/// Steps that are kept: two minutes.
pub const STEPS: usize = 60;
/// Kinds of trouble that are kept.
const TROUBLES: usize = 20;

/// What was counted since the start.
#[derive(Debug, Default)]
pub struct Totals {
    pub requests: Cell<u64>,
    pub errors: Cell<u64>,
    pub tokens: Cell<u64>,
}

impl Totals {
    /// Adds what happened.
    pub fn add(&self, step: Step) {
        let add = |to: &Cell<u64>, count: u32| to.set(to.get() + u64::from(count));
        add(&self.requests, step.requests);
        add(&self.errors, step.errors);
        add(&self.tokens, step.tokens);
    }
}

/// What happened in one step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Step {
    pub requests: u32,
    pub errors: u32,
    pub tokens: u32,
}

/// A ring of the last [`STEPS`] steps, the last one still growing.
#[derive(Debug)]
pub struct History {
    since: Instant,
    /// Number of the last step in `steps`, from `since` on.
    last: u64,
    steps: VecDeque<Step>,
}

/// The history in columns, oldest first; the step that is not over is left out.
#[derive(Debug, Serialize, PartialEq, Eq)]
pub struct Columns {
    pub requests: Vec<u32>,
    pub errors: Vec<u32>,
    pub tokens: Vec<u32>,
}

impl History {
    /// An empty one; all of a process share `since`, so that their steps are the same.
    pub fn new(since: Instant) -> Self {
        History {
            since,
            last: 0,
            steps: VecDeque::from(vec![Step::default(); STEPS + 1]),
        }
    }

    /// Adds to the current step.
    pub fn add(&mut self, now: Instant, step: Step) {
        self.advance(now);
        if let Some(current) = self.steps.back_mut() {
            current.requests += step.requests;
            current.errors += step.errors;
            current.tokens += step.tokens;
        }
    }

    /// The last [`STEPS`] steps.
    pub fn columns(&mut self, now: Instant) -> Columns {
        self.advance(now);
        let column = |of: fn(&Step) -> u32| self.steps.iter().take(STEPS).map(of).collect();
        Columns {
            requests: column(|step| step.requests),
            errors: column(|step| step.errors),
            tokens: column(|step| step.tokens),
        }
    }

    fn advance(&mut self, now: Instant) {
        let number =
            (now.saturating_duration_since(self.since).as_millis() / STEP.as_millis()) as u64;
        for _ in 0..number.saturating_sub(self.last).min(STEPS as u64 + 1) {
            self.steps.pop_front();
            self.steps.push_back(Step::default());
        }
        self.last = self.last.max(number);
    }
}

/// A request that went wrong, or several in a row that went wrong in the same way.
#[derive(Clone, Debug, Serialize)]
pub struct Trouble {
    /// RFC 3339, UTC, of the last one.
    pub at: String,
    /// `X-Request-Id` of the last one, to find it in the access log.
    pub id: String,
    pub count: u64,
    pub model: String,
    pub endpoint: String,
    pub route: &'static str,
    pub status: u16,
    pub error: &'static str,
}

/// The last kinds of trouble, newest first.
#[derive(Debug, Default)]
pub struct Troubles(VecDeque<Trouble>);

impl Troubles {
    /// Adds one; the same again only counts, so that a scanner does not drive the rest away.
    pub fn add(&mut self, mut new: Trouble) {
        let same = |known: &Trouble| {
            (
                &known.model,
                &known.endpoint,
                known.route,
                known.status,
                known.error,
            ) == (&new.model, &new.endpoint, new.route, new.status, new.error)
        };
        if let Some(at) = self.0.iter().position(same) {
            new.count += self.0.remove(at).map_or(0, |known| known.count);
        }
        self.0.push_front(new);
        self.0.truncate(TROUBLES);
    }

    /// All that are kept.
    pub fn list(&self) -> Vec<Trouble> {
        self.0.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_come_in_order_and_old_ones_go() {
        let start = Instant::now();
        let mut history = History::new(start);
        let one = Step {
            requests: 1,
            errors: 0,
            tokens: 5,
        };
        history.add(start, one);
        history.add(start + STEP * 2, one);
        history.add(start + STEP * 2, one);
        assert_eq!(
            history.columns(start + STEP * 3).requests[STEPS - 3..],
            [1, 0, 2]
        );
        assert_eq!(history.columns(start + STEP * 3).tokens[STEPS - 1], 10);
        assert_eq!(history.columns(start + STEP * 2).requests.len(), STEPS);
        assert_eq!(
            history.columns(start + STEP * 1000).requests,
            vec![0; STEPS]
        );
    }

    #[test]
    fn the_step_that_runs_is_left_out() {
        let start = Instant::now();
        let mut history = History::new(start);
        history.add(
            start,
            Step {
                requests: 9,
                ..Step::default()
            },
        );
        assert_eq!(history.columns(start).requests, vec![0; STEPS]);
    }

    #[test]
    fn the_same_trouble_counts_and_comes_first() {
        let trouble = |status, id: &str| Trouble {
            at: String::new(),
            id: id.into(),
            count: 1,
            model: "m".into(),
            endpoint: String::new(),
            route: "/v1/models",
            status,
            error: "e",
        };
        let mut troubles = Troubles::default();
        for (status, id) in [(404, "a"), (502, "b"), (404, "c")] {
            troubles.add(trouble(status, id));
        }
        let seen: Vec<_> = troubles
            .list()
            .into_iter()
            .map(|one| (one.status, one.count, one.id))
            .collect();
        assert_eq!(seen, [(404, 2, "c".to_string()), (502, 1, "b".to_string())]);
        (0..100).for_each(|status| troubles.add(trouble(status, "x")));
        assert_eq!(troubles.list().len(), TROUBLES);
    }
}

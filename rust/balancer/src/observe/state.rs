// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

//! What an endpoint is at the moment, in one word.

use crate::routing::EndpointView;
use serde::Serialize;

/// As a metric's label, on the status page and for autoscalers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Takes requests.
    Ready,
    /// All its places are taken.
    Busy,
    /// Left out for failing.
    Ejected,
    /// Kubernetes calls it not ready.
    Unready,
    /// Its pod is going.
    Terminating,
}

impl State {
    /// All of them with their names, so that no series appears only when it is needed.
    pub const ALL: [(State, &'static str); 5] = [
        (State::Ready, "ready"),
        (State::Busy, "busy"),
        (State::Ejected, "ejected"),
        (State::Unready, "unready"),
        (State::Terminating, "terminating"),
    ];

    /// Of an endpoint with `slots` places (0: no limit).
    pub fn of(endpoint: &EndpointView, slots: u32) -> Self {
        if endpoint.terminating {
            State::Terminating
        } else if endpoint.usable && slots > 0 && endpoint.in_flight >= slots {
            State::Busy
        } else if endpoint.usable {
            State::Ready
        } else if endpoint.ejected.is_some() {
            State::Ejected
        } else {
            State::Unready
        }
    }
}

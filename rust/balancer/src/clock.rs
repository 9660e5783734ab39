// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

//! The time of a turn of the event loop.
//!
//! Asking the system is a call out of WebAssembly, and a request asks twenty times: time-outs, limits, metrics, log. What
//! happens in one turn happens at one time, as nginx and HAProxy have it; a turn is short of a millisecond where there are
//! fewer than fifty requests at once.

use std::cell::Cell;
use std::time::SystemTime;
use tokio::time::Instant;

thread_local! {
    static TURN: Cell<Option<Instant>> = const { Cell::new(None) };
    static WALL: Cell<Option<SystemTime>> = const { Cell::new(None) };
}

/// A turn begins now (`true`), or there is none any more.
pub fn turn(begins: bool) {
    TURN.set(begins.then(Instant::now));
    WALL.set(None);
}

/// When this turn began; now, outside of one.
pub fn now() -> Instant {
    TURN.get().unwrap_or_else(Instant::now)
}

/// The wall clock's time of this turn.
pub fn wall() -> SystemTime {
    WALL.get().unwrap_or_else(|| {
        let now = SystemTime::now();
        WALL.set(TURN.get().map(|_| now));
        now
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread::sleep;
    use std::time::Duration;

    #[test]
    fn time_stands_still_in_a_turn_and_goes_on_outside() {
        let pause = || sleep(Duration::from_millis(2));
        turn(true);
        let (began, wall_began) = (now(), wall());
        pause();
        assert_eq!((now(), wall()), (began, wall_began));
        turn(true);
        assert!(now() > began && wall() > wall_began);
        turn(false);
        let (outside, wall_outside) = (now(), wall());
        pause();
        assert!(now() > outside && wall() > wall_outside);
    }
}

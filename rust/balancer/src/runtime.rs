// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

//! The event loop: one thread, and tokio's tasks that never leave it.

use crate::clock;
use std::future::{poll_fn, Future};
use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use tokio::runtime::Builder;
use tokio::task::{yield_now, LocalSet};

/// Rounds of ready tasks between two looks at the sockets.
const ROUNDS: usize = 8;

/// Remembers that it was woken; the runtime hears of it only while the work does not run.
struct Bell {
    rung: AtomicBool,
    busy: AtomicBool,
    runtime: Mutex<Option<Waker>>,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rung.store(true, Ordering::Release);
        if !self.busy.load(Ordering::Acquire) {
            if let Some(runtime) = &*self.runtime.lock().unwrap_or_else(|held| held.into_inner()) {
                runtime.wake_by_ref();
            }
        }
    }
}

/// Runs a future to its end, and what it spawns with [`tokio::task::spawn_local`] meanwhile.
///
/// A runtime whose future was woken while it ran looks at the sockets before it goes on, and under WASI each look costs
/// a system call for every socket there is. So what was woken is run again here until nothing more was, and the runtime
/// does not hear of it.
///
/// # Errors
/// Where the system gives no means to wait for events.
pub fn block_on<F: Future>(future: F) -> io::Result<F::Output> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let local = LocalSet::new();
    let mut work = pin!(local.run_until(future));
    let bell = Arc::new(Bell {
        rung: AtomicBool::new(false),
        busy: AtomicBool::new(false),
        runtime: Mutex::new(None),
    });
    let waker = Waker::from(bell.clone());
    Ok(runtime.block_on(poll_fn(|cx| {
        *bell.runtime.lock().unwrap_or_else(|held| held.into_inner()) = Some(cx.waker().clone());
        bell.busy.store(true, Ordering::Release);
        let mut done = Poll::Pending;
        for _ in 0..ROUNDS {
            bell.rung.store(false, Ordering::Release);
            clock::turn(true);
            done = work.as_mut().poll(&mut Context::from_waker(&waker));
            if done.is_ready() || !bell.rung.load(Ordering::Acquire) {
                break;
            }
        }
        clock::turn(false);
        bell.busy.store(false, Ordering::Release);
        if done.is_pending() && bell.rung.load(Ordering::Acquire) {
            // Deferred: the runtime looks at the sockets without waiting, then comes back.
            let _ = pin!(yield_now()).poll(cx);
        }
        done
    })))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::rc::Rc;
    use tokio::sync::Semaphore;
    use tokio::task::spawn_local;

    #[test]
    fn more_tasks_than_one_round_all_run() {
        let count = block_on(async {
            let (count, start) = (Rc::new(Cell::new(0)), Rc::new(Semaphore::new(0)));
            let tasks: Vec<_> = (0..1000)
                .map(|_| {
                    let (count, start) = (count.clone(), start.clone());
                    spawn_local(async move {
                        start.acquire().await.unwrap().forget();
                        count.set(count.get() + 1);
                    })
                })
                .collect();
            yield_now().await;
            start.add_permits(1000);
            for task in tasks {
                task.await.unwrap();
            }
            count.get()
        });
        assert_eq!(count.unwrap(), 1000);
    }
}

// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

//! The event loop: one thread, and tokio's tasks that never leave it.

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

/// Remembers that it was woken, besides waking the runtime.
struct Bell {
    rung: AtomicBool,
    runtime: Mutex<Option<Waker>>,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.rung.swap(true, Ordering::AcqRel) {
            if let Some(runtime) = &*self.runtime.lock().unwrap_or_else(|held| held.into_inner()) {
                runtime.wake_by_ref();
            }
        }
    }
}

/// Runs a future to its end, and what it spawns with [`tokio::task::spawn_local`] meanwhile.
///
/// On WASI tokio_wasi 1.25 has nothing that would wake its sleeping event loop, and it goes to sleep although the future
/// given to `Runtime::block_on` was woken while it ran: after the 61 tasks that a LocalSet runs in one go, for instance,
/// the others would wait for the next packet or timer. So what was woken while it ran is polled again here, before the
/// runtime hears of it.
///
/// # Errors
/// Where the system gives no means to wait for events.
pub fn block_on<F: Future>(future: F) -> io::Result<F::Output> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let local = LocalSet::new();
    let mut work = pin!(local.run_until(future));
    let bell = Arc::new(Bell {
        rung: AtomicBool::new(false),
        runtime: Mutex::new(None),
    });
    let waker = Waker::from(bell.clone());
    Ok(runtime.block_on(poll_fn(|cx| {
        *bell.runtime.lock().unwrap_or_else(|held| held.into_inner()) = Some(cx.waker().clone());
        for _ in 0..ROUNDS {
            bell.rung.store(false, Ordering::Release);
            if let Poll::Ready(output) = work.as_mut().poll(&mut Context::from_waker(&waker)) {
                return Poll::Ready(output);
            }
            if !bell.rung.load(Ordering::Acquire) {
                return Poll::Pending;
            }
        }
        // Deferred: the runtime looks at the sockets without waiting, then comes back.
        let _ = pin!(yield_now()).poll(cx);
        Poll::Pending
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

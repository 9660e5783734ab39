// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

//! Finds an endpoint that answers. A request is sent again elsewhere as long as no byte of a response has come, if
//! asking twice does no harm; others only where no endpoint can have got them.

use super::client::Turn;
use super::upstream::{Failure, Response};
use crate::http::conn::Conn;
use crate::http::receive::{self, refusal};
use crate::keys::Caller;
use crate::routing::{Ask, Kind, Outcome, Slot};
use crate::{App, Refusal};
use std::future::{pending, poll_fn};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::time::sleep;

/// A request that is ready to be sent.
pub struct Errand<'a> {
    pub model: Option<&'a str>,
    pub kind: Kind,
    pub affinity: Option<u64>,
    pub caller: &'a Caller,
    /// Head and body.
    pub message: &'a [u8],
    /// [`super::route::repeatable`]
    pub repeatable: bool,
}

/// Why no endpoint answered.
pub enum Failed {
    Refused(Refusal),
    /// The client left.
    Gone,
}

/// Bytes that a client may send ahead of its answers; more is left to the system's buffers.
const AHEAD: usize = 64 << 10;

/// Asks endpoints until one answers.
///
/// # Errors
/// [`Failed`].
pub async fn run(
    app: &App,
    client: &mut Conn,
    turn: &mut Turn,
    errand: &Errand<'_>,
) -> Result<(Response, Option<Slot>), Failed> {
    let minor = turn.minor;
    let mut tried = Vec::new();
    // A response of 503, and whose it is: passed on where no other endpoint does better.
    let mut held: Option<(Response, Place)> = None;
    loop {
        let ask = Ask {
            model: errand.model,
            kind: errand.kind,
            affinity: errand.affinity,
            tried: &tried,
            allowed: errand.caller.models(),
        };
        let found = tokio::select! {
            biased;
            found = app.routing.acquire(&ask) => found,
            () = gone(client, minor) => return Err(Failed::Gone),
        };
        let slot = match found {
            Ok(slot) => slot,
            Err(refusal) => return instead(held, turn).ok_or(Failed::Refused(refusal)),
        };
        turn.record.place(&slot);
        let address = slot.address();
        let last = tried.len() >= app.config.retries as usize;
        let answered = tokio::select! {
            biased;
            answered = app.proxy.upstreams.exchange(address, errand, turn.to_head, app) => answered,
            () = slot.lost() => Err(Failure::Broken),
            () = gone(client, minor) => return Err(Failed::Gone),
        };
        let reason = match answered {
            Ok(response) => {
                slot.outcome(Outcome::Answered(response.status));
                if response.status != 503 || last || !errand.repeatable {
                    return Ok((response, Some(slot)));
                }
                held = Some((response, Place::of(turn)));
                "status_503"
            }
            Err(failure) => {
                let (outcome, word) = match failure {
                    Failure::Connect => (Outcome::ConnectFailed, "connect_failed"),
                    Failure::Broken => (Outcome::Broken, "upstream_broken"),
                    Failure::FirstByteTimeout => (Outcome::FirstByteTimeout, "first_byte_timeout"),
                };
                slot.outcome(outcome);
                let again = match failure {
                    Failure::Connect => true,
                    Failure::Broken => errand.repeatable,
                    Failure::FirstByteTimeout => false,
                };
                if last || !again {
                    return instead(held, turn).ok_or_else(|| {
                        turn.record.error = Some(word);
                        Failed::Refused(unanswered(failure))
                    });
                }
                word
            }
        };
        turn.record.retried(reason);
        tried.push(address);
    }
}

/// Where an attempt went, for the record.
struct Place {
    model: String,
    pool: String,
    endpoint: Option<SocketAddr>,
}

impl Place {
    fn of(turn: &Turn) -> Self {
        Place {
            model: turn.record.model.clone(),
            pool: turn.record.pool.clone(),
            endpoint: turn.record.endpoint,
        }
    }
}

/// The response that was held back, if any.
fn instead(held: Option<(Response, Place)>, turn: &mut Turn) -> Option<(Response, Option<Slot>)> {
    let (response, place) = held?;
    turn.record.model = place.model;
    turn.record.pool = place.pool;
    turn.record.endpoint = place.endpoint;
    Some((response, None))
}

fn unanswered(failure: Failure) -> Refusal {
    match failure {
        Failure::FirstByteTimeout => refusal(
            504,
            "upstream_timeout",
            "The model took too long to answer: ask for less, or later.",
        ),
        Failure::Connect => refusal(
            502,
            "upstream_unreachable",
            "No endpoint of the model can be reached: try again.",
        ),
        Failure::Broken => refusal(
            502,
            "upstream_broken",
            "The model's endpoint broke off before it answered: try again.",
        ),
    }
}

/// Resolves when the client has left, while nothing of its answer was sent.
///
/// The end of what it sends is no proof: it may wait with half of the connection closed. An interim response is: who is
/// gone answers it with a reset, and who waits reads over it (RFC 9110, section 15.2). HTTP/1.0 knows none, so that such
/// a client is waited for.
pub async fn gone(client: &mut Conn, minor: u8) {
    const PAUSES: [Duration; 3] = [
        Duration::from_millis(50),
        Duration::from_secs(1),
        Duration::from_secs(10),
    ];
    loop {
        if client.unread().len() > AHEAD {
            pending::<()>().await;
        }
        match poll_fn(|cx| client.poll_fill(cx)).await {
            Ok(0) => break,
            Ok(_) => {}
            Err(_) => return,
        }
    }
    if minor > 0 {
        for pause in PAUSES {
            if client
                .write(receive::CONTINUE, Duration::from_secs(1))
                .await
                .is_err()
            {
                return;
            }
            sleep(pause).await;
        }
        if client
            .write(receive::CONTINUE, Duration::from_secs(1))
            .await
            .is_err()
        {
            return;
        }
    }
    pending::<()>().await;
}

// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

//! Passes a response on as it comes: one write for each read, so that no token waits for the next.

use super::client::{gone, Next, Turn};
use super::upstream::Response;
use crate::http::body::{chunk, Dechunk, Framing, LAST_CHUNK};
use crate::http::conn::{Conn, Fault};
use crate::http::head::{self, Malformed};
use crate::http::message::{field, status_line, Reply};
use crate::http::receive::refusal;
use crate::routing::{Outcome, Slot};
use crate::{clock, App};
use std::future::{pending, poll_fn};
use std::io::Write;
use std::time::Duration;
use tokio::time::sleep;

/// What a client of a stream that broke off is told, in place of the last event.
const BROKEN_EVENT: &[u8] = b"data: {\"error\":{\"message\":\"The model's endpoint broke off before the answer was complete: \
    ask again.\",\"type\":\"server_error\",\"param\":null,\"code\":\"upstream_broken\"}}\n\n";
/// An event that says nothing: whoever is gone answers it with a reset.
const COMMENT: &[u8] = b":\n\n";

/// What a response's body was and becomes.
struct Body {
    from: Framing,
    /// For [`Framing::Length`].
    left: u64,
    dechunk: Dechunk,
    /// Chunked towards the client.
    chunked: bool,
    /// Server-sent events.
    events: bool,
    /// What was passed on last ended an event.
    between_events: bool,
    scratch: Vec<u8>,
}

impl Body {
    /// Takes what came, passes it to `out` in the client's framing, and returns whether the body is whole.
    fn pass(
        &mut self,
        upstream: &mut Conn,
        turn: &mut Turn,
        out: &mut Vec<u8>,
    ) -> Result<bool, Malformed> {
        let unread = upstream.unread();
        let (taken, data, whole) = match self.from {
            Framing::None => (0, &[][..], true),
            Framing::Length(_) => {
                let take = self.left.min(unread.len() as u64) as usize;
                self.left -= take as u64;
                (take, &unread[..take], self.left == 0)
            }
            Framing::Close => (unread.len(), unread, false),
            Framing::Chunked => {
                self.scratch.clear();
                let taken = self.dechunk.decode(unread, &mut self.scratch)?;
                (taken, self.scratch.as_slice(), self.dechunk.done())
            }
        };
        if !data.is_empty() {
            turn.record.chunk(data);
            self.between_events = data.ends_with(b"\n\n");
            if self.chunked {
                chunk(data, out);
            } else {
                out.extend_from_slice(data);
            }
        }
        if whole {
            self.end(out);
        }
        upstream.advance(taken);
        Ok(whole)
    }

    fn end(&self, out: &mut Vec<u8>) {
        if self.chunked {
            out.extend_from_slice(LAST_CHUNK);
        }
    }
}

/// Passes the response on. The slot is free as soon as the endpoint is done.
pub async fn run(
    app: &App,
    client: &mut Conn,
    mut turn: Turn,
    response: Response,
    slot: Option<Slot>,
) -> Next {
    let timeouts = &app.config.timeouts;
    let pause = Duration::from_secs_f64(timeouts.body);
    let idle = Duration::from_secs_f64(timeouts.idle);
    let Response {
        conn: mut upstream,
        keep_alive,
        ..
    } = response;
    let mut out = Vec::new();
    let Some(mut body) = begin(app, &mut upstream, &mut turn, &mut out) else {
        return Next::Close;
    };
    let mut begun = false; // something was sent to the client
    let mut watched = true; // the client's side is open

    let broken = loop {
        let held = out.len();
        match body.pass(&mut upstream, &mut turn, &mut out) {
            Ok(true) => break None,
            Ok(false) => {}
            Err(_) => break Some("upstream_broken"),
        }
        // A head waits for its body: two writes would cost a delayed acknowledgement. An event stream's does not.
        if out.len() > held && !out.is_empty() || body.events && !begun {
            if client.write(&out, pause).await.is_err() {
                return gone(turn);
            }
            begun = true;
            out.clear();
        }
        let read = tokio::select! {
            biased;
            read = upstream.fill(clock::now() + idle) => read,
            open = half_open(client), if watched => {
                watched = false;
                if !open || !probe(client, &body, begun).await {
                    return gone(turn);
                }
                continue;
            }
        };
        match read {
            Ok(1..) => {}
            Ok(_) if body.from == Framing::Close => {
                body.end(&mut out);
                break None;
            }
            Ok(_) | Err(Fault::Gone) => break Some("upstream_broken"),
            Err(Fault::Timeout) => break Some("idle_timeout"),
        }
    };

    if let Some(word) = broken {
        turn.record.error = Some(word);
        if let Some(slot) = &slot {
            slot.outcome(Outcome::Broken);
        }
        drop((slot, upstream));
        return cut(client, turn, &body, begun, pause).await;
    }
    if let (Some(slot), true) = (&slot, keep_alive) {
        app.proxy.upstreams.keep(slot.address(), upstream);
    }
    drop(slot);
    if client.write(&out, pause).await.is_err() {
        return gone(turn);
    }
    if turn.keep_alive {
        Next::Request
    } else {
        Next::Linger
    }
}

/// The head for the client.
fn begin(app: &App, upstream: &mut Conn, turn: &mut Turn, out: &mut Vec<u8>) -> Option<Body> {
    let found = head::response(upstream.unread(), turn.to_head).ok()??;
    let unknown = matches!(found.framing, Framing::Chunked | Framing::Close);
    let chunked = unknown && turn.minor > 0;
    turn.keep_alive &= (chunked || !unknown) && !app.routing.draining();
    let media = head::header(&found.headers, "content-type");
    turn.record.reply(found.status, media);
    let events = turn.record.stream;
    out.reserve(upstream.unread().len() + 256);
    status_line(found.status, found.reason, out);
    let named: Vec<&str> = head::tokens(&found.headers, "connection").collect();
    for header in &found.headers {
        // The answer to a HEAD tells a length without a body.
        let length = found.framing == Framing::None
            && found.status != 204
            && header.name.eq_ignore_ascii_case("content-length");
        let passes = !head::hop_by_hop(header.name, &named)
            && !header.name.eq_ignore_ascii_case("x-request-id");
        if passes || length {
            field(header.name, header.value, out);
        }
    }
    match found.framing {
        Framing::Length(length) => write!(out, "Content-Length: {length}\r\n"),
        _ if chunked => write!(out, "Transfer-Encoding: chunked\r\n"),
        _ => Ok(()),
    }
    .ok()?;
    field("X-Request-Id", turn.record.id.as_bytes(), out);
    if !turn.keep_alive {
        out.extend_from_slice(b"Connection: close\r\n");
    } else if turn.minor == 0 {
        out.extend_from_slice(b"Connection: keep-alive\r\n");
    }
    out.extend_from_slice(b"\r\n");
    let left = if let Framing::Length(length) = found.framing {
        length
    } else {
        0
    };
    let (size, from) = (found.size, found.framing);
    upstream.advance(size);
    Some(Body {
        from,
        left,
        dechunk: Dechunk::default(),
        chunked,
        events,
        between_events: true,
        scratch: Vec::new(),
    })
}

/// Tells the client that there is no more to come, as far as the framing allows.
async fn cut(client: &mut Conn, mut turn: Turn, body: &Body, begun: bool, pause: Duration) -> Next {
    let mut out = Vec::new();
    if !begun {
        turn.record.status = 502;
        let message = "The model's endpoint broke off before its answer was complete: try again.";
        out = Reply::refusal(&refusal(502, "upstream_broken", message)).bytes(false, turn.to_head);
    } else if body.events {
        let event = if body.between_events {
            BROKEN_EVENT.to_vec()
        } else {
            [b"\n\n", BROKEN_EVENT].concat()
        };
        if body.chunked {
            chunk(&event, &mut out);
        } else {
            out = event;
        }
    }
    if out.is_empty() {
        return Next::Close;
    }
    let _ = client.write(&out, pause).await;
    Next::Linger
}

/// Resolves when the client's side changes: `true` where it sends no more, `false` where it is gone.
async fn half_open(client: &mut Conn) -> bool {
    const AHEAD: usize = 64 << 10;
    loop {
        if client.unread().len() > AHEAD {
            pending::<()>().await;
        }
        match poll_fn(|cx| client.poll_fill(cx)).await {
            Ok(0) => return true,
            Ok(_) => {}
            Err(_) => return false,
        }
    }
}

/// Whether a client that sends no more still listens. Only an event stream can carry the question; elsewhere the next
/// writes tell.
async fn probe(client: &mut Conn, body: &Body, begun: bool) -> bool {
    if !(body.events && body.between_events && begun) {
        return true;
    }
    let mut comment = Vec::new();
    if body.chunked {
        chunk(COMMENT, &mut comment);
    } else {
        comment.extend_from_slice(COMMENT);
    }
    for pause in [50, 0] {
        if client
            .write(&comment, Duration::from_secs(1))
            .await
            .is_err()
        {
            return false;
        }
        sleep(Duration::from_millis(pause)).await;
    }
    true
}

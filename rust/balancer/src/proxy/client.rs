// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

//! A client's connection: one request after the other, each answered before the next is looked at.

use super::asked::{self, Media};
use super::dispatch::{self, Errand};
use super::route::{self, Route};
use super::{forward, models, request};
use crate::http::conn::Conn;
use crate::http::head::{self, RequestHead};
use crate::http::receive::{self, refusal, Trouble};
use crate::http::Reply;
use crate::keys::Caller;
use crate::observe::{Record, CLIENT_GONE};
use crate::routing::Kind;
use crate::{clock, App, Refusal};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;

/// What follows a request on its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    Request,
    /// The end, once the answer has arrived.
    Linger,
    Close,
}

/// What remains of a request's head when its bytes are gone.
pub struct Turn {
    pub record: Record,
    pub minor: u8,
    pub to_head: bool,
    /// The connection may go on after this request.
    pub keep_alive: bool,
}

/// Where an admitted request goes.
enum Plan {
    Answer(Reply),
    Endpoint {
        kind: Kind,
        media: Media,
        affinity: Option<u64>,
        caller: Caller,
    },
}

/// Serves a connection until it ends.
pub async fn connection(app: &App, stream: TcpStream, address: SocketAddr) {
    let mut conn = Conn::new(stream);
    let mut first = true;
    loop {
        if conn.unread().is_empty() && !wait(app, &mut conn, first).await {
            return;
        }
        first = false;
        match turn(app, &mut conn, address).await {
            Next::Request => {}
            Next::Linger => return conn.linger().await,
            Next::Close => return,
        }
    }
}

/// Tells a connection that there are too many.
pub async fn turn_away(app: &App, stream: TcpStream) {
    let message = "The balancer has all the connections that it takes: try again, or raise limits.connections.";
    let full = Refusal {
        retry_after: Some(1),
        ..refusal(503, "too_many_connections", message)
    };
    let mut conn = Conn::new(stream);
    let reply = Reply::refusal(&full).bytes(false, false);
    if conn
        .write(&reply, Duration::from_secs_f64(app.config.timeouts.header))
        .await
        .is_ok()
    {
        conn.linger().await;
    }
}

/// Waits for a request's first byte.
async fn wait(app: &App, conn: &mut Conn, first: bool) -> bool {
    let timeouts = &app.config.timeouts;
    let seconds = if first {
        timeouts.header
    } else {
        timeouts.keep_alive
    };
    let end = clock::now() + Duration::from_secs_f64(seconds);
    if first {
        return matches!(conn.fill(end).await, Ok(1..));
    }
    tokio::select! {
        biased;
        read = conn.fill(end) => matches!(read, Ok(1..)),
        () = app.proxy.drain.notified() => false,
    }
}

async fn turn(app: &App, conn: &mut Conn, address: SocketAddr) -> Next {
    let (limits, timeouts) = (&app.config.limits, &app.config.timeouts);
    let size = match receive::head(conn, limits, timeouts).await {
        Ok(size) => size,
        Err(trouble) => return unread(app, conn, address, trouble).await,
    };
    let _running = app.proxy.run();
    let head = match head::request(&conn.unread()[..size], limits.headers) {
        Ok(head) => head,
        Err(refused) => return unread(app, conn, address, refused.into()).await,
    };
    let id = request::id(&head).map_or_else(|| app.proxy.next_id(), str::to_owned);
    let path = route::path(head.target);
    let mut turn = Turn {
        record: app.observe.begin(head.method, path, &id, address),
        minor: head.minor,
        to_head: head.method == "HEAD",
        keep_alive: head.keep_alive,
    };
    let plan = admit(app, &head, path, &mut turn.record);
    let (framing, continues) = (head.framing, head.expects_continue);
    let repeatable = route::repeatable(head.method, path);
    let mut message = Vec::new();
    match &plan {
        Ok(Plan::Endpoint { .. }) => request::head(&head, &id, address, &mut message),
        Ok(Plan::Answer(_)) => {}
        Err(refusal) => {
            let mut reply = Reply::refusal(refusal);
            if refusal.status == 405 {
                reply = reply.with("Allow", route::allowed(path));
            }
            conn.advance(size);
            return refuse(app, conn, turn, refusal.code, reply).await;
        }
    }
    conn.advance(size);

    let mut body = Vec::new();
    match receive::body(conn, framing, continues, limits, timeouts, &mut body).await {
        Ok(()) => turn.record.bytes_in = body.len() as u64,
        Err(Trouble::Refused(refusal)) => {
            return refuse(app, conn, turn, refusal.code, Reply::refusal(&refusal)).await
        }
        Err(Trouble::Gone) => return gone(turn),
    }
    let (kind, media, affinity, caller) = match plan {
        Ok(Plan::Endpoint {
            kind,
            media,
            affinity,
            caller,
        }) => (kind, media, affinity, caller),
        Ok(Plan::Answer(reply)) => return answer(app, conn, turn, reply).await,
        Err(_) => return Next::Close, // answered above
    };
    let asked = match asked::read(media, &body) {
        Ok(asked) => asked,
        Err(refusal) => return rebuff(app, conn, turn, &refusal).await,
    };
    if let Some(model) = &asked.model {
        turn.record.model.push_str(model);
    }
    let prefix = app.config.affinity.prefix;
    let affinity = affinity.or_else(|| (prefix > 0).then(|| asked.prefix(prefix)).flatten());
    request::finish(framing, &body, &mut message);
    let errand = Errand {
        model: asked.model.as_deref(),
        kind,
        affinity,
        caller: &caller,
        message: &message,
        repeatable,
    };
    match dispatch::run(app, conn, &mut turn, &errand).await {
        Ok((response, slot)) => {
            drop(asked);
            drop(body);
            forward::run(app, conn, turn, response, slot).await
        }
        Err(dispatch::Failed::Gone) => gone(turn),
        Err(dispatch::Failed::Refused(refusal)) => rebuff(app, conn, turn, &refusal).await,
    }
}

/// Whether the request may pass, and where to.
fn admit(app: &App, head: &RequestHead, path: &str, record: &mut Record) -> Result<Plan, Refusal> {
    let route = route::route(head.method, path)?;
    if let Route::Options(methods) = route {
        return Ok(Plan::Answer(Reply {
            status: 204,
            headers: vec![("Allow", methods.to_owned())],
            body: Vec::new(),
        }));
    }
    let caller = app
        .keys
        .authorise(head::header(&head.headers, "authorization"))?;
    record.key.clone_from(&caller.name);
    let known = || app.routing.models(caller.models());
    Ok(match route {
        Route::Models => Plan::Answer(models::list(&known(), app.proxy.began)),
        Route::Model(name) => Plan::Answer(models::one(&known(), name, app.proxy.began)),
        Route::Endpoint(kind) => {
            let affinity = app
                .config
                .affinity
                .header
                .as_deref()
                .and_then(|name| head::header(&head.headers, name));
            let media = Media::of(head::header(&head.headers, "content-type"));
            Plan::Endpoint {
                kind,
                media,
                affinity: affinity.map(|value| asked::hash(value.as_bytes())),
                caller,
            }
        }
        Route::Options(_) => unreachable!("answered above"),
    })
}

/// Answers a request whose body was read, from here.
async fn answer(app: &App, conn: &mut Conn, mut turn: Turn, reply: Reply) -> Next {
    let media = reply
        .headers
        .iter()
        .find(|(name, _)| *name == "Content-Type");
    turn.record
        .reply(reply.status, media.map(|(_, value)| value.as_str()));
    let reply = reply.with("X-Request-Id", turn.record.id.as_str());
    turn.keep_alive &= !app.routing.draining();
    let bytes = reply.bytes(turn.keep_alive, turn.to_head);
    turn.record.chunk(&reply.body);
    if conn
        .write(&bytes, Duration::from_secs_f64(app.config.timeouts.body))
        .await
        .is_err()
    {
        return gone(turn);
    }
    if turn.keep_alive {
        Next::Request
    } else {
        Next::Linger
    }
}

/// Turns down a request whose body was read: the connection goes on.
async fn rebuff(app: &App, conn: &mut Conn, mut turn: Turn, refusal: &Refusal) -> Next {
    turn.record.error = Some(turn.record.error.unwrap_or(refusal.code));
    answer(app, conn, turn, Reply::refusal(refusal)).await
}

/// Turns down a request whose body was not read: the connection ends.
async fn refuse(
    app: &App,
    conn: &mut Conn,
    mut turn: Turn,
    code: &'static str,
    reply: Reply,
) -> Next {
    turn.record.error = Some(code);
    turn.keep_alive = false;
    answer(app, conn, turn, reply).await
}

/// Turns down what could not be read as a request.
async fn unread(app: &App, conn: &mut Conn, address: SocketAddr, trouble: Trouble) -> Next {
    let Trouble::Refused(refusal) = trouble else {
        return Next::Close;
    };
    let record = app.observe.begin("-", "-", &app.proxy.next_id(), address);
    let turn = Turn {
        record,
        minor: 1,
        to_head: false,
        keep_alive: false,
    };
    refuse(app, conn, turn, refusal.code, Reply::refusal(&refusal)).await
}

/// The client left before the end of its answer.
pub fn gone(mut turn: Turn) -> Next {
    turn.record.error = Some(CLIENT_GONE);
    Next::Close
}

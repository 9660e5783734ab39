// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

//! A small server for whole messages: the ops and admin ports.

use super::conn::Conn;
use super::head::{self, MAX_HEADERS};
use super::message::{Reply, Request};
use super::receive::{self, Trouble};
use crate::config::{Limits, Timeouts};
use std::cell::Cell;
use std::future::Future;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::spawn_local;
use tokio::time::{sleep, Instant};

/// Connections at once; Prometheus, the kubelet and a few people.
const CONNECTIONS: usize = 256;
/// Bytes of a request's body.
const BODY: usize = 1 << 20;

/// Accepts connections for ever and gives each to `handle`.
pub async fn accept(listener: TcpListener, mut handle: impl FnMut(TcpStream, SocketAddr)) {
    loop {
        match listener.accept().await {
            Ok((stream, client)) => {
                let _ = stream.set_nodelay(true); // natively; WASI has no such option
                handle(stream, canonical(client));
            }
            // Out of file descriptors, or the client left in the queue: neither is a reason to stop, nor to spin.
            Err(_) => sleep(Duration::from_millis(20)).await,
        }
    }
}

/// What a socket that listens at `[::]` says of a client by IPv4, `::ffff:10.0.0.1`, as the client itself would say it.
fn canonical(client: SocketAddr) -> SocketAddr {
    SocketAddr::new(client.ip().to_canonical(), client.port())
}

/// Serves whole messages for ever.
pub async fn serve<F>(
    listener: TcpListener,
    timeouts: Timeouts,
    answer: impl Fn(Request) -> F + 'static,
) where
    F: Future<Output = Reply> + 'static,
{
    let limits = Limits {
        body: BODY,
        ..Limits::default()
    };
    let shared = Rc::new((answer, limits, timeouts));
    let open = Rc::new(Cell::new(0));
    accept(listener, move |stream, client| {
        if open.get() >= CONNECTIONS {
            return;
        }
        open.set(open.get() + 1);
        let (shared, open) = (shared.clone(), open.clone());
        spawn_local(async move {
            let (answer, limits, timeouts) = &*shared;
            connection(Conn::new(stream), client, limits, timeouts, answer).await;
            open.set(open.get() - 1);
        });
    })
    .await;
}

async fn connection<F: Future<Output = Reply>>(
    mut conn: Conn,
    client: SocketAddr,
    limits: &Limits,
    timeouts: &Timeouts,
    answer: &impl Fn(Request) -> F,
) {
    let pause = Duration::from_secs_f64(timeouts.body);
    loop {
        if conn.unread().is_empty() {
            let idle = Instant::now() + Duration::from_secs_f64(timeouts.keep_alive);
            if !matches!(conn.fill(idle).await, Ok(1..)) {
                return;
            }
        }
        match receive(&mut conn, client, limits, timeouts).await {
            Ok((request, keep_alive)) => {
                let to_head = request.method == "HEAD";
                let reply = answer(request).await;
                if conn
                    .write(&reply.bytes(keep_alive, to_head), pause)
                    .await
                    .is_err()
                {
                    return;
                }
                if !keep_alive {
                    return conn.linger().await;
                }
            }
            Err(Trouble::Refused(refusal)) => {
                if conn
                    .write(&Reply::refusal(&refusal).bytes(false, false), pause)
                    .await
                    .is_ok()
                {
                    conn.linger().await;
                }
                return;
            }
            Err(Trouble::Gone) => return,
        }
    }
}

async fn receive(
    conn: &mut Conn,
    client: SocketAddr,
    limits: &Limits,
    timeouts: &Timeouts,
) -> Result<(Request, bool), Trouble> {
    let size = receive::head(conn, limits, timeouts).await?;
    let head = head::request(&conn.unread()[..size], limits.headers.min(MAX_HEADERS))?;
    let (path, query) = head.target.split_once('?').unwrap_or((head.target, ""));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    let mut request = Request {
        method: head.method.to_owned(),
        path: path.to_owned(),
        query: query.to_owned(),
        headers: head
            .headers
            .iter()
            .map(|header| (header.name.to_ascii_lowercase(), text(header.value)))
            .collect(),
        body: Vec::new(),
        client,
    };
    let (framing, keep_alive, continues) = (head.framing, head.keep_alive, head.expects_continue);
    conn.advance(size);
    let body = &mut request.body;
    receive::body(conn, framing, continues, limits, timeouts, body).await?;
    Ok((request, keep_alive))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_have_one_name_wherever_we_listen() {
        for (seen, said) in [
            ("[::ffff:10.0.0.1]:80", "10.0.0.1:80"),
            ("[fd00::1]:80", "[fd00::1]:80"),
            ("10.0.0.1:80", "10.0.0.1:80"),
        ] {
            assert_eq!(canonical(seen.parse().unwrap()).to_string(), said);
        }
    }
}

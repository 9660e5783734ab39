// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

//! An endpoint for tests and benchmarks: answers as llama-api-server does, as fast, slowly or wrongly as it is told.
//!
//! `/v1/chat/completions` (one message, or server-sent events where the request has `"stream":true`),
//! `/v1/embeddings`, `/v1/models`; anything else gets the request back as JSON (method, target, headers, body).

use serde_json::{json, Value};
use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::spawn_local;
use tokio::time::{sleep, Instant};
use wasinn_balancer::config::{Limits, Timeouts};
use wasinn_balancer::http::body::{chunk, LAST_CHUNK};
use wasinn_balancer::http::conn::Conn;
use wasinn_balancer::http::message::Reply;
use wasinn_balancer::http::{head, receive, server};
use wasinn_balancer::runtime;

const USAGE: &str = "\
usage: stub [options] ADDRESS...

Listens on each ADDRESS (127.0.0.1:0 takes a free port), prints `listening ADDRESS` for each, and serves until ended.

options:
  --model NAME      model's name in answers [stub]
  --text TEXT       text of an answer, repeated in each chunk [word]
  --delay MS        before the first byte of an answer [0]
  --chunks N        events of a stream, tokens of an answer [16]
  --interval MS     between two events [0]
  --pad BYTES       added to an answer's text [0]
  --fail RATE       share of requests, 0 to 1, whose connection is closed without an answer [0]
  --cut RATE        share of answers that break off in their middle [0]
  --status CODE     of every answer [200]
  --close           one request a connection
  --until-close     answers without length, ended by the connection's end
  --busy            one request at a time, as llama-api-server: others wait";

#[derive(Debug, Clone)]
struct Options {
    model: String,
    text: String,
    delay: Duration,
    chunks: usize,
    interval: Duration,
    pad: usize,
    fail: f64,
    cut: f64,
    status: u16,
    close: bool,
    until_close: bool,
    busy: bool,
    addresses: Vec<SocketAddr>,
}

fn options(mut arguments: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options {
        model: "stub".into(),
        text: "word".into(),
        delay: Duration::ZERO,
        chunks: 16,
        interval: Duration::ZERO,
        pad: 0,
        fail: 0.0,
        cut: 0.0,
        status: 200,
        close: false,
        until_close: false,
        busy: false,
        addresses: Vec::new(),
    };
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--close" => options.close = true,
            "--until-close" => options.until_close = true,
            "--busy" => options.busy = true,
            name if name.starts_with("--") => {
                let value = arguments.next().ok_or(format!("{name} needs a value"))?;
                let wrong = |_| format!("{value} is no value for {name}");
                let number = || value.parse::<u64>().map_err(|_| wrong(()));
                let share = || value.parse::<f64>().map_err(|_| wrong(()));
                match name {
                    "--model" => options.model = value,
                    "--text" => options.text = value,
                    "--delay" => options.delay = Duration::from_millis(number()?),
                    "--chunks" => options.chunks = number()? as usize,
                    "--interval" => options.interval = Duration::from_millis(number()?),
                    "--pad" => options.pad = number()? as usize,
                    "--fail" => options.fail = share()?,
                    "--cut" => options.cut = share()?,
                    "--status" => options.status = number()? as u16,
                    _ => return Err(format!("{name} is unknown")),
                }
            }
            address => options.addresses.push(
                address
                    .parse()
                    .map_err(|_| format!("{address} is no address"))?,
            ),
        }
    }
    if options.addresses.is_empty() {
        Err("no address to listen on".into())
    } else {
        Ok(options)
    }
}

/// What the connections of one stub share.
struct Stub {
    options: Options,
    requests: Cell<u64>,
    /// For `--busy`.
    place: tokio::sync::Semaphore,
    limits: Limits,
    timeouts: Timeouts,
}

fn main() -> Result<(), String> {
    let options = options(std::env::args().skip(1)).map_err(|error| format!("{error}\n{USAGE}"))?;
    let served = runtime::block_on(async move {
        for address in options.addresses.clone() {
            let listener = TcpListener::bind(address)
                .await
                .map_err(|error| format!("{address}: {error}"))?;
            println!(
                "listening {}",
                listener.local_addr().map_err(|error| error.to_string())?
            );
            let stub = Rc::new(Stub {
                options: options.clone(),
                requests: Cell::new(0),
                place: tokio::sync::Semaphore::new(1),
                limits: Limits {
                    body: 64 << 20,
                    ..Limits::default()
                },
                timeouts: Timeouts {
                    keep_alive: 3600.0,
                    ..Timeouts::default()
                },
            });
            spawn_local(server::accept(listener, move |stream, _| {
                let stub = stub.clone();
                spawn_local(async move {
                    let mut conn = Conn::new(stream);
                    while serve(&stub, &mut conn).await.is_some() {}
                });
            }));
        }
        std::future::pending::<Result<(), String>>().await
    });
    served.map_err(|error| error.to_string())?
}

const PAUSE: Duration = Duration::from_secs(60);

/// One request; `None` ends the connection.
async fn serve(stub: &Stub, conn: &mut Conn) -> Option<()> {
    let options = &stub.options;
    if conn.unread().is_empty() && !matches!(conn.fill(Instant::now() + PAUSE * 60).await, Ok(1..))
    {
        return None;
    }
    let size = receive::head(conn, &stub.limits, &stub.timeouts)
        .await
        .ok()?;
    let head = head::request(&conn.unread()[..size], stub.limits.headers).ok()?;
    let (framing, keep_alive) = (head.framing, head.keep_alive && !options.close);
    let target = head.target.to_owned();
    let echo = (!target.starts_with("/v1/chat/completions")).then(|| {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let headers: Vec<_> = head
            .headers
            .iter()
            .map(|header| json!([header.name, text(header.value)]))
            .collect();
        json!({"method": head.method, "target": head.target, "headers": headers})
    });
    let to_head = head.method == "HEAD";
    conn.advance(size);
    let mut body = Vec::new();
    receive::body(
        conn,
        framing,
        false,
        &stub.limits,
        &stub.timeouts,
        &mut body,
    )
    .await
    .ok()?;

    let place = if options.busy && target != "/v1/models" {
        stub.place.acquire().await.ok()
    } else {
        None
    };
    let number = stub.requests.get() + 1;
    stub.requests.set(number);
    if !options.delay.is_zero() {
        sleep(options.delay).await;
    }
    if target != "/v1/models" && falls(number, options.fail) {
        return None;
    }
    let cut = falls(number, options.cut);
    let streams = target.starts_with("/v1/chat/completions") && find(&body, b"\"stream\":true");
    if streams && options.status == 200 {
        stream(options, conn, keep_alive, cut).await?;
    } else {
        let reply = reply(options, &target, echo, &body);
        let mut bytes = if options.until_close {
            let head = format!(
                "HTTP/1.1 {} OK\r\nContent-Type: application/json\r\n\r\n",
                reply.status
            );
            [head.as_bytes(), &reply.body].concat()
        } else {
            reply.bytes(keep_alive, to_head)
        };
        if cut {
            bytes.truncate(bytes.len() - reply.body.len() / 2);
        }
        conn.write(&bytes, PAUSE).await.ok()?;
    }
    drop(place);
    (keep_alive && !options.until_close && !cut).then_some(())
}

/// Spread evenly: of a hundred requests, `share` times a hundred.
fn falls(number: u64, share: f64) -> bool {
    (number as f64 * share).floor() > ((number - 1) as f64 * share).floor()
}

fn find(text: &[u8], part: &[u8]) -> bool {
    let tight: Vec<u8> = text
        .iter()
        .copied()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    tight.windows(part.len()).any(|window| window == part)
}

fn reply(options: &Options, target: &str, echo: Option<Value>, body: &[u8]) -> Reply {
    let model = &options.model;
    let usage = json!({"prompt_tokens": 8, "completion_tokens": options.chunks, "total_tokens": 8 + options.chunks});
    let answer = match (target, echo) {
        ("/v1/models", _) => {
            json!({"object": "list", "data": [{"id": model, "object": "model", "created": 0, "owned_by": "stub"}]})
        }
        ("/v1/embeddings", _) => json!({
            "object": "list", "model": model, "data": [{"object": "embedding", "index": 0, "embedding": [0.25, -0.5, 1.0]}],
            "usage": {"prompt_tokens": 8, "total_tokens": 8},
        }),
        (_, Some(mut echo)) => {
            echo["body"] = json!(String::from_utf8_lossy(body));
            echo
        }
        _ => json!({
            "id": "chatcmpl-stub", "object": "chat.completion", "created": 0, "model": model,
            "choices": [{"index": 0, "finish_reason": "stop", "message": {
                "role": "assistant", "content": format!("{}{}", options.text, " ".repeat(options.pad)),
            }}],
            "usage": usage,
        }),
    };
    Reply::json(options.status, &answer)
}

async fn stream(options: &Options, conn: &mut Conn, keep_alive: bool, cut: bool) -> Option<()> {
    let connection = if keep_alive { "keep-alive" } else { "close" };
    let coding = if options.until_close {
        ""
    } else {
        "Transfer-Encoding: chunked\r\n"
    };
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n{coding}Connection: {connection}\r\n\r\n");
    let mut out = head.into_bytes();
    let put = |event: &Value, out: &mut Vec<u8>| {
        let event = format!("data: {event}\n\n");
        if options.until_close {
            out.extend_from_slice(event.as_bytes())
        } else {
            chunk(event.as_bytes(), out)
        }
    };
    let event = |delta: Value, finish: Value| {
        json!({
            "id": "chatcmpl-stub", "object": "chat.completion.chunk", "created": 0, "model": options.model,
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
        })
    };
    for number in 0..options.chunks {
        if number > 0 && !options.interval.is_zero() {
            sleep(options.interval).await;
        }
        if cut && number == options.chunks / 2 {
            return None;
        }
        put(
            &event(json!({"content": options.text}), Value::Null),
            &mut out,
        );
        conn.write(&out, PAUSE).await.ok()?;
        out.clear();
    }
    let mut last = event(json!({}), json!("stop"));
    last["usage"] = json!({"prompt_tokens": 8, "completion_tokens": options.chunks, "total_tokens": 8 + options.chunks});
    put(&last, &mut out);
    let done = b"data: [DONE]\n\n";
    if options.until_close {
        out.extend_from_slice(done);
    } else {
        chunk(done, &mut out);
        out.extend_from_slice(LAST_CHUNK);
    }
    conn.write(&out, PAUSE).await.ok()
}

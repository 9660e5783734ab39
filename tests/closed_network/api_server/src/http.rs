// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

//! Routes, answers and event streams.

use crate::api::{self, Head, Job, Kind};
use crate::args::Args;
use crate::engine::{Engine, EngineError, Generation, Step};
use crate::sampling::Finish;
use hyper::body::{Bytes, HttpBody, Sender};
use hyper::server::conn::Http;
use hyper::service::service_fn;
use hyper::{header, Body, Method, Request, Response, StatusCode};
use serde_json::{json, Value};
use std::convert::Infallible;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::net::TcpListener;
use tokio::sync::Mutex;
use tokio::task::yield_now;
use tokio::time::sleep;

const MAX_BODY_BYTES: usize = 4 << 20;

struct Server {
    args: Args,
    /// Requests wait here for their turn, in order: one model, one answer at a time.
    engine: Arc<Mutex<Engine>>,
    started: u64,
    served: AtomicU64,
}

/// Opens the port and serves until the process is ended.
pub async fn serve(args: Args, engine: Engine) -> io::Result<()> {
    let address = args.address;
    let listener = TcpListener::bind(address.to_string())
        .await
        .map_err(|error| {
            io::Error::new(
                error.kind(),
                format!(
                    "{address} cannot be opened ({error}); give another --port or --socket-addr"
                ),
            )
        })?;
    println!("llama-api-server (stand-in): listening on {address}");
    let server = Arc::new(Server {
        args,
        engine: Arc::new(Mutex::new(engine)),
        started: now(),
        served: AtomicU64::new(0),
    });
    loop {
        let (stream, _) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                eprintln!(
                    "llama-api-server: no connection could be accepted ({error}); trying again"
                );
                sleep(Duration::from_millis(100)).await; // out of descriptors: others have to end first
                continue;
            }
        };
        let server = server.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(server.clone(), request));
            // WASI sockets have no TCP_NODELAY: a message in two writes would wait 40 ms for the first's ACK.
            let _ = Http::new()
                .http1_only(true)
                .http1_writev(false)
                .serve_connection(stream, service)
                .await;
        });
    }
}

async fn answer(server: Arc<Server>, request: Request<Body>) -> Result<Response<Body>, Infallible> {
    let began = Instant::now();
    let line = format!("{} {}", request.method(), request.uri().path());
    let response = route(&server, request).await;
    println!(
        "{line} {} {} ms",
        response.status().as_u16(),
        began.elapsed().as_millis()
    );
    Ok(response)
}

async fn route(server: &Server, request: Request<Body>) -> Response<Body> {
    let path = request.uri().path().to_string();
    let expected = match path.as_str() {
        "/v1/chat/completions" | "/v1/completions" => Method::POST,
        "/v1/models" | "/v1/info" | "/echo" => Method::GET,
        _ => {
            return refuse(
                StatusCode::NOT_FOUND,
                &format!("'{path}' is not served here; see /v1/info"),
                Some("not_found"),
            )
        }
    };
    if request.method() != expected && !(path == "/echo" && request.method() == Method::POST) {
        return refuse(
            StatusCode::METHOD_NOT_ALLOWED,
            &format!("'{path}' takes {expected}"),
            Some("method_not_allowed"),
        );
    }
    match path.as_str() {
        "/v1/models" => send(StatusCode::OK, &models(server)),
        "/v1/info" => send(StatusCode::OK, &info(server)),
        "/echo" => Response::new(Body::from("echo test")),
        "/v1/chat/completions" => complete(server, Kind::Chat, request).await,
        _ => complete(server, Kind::Text, request).await,
    }
}

async fn complete(server: &Server, kind: Kind, request: Request<Body>) -> Response<Body> {
    let body = match read_body(request.into_body()).await {
        Ok(body) => body,
        Err(response) => return response,
    };
    let args = &server.args;
    let job = match api::read(
        kind,
        &body,
        args.template,
        &args.sampling,
        args.include_usage,
    ) {
        Ok(job) => job,
        Err(message) => return refuse(StatusCode::BAD_REQUEST, &message, None),
    };
    let engine = server.engine.clone().lock_owned().await;
    let mut generation = match Generation::start(engine, &job.prompt, &job.sampling) {
        Ok(generation) => generation,
        Err(error) => return failed(error),
    };
    // The first token before the status line: what is wrong with a prompt shows here.
    let first = match generation.step() {
        Ok(step) => step,
        Err(error) => return failed(error),
    };
    let number = server.served.fetch_add(1, Ordering::Relaxed);
    let prefix = if kind == Kind::Chat {
        "chatcmpl"
    } else {
        "cmpl"
    };
    let id = format!("{prefix}-{:x}-{number}", server.started);
    if job.stream {
        return stream(job, id, args.model_name.clone(), generation, first);
    }
    let (text, finish) = match gather(&mut generation, first).await {
        Ok(answer) => answer,
        Err(error) => return failed(error),
    };
    let head = Head {
        kind,
        id: &id,
        created: now(),
        model: &args.model_name,
    };
    send(StatusCode::OK, &head.whole(&text, finish, generation.usage))
}

async fn gather(
    generation: &mut Generation,
    mut step: Step,
) -> Result<(String, Finish), EngineError> {
    let mut text = String::new();
    loop {
        match step {
            Step::Text(part) => text += &part,
            Step::End(finish) => return Ok((text, finish)),
        }
        yield_now().await;
        step = generation.step()?;
    }
}

fn stream(
    job: Job,
    id: String,
    model: String,
    generation: Generation,
    first: Step,
) -> Response<Body> {
    let (sender, body) = Body::channel();
    tokio::spawn(async move {
        let head = Head {
            kind: job.kind,
            id: &id,
            created: now(),
            model: &model,
        };
        // An error here means that the client went away: nobody is left to tell.
        let _ = send_events(sender, &head, job.include_usage, generation, first).await;
    });
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        header::HeaderValue::from_static("text/event-stream"),
    );
    headers.insert(
        header::CACHE_CONTROL,
        header::HeaderValue::from_static("no-cache"),
    );
    response
}

async fn send_events(
    mut sender: Sender,
    head: &Head<'_>,
    include_usage: bool,
    mut generation: Generation,
    mut step: Step,
) -> Result<(), hyper::Error> {
    let mut first = true;
    loop {
        match step {
            Step::Text(text) if text.is_empty() => {}
            Step::Text(text) => {
                sender
                    .send_data(event(&head.part(Some(&text), first, None)))
                    .await?;
                first = false;
            }
            Step::End(finish) => {
                // One piece of data, one write: see http1_writev above.
                let mut last = event(&head.part(None, first, Some(finish))).to_vec();
                if include_usage {
                    last.extend(event(&head.used(generation.usage)));
                }
                last.extend(b"data: [DONE]\n\n");
                return sender.send_data(last.into()).await;
            }
        }
        // Lets the connection write what was sent before the next token is computed.
        yield_now().await;
        step = match generation.step() {
            Ok(step) => step,
            Err(error) => {
                eprintln!("llama-api-server: {error}");
                return sender
                    .send_data(event(&api::error(&error.to_string(), "server_error", None)))
                    .await;
            }
        };
    }
}

fn event(value: &Value) -> Bytes {
    format!("data: {value}\n\n").into()
}

async fn read_body(mut body: Body) -> Result<Vec<u8>, Response<Body>> {
    let mut bytes = Vec::new();
    while let Some(chunk) = body.data().await {
        let chunk = chunk.map_err(|error| {
            refuse(
                StatusCode::BAD_REQUEST,
                &format!("the request's body broke off ({error}); send it again"),
                None,
            )
        })?;
        if bytes.len() + chunk.len() > MAX_BODY_BYTES {
            let message =
                format!("the request's body is longer than {MAX_BODY_BYTES} bytes; shorten it");
            return Err(refuse(StatusCode::PAYLOAD_TOO_LARGE, &message, None));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

fn models(server: &Server) -> Value {
    let name = &server.args.model_name;
    json!({"object": "list", "data": [
        {"id": name, "created": server.started, "object": "model", "owned_by": "Not specified"},
    ]})
}

fn info(server: &Server) -> Value {
    let args = &server.args;
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "stands_in_for": "LlamaEdge llama-api-server 0.28",
        "port": args.address.port().to_string(),
        "models": [{
            "name": args.model_name,
            "type": "chat",
            "prompt_template": args.template.name(),
            "ctx_size": args.plugin_options["ctx-size"],
            "batch_size": args.plugin_options["batch-size"],
            "n_gpu_layers": args.plugin_options["n-gpu-layers"],
            "temperature": args.sampling.temperature,
        }],
        "endpoints": ["/v1/models", "/v1/chat/completions", "/v1/completions", "/v1/info", "/echo"],
    })
}

fn failed(error: EngineError) -> Response<Body> {
    match error {
        EngineError::TooLong => refuse(
            StatusCode::BAD_REQUEST,
            &error.to_string(),
            Some("context_length_exceeded"),
        ),
        EngineError::Failed(message) => {
            eprintln!("llama-api-server: {message}");
            send(
                StatusCode::INTERNAL_SERVER_ERROR,
                &api::error(&message, "server_error", None),
            )
        }
    }
}

fn refuse(status: StatusCode, message: &str, code: Option<&str>) -> Response<Body> {
    send(status, &api::error(message, "invalid_request_error", code))
}

fn send(status: StatusCode, value: &Value) -> Response<Body> {
    let mut response = Response::new(Body::from(value.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        header::HeaderValue::from_static("application/json"),
    );
    response
}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |time| time.as_secs())
}

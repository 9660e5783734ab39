// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

//! Connections, routes and the plain texts that llama-api-server's errors are.
//!
//! llama-api-server computes on the one thread that also serves its connections, so while a model talks nobody else is
//! answered: not even `/v1/models`. Here a request waits for the server's one turn before anything is done for it, which
//! looks the same from outside, but for one thing: a client that leaves ends its generation.

use crate::api::{self, Head, Kind};
use crate::args::{Args, Model};
use crate::completion;
use crate::embeddings;
use crate::engine::{Engine, EngineError, Engines, Generation, Turn};
use hyper::body::HttpBody;
use hyper::server::conn::Http;
use hyper::service::service_fn;
use hyper::{header, Body, Method, Request, Response, StatusCode};
use serde_json::{json, Map, Value};
use std::convert::Infallible;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::net::TcpListener;
use tokio::sync::Mutex;
use tokio::time::sleep;

const MAX_BODY_BYTES: usize = 4 << 20;
/// llama-api-server's name for the key that it compares, where a request has one at all.
const API_KEY: &str = "API_KEY";

struct Server {
    args: Args,
    engines: Arc<Mutex<Engines>>,
    api_key: Option<String>,
    started: u64,
    served: AtomicU64,
}

/// Opens the port and serves until the process is ended.
pub async fn serve(args: Args, engines: Engines) -> io::Result<()> {
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
        engines: Arc::new(Mutex::new(engines)),
        api_key: std::env::var(API_KEY).ok(),
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
    let mut response = route(&server, request).await;
    for name in [
        header::ACCESS_CONTROL_ALLOW_ORIGIN,
        header::ACCESS_CONTROL_ALLOW_METHODS,
        header::ACCESS_CONTROL_ALLOW_HEADERS,
    ] {
        response
            .headers_mut()
            .insert(name, header::HeaderValue::from_static("*"));
    }
    println!(
        "{line} {} {} ms",
        response.status().as_u16(),
        began.elapsed().as_millis()
    );
    Ok(response)
}

async fn route(server: &Server, request: Request<Body>) -> Response<Body> {
    if let Some(refusal) = check_key(server, &request) {
        return refusal;
    }
    if request.method() == Method::OPTIONS {
        return json(String::new());
    }
    let path = request.uri().path().to_string();
    let body = match read_body(request.into_body()).await {
        Ok(body) => body,
        Err(response) => return response,
    };
    let turn = server.engines.clone().lock_owned().await;
    match path.as_str() {
        "/echo" => Response::new(Body::from("echo test")),
        "/v1/models" => json(models(server).to_string()),
        "/v1/info" => json(info(server).to_string()),
        "/v1/chat/completions" => complete(server, turn, Kind::Chat, &body).await,
        "/v1/completions" => complete(server, turn, Kind::Text, &body).await,
        "/v1/embeddings" => embed(server, turn, &body),
        path => refuse(
            StatusCode::NOT_FOUND,
            &format!("The requested service endpoint is not found: {path}"),
        ),
    }
}

/// llama-api-server compares a key only where the request has one: no header, no question.
fn check_key(server: &Server, request: &Request<Body>) -> Option<Response<Body>> {
    let given = request.headers().get(header::AUTHORIZATION)?;
    let given = given.to_str().unwrap_or_default().split(' ').nth(1);
    (server.api_key.is_some() && given != server.api_key.as_deref())
        .then(|| refuse(StatusCode::UNAUTHORIZED, "Invalid API key."))
}

async fn complete(server: &Server, turn: Turn, kind: Kind, body: &[u8]) -> Response<Body> {
    let Some(model) = &server.args.chat else {
        return refuse(
            StatusCode::INTERNAL_SERVER_ERROR,
            "The chat completion is not supported in the embeddings mode.",
        );
    };
    let args = &server.args;
    let job = match api::read(
        kind,
        body,
        model.template,
        &args.sampling,
        args.include_usage,
    ) {
        Ok(job) => job,
        Err(message) => return refuse(StatusCode::BAD_REQUEST, &message),
    };
    let prefix = if kind == Kind::Chat {
        "chatcmpl"
    } else {
        "cmpl"
    };
    let number = server.served.fetch_add(1, Ordering::Relaxed);
    let id = format!("{prefix}-{:x}-{number}", server.started);
    let head = Head {
        kind,
        id: &id,
        created: now(),
        model: &model.name,
    };
    // The first token before the status line: what is wrong with a prompt shows here.
    let started = Generation::start(turn, &job.prompt, &job.sampling)
        .and_then(|mut generation| generation.step().map(|step| (generation, step)));
    match started {
        Ok((generation, first)) if job.stream => {
            completion::stream(job, id, model.name.clone(), generation, first)
        }
        Ok((generation, first)) => completion::whole(generation, first, &head).await,
        Err(EngineError::TooLong) => completion::too_long(&job, &head),
        Err(error) => failed(&error),
    }
}

fn embed(server: &Server, mut turn: Turn, body: &[u8]) -> Response<Body> {
    let texts = match embeddings::read(body) {
        Ok(texts) => texts,
        Err(message) => return refuse(StatusCode::BAD_REQUEST, &message),
    };
    let (Some(model), Some(engine)) = (&server.args.embedding, turn.embedding.as_mut()) else {
        return refuse(
            StatusCode::INTERNAL_SERVER_ERROR,
            "Computing embeddings is not supported in the chat mode.",
        );
    };
    match embed_all(engine, &texts) {
        Ok((vectors, tokens)) => json(embeddings::answer(&model.name, vectors, tokens)),
        Err(error) => failed(&error),
    }
}

type Vectors = Vec<Box<serde_json::value::RawValue>>;

fn embed_all(engine: &mut Engine, texts: &[String]) -> Result<(Vectors, u64), EngineError> {
    let mut tokens = 0;
    let mut vectors = Vec::with_capacity(texts.len());
    for text in texts {
        let (vector, count) = engine.embed(text)?;
        tokens += count;
        vectors.push(vector);
    }
    Ok((vectors, tokens))
}

async fn read_body(mut body: Body) -> Result<Vec<u8>, Response<Body>> {
    let mut bytes = Vec::new();
    while let Some(chunk) = body.data().await {
        let chunk = chunk.map_err(|error| {
            refuse(
                StatusCode::INTERNAL_SERVER_ERROR,
                &format!("Fail to read buffer from request body. {error}"),
            )
        })?;
        if bytes.len() + chunk.len() > MAX_BODY_BYTES {
            let message =
                format!("the request's body is longer than {MAX_BODY_BYTES} bytes; shorten it");
            return Err(refuse(StatusCode::PAYLOAD_TOO_LARGE, &message));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

fn models(server: &Server) -> Value {
    let entry = |model: &Model| json!({"id": model.name, "created": server.started, "object": "model", "owned_by": "Not specified"});
    let all = [&server.args.chat, &server.args.embedding];
    json!({"object": "list", "data": all.into_iter().flatten().map(entry).collect::<Vec<_>>()})
}

fn info(server: &Server) -> Value {
    let args = &server.args;
    let described = |model: &Model, kind: &str| {
        json!({
            "name": model.name,
            "type": kind,
            "prompt_template": model.template.name(),
            "ctx_size": model.options["ctx-size"],
            "batch_size": model.options["batch-size"],
            "n_gpu_layers": model.options["n-gpu-layers"],
            "temperature": args.sampling.temperature,
        })
    };
    let mut info = Map::new();
    info.insert(
        "api_server".into(),
        json!({"type": "llama", "version": env!("CARGO_PKG_VERSION"), "port": args.address.port().to_string()}),
    );
    for (key, kind, model) in [
        ("chat_model", "chat", &args.chat),
        ("embedding_model", "embedding", &args.embedding),
    ] {
        if let Some(model) = model {
            info.insert(key.into(), described(model, kind));
        }
    }
    info.insert(
        "extras".into(),
        json!({"stands_in_for": "LlamaEdge llama-api-server 0.28"}),
    );
    Value::Object(info)
}

/// An answer of 200 with JSON.
pub fn json(text: String) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        header::HeaderValue::from_static("application/json"),
    );
    response
}

/// The answer where computing failed; the log gets it too.
pub fn failed(error: &EngineError) -> Response<Body> {
    eprintln!("llama-api-server: {error}");
    refuse(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string())
}

/// An error as llama-api-server sends it: a line of text, not OpenAI's JSON, and no content type.
fn refuse(status: StatusCode, message: &str) -> Response<Body> {
    let mut response = Response::new(Body::from(if status == StatusCode::NOT_FOUND {
        format!("404 {message}")
    } else {
        format!("{status}: {message}")
    }));
    *response.status_mut() = status;
    response
}

/// Seconds since 1970.
pub fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |time| time.as_secs())
}

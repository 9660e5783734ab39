// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

//! Texts from the chat model, whole or as an event stream.

use crate::api::{Head, Job};
use crate::engine::{EngineError, Generation, Step};
use crate::http::{self, now};
use crate::sampling::{Finish, Usage};
use hyper::body::{Bytes, Sender};
use hyper::{header, Body, Response};
use serde_json::Value;
use tokio::task::yield_now;

/// The answer at once. A client that leaves drops this future, and with it the generation.
pub async fn whole(mut generation: Generation, first: Step, head: &Head<'_>) -> Response<Body> {
    let mut text = String::new();
    let mut step = first;
    let finish = loop {
        match step {
            Step::Text(part) => text += &part,
            Step::End(finish) => break finish,
        }
        // Lets the connection see that its client went away.
        yield_now().await;
        step = match generation.step() {
            Ok(step) => step,
            Err(error) => return http::failed(&error),
        };
    };
    http::json(head.whole(&text, finish, generation.usage).to_string())
}

/// What there is to say to a prompt longer than the context: nothing, and why.
pub fn too_long(job: &Job, head: &Head<'_>) -> Response<Body> {
    if !job.stream {
        return http::json(head.whole("", Finish::Length, Usage::default()).to_string());
    }
    let mut last = event(&head.part(None, Some(Finish::Length))).to_vec();
    last.extend(DONE);
    event_stream(last.into())
}

/// The answer piece by piece. A client that leaves drops the channel's other end, and the next piece ends the generation.
pub fn stream(
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
    event_stream(body)
}

const DONE: &[u8] = b"data: [DONE]\n\n";

fn event_stream(body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    for (name, value) in [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-cache"),
    ] {
        response
            .headers_mut()
            .insert(name, header::HeaderValue::from_static(value));
    }
    response
}

async fn send_events(
    mut sender: Sender,
    head: &Head<'_>,
    include_usage: bool,
    mut generation: Generation,
    mut step: Step,
) -> Result<(), hyper::Error> {
    let (before, after) = head.around_text();
    loop {
        match step {
            Step::Text(text) if text.is_empty() => {}
            Step::Text(text) => {
                let text = Value::String(text);
                sender
                    .send_data(format!("{before}{text}{after}").into())
                    .await?;
            }
            Step::End(finish) => {
                // One piece of data, one write: see http1_writev in `http`.
                let mut last = Vec::new();
                if finish == Finish::Length {
                    last.extend(event(&head.part(None, Some(finish))));
                }
                if include_usage {
                    last.extend(event(&head.used(generation.usage)));
                }
                last.extend(DONE);
                return sender.send_data(last.into()).await;
            }
        }
        // Lets the connection write what was sent before the next token is computed.
        yield_now().await;
        step = match generation.step() {
            Ok(step) => step,
            Err(error) => {
                // As llama-api-server does: the stream just breaks off.
                report(&error);
                sender.abort();
                return Ok(());
            }
        };
    }
}

fn report(error: &EngineError) {
    eprintln!("llama-api-server: {error}");
}

fn event(value: &Value) -> Bytes {
    format!("data: {value}\n\n").into()
}

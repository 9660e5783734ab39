// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

//! An OpenAI-compatible server for a chat model, an embedding model or both, standing in for LlamaEdge's
//! llama-api-server in networks where its release cannot be reached. It takes that server's options and serves the part
//! of its interface that the collection uses; `/v1/info` says that it is a stand-in.
//!
//! The models are loaded before the port is opened: an answer on `/v1/models` means that they are there.

#![cfg_attr(not(target_os = "wasi"), allow(dead_code))]

mod api;
mod args;
#[cfg(target_os = "wasi")]
mod completion;
mod embeddings;
#[cfg(target_os = "wasi")]
mod engine;
#[cfg(target_os = "wasi")]
mod http;
mod sampling;
mod template;
mod text;

use std::process::ExitCode;

fn main() -> ExitCode {
    match args::parse(std::env::args().skip(1)) {
        Ok(args::Command::Serve(args)) => serve(*args),
        Ok(args::Command::Print(text)) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(message) => fail(2, &message),
    }
}

#[cfg(target_os = "wasi")]
fn serve(args: args::Args) -> ExitCode {
    let load = |model: &Option<args::Model>| {
        let Some(model) = model else { return Ok(None) };
        let started = std::time::Instant::now();
        let engine = engine::Engine::load(&model.alias, model.options.clone())?;
        println!(
            "llama-api-server (stand-in {}): model '{}' loaded in {} ms",
            env!("CARGO_PKG_VERSION"),
            model.name,
            started.elapsed().as_millis()
        );
        Ok(Some(engine))
    };
    let engines = load(&args.chat).and_then(|chat| {
        let embedding = load(&args.embedding)?;
        Ok(engine::Engines { chat, embedding })
    });
    let engines = match engines {
        Ok(engines) => engines,
        Err::<_, engine::EngineError>(error) => return fail(1, &error.to_string()),
    };
    // Tokens are computed on this one thread: looking at the sockets after every step shows a client that left.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .event_interval(1)
        .build();
    match runtime.and_then(|runtime| runtime.block_on(http::serve(args, engines))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(1, &error.to_string()),
    }
}

#[cfg(not(target_os = "wasi"))]
fn serve(_: args::Args) -> ExitCode {
    fail(
        1,
        "only the build for wasm32-wasip1 can serve; this one is for the unit tests",
    )
}

fn fail(code: u8, message: &str) -> ExitCode {
    eprintln!("llama-api-server: {message}");
    ExitCode::from(code)
}

// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

//! Proves that a node can infer: asks the preloaded model one question and reports text and timings.
//!
//! One JSON line on stdout: `text`, `prompt_tokens`, `completion_tokens` (the plugin's own counts),
//! `load_ms` (model by alias until usable), `prompt_ms` (prompt until the first token), `generate_ms` (the
//! tokens after the first), `tokens_per_second` (of those; 0 for fewer than two tokens), `backend`, and
//! `llama_commit` where the plugin tells it. With `--environment` or `--read` it asks no model and
//! shows what of the container's world reaches it (see `world.rs`). On failure: one line on stderr; exit 2 for a wrong option,
//! otherwise 1.

mod args;
mod failure;
mod world;

use failure::{explain, Step};
use serde_json::{json, Value};
use std::process::ExitCode;
use std::time::Instant;
use wasmedge_wasi_nn::{
    BackendError, Error, ExecutionTarget, GraphBuilder, GraphEncoding, GraphExecutionContext,
    TensorType,
};

/// Larger than any single token piece and than the plugin's metadata.
const BUFFER_BYTES: usize = 4096;

fn main() -> ExitCode {
    let args = match args::parse(std::env::args().skip(1)) {
        Ok(args) => args,
        Err(message) => {
            eprintln!("wasinn-probe: {message}");
            return ExitCode::from(2);
        }
    };
    let looks = !(args.environment.is_empty() && args.read.is_empty());
    match if looks {
        Ok(world::look(&args))
    } else {
        ask(&args)
    } {
        Ok(report) => {
            println!("{report}");
            ExitCode::SUCCESS
        }
        Err(message) => {
            eprintln!("wasinn-probe: {message}");
            ExitCode::FAILURE
        }
    }
}

fn ask(args: &args::Args) -> Result<Value, String> {
    let told = |step| move |error: Error| explain(step, &args.alias, &error);

    let started = Instant::now();
    // Greedy: the same model gives the same answer on every node.
    let config = json!({
        "temp": 0.0, "n-predict": args.max_tokens, "threads": args.threads,
        "n-gpu-layers": args.gpu_layers, "enable-log": args.gpu_layers > 0,
    })
    .to_string();
    // The preload decides encoding and device; what is said here only labels the handle.
    let graph = GraphBuilder::new(GraphEncoding::Ggml, ExecutionTarget::AUTO)
        .config(config)
        .build_from_cache(&args.alias)
        .map_err(told(Step::Load))?;
    let mut context = graph
        .init_execution_context()
        .map_err(told(Step::Context))?;
    let load_ms = milliseconds(started);

    let started = Instant::now();
    context
        .set_input(0, TensorType::U8, &[1], args.prompt.as_bytes())
        .map_err(told(Step::Input))?;
    let mut text = Vec::new();
    let mut tokens = 0;
    let mut prompt_ms = 0.0;
    let mut first_at = started;
    while tokens < args.max_tokens {
        match context.compute_single() {
            Ok(()) => {}
            Err(Error::BackendError(BackendError::EndOfSequence)) => break,
            Err(error) => return Err(explain(Step::Compute, &args.alias, &error)),
        }
        text.extend(output(&context, 0).map_err(told(Step::Output))?);
        tokens += 1;
        if tokens == 1 {
            prompt_ms = milliseconds(started);
            first_at = Instant::now();
        }
    }
    let generate_ms = if tokens == 0 {
        0.0
    } else {
        milliseconds(first_at)
    };
    // A plugin without counts is still a plugin that infers: then the prompt's count is null.
    let counts: Value = output(&context, 1)
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or(Value::Null);
    context.fini_single().map_err(told(Step::Compute))?;
    if tokens == 0 {
        return Err(format!(
            "the model preloaded as '{}' ended at once without a token; give another --prompt or check the model",
            args.alias
        ));
    }

    let mut report = json!({
        "text": String::from_utf8_lossy(&text),
        "prompt_tokens": counts["input_tokens"],
        "completion_tokens": tokens,
        "load_ms": load_ms,
        "prompt_ms": prompt_ms,
        "generate_ms": generate_ms,
        "tokens_per_second": rate(tokens - 1, generate_ms),
        "backend": "GGML",
    });
    if let Some(commit) = counts.get("llama_commit") {
        report["llama_commit"] = commit.clone();
    }
    Ok(report)
}

fn output(context: &GraphExecutionContext, index: usize) -> Result<Vec<u8>, Error> {
    let mut buffer = vec![0u8; BUFFER_BYTES];
    let size = context.get_output_single(index, &mut buffer)?;
    buffer.truncate(size);
    Ok(buffer)
}

/// Since `start`, to a tenth of a millisecond.
fn milliseconds(start: Instant) -> f64 {
    tenth(start.elapsed().as_secs_f64() * 1000.0)
}

fn rate(tokens: usize, ms: f64) -> f64 {
    if tokens == 0 || ms <= 0.0 {
        return 0.0;
    }
    tenth(tokens as f64 * 1000.0 / ms)
}

fn tenth(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

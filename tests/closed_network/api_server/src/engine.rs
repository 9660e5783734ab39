// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

//! The models behind WASI-NN: one prompt at a time, token by token or to a vector.

use crate::sampling::{Finish, Sampling, Usage};
use crate::text::TextStream;
use serde::Deserialize;
use serde_json::{json, value::RawValue, Map, Value};
use std::fmt;
use tokio::sync::OwnedMutexGuard;
use wasmedge_wasi_nn::{
    BackendError, Error, ExecutionTarget, Graph, GraphBuilder, GraphEncoding,
    GraphExecutionContext, TensorType,
};

/// Larger than any token piece and than the plugin's metadata.
const BUFFER_BYTES: usize = 4096;
/// An embedding as text: 8192 numbers of 25 characters.
const EMBEDDING_BYTES: usize = 200 << 10;
const TEXT: usize = 0;
const METADATA: usize = 1;
/// llama.cpp's LLAMA_DEFAULT_SEED: another seed for every answer.
const RANDOM_SEED: u32 = u32::MAX;

/// Why no answer, or no more of it, came.
#[derive(Debug)]
pub enum EngineError {
    /// The client asked for more than the context holds.
    TooLong,
    Failed(String),
}

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => {
                f.write_str("the prompt is longer than the context; shorten it or raise --ctx-size")
            }
            Self::Failed(text) => f.write_str(text),
        }
    }
}

/// The loaded model.
pub struct Engine {
    context: GraphExecutionContext,
    options: Map<String, Value>,
    /// Filled anew by every token: an interpreter needs long to zero one of its own.
    buffer: Vec<u8>,
    /// Unloads the model when dropped by the runtime; kept as long as its context is used.
    _graph: Graph,
}

impl Engine {
    /// Loads the model that the runtime preloaded as `alias`, with options under the plugin's names.
    pub fn load(alias: &str, options: Map<String, Value>) -> Result<Self, EngineError> {
        let failed = |error: Error| {
            let remedy = match error {
                Error::BackendError(BackendError::NotFound | BackendError::ModelNotFound) => format!(
                    "preload one with WASMEDGE_WASINN_PRELOAD={alias}:GGML:AUTO:/models/<file>.gguf or name another with --model-alias"
                ),
                _ => "see the plugin's lines above; the file may be missing, cut short or of an unknown architecture".into(),
            };
            EngineError::Failed(format!(
                "the model '{alias}' could not be loaded ({error}): {remedy}"
            ))
        };
        let graph = GraphBuilder::new(GraphEncoding::Ggml, ExecutionTarget::AUTO)
            .config(Value::Object(options.clone()).to_string())
            .build_from_cache(alias)
            .map_err(failed)?;
        let context = graph.init_execution_context().map_err(failed)?;
        Ok(Self {
            context,
            options,
            buffer: vec![0; BUFFER_BYTES],
            _graph: graph,
        })
    }

    /// The vector of a text, as the plugin wrote its numbers, and how many tokens the text has.
    pub fn embed(&mut self, text: &str) -> Result<(Box<RawValue>, u64), EngineError> {
        #[derive(Deserialize)]
        struct Output {
            embedding: Box<RawValue>,
        }
        let broken = |what: &str, error: &dyn fmt::Display| {
            EngineError::Failed(format!(
                "{what} the embedding failed ({error}); see the plugin's lines in this log"
            ))
        };
        self.set(TEXT, text.as_bytes())?;
        self.context.compute().map_err(|error| match error {
            Error::BackendError(BackendError::PromptTooLong) => EngineError::TooLong,
            error => broken("computing", &error),
        })?;
        let mut buffer = vec![0; EMBEDDING_BYTES];
        let size = self
            .context
            .get_output(TEXT, &mut buffer)
            .map_err(|error| broken("reading", &error))?;
        let output: Output = serde_json::from_slice(&buffer[..size])
            .map_err(|error| broken("understanding", &error))?;
        Ok((output.embedding, self.input_tokens()))
    }

    /// Tokens of the last prompt, by the plugin's own count.
    fn input_tokens(&self) -> u64 {
        let mut buffer = vec![0; BUFFER_BYTES];
        let counts = self.context.get_output(METADATA, &mut buffer).ok();
        counts
            .and_then(|size| serde_json::from_slice::<Value>(&buffer[..size]).ok())
            .and_then(|counts| counts["input_tokens"].as_u64())
            .unwrap_or(0)
    }

    /// The last token's bytes.
    fn piece(&mut self) -> Result<&[u8], Error> {
        let size = self.context.get_output_single(TEXT, &mut self.buffer)?;
        Ok(&self.buffer[..size])
    }

    fn set(&mut self, index: usize, bytes: &[u8]) -> Result<(), EngineError> {
        self.context
            .set_input(index, TensorType::U8, &[1], bytes)
            .map_err(|error| match error {
                Error::BackendError(BackendError::PromptTooLong | BackendError::ContextFull) => {
                    EngineError::TooLong
                }
                error => EngineError::Failed(format!(
                    "the plugin refused the prompt ({error}); see its lines in this log"
                )),
            })
    }
}

/// All that this process computes with. Whoever holds it has the server's one turn: see `http`.
pub struct Engines {
    pub chat: Option<Engine>,
    pub embedding: Option<Engine>,
}

/// The server's turn.
pub type Turn = OwnedMutexGuard<Engines>;

/// One step of an answer.
pub enum Step {
    /// May be empty while a character or stop word is incomplete.
    Text(String),
    End(Finish),
}

/// An answer in the making; it holds the turn until it is dropped, finished or not.
pub struct Generation {
    turn: Turn,
    text: TextStream,
    max_tokens: usize,
    end: Option<Finish>,
    pub usage: Usage,
}

impl Generation {
    /// Gives the prompt to the chat model.
    pub fn start(mut turn: Turn, prompt: &str, sampling: &Sampling) -> Result<Self, EngineError> {
        let engine = turn.chat.as_mut().ok_or_else(no_chat)?;
        let mut options = engine.options.clone();
        for (key, value) in [
            ("temp", json!(sampling.temperature)),
            ("top-p", json!(sampling.top_p)),
            ("repeat-penalty", json!(sampling.repeat_penalty)),
            ("presence-penalty", json!(sampling.presence_penalty)),
            ("frequency-penalty", json!(sampling.frequency_penalty)),
            (
                "n-predict",
                sampling.max_tokens.map_or(json!(-1), |n| json!(n)),
            ),
            // Always told: the plugin keeps what an earlier request set.
            ("seed", json!(sampling.seed.unwrap_or(RANDOM_SEED))),
        ] {
            options.insert(key.into(), value);
        }
        engine.set(METADATA, Value::Object(options).to_string().as_bytes())?;
        engine.set(TEXT, prompt.as_bytes())?;
        Ok(Self {
            turn,
            text: TextStream::new(sampling.stop.clone()),
            max_tokens: sampling.max_tokens.unwrap_or(usize::MAX),
            end: None,
            usage: Usage::default(),
        })
    }

    /// Computes one token; blocks for as long as that takes.
    pub fn step(&mut self) -> Result<Step, EngineError> {
        if let Some(finish) = self.end {
            return Ok(Step::End(finish));
        }
        match self.engine()?.context.compute_single() {
            Ok(()) => {}
            Err(Error::BackendError(BackendError::EndOfSequence)) => {
                return Ok(self.close(Finish::Stop))
            }
            Err(Error::BackendError(BackendError::ContextFull)) if self.usage.completion > 0 => {
                return Ok(self.close(Finish::Length))
            }
            Err(Error::BackendError(BackendError::PromptTooLong | BackendError::ContextFull)) => {
                return Err(EngineError::TooLong)
            }
            Err(error) => {
                return Err(EngineError::Failed(format!(
                    "computing a token failed ({error}); see the plugin's lines in this log"
                )))
            }
        }
        let engine = self.turn.chat.as_mut().ok_or_else(no_chat)?;
        let piece = engine.piece().map_err(|error| {
            EngineError::Failed(format!(
                "reading a token failed ({error}); see the plugin's lines in this log"
            ))
        })?;
        let text = self.text.push(piece);
        self.usage.completion += 1;
        if self.text.stopped() {
            self.end(Finish::Stop);
        } else if self.usage.completion as usize >= self.max_tokens {
            let text = text + &self.text.finish();
            self.end(Finish::Length);
            return Ok(Step::Text(text));
        }
        Ok(Step::Text(text))
    }

    fn engine(&mut self) -> Result<&mut Engine, EngineError> {
        self.turn.chat.as_mut().ok_or_else(no_chat)
    }

    /// The model ended by itself: what was held back comes first, the end with the next step.
    fn close(&mut self, finish: Finish) -> Step {
        self.end(finish);
        let rest = self.text.finish();
        if rest.is_empty() {
            Step::End(finish)
        } else {
            Step::Text(rest)
        }
    }

    fn end(&mut self, finish: Finish) {
        self.end = Some(finish);
        self.usage.prompt = self.turn.chat.as_ref().map_or(0, Engine::input_tokens);
    }
}

fn no_chat() -> EngineError {
    EngineError::Failed("this server has an embedding model alone".into())
}

impl Drop for Generation {
    fn drop(&mut self) {
        // Also after an error or a client that went away: the next prompt needs a clean context.
        if let Ok(engine) = self.engine() {
            let _ = engine.context.fini_single();
        }
    }
}

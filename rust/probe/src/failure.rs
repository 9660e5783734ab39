// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

//! Turns WASI-NN error numbers into one sentence with cause and remedy.
//!
//! The numbers are those of WasmEdge's `wasi_nn` plugin (`ErrNo`: 1 to 8 and, for language models, 100 to
//! 103). They are coarse; what llama.cpp had to say stands in the plugin's own lines before ours.

use wasmedge_wasi_nn::{BackendError as B, Error};

/// What the probe was doing when the error came.
#[derive(Debug, Clone, Copy)]
pub enum Step {
    Load,
    Context,
    Input,
    Compute,
    Output,
}

/// One line for stderr.
pub fn explain(step: Step, alias: &str, error: &Error) -> String {
    let doing = match step {
        Step::Load => "loading the model",
        Step::Context => "making an execution context",
        Step::Input => "passing the prompt",
        Step::Compute => "computing a token",
        Step::Output => "reading the answer",
    };
    let because = match error {
        Error::BackendError(code) => because(step, alias, code),
        Error::IoError(_) => "the WASI-NN call failed; see the runtime's log".into(),
    };
    format!("{doing} failed ({error}): {because}")
}

fn because(step: Step, alias: &str, code: &B) -> String {
    match (step, code) {
        (Step::Load, B::NotFound | B::ModelNotFound) => format!(
            "no model is preloaded as '{alias}'; set WASMEDGE_WASINN_PRELOAD={alias}:GGML:AUTO:/models/<file>.gguf"
        ),
        (Step::Load, B::InvalidEncoding) => {
            "the plugin has no GGML backend; install the wasi_nn-ggml build of the plugin".into()
        }
        (Step::Load, B::InvalidArgument | B::RuntimeError) => format!(
            "the file preloaded as '{alias}' could not be opened as a model; check that it is mounted, complete and of an architecture this llama.cpp knows"
        ),
        (Step::Load, B::UnsupportedOperation) => {
            "the plugin cannot load preloaded models by name; its version does not fit, install the one of the pinned tuple".into()
        }
        (_, B::PromptTooLong) => "the prompt does not fit the context; ask a shorter question".into(),
        (_, B::ContextFull) => "the context is full; lower --max-tokens".into(),
        (_, B::Busy) => "the plugin is busy with another request; try again".into(),
        (_, B::TooLarge) => "a buffer was too small for the plugin's answer; report this as a defect of the probe".into(),
        _ => "the plugin gave no reason; see its log lines, and run with the pinned tuple of WasmEdge and plugin".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_alias_names_the_variable_to_set() {
        let text = explain(Step::Load, "chat", &B::NotFound.into());
        assert!(
            text.contains("WASMEDGE_WASINN_PRELOAD=chat:GGML:AUTO:"),
            "{text}"
        );
        assert!(text.contains("Not Found"), "{text}");
    }

    #[test]
    fn every_sentence_is_one_line() {
        for step in [
            Step::Load,
            Step::Context,
            Step::Input,
            Step::Compute,
            Step::Output,
        ] {
            for code in (1..=8).chain(100..=104) {
                let text = explain(step, "default", &B::from(code).into());
                assert!(!text.contains('\n') && text.contains(':'), "{text}");
            }
        }
    }
}

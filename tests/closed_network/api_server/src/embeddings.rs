// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

//! OpenAI's embeddings, in and out.

use crate::api::{usage, OneOrMany};
use crate::sampling::Usage;
use serde::{Deserialize, Serialize};
use serde_json::{value::RawValue, Value};

#[derive(Deserialize)]
struct Request {
    input: OneOrMany,
    encoding_format: Option<String>,
}

/// Reads a request body into the texts whose vectors it wants; the error is one sentence for the client.
///
/// llama-api-server knows no `encoding_format` and always sends numbers; clients that asked for base64 take that.
pub fn read(body: &[u8]) -> Result<Vec<String>, String> {
    let request: Request = serde_json::from_slice(body)
        .map_err(|error| format!("Fail to deserialize embedding request: {error}."))?;
    let texts = request.input.list();
    if texts.is_empty() || texts.iter().any(String::is_empty) {
        return Err("'input' is empty or holds an empty text".into());
    }
    match request.encoding_format.as_deref() {
        None | Some("float" | "base64") => Ok(texts),
        Some(other) => Err(format!(
            "'encoding_format' is '{other}'; give float or base64"
        )),
    }
}

#[derive(Serialize)]
struct Answer<'a> {
    object: &'static str,
    data: Vec<Entry>,
    model: &'a str,
    usage: Value,
}

#[derive(Serialize)]
struct Entry {
    index: usize,
    object: &'static str,
    embedding: Box<RawValue>,
}

/// The answer: the vectors in the order of their texts.
pub fn answer(model: &str, vectors: Vec<Box<RawValue>>, tokens: u64) -> String {
    let entry = |(index, embedding)| Entry {
        index,
        object: "embedding",
        embedding,
    };
    let answer = Answer {
        object: "list",
        data: vectors.into_iter().enumerate().map(entry).collect(),
        model,
        usage: usage(Usage {
            prompt: tokens,
            completion: 0,
        }),
    };
    serde_json::to_string(&answer).unwrap_or_default() // of strings and numbers: cannot fail
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_text_or_many() {
        assert_eq!(read(br#"{"input":"a","model":"x"}"#).unwrap(), ["a"]);
        assert_eq!(
            read(br#"{"input":["a","b"],"encoding_format":"base64"}"#).unwrap(),
            ["a", "b"]
        );
    }

    #[test]
    fn wrong_requests_are_answered_in_one_sentence() {
        for (body, part) in [
            ("{}", "missing field `input`"),
            (r#"{"input":[]}"#, "'input'"),
            (r#"{"input":["a",""]}"#, "'input'"),
            (r#"{"input":"a","encoding_format":"hex"}"#, "'hex'"),
        ] {
            let message = read(body.as_bytes()).unwrap_err();
            assert!(message.contains(part), "{body}: {message}");
        }
    }

    #[test]
    fn numbers_go_out_as_the_plugin_wrote_them() {
        let vector = |text: &str| RawValue::from_string(text.into()).unwrap();
        let text = answer("e", vec![vector("[0.10]"), vector("[-1e-3]")], 5);
        assert!(
            text.contains(r#"{"index":1,"object":"embedding","embedding":[-1e-3]}"#),
            "{text}"
        );
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["data"][0]["embedding"][0], 0.1);
        assert_eq!(value["usage"]["total_tokens"], 5);
    }
}

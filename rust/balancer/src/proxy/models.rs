// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

//! `/v1/models`: the union of all models that are known, in OpenAI's shape.

use crate::http::receive::refusal;
use crate::http::Reply;
use crate::routing::ModelView;
use serde_json::{json, Value};

/// The list.
pub fn list(models: &[ModelView], began: u64) -> Reply {
    let data: Vec<Value> = models
        .iter()
        .map(|model| describe(&model.id, began))
        .collect();
    Reply::json(200, &json!({"object": "list", "data": data}))
}

/// One model, by its name or an alias.
pub fn one(models: &[ModelView], name: &str, began: u64) -> Reply {
    let name = percent_decoded(name);
    match models
        .iter()
        .find(|model| model.id == name || model.aliases.contains(&name))
    {
        Some(_) => Reply::json(200, &describe(&name, began)),
        None => {
            let message =
                format!("The model '{name}' does not exist: /v1/models lists those that do.");
            Reply::refusal(&refusal(404, "model_not_found", message))
        }
    }
}

fn describe(id: &str, created: u64) -> Value {
    json!({"id": id, "object": "model", "created": created, "owned_by": "llamaedge"})
}

fn percent_decoded(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let digit = |at: usize| after.get(at).and_then(|byte| (*byte as char).to_digit(16));
        match (byte, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high << 4 | low) as u8);
                rest = &after[2..];
            }
            _ => {
                out.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::percent_decoded;

    #[test]
    fn names_may_be_percent_encoded() {
        assert_eq!(percent_decoded("org%2Fmodel%20x"), "org/model x");
        assert_eq!(percent_decoded("100%"), "100%");
        assert_eq!(percent_decoded("%zz%4"), "%zz%4");
    }
}

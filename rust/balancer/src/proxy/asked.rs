// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

//! What a request's body asks for: its model, and what it has in common with related requests.

use crate::http::receive::refusal;
use crate::Refusal;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// The members of a JSON body that matter here.
#[derive(Debug, Default, Deserialize)]
pub struct Asked<'a> {
    /// `None` leaves the model open.
    #[serde(borrow, default)]
    pub model: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    messages: Option<&'a RawValue>,
    #[serde(borrow, default)]
    prompt: Option<&'a RawValue>,
}

/// What a body is by its `Content-Type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Media {
    /// JSON, or nothing said.
    Json,
    /// A form with files.
    Form,
    /// Anything; JSON all the same where it looks like it.
    Other,
}

impl Media {
    pub fn of(content_type: Option<&str>) -> Self {
        let essence = content_type
            .unwrap_or_default()
            .split(';')
            .next()
            .unwrap_or_default()
            .trim();
        let is = |name: &str| essence.eq_ignore_ascii_case(name);
        if is("") || is("application/json") || is("text/json") {
            Media::Json
        } else if is("multipart/form-data") || is("application/octet-stream") {
            Media::Form
        } else {
            Media::Other
        }
    }
}

/// Reads a body; what is no JSON object leaves everything open.
///
/// # Errors
/// 400 for what should be JSON and is not, or has a model that is no string.
pub fn read(media: Media, body: &[u8]) -> Result<Asked<'_>, Refusal> {
    let object = body.trim_ascii_start().starts_with(b"{");
    if body.is_empty() || media == Media::Form || media == Media::Other && !object {
        return Ok(Asked::default());
    }
    let error = match serde_json::from_slice(body) {
        Ok(asked) => return Ok(asked),
        Err(_) if media == Media::Other => return Ok(Asked::default()),
        // A list is JSON as well, only without a model.
        Err(_) if !object && serde_json::from_slice::<&RawValue>(body).is_ok() => {
            return Ok(Asked::default())
        }
        Err(error) => error,
    };
    Err(if error.is_data() {
        refusal(
            400,
            "invalid_request",
            format!("The request's body is not what the API takes: {error}."),
        )
    } else {
        refusal(
            400,
            "invalid_json",
            format!("The request's body is not JSON: {error}."),
        )
    })
}

impl Asked<'_> {
    /// A number that requests with the same beginning share; `None` where nothing was asked.
    pub fn prefix(&self, bytes: usize) -> Option<u64> {
        let text = self.messages.or(self.prompt)?.get().as_bytes();
        Some(hash(&text[..text.len().min(bytes)]))
    }
}

/// FNV-1a: the same in every replica, which the standard library's is not.
pub fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(kind: &str, body: &str) -> Result<Option<String>, u16> {
        read(Media::of(Some(kind)), body.as_bytes())
            .map(|asked| asked.model.map(Cow::into_owned))
            .map_err(|refusal| refusal.status)
    }

    #[test]
    fn the_model_is_read_from_json() {
        let json = "application/json; charset=utf-8";
        assert_eq!(
            model(json, r#"{"model":"a","messages":[{"role":"user"}]}"#),
            Ok(Some("a".into()))
        );
        assert_eq!(
            model("", r#"{"messages":[],"model":"a\u0062"}"#),
            Ok(Some("ab".into()))
        );
        assert_eq!(
            model("text/plain", r#"{"model":"a"}"#),
            Ok(Some("a".into()))
        );
        assert_eq!(model(json, r#"{"model":null}"#), Ok(None));
        assert_eq!(model(json, "[1, 2]"), Ok(None));
        assert_eq!(model(json, ""), Ok(None));
        assert_eq!(
            model("multipart/form-data; boundary=x", "--x\r\n"),
            Ok(None)
        );
        assert_eq!(model("text/plain", "{not json"), Ok(None));
    }

    #[test]
    fn what_is_not_json_is_said_so() {
        for body in [
            "{",
            r#"{"model":3}"#,
            r#"{"model":"a""#,
            "{\"model\":\"a\"} x",
            "\"",
            "nonsense",
        ] {
            assert_eq!(model("application/json", body), Err(400), "{body}");
        }
    }

    #[test]
    fn requests_with_one_beginning_share_a_number() {
        let number = |body: &str| read(Media::Json, body.as_bytes()).unwrap().prefix(20);
        let first = number(r#"{"messages":[{"role":"system","content":"one"}]}"#);
        assert!(first.is_some());
        assert_eq!(
            first,
            number(r#"{"model":"x","messages":[{"role":"system","content":"two"}]}"#)
        );
        assert_ne!(
            first,
            number(r#"{"messages":[{"role":"user","content":"one"}]}"#)
        );
        assert_eq!(number(r#"{"input":"x"}"#), None);
    }
}

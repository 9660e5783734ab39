// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

//! OpenAI's JSON, in and out.

use crate::sampling::{Finish, Sampling, Usage};
use crate::template::{Role, Template};
use serde::Deserialize;
use serde_json::{json, Value};

/// Which of the two completion interfaces a request used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Chat,
    Text,
}

/// A checked request. The `model` that it names is not looked at: as in llama-api-server, the loaded one answers
/// and the answer says which that was.
#[derive(Debug)]
pub struct Job {
    pub kind: Kind,
    pub prompt: String,
    pub sampling: Sampling,
    pub stream: bool,
    pub include_usage: bool,
}

#[derive(Deserialize)]
struct Request {
    messages: Option<Vec<Message>>,
    prompt: Option<OneOrMany>,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    max_tokens: Option<i64>,
    max_completion_tokens: Option<i64>,
    temperature: Option<f64>,
    top_p: Option<f64>,
    presence_penalty: Option<f64>,
    frequency_penalty: Option<f64>,
    seed: Option<u64>,
    stop: Option<OneOrMany>,
    n: Option<u64>,
}

#[derive(Deserialize)]
struct StreamOptions {
    include_usage: Option<bool>,
}

#[derive(Deserialize)]
struct Message {
    role: String,
    content: Option<Content>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<Part>),
}

#[derive(Deserialize)]
struct Part {
    #[serde(rename = "type")]
    kind: String,
    text: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
pub enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    pub fn list(self) -> Vec<String> {
        match self {
            Self::One(text) => vec![text],
            Self::Many(texts) => texts,
        }
    }
}

/// Reads a request body; the error is one sentence for the client.
pub fn read(
    kind: Kind,
    body: &[u8],
    template: Template,
    defaults: &Sampling,
    include_usage: bool,
) -> Result<Job, String> {
    let request: Request = serde_json::from_slice(body)
        .map_err(|error| format!("the request's body is not as expected: {error}"))?;
    if request.n.is_some_and(|n| n != 1) {
        return Err("'n' has to be 1: this server gives one answer a request".into());
    }
    let mut sampling = defaults.clone();
    let prompt = match kind {
        Kind::Chat => {
            let messages = request
                .messages
                .filter(|list| !list.is_empty())
                .ok_or("'messages' is missing or empty")?;
            let messages: Result<Vec<_>, String> = messages.into_iter().map(message).collect();
            sampling.stop.extend(template.stop().map(str::to_string));
            template.prompt(&messages?)
        }
        Kind::Text => {
            let prompts = request
                .prompt
                .map(OneOrMany::list)
                .unwrap_or_default()
                .join(" ");
            if prompts.is_empty() {
                return Err("'prompt' is missing or empty".into());
            }
            prompts
        }
    };
    if let Some(limit) = request.max_completion_tokens.or(request.max_tokens) {
        if limit == 0 || limit < -2 {
            return Err(format!(
                "'max_tokens' is {limit}; give 1 or more, or -1 for no limit"
            ));
        }
        sampling.max_tokens = usize::try_from(limit).ok();
    }
    within(
        "temperature",
        request.temperature,
        0.0,
        2.0,
        &mut sampling.temperature,
    )?;
    within("top_p", request.top_p, 0.0, 1.0, &mut sampling.top_p)?;
    within(
        "presence_penalty",
        request.presence_penalty,
        -2.0,
        2.0,
        &mut sampling.presence_penalty,
    )?;
    within(
        "frequency_penalty",
        request.frequency_penalty,
        -2.0,
        2.0,
        &mut sampling.frequency_penalty,
    )?;
    sampling.seed = request.seed.map(|seed| seed as u32).or(sampling.seed);
    sampling
        .stop
        .extend(request.stop.map(OneOrMany::list).unwrap_or_default());
    Ok(Job {
        kind,
        prompt,
        sampling,
        // llama-api-server streams chats alone.
        stream: kind == Kind::Chat && request.stream.unwrap_or(false),
        include_usage: request
            .stream_options
            .and_then(|options| options.include_usage)
            .unwrap_or(include_usage),
    })
}

fn within(
    name: &str,
    value: Option<f64>,
    low: f64,
    high: f64,
    target: &mut f64,
) -> Result<(), String> {
    match value {
        Some(value) if !(low..=high).contains(&value) => {
            Err(format!("'{name}' is {value}; give {low} to {high}"))
        }
        Some(value) => {
            *target = value;
            Ok(())
        }
        None => Ok(()),
    }
}

fn message(message: Message) -> Result<(Role, String), String> {
    let role = match message.role.as_str() {
        "system" | "developer" => Role::System,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        other => {
            return Err(format!(
                "the role '{other}' is not served; use system, user or assistant"
            ))
        }
    };
    let text = match message.content {
        None => String::new(),
        Some(Content::Text(text)) => text,
        Some(Content::Parts(parts)) => {
            if let Some(part) = parts.iter().find(|part| part.kind != "text") {
                return Err(format!(
                    "content of type '{}' is not served; send text",
                    part.kind
                ));
            }
            parts.into_iter().filter_map(|part| part.text).collect()
        }
    };
    Ok((role, text))
}

/// What all parts of one answer share.
pub struct Head<'a> {
    pub kind: Kind,
    pub id: &'a str,
    pub created: u64,
    pub model: &'a str,
}

impl Head<'_> {
    fn object(&self, chunk: bool) -> Value {
        let object = match (self.kind, chunk) {
            (Kind::Text, _) => "text_completion",
            (Kind::Chat, false) => "chat.completion",
            (Kind::Chat, true) => "chat.completion.chunk",
        };
        json!({"id": self.id, "object": object, "created": self.created, "model": self.model})
    }

    /// The answer to a request without `stream`.
    pub fn whole(&self, text: &str, finish: Finish, used: Usage) -> Value {
        let mut answer = self.object(false);
        let choice = match self.kind {
            Kind::Chat => json!({"index": 0, "message": {"role": "assistant", "content": text}}),
            Kind::Text => json!({"index": 0, "text": text}),
        };
        answer["choices"] = json!([choice]);
        answer["choices"][0]["finish_reason"] = json!(reason(finish));
        answer["choices"][0]["logprobs"] = Value::Null;
        answer["usage"] = usage(used);
        answer
    }

    /// One event of a stream. llama-api-server names the role in each, and a reason only where the context ended.
    pub fn part(&self, text: Option<&str>, finish: Option<Finish>) -> Value {
        let mut answer = self.object(true);
        answer["choices"] = json!([{
            "index": 0,
            "delta": {"role": "assistant", "content": text},
            "logprobs": null,
            "finish_reason": finish.map(reason),
        }]);
        answer
    }

    /// What stands before and after the text in every event of a stream: written once, and not for each token.
    pub fn around_text(&self) -> (String, String) {
        let event = self.part(Some(""), None).to_string();
        // Within a string the quotes would be escaped, so this is the key and its value.
        let (before, after) = event
            .split_once(r#""content":"""#)
            .expect("part() has the text that it is given");
        (
            format!(r#"data: {before}"content":"#),
            format!("{after}\n\n"),
        )
    }

    /// The last event of a stream whose client asked for usage.
    pub fn used(&self, used: Usage) -> Value {
        let mut answer = self.object(true);
        answer["choices"] = json!([]);
        answer["usage"] = usage(used);
        answer
    }
}

pub fn usage(used: Usage) -> Value {
    json!({
        "prompt_tokens": used.prompt,
        "completion_tokens": used.completion,
        "total_tokens": used.prompt + used.completion,
    })
}

fn reason(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop => "stop",
        Finish::Length => "length",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chat(body: &str) -> Result<Job, String> {
        read(
            Kind::Chat,
            body.as_bytes(),
            Template::Chatml,
            &Sampling::default(),
            false,
        )
    }

    #[test]
    fn a_chat_request_becomes_a_prompt_and_limits() {
        let job = chat(
            r#"{"model":"any","messages":[{"role":"user","content":[{"type":"text","text":"Hi"}]}],
                "max_tokens":5,"temperature":0,"stop":"!","stream":true,"stream_options":{"include_usage":true}}"#,
        )
        .unwrap();
        assert_eq!(
            job.prompt,
            "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
        );
        assert_eq!(job.sampling.max_tokens, Some(5));
        assert_eq!(job.sampling.temperature, 0.0);
        assert_eq!(job.sampling.stop, ["<|im_end|>", "!"]);
        assert!(job.stream && job.include_usage);
    }

    #[test]
    fn wrong_requests_are_answered_in_one_sentence() {
        for (body, part) in [
            ("{", "not as expected"),
            ("{}", "'messages'"),
            (r#"{"messages":[]}"#, "'messages'"),
            (
                r#"{"messages":[{"role":"wizard","content":"x"}]}"#,
                "'wizard'",
            ),
            (
                r#"{"messages":[{"role":"user","content":"x"}],"temperature":9}"#,
                "'temperature' is 9",
            ),
            (
                r#"{"messages":[{"role":"user","content":"x"}],"max_tokens":0}"#,
                "'max_tokens' is 0",
            ),
            (
                r#"{"messages":[{"role":"user","content":"x"}],"n":2}"#,
                "'n'",
            ),
            (
                r#"{"messages":[{"role":"user","content":[{"type":"image_url"}]}]}"#,
                "'image_url'",
            ),
        ] {
            let message = chat(body).unwrap_err();
            assert!(message.contains(part), "{body}: {message}");
        }
    }

    #[test]
    fn text_completions_join_their_prompts_and_never_stream() {
        let body = br#"{"prompt":["a","b"],"stream":true}"#;
        let job = read(
            Kind::Text,
            body,
            Template::Chatml,
            &Sampling::default(),
            false,
        )
        .unwrap();
        assert_eq!((job.prompt.as_str(), job.stream), ("a b", false));
    }

    #[test]
    fn answers_have_openais_shape() {
        let head = Head {
            kind: Kind::Chat,
            id: "c",
            created: 1,
            model: "m",
        };
        let whole = head.whole(
            "Paris.",
            Finish::Stop,
            Usage {
                prompt: 3,
                completion: 2,
            },
        );
        assert_eq!(whole["choices"][0]["message"]["content"], "Paris.");
        assert_eq!(whole["usage"]["total_tokens"], 5);
        let part = head.part(Some("Pa"), None);
        assert_eq!(
            part["choices"][0]["delta"],
            json!({"role": "assistant", "content": "Pa"})
        );
        let odd = Head {
            model: r#"a "content":"" model"#,
            ..head
        };
        let (before, after) = odd.around_text();
        assert_eq!(
            format!("{before}{}{after}", json!("say \"Pa\"\n")),
            format!("data: {}\n\n", odd.part(Some("say \"Pa\"\n"), None))
        );
        assert_eq!(
            odd.part(None, Some(Finish::Length))["choices"][0]["finish_reason"],
            "length"
        );
        assert_eq!(odd.used(Usage::default())["choices"], json!([]));
    }
}

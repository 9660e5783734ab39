// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

//! Counts a reply's tokens while its body passes, in whatever pieces it comes, with bounded memory.
//!
//! A reply's own `usage` counts where there is one (the last one, as `stream_options.include_usage` and
//! continuous usage give it); without it each server-sent event that carries text counts as one output token,
//! which is how llama.cpp's servers stream.
//!
//! Keys are searched for as bytes, quotes included. That is sound: inside a JSON string a quote is always
//! preceded by a backslash, so no text of a model can look like a key with both its quotes and a colon.

use memchr::memchr;
use memchr::memmem::Finder;

/// The longest rest of a line that is kept until the next piece comes. Servers' events are some hundred bytes; one
/// that is longer is looked at up to here.
const LINE_LIMIT: usize = 16 * 1024;
/// What is kept of a piece of JSON, so that a key and its number are found across pieces.
const TAIL: usize = 64;
/// Keys whose value is part of an answer: chat, reasoning models, tool calls, completions, the Responses API.
const TEXT_KEYS: [&[u8]; 5] = [
    b"\"content\"",
    b"\"reasoning_content\"",
    b"\"arguments\"",
    b"\"text\"",
    b"\"delta\"",
];
/// How the keys of token figures end.
const FIGURE: &[u8] = b"_tokens\"";

thread_local! {
    /// Made once: making one takes longer than searching an event with it.
    static FIND_TEXT: [Finder<'static>; 5] = TEXT_KEYS.map(Finder::new);
    static FIND_FIGURE: Finder<'static> = Finder::new(FIGURE);
}

/// Tokens as the model's server reported them or as they were counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tokens {
    /// Of the prompt; `None` where the reply said nothing of it.
    pub input: Option<u64>,
    /// Of the answer.
    pub output: Option<u64>,
}

/// What a body is made of, from its Content-Type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Body {
    /// `application/json`
    Json,
    /// `text/event-stream`
    Events,
    /// Nothing to count in.
    #[default]
    Other,
}

impl Body {
    /// Reads a Content-Type; parameters and case don't matter.
    pub fn of(content_type: Option<&str>) -> Self {
        let kind = content_type
            .unwrap_or_default()
            .split(';')
            .next()
            .unwrap_or_default()
            .trim();
        if kind.eq_ignore_ascii_case("text/event-stream") {
            Body::Events
        } else if kind.eq_ignore_ascii_case("application/json") {
            Body::Json
        } else {
            Body::Other
        }
    }
}

/// Counts one reply's tokens.
#[derive(Debug, Default)]
pub struct Counter {
    body: Body,
    kept: Vec<u8>,
    /// The rest of the current line is longer than [`LINE_LIMIT`] and passes unseen.
    skipping: bool,
    events: u64,
    reported: Tokens,
}

impl Counter {
    /// A counter for a body of this kind.
    pub fn new(body: Body) -> Self {
        Self {
            body,
            ..Self::default()
        }
    }

    /// Takes the next piece of the body (without chunked framing). True when it brought text of the answer, which
    /// is what "first token" means.
    pub fn feed(&mut self, piece: &[u8]) -> bool {
        let before = self.events;
        match self.body {
            Body::Json => self.json(piece),
            Body::Events => self.lines(piece),
            Body::Other => {}
        }
        self.events > before
    }

    /// The figures so far; at the end of the body the final ones.
    pub fn tokens(&self) -> Tokens {
        let counted = (self.body == Body::Events && self.events > 0).then_some(self.events);
        Tokens {
            input: self.reported.input,
            output: self.reported.output.or(counted),
        }
    }

    fn json(&mut self, piece: &[u8]) {
        // Where the pieces meet: the last bytes of those before and the first of this one.
        let mut seam = std::mem::take(&mut self.kept);
        seam.extend_from_slice(&piece[..piece.len().min(TAIL)]);
        usage(&seam, &mut self.reported);
        if piece.len() > TAIL {
            usage(piece, &mut self.reported);
            seam.clear();
            seam.extend_from_slice(&piece[piece.len() - TAIL..]);
        } else {
            seam.drain(..seam.len().saturating_sub(TAIL));
        }
        self.kept = seam;
    }

    fn lines(&mut self, mut piece: &[u8]) {
        while let Some(end) = memchr(b'\n', piece) {
            let (line, rest) = piece.split_at(end);
            if self.skipping {
                self.skipping = false;
            } else if self.kept.is_empty() {
                self.line(line);
            } else {
                let mut whole = std::mem::take(&mut self.kept);
                whole.extend_from_slice(line);
                self.line(&whole);
                whole.clear();
                self.kept = whole;
            }
            piece = &rest[1..];
        }
        if self.skipping {
            return;
        }
        self.kept.extend_from_slice(piece);
        if self.kept.len() > LINE_LIMIT {
            let start = std::mem::take(&mut self.kept);
            self.line(&start);
            self.skipping = true;
        }
    }

    fn line(&mut self, line: &[u8]) {
        let Some(data) = line.strip_prefix(b"data:") else {
            return;
        };
        usage(data, &mut self.reported);
        if FIND_TEXT.with(|keys| keys.iter().any(|key| has_text(data, key))) {
            self.events += 1;
        }
    }
}

/// Whether `key` stands before a string that is not empty.
fn has_text(data: &[u8], key: &Finder<'_>) -> bool {
    key.find_iter(data)
        .any(|at| match after_colon(&data[at + key.needle().len()..]) {
            Some([b'"', next, ..]) => *next != b'"',
            _ => false,
        })
}

/// What follows a key's colon, blanks skipped; `None` where no colon follows, so that it was no key.
fn after_colon(rest: &[u8]) -> Option<&[u8]> {
    rest.trim_ascii_start()
        .strip_prefix(b":")
        .map(<[u8]>::trim_ascii_start)
}

/// Takes every token figure of `data` into `found`; a number that touches the end is left for the next piece.
fn usage(data: &[u8], found: &mut Tokens) {
    FIND_FIGURE.with(|figure| {
        for at in figure.find_iter(data) {
            let name = &data[..at];
            let target = if name.ends_with(b"\"prompt") || name.ends_with(b"\"input") {
                &mut found.input
            } else if name.ends_with(b"\"completion") || name.ends_with(b"\"output") {
                &mut found.output
            } else {
                continue;
            };
            if let Some(number) = after_colon(&data[at + FIGURE.len()..]).and_then(number) {
                *target = Some(number);
            }
        }
    });
}

/// The whole number at the start of `data`, if something follows it there.
fn number(data: &[u8]) -> Option<u64> {
    let digits = data.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if digits == 0 || digits == data.len() {
        return None;
    }
    std::str::from_utf8(&data[..digits]).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: &str = r#"{"object":"chat.completion","choices":[{"message":{"role":"assistant","content":"say \"prompt_tokens\":99, ok"}}],
        "usage" : {"prompt_tokens" : 31, "completion_tokens":8,"total_tokens":39,"prompt_tokens_details":{"cached_tokens":4}}}"#;
    const STREAM: &str = concat!(
        "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n",
        "data: {\"choices\":[{\"delta\":{\"content\":\"Par\"}}]}\r\n\r\n",
        ": a comment\n\n",
        "data: {\"choices\":[{\"delta\":{\"content\" : \"is \\\"usage\\\"\"}}]}\n\n",
        "data: {\"choices\":[{\"delta\":{\"content\":null},\"finish_reason\":\"stop\"}]}\n\n",
    );
    const USAGE: &str =
        "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":12,\"completion_tokens\":7}}\n\n";
    const DONE: &str = "data: [DONE]\n\n";

    /// The same figures however the body is cut.
    fn count(kind: Body, text: &str) -> Tokens {
        let of = |size: usize| {
            let mut counter = Counter::new(kind);
            text.as_bytes()
                .chunks(size)
                .for_each(|piece| _ = counter.feed(piece));
            assert!(
                counter.kept.len() <= LINE_LIMIT,
                "{} bytes kept",
                counter.kept.len()
            );
            counter.tokens()
        };
        let whole = of(text.len());
        for size in (1..200).chain([1000, 4096]) {
            assert_eq!(of(size), whole, "in pieces of {size}");
        }
        whole
    }

    #[test]
    fn usage_of_json_counts_and_quoted_text_does_not() {
        assert_eq!(
            count(Body::Json, JSON),
            Tokens {
                input: Some(31),
                output: Some(8)
            }
        );
    }

    #[test]
    fn json_after_a_large_body() {
        let text = format!(
            "{{\"data\":[{}],\"usage\":{{\"prompt_tokens\":5,\"total_tokens\":5}}}}",
            "0.123,".repeat(9000)
        );
        assert_eq!(
            count(Body::Json, &text),
            Tokens {
                input: Some(5),
                output: None
            }
        );
    }

    #[test]
    fn events_with_text_count_where_there_is_no_usage() {
        assert_eq!(
            count(Body::Events, &[STREAM, DONE].concat()),
            Tokens {
                input: None,
                output: Some(2)
            }
        );
    }

    #[test]
    fn usage_at_the_end_of_a_stream_wins() {
        assert_eq!(
            count(Body::Events, &[STREAM, USAGE, DONE].concat()),
            Tokens {
                input: Some(12),
                output: Some(7)
            }
        );
    }

    #[test]
    fn responses_api_and_completions() {
        let responses = "data: {\"type\":\"response.output_text.delta\",\"delta\":\"Hi\"}\n\ndata: {\"type\":\"response.completed\",\"usage\":{\"input_tokens\":3,\"output_tokens\":4}}\n\n";
        assert_eq!(
            count(Body::Events, responses),
            Tokens {
                input: Some(3),
                output: Some(4)
            }
        );
        assert_eq!(
            count(Body::Events, "data: {\"choices\":[{\"text\":\"a\"}]}\n\n"),
            Tokens {
                input: None,
                output: Some(1)
            }
        );
    }

    #[test]
    fn a_line_without_end_needs_no_more_memory_and_the_next_one_counts() {
        let text = format!(
            "data: {{\"content\":\"{}\"}}\n\n{STREAM}",
            "x".repeat(100_000)
        );
        assert_eq!(
            count(Body::Events, &text),
            Tokens {
                input: None,
                output: Some(3)
            }
        );
    }

    #[test]
    fn other_bodies_are_left_alone() {
        assert_eq!(count(Body::Other, STREAM), Tokens::default());
        assert_eq!(
            Body::of(Some("Text/Event-Stream; charset=utf-8")),
            Body::Events
        );
        assert_eq!(Body::of(Some("application/json")), Body::Json);
        assert_eq!(Body::of(None), Body::Other);
    }
}

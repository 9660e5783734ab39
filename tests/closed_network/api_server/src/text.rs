// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

//! From token pieces (bytes) to text that may be sent.
//!
//! A token can end within a UTF-8 character and a stop word can be spread over tokens: what might still
//! become either is held back.

/// Collects pieces and releases text.
#[derive(Debug, Default)]
pub struct TextStream {
    stops: Vec<String>,
    bytes: Vec<u8>,
    held: String,
    stopped: bool,
}

impl TextStream {
    /// `stops`: the text ends before the first of these.
    pub fn new(stops: Vec<String>) -> Self {
        Self {
            stops: stops.into_iter().filter(|stop| !stop.is_empty()).collect(),
            ..Self::default()
        }
    }

    /// Whether a stop word was met.
    pub fn stopped(&self) -> bool {
        self.stopped
    }

    /// Takes a piece and gives the text that is now certain.
    pub fn push(&mut self, piece: &[u8]) -> String {
        if self.stopped {
            return String::new();
        }
        self.bytes.extend_from_slice(piece);
        self.decode();
        if let Some(end) = self
            .stops
            .iter()
            .filter_map(|stop| self.held.find(stop))
            .min()
        {
            self.stopped = true;
            self.held.truncate(end);
            return std::mem::take(&mut self.held);
        }
        let keep = self
            .stops
            .iter()
            .map(|stop| overlap(&self.held, stop))
            .max()
            .unwrap_or(0);
        let rest = self.held.split_off(self.held.len() - keep);
        std::mem::replace(&mut self.held, rest)
    }

    /// The end of the answer: gives what was held back.
    pub fn finish(&mut self) -> String {
        if self.stopped {
            return String::new();
        }
        let tail = std::mem::take(&mut self.bytes);
        self.held += &String::from_utf8_lossy(&tail);
        std::mem::take(&mut self.held)
    }

    /// Moves whole characters from `bytes` to `held`; what can never become one turns into U+FFFD.
    fn decode(&mut self) {
        while !self.bytes.is_empty() {
            match std::str::from_utf8(&self.bytes) {
                Ok(text) => {
                    self.held += text;
                    self.bytes.clear();
                }
                Err(error) => {
                    let good = error.valid_up_to();
                    self.held += &String::from_utf8_lossy(&self.bytes[..good]);
                    let bad = error.error_len();
                    if bad.is_some() {
                        self.held.push(char::REPLACEMENT_CHARACTER);
                    }
                    self.bytes.drain(..good + bad.unwrap_or(0));
                    if bad.is_none() {
                        return;
                    }
                }
            }
        }
    }
}

/// Length of the longest end of `text` with which `stop` begins.
fn overlap(text: &str, stop: &str) -> usize {
    stop.char_indices()
        .map(|(at, _)| at)
        .skip(1)
        .filter(|at| text.ends_with(&stop[..*at]))
        .max()
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(stops: &[&str]) -> TextStream {
        TextStream::new(stops.iter().map(|stop| stop.to_string()).collect())
    }

    #[test]
    fn a_character_cut_by_tokens_comes_out_whole() {
        let mut text = stream(&[]);
        let bytes = "a€".as_bytes();
        assert_eq!(text.push(&bytes[..2]), "a");
        assert_eq!(text.push(&bytes[2..3]), "");
        assert_eq!(text.push(&bytes[3..]), "€");
        assert_eq!(text.finish(), "");
    }

    #[test]
    fn a_stop_word_over_two_tokens_is_never_sent() {
        let mut text = stream(&["<|im_end|>", "\n\n"]);
        assert_eq!(text.push(b"Paris.<|im"), "Paris.");
        assert_eq!(text.push(b"_end|> and more"), "");
        assert!(text.stopped());
        assert_eq!(text.push(b"x") + &text.finish(), "");
    }

    #[test]
    fn what_only_looked_like_a_stop_word_is_sent_after_all() {
        let mut text = stream(&["\n\n", "END"]);
        assert_eq!(text.push(b"one\n"), "one");
        assert_eq!(text.push(b"two E"), "\ntwo ");
        assert_eq!(text.finish(), "E");
    }

    #[test]
    fn the_earliest_stop_word_wins() {
        let mut text = stream(&["c", "b"]);
        assert_eq!(text.push(b"abc"), "a");
    }

    #[test]
    fn broken_bytes_are_replaced() {
        let mut text = stream(&[]);
        assert_eq!(text.push(b"a\xffb"), "a\u{fffd}b");
        assert_eq!(text.push(b"\xe2\x82"), "");
        assert_eq!(text.finish(), "\u{fffd}");
    }
}

// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

//! Mutations of the messages in `corpus/`: against the parsers, against a running balancer, and as an endpoint's answers.
//!
//! `FUZZ_SEED` begins elsewhere, `FUZZ_ROUNDS` goes on longer; a failure names the input.

mod common;

use common::{chat, send, Balancer, Upstream};
use std::io::Read;
use std::net::Shutdown;
use std::time::{Duration, Instant};
use wasinn_balancer::http::body::{chunk, Dechunk, Framing, LAST_CHUNK};
use wasinn_balancer::http::head;

/// xorshift64*: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn new() -> Self {
        let seed = std::env::var("FUZZ_SEED").map_or(20_261_123, |seed| seed.parse().unwrap());
        Random(seed | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() >> 16) as usize % bound.max(1)
    }
}

fn rounds(usual: usize) -> usize {
    std::env::var("FUZZ_ROUNDS").map_or(usual, |rounds| rounds.parse().unwrap())
}

fn corpus(responses: bool) -> Vec<Vec<u8>> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus");
    let mut names: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    names.sort();
    names.retain(|path| {
        path.file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .starts_with("response")
            == responses
    });
    assert!(names.len() > 3);
    names
        .iter()
        .map(|path| std::fs::read(path).unwrap())
        .collect()
}

/// Words that matter to a parser of HTTP.
const WORDS: [&[u8]; 24] = [
    b"\r\n",
    b"\n",
    b"\r",
    b"\r\n\r\n",
    b"\0",
    b" ",
    b"\t",
    b":",
    b": ",
    b";",
    b",",
    b"0\r\n\r\n",
    b"ffffffff",
    b"-1",
    b"+5",
    b"Content-Length: 3\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Connection: close\r\n",
    b"HTTP/1.0",
    b"Host: y\r\n",
    b"chunked",
    b"\xff\xfe",
    b"%2e%2e/",
    b"99999999999999999999",
];

fn mutated(random: &mut Random, corpus: &[Vec<u8>]) -> Vec<u8> {
    let mut text = corpus[random.below(corpus.len())].clone();
    for _ in 0..1 + random.below(4) {
        let at = random.below(text.len() + 1);
        let end = (at + random.below(12)).min(text.len());
        match random.below(7) {
            0 => text.truncate(at),
            1 if at < text.len() => text[at] = random.next() as u8,
            2 => drop(text.drain(at..end)),
            3 => {
                let piece = text[at..end].to_vec();
                text.splice(at..at, piece);
            }
            4 => {
                let word = WORDS[random.below(WORDS.len())];
                text.splice(at..at, word.iter().copied());
            }
            5 => {
                let other = &corpus[random.below(corpus.len())];
                let from = random.below(other.len());
                text.splice(at..end, other[from..].iter().copied());
            }
            _ => {
                let much = vec![text.get(at).copied().unwrap_or(b'x'); 1 << random.below(12)];
                text.splice(at..at, much);
            }
        }
    }
    text
}

#[test]
fn heads_are_read_in_one_way_only() {
    let (mut random, corpus) = (Random::new(), corpus(false));
    let (mut accepted, count) = (0, rounds(40_000));
    for _ in 0..count {
        let text = mutated(&mut random, &corpus);
        let end = head::end(&text, 0);
        // Where the head ends does not depend on the pieces it comes in.
        let cut = random.below(text.len() + 1);
        assert_eq!(
            head::end(&text[..cut], 0).or_else(|| head::end(&text, cut)),
            end,
            "{}",
            text.escape_ascii()
        );
        let Some(size) = end else { continue };
        let Ok(head) = head::request(&text[..size], 100) else {
            continue;
        };
        accepted += 1;
        let shown = text.escape_ascii();
        assert_eq!(head.size, size, "{shown}");
        let named = |name: &str| {
            head.headers
                .iter()
                .filter(|header| header.name.eq_ignore_ascii_case(name))
                .count()
        };
        let (lengths, codings) = (named("content-length"), named("transfer-encoding"));
        assert!(lengths + codings <= 1, "{shown}");
        let expected = match (lengths, codings) {
            (0, 0) => matches!(head.framing, Framing::None),
            (1, _) => matches!(head.framing, Framing::Length(_)),
            _ => head.framing == Framing::Chunked && head.minor == 1,
        };
        assert!(expected, "{shown}");
        assert!(
            named("host") <= 1 && (head.minor == 0 || named("host") == 1),
            "{shown}"
        );
        assert!(
            !text[..size]
                .windows(2)
                .any(|pair| pair[1] == b'\n' && pair[0] != b'\r'),
            "{shown}"
        );
    }
    assert!(
        accepted > count / 50,
        "the mutations are too wild: {accepted} of {count}"
    );
}

#[test]
fn chunked_bodies_do_not_depend_on_pieces() {
    let mut random = Random::new();
    let mut whole = 0;
    for _ in 0..rounds(20_000) {
        let mut coded = Vec::new();
        for _ in 0..random.below(4) {
            let data = vec![random.next() as u8; 1 + random.below(40)];
            chunk(&data, &mut coded);
        }
        coded.extend_from_slice(LAST_CHUNK);
        let coded = if random.below(3) == 0 {
            coded
        } else {
            mutated(&mut random, &[coded])
        };
        let (mut once, mut data) = (Dechunk::default(), Vec::new());
        let taken = once.decode(&coded, &mut data);
        let (mut pieces, mut again) = (Dechunk::default(), Vec::new());
        let mut at = 0;
        let mut result = Ok(0);
        while at < coded.len() && !pieces.done() {
            let end = (at + 1 + random.below(9)).min(coded.len());
            match pieces.decode(&coded[at..end], &mut again) {
                Ok(used) => at += used,
                Err(error) => {
                    result = Err(error);
                    break;
                }
            }
        }
        let shown = coded.escape_ascii();
        assert_eq!(result.is_err(), taken.is_err(), "{shown}");
        if let Ok(taken) = taken {
            assert_eq!(
                (at, pieces.done(), &again),
                (taken, once.done(), &data),
                "{shown}"
            );
            whole += usize::from(once.done());
        }
    }
    assert!(whole > 1000);
}

#[test]
fn responses_never_panic() {
    let (mut random, corpus) = (Random::new(), corpus(true));
    let mut whole = 0;
    for _ in 0..rounds(30_000) {
        let text = mutated(&mut random, &corpus);
        for to_head in [false, true] {
            if let Ok(Some(head)) = head::response(&text, to_head) {
                assert!(head.size <= text.len() && (!to_head || head.framing == Framing::None));
                whole += 1;
            }
        }
    }
    assert!(whole > 1000);
}

#[test]
fn a_running_balancer_survives_clients() {
    let upstream = Upstream::plain("{}");
    let balancer = Balancer::quick(&[upstream.address]);
    let (mut random, corpus) = (Random::new(), corpus(false));
    for round in 0..rounds(400) {
        let text = mutated(&mut random, &corpus);
        let mut client = balancer.client();
        let cut = random.below(text.len() + 1);
        client.try_send(&text[..cut]);
        client.try_send(&text[cut..]);
        let _ = client.stream.shutdown(Shutdown::Write);
        let began = Instant::now();
        let answers = client.rest();
        assert!(
            began.elapsed() < Duration::from_secs(5),
            "it hangs: {}",
            text.escape_ascii()
        );
        let lines = answers
            .lines()
            .filter_map(|line| line.rsplit_once("HTTP/1.1 "));
        let statuses = lines
            .filter_map(|(_, status)| status.get(..3))
            .filter(|status| status.parse::<u16>().is_ok());
        for status in statuses {
            let known = [
                "100", "200", "204", "400", "404", "405", "408", "413", "431", "505",
            ];
            assert!(
                known.contains(&status),
                "{status} for {}",
                text.escape_ascii()
            );
        }
        if round % 50 == 0 {
            assert_eq!(balancer.chat().status, 200);
        }
    }
    assert_eq!(balancer.chat().status, 200);
}

#[test]
fn a_running_balancer_survives_endpoints() {
    let upstream = Upstream::start({
        let state = std::sync::Mutex::new((Random::new(), corpus(true)));
        move |stream, _| {
            let mut state = state.lock().unwrap();
            let (random, corpus) = &mut *state;
            let text = mutated(random, corpus);
            let cut = random.below(text.len() + 1);
            drop(state);
            send(stream, &text[..cut]);
            send(stream, &text[cut..]);
            false
        }
    });
    let balancer = Balancer::quick(&[upstream.address]);
    for _ in 0..rounds(50) {
        let mut client = balancer.client();
        client.send(chat("{}")).half_close();
        let began = Instant::now();
        let mut answer = Vec::new();
        let _ = client.stream.read_to_end(&mut answer);
        assert!(began.elapsed() < Duration::from_secs(8), "it hangs");
        assert!(
            answer.starts_with(b"HTTP/1.1 "),
            "{}",
            answer.escape_ascii()
        );
    }
    let models = balancer.ask("GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(models.status, 200);
}

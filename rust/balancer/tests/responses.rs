// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

//! How answers pass, headers of both directions, and what kept connections save.

mod common;

use common::upstream::{chunk, reply, until_closed, EVENTS};
use common::{chat, send, soon, Balancer, Upstream, PATIENCE};
use std::io::Read;
use std::net::TcpListener;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

#[test]
fn headers_of_the_hop_stay_behind() {
    let upstream = Upstream::start(|stream, _| {
        send(
            stream,
            "HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Hop\r\nKeep-Alive: timeout=5\r\nX-Hop: 1\r\nX-Kept: 2\r\n\
             X-Request-Id: theirs\r\nContent-Length: 2\r\n\r\n{}",
        );
        true
    });
    let balancer = Balancer::quick(&[upstream.address]);
    let answer = balancer.ask(
        "POST /v1/chat/completions?a=b HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, X-Mine\r\nX-Mine: 1\r\nX-Kept: 2\r\n\
         Authorization: Bearer secret\r\nTE: trailers\r\nUpgrade: h2c\r\nProxy-Authorization: y\r\nAccept-Encoding: gzip\r\n\
         X-Request-Id: my-id.1\r\nX-Forwarded-For: 10.0.0.1\r\nContent-Length: 2\r\n\r\n{}",
    );
    assert_eq!(
        (answer.header("x-request-id"), answer.header("x-kept")),
        (Some("my-id.1"), Some("2"))
    );
    assert_eq!(
        (answer.header("x-hop"), answer.header("keep-alive")),
        (None, None)
    );
    let seen = &upstream.seen()[0];
    assert!(seen
        .head
        .starts_with("POST /v1/chat/completions?a=b HTTP/1.1\r\n"));
    for gone in [
        "x-mine",
        "authorization",
        "te",
        "upgrade",
        "proxy-authorization",
        "accept-encoding",
        "connection",
    ] {
        assert_eq!(seen.header(gone), None, "{gone}");
    }
    assert_eq!(
        (seen.header("x-request-id"), seen.header("x-kept")),
        (Some("my-id.1"), Some("2"))
    );
    assert_eq!(
        (seen.header("x-forwarded-for"), seen.header("host")),
        (Some("10.0.0.1, 127.0.0.1"), Some("x"))
    );
}

#[test]
fn bad_identifiers_are_replaced() {
    let upstream = Upstream::plain("{}");
    let balancer = Balancer::quick(&[upstream.address]);
    for id in ["a b", "\"", &"x".repeat(200)] {
        let answer =
            balancer.ask(&chat("{}").replace("Host: x", &format!("Host: x\r\nX-Request-Id: {id}")));
        let given = answer.header("x-request-id").unwrap().to_owned();
        assert!(given.starts_with("req-"), "{given}");
        assert_eq!(
            upstream.seen().last().unwrap().header("x-request-id"),
            Some(given.as_str())
        );
    }
}

#[test]
fn connections_to_endpoints_are_kept() {
    let upstream = Upstream::plain("{}");
    let balancer = Balancer::quick(&[upstream.address]);
    let mut client = balancer.client();
    for _ in 0..20 {
        assert_eq!(client.ask(chat("{}")).text(), "{}");
    }
    balancer.chat();
    assert_eq!((upstream.seen().len(), upstream.connections()), (21, 1));
}

#[test]
fn every_framing_passes() {
    let text = "{\"text\":\"".to_owned() + &"x".repeat(100_000) + "\"}";
    for coding in ["length", "chunked", "close"] {
        let sent = text.clone();
        let upstream = Upstream::start(move |stream, _| {
            let response = match coding {
                "length" => reply(&sent),
                "chunked" => {
                    let chunks: String = sent
                        .as_bytes()
                        .chunks(977)
                        .map(|part| chunk(std::str::from_utf8(part).unwrap()))
                        .collect();
                    format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}0;x=y\r\nTrailer: z\r\n\r\n")
                }
                _ => format!("HTTP/1.1 200 OK\r\n\r\n{sent}"),
            };
            for piece in response.as_bytes().chunks(3001) {
                send(stream, piece);
            }
            coding != "close"
        });
        let balancer = Balancer::quick(&[upstream.address]);
        let mut client = balancer.client();
        for _ in 0..2 {
            let answer = client.ask(chat("{}"));
            assert!(
                answer.whole && answer.text() == text,
                "{coding}: {}",
                answer.head
            );
        }
    }
}

#[test]
fn large_bodies_pass_both_ways() {
    let upstream = Upstream::echo();
    let balancer = Balancer::start(&[upstream.address], "");
    let body = format!(
        "{{\"model\":\"m\",\"x\":\"{}\"}}",
        "0123456789".repeat(1 << 20)
    );
    let answer = balancer.ask(&chat(&body));
    assert!(answer.status == 200 && answer.text() == body);
}

#[test]
fn a_busy_endpoint_may_leave_a_large_body_unread_for_a_while() {
    let body = format!("{{\"x\":\"{}\"}}", "0123456789".repeat(12 << 17));
    for (busy, status) in [(1, 200), (4, 504)] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let mut stream = listener.accept().unwrap().0;
            std::thread::sleep(Duration::from_secs(busy));
            let mut room = vec![0; 1 << 20];
            while let Ok(read @ 1..) = stream.read(&mut room) {
                if room[..read].ends_with(b"}") {
                    send(&mut stream, reply("{}"));
                }
            }
        });
        let balancer = Balancer::start(
            &[address],
            "slots = 0\n[health]\ninterval = 0\n[timeouts]\nbody = 0.5\nfirst_byte = 2.0\n",
        );
        let answer = balancer.ask(&chat(&body));
        assert_eq!(answer.status, status, "{}", answer.text());
        assert_eq!(balancer.metric("llamaedge_lb_retries_total"), 0.0);
        assert_eq!(balancer.metric("llamaedge_lb_ejections_total"), 0.0);
    }
}

#[test]
fn answers_without_a_body_pass() {
    let upstream = Upstream::start(|stream, seen| {
        send(
            stream,
            if seen.number == 0 {
                "HTTP/1.1 204 No Content\r\n\r\n"
            } else {
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"
            },
        );
        true
    });
    let balancer = Balancer::quick(&[upstream.address]);
    let mut client = balancer.client();
    assert_eq!(client.ask(chat("{}")).status, 204);
    assert_eq!(client.ask(chat("{}")).status, 201);
    assert_eq!(upstream.connections(), 1);
}

#[test]
fn events_pass_one_by_one() {
    let (next, pace) = channel();
    let pace = Mutex::new(pace);
    let upstream = Upstream::start(move |stream, _| {
        send(stream, EVENTS);
        for event in 0..5 {
            // The next event leaves only when the test has the one before it.
            pace.lock().unwrap().recv_timeout(PATIENCE).unwrap();
            send(stream, chunk(&format!("data: {event}\n\n")));
        }
        pace.lock().unwrap().recv_timeout(PATIENCE).unwrap();
        send(stream, "0\r\n\r\n");
        true
    });
    // A check of the endpoint's health, due within 5 s by default, would take an event's turn.
    let balancer = Balancer::start(&[upstream.address], "[health]\ninterval = 0\n");
    let mut client = balancer.client();
    client.send(chat("{\"stream\":true}"));
    assert!(client.until("\r\n\r\n").contains("text/event-stream"));
    for event in 0..5 {
        next.send(()).unwrap();
        assert_eq!(
            client.until("\n\n\r\n"),
            format!("9\r\ndata: {event}\n\n\r\n")
        );
    }
    next.send(()).unwrap();
    assert_eq!(client.until("\r\n\r\n"), "0\r\n\r\n");
    assert_eq!(
        client
            .ask("GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n")
            .status,
        200
    );
}

#[test]
fn a_stream_that_breaks_off_says_so() {
    for (part, last) in [
        ("data: 1\n\n", "data: {\"error\":"),
        ("data: 1\n\ndata: {\"ha", "data: {\"ha\n\ndata: {\"error\":"),
    ] {
        let upstream = Upstream::start(move |stream, _| {
            send(stream, format!("{EVENTS}{}", chunk(part)));
            std::thread::sleep(Duration::from_millis(50));
            false
        });
        let balancer = Balancer::quick(&[upstream.address]);
        let answer = balancer.ask(&chat("{\"stream\":true}"));
        assert_eq!((answer.status, answer.whole), (200, false));
        let text = answer.text();
        assert!(text.contains(last), "{text}");
        let event = text.trim_end().rsplit_once("data: ").unwrap().1;
        let event: serde_json::Value = serde_json::from_str(event).unwrap();
        assert_eq!(event["error"]["code"], "upstream_broken");
        assert_eq!(upstream.seen().len(), 1, "it is not asked again");
    }
}

#[test]
fn a_plain_answer_that_breaks_off_is_cut() {
    for response in [
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf".to_owned(),
        format!(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{}",
            chunk("half")
        ),
        format!(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{}nonsense\r\n",
            chunk("half")
        ),
    ] {
        let upstream = Upstream::start(move |stream, _| {
            send(stream, &response);
            std::thread::sleep(Duration::from_millis(50));
            false
        });
        let balancer = Balancer::quick(&[upstream.address]);
        let mut client = balancer.client();
        let answer = client.ask(chat("{}"));
        // What broke off before anything was passed on is a clean 502 instead.
        assert!(
            answer.status == 200 && !answer.whole && answer.body == b"half" || answer.status == 502,
            "{answer:?}"
        );
        assert!(client.ended());
        assert_eq!(upstream.seen().len(), 1);
    }
}

#[test]
fn an_answer_that_stalls_is_ended() {
    let upstream = Upstream::start(|stream, seen| {
        if seen.number == 0 {
            send(stream, format!("{EVENTS}{}", chunk("data: 1\n\n")));
        }
        until_closed(stream, PATIENCE);
        false
    });
    let balancer = Balancer::quick(&[upstream.address]);
    let began = Instant::now();
    let answer = balancer.ask(&chat("{\"stream\":true}"));
    assert!(answer.text().contains("upstream_broken") && !answer.whole);
    assert!((0.4..2.0).contains(&began.elapsed().as_secs_f64()));
    // One that does not begin at all.
    let answer = balancer.chat();
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (504, "upstream_timeout")
    );
    assert_eq!(upstream.seen().len(), 2);
}

#[test]
fn many_clients_at_once_all_get_their_own() {
    let upstream = Upstream::echo();
    let balancer = Arc::new(Balancer::start(&[upstream.address], "slots = 0"));
    let threads: Vec<_> = (0..64)
        .map(|n| {
            let balancer = balancer.clone();
            std::thread::spawn(move || {
                let mut client = balancer.client();
                for round in 0..20 {
                    let body = format!("{{\"n\":{n},\"round\":{round}}}");
                    assert_eq!(client.ask(chat(&body)).text(), body);
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    soon("all are counted", || upstream.seen().len() == 64 * 20);
}

// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

//! What clients send: framing, pieces, limits, time, and what each gets for it.

mod common;

use common::{chat, post, Balancer, Client, Upstream};
use std::time::{Duration, Instant};

#[test]
fn a_request_may_come_byte_by_byte() {
    let upstream = Upstream::echo();
    let balancer = Balancer::start(&[upstream.address], "");
    let mut client = balancer.client();
    for byte in chat("{\"model\":\"m\", \"n\": 1}").bytes() {
        client.send([byte]);
        std::thread::sleep(Duration::from_micros(300));
    }
    let answer = client.answer();
    assert_eq!(
        (answer.status, answer.text().as_str()),
        (200, "{\"model\":\"m\", \"n\": 1}")
    );
}

#[test]
fn chunked_bodies_reach_the_endpoint_whole() {
    let upstream = Upstream::echo();
    let balancer = Balancer::quick(&[upstream.address]);
    let request =
        "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n\
        9;ext=\"a\"\r\n{\"model\":\r\n5\r\n \"m\"}\r\n0\r\nTrailer: x\r\n\r\n";
    let mut client = balancer.client();
    for piece in request.as_bytes().chunks(7) {
        client.send(piece);
    }
    assert_eq!(client.answer().text(), "{\"model\": \"m\"}");
    let seen = &upstream.seen()[0];
    assert_eq!(seen.header("content-length"), Some("14"));
    assert_eq!(
        (seen.header("transfer-encoding"), seen.header("trailer")),
        (None, None)
    );
    // The connection goes on.
    assert_eq!(client.ask(chat("{}")).status, 200);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let upstream = Upstream::start(|stream, seen| {
        std::thread::sleep(Duration::from_millis(if seen.number == 0 {
            100
        } else {
            0
        }));
        common::send(
            stream,
            common::upstream::reply(&String::from_utf8_lossy(&seen.body)),
        );
        true
    });
    let balancer = Balancer::quick(&[upstream.address]);
    let all: String = (0..5).map(|n| chat(&format!("{{\"n\":{n}}}"))).collect();
    let mut client = balancer.client();
    client
        .send(&all)
        .send("GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n");
    for n in 0..5 {
        assert_eq!(client.answer().text(), format!("{{\"n\":{n}}}"));
    }
    assert_eq!(client.answer().json()["data"][0]["id"], "m");
}

#[test]
fn a_body_may_wait_for_permission() {
    let upstream = Upstream::echo();
    let balancer = Balancer::quick(&[upstream.address]);
    let mut client = balancer.client();
    client.send("POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    assert_eq!(client.until("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(client.ask("{}").text(), "{}");
    assert_eq!(upstream.seen()[0].header("expect"), None);
    // Where it is refused anyway, it is not asked for.
    client.send(
        "POST /nothing HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n",
    );
    assert!(client.until("\r\n\r\n").starts_with("HTTP/1.1 404"));
    for (to, path) in [
        (balancer.http, "/v1/files"),
        (balancer.admin, "/api/register"),
    ] {
        let mut client = Client::new(to);
        client.send(format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 99999999\r\n\r\n"
        ));
        assert!(client.until("\r\n\r\n").starts_with("HTTP/1.1 413"));
    }
}

#[test]
fn models_are_answered_here() {
    let upstream = Upstream::plain("{}");
    let balancer = Balancer::start(&[upstream.address], "");
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
    let mut client = balancer.client();
    let list = client.ask(get("/v1/models")).json();
    assert_eq!(
        (
            &list["object"],
            &list["data"][0]["id"],
            &list["data"][0]["object"]
        ),
        (&"list".into(), &"m".into(), &"model".into())
    );
    assert_eq!(client.ask(get("/v1/models/m")).json()["id"], "m");
    let unknown = client.ask(get("/v1/models/other"));
    assert_eq!(
        (unknown.status, unknown.code().as_str()),
        (404, "model_not_found")
    );
    assert!(upstream.seen().is_empty());
}

#[test]
fn head_and_options_have_no_body() {
    let upstream = Upstream::start(|stream, _| {
        common::send(stream, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
        true
    });
    let balancer = Balancer::start(&[upstream.address], "");
    let mut client = balancer.client();
    client.send("HEAD /v1/models HTTP/1.1\r\nHost: x\r\n\r\n");
    let head = client.answer_to(true);
    assert!(head.status == 200 && head.header("content-length").unwrap() != "0");
    client.send("HEAD /v1/files/f HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(
        client.answer_to(true).header("content-length"),
        Some("1000")
    );
    let options = client.ask("OPTIONS /v1/chat/completions HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(
        (options.status, options.header("allow")),
        (204, Some("POST, OPTIONS"))
    );
    assert_eq!(
        client.ask("OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n").status,
        204
    );
}

#[test]
fn old_clients_are_served() {
    let upstream = Upstream::start(|stream, _| {
        let body = common::upstream::chunk("one") + &common::upstream::chunk("two") + "0\r\n\r\n";
        common::send(
            stream,
            format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{body}"),
        );
        true
    });
    let balancer = Balancer::start(&[upstream.address], "");
    let mut client = balancer.client();
    client.send("POST /v1/chat/completions HTTP/1.0\r\nContent-Length: 2\r\n\r\n{}");
    let answer = client.rest();
    assert!(
        answer.ends_with("\r\n\r\nonetwo") && !answer.contains("chunked"),
        "{answer}"
    );
    assert!(upstream.seen()[0]
        .head
        .starts_with("POST /v1/chat/completions HTTP/1.1\r\n"));
    // Kept where both want it and the length is known.
    let mut client = balancer.client();
    for _ in 0..2 {
        let answer = client.ask("GET /v1/models HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
        assert_eq!(
            (answer.status, answer.header("connection")),
            (200, Some("keep-alive"))
        );
    }
}

#[test]
fn a_half_closed_client_gets_its_answer() {
    let upstream = Upstream::start(|stream, _| {
        std::thread::sleep(Duration::from_millis(400));
        common::send(stream, common::upstream::reply("{\"late\":true}"));
        true
    });
    let balancer = Balancer::start(&[upstream.address], "");
    for version in ["1.1", "1.0"] {
        let mut client = balancer.client();
        client
            .send(chat("{}").replace("HTTP/1.1", &format!("HTTP/{version}")))
            .half_close();
        assert_eq!(client.answer().text(), "{\"late\":true}", "HTTP/{version}");
    }
}

#[test]
fn refusals_have_openais_shape() {
    let upstream = Upstream::plain("{}");
    let balancer = Balancer::start(
        &[upstream.address],
        "[limits]\nbody = 1000\nhead = 2000\nheaders = 20\n",
    );
    let headers = |count: usize| {
        (0..count)
            .map(|n| format!("A{n}: b\r\n"))
            .collect::<String>()
    };
    let cases = [
        (
            "GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
            404,
            "not_found",
        ),
        (
            "GET /v1/../metrics HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
            404,
            "not_found",
        ),
        (
            "GET /v1/chat/completions HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
            405,
            "method_not_allowed",
        ),
        (
            "BREW /v1/coffee HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
            405,
            "method_not_allowed",
        ),
        (chat("{\"model\":\"unknown\"}"), 404, "model_not_found"),
        (chat("{\"model\":"), 400, "invalid_json"),
        (chat("{\"model\":7}"), 400, "invalid_request"),
        (chat(&"x".repeat(1001)), 413, "body_too_large"),
        (
            post("/v1/files", "").replace("Content-Length: 0", "Content-Length: 999999999999"),
            413,
            "body_too_large",
        ),
        (
            format!("GET /v1/models HTTP/1.1\r\nHost: x\r\n{}\r\n", headers(30)),
            431,
            "headers_too_large",
        ),
        (
            format!(
                "GET /v1/models HTTP/1.1\r\nHost: x\r\nA: {}\r\n\r\n",
                "b".repeat(3000)
            ),
            431,
            "headers_too_large",
        ),
        (
            format!("GET /v1/{} HTTP/1.1\r\n", "b".repeat(3000)),
            431,
            "headers_too_large",
        ),
        (
            "GET /v1/models HTTP/2.0\r\nHost: x\r\n\r\n".to_owned(),
            505,
            "http_version",
        ),
        (
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
            505,
            "http_version",
        ),
    ];
    for (request, status, code) in cases {
        let answer = balancer.ask(&request);
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (status, code),
            "{request}"
        );
        assert!(answer.json()["error"]["message"].as_str().unwrap().len() > 20);
        assert!(answer.header("x-request-id").is_some());
    }
    assert_eq!(
        balancer
            .ask("POST /v1/models HTTP/1.1\r\nHost: x\r\n\r\n")
            .header("allow"),
        Some("GET, HEAD, OPTIONS")
    );
    assert!(upstream.seen().is_empty());
}

#[test]
fn a_too_large_body_is_refused_before_it_has_come() {
    let upstream = Upstream::plain("{}");
    let balancer = Balancer::start(&[upstream.address], "[limits]\nbody = 100000\n");
    // With a length, at once; what is already under way does not destroy the answer.
    let mut client = balancer.client();
    client.send("POST /v1/files HTTP/1.1\r\nHost: x\r\nContent-Length: 3000000\r\n\r\n");
    client.try_send(vec![b'x'; 3_000_000]);
    assert_eq!(client.answer().status, 413);
    // In chunks, as soon as it is too much.
    let mut client = balancer.client();
    client.send("POST /v1/files HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
    for _ in 0..30 {
        client.try_send(format!("2710\r\n{}\r\n", "x".repeat(10_000)));
    }
    assert_eq!(client.answer().status, 413);
    assert!(upstream.seen().is_empty());
}

#[test]
fn slow_requests_are_not_waited_for() {
    let upstream = Upstream::plain("{}");
    let balancer = Balancer::quick(&[upstream.address]);
    for beginning in [
        "GET /v1/models HT",
        "POST /v1/files HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{",
    ] {
        let began = Instant::now();
        let answer = balancer.client().send(beginning).answer();
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (408, "timeout"),
            "{beginning}"
        );
        let took = began.elapsed().as_secs_f64();
        assert!((0.3..2.0).contains(&took), "{took}");
    }
    // A head that trickles in is not given more time for each byte.
    let mut client = balancer.client();
    let began = Instant::now();
    while client.silent_for(Duration::from_millis(50)) && began.elapsed() < Duration::from_secs(2) {
        client.try_send("G");
    }
    assert_eq!(client.answer().status, 408);
    assert!(began.elapsed() < Duration::from_millis(1500));
    // Who says nothing gets nothing.
    let mut client = balancer.client();
    assert!(client.ended());
    // Nor is an idle connection kept for ever.
    let mut client = balancer.client();
    assert_eq!(
        client
            .ask("GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n")
            .status,
        200
    );
    let began = Instant::now();
    assert!(client.ended());
    assert!((1.0..3.0).contains(&began.elapsed().as_secs_f64()));
}

#[test]
fn connections_beyond_the_limit_are_told_so() {
    let upstream = Upstream::plain("{}");
    let balancer = Balancer::start(&[upstream.address], "[limits]\nconnections = 3\n");
    let mut held: Vec<_> = (0..3).map(|_| balancer.client()).collect();
    for client in &mut held {
        assert_eq!(
            client
                .ask("GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n")
                .status,
            200
        );
    }
    let one_more = balancer.client().answer();
    assert_eq!(
        (one_more.status, one_more.code().as_str()),
        (503, "too_many_connections")
    );
    held.pop();
    common::soon("a connection is free", || {
        balancer
            .ask("GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n")
            .status
            == 200
    });
}

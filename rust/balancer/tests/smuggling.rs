// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

//! Requests that two servers might read differently: refused, and nothing of them reaches an endpoint.

mod common;

use common::{Balancer, Upstream};

#[test]
fn what_could_be_read_in_two_ways_is_refused() {
    let upstream = Upstream::plain("{}");
    let balancer = Balancer::quick(&[upstream.address]);
    let heads = [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: 5, 5\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: -1\r\n",
        "Content-Length: 0x5\r\n",
        "Content-Length: 5 5\r\n",
        "Content-Length:\r\n",
        "Content-Length: 99999999999999999999\r\n",
        "Content-Length : 5\r\n",
        "Content-Length\t: 5\r\n",
        " Content-Length: 5\r\n",
        "Transfer-Encoding: gzip\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: chunked, chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: \"chunked\"\r\n",
        "Transfer-Encoding:\r\n chunked\r\n",
        "Transfer-Encoding : chunked\r\n",
        "A: b\r\n folded\r\n",
        "A: b\nContent-Length: 5\r\n",
        "A: b\rContent-Length: 5\r\n",
        "A: b\r\r\n",
        "A: \0\r\n",
        "A\0: b\r\n",
        ": b\r\n",
        "A b\r\n",
        "Host: y\r\n",
        "\nA: b\r\n",
    ];
    for head in heads {
        let request = format!("POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\n{head}\r\n5\r\nhello\r\n0\r\n\r\nGET /v1/evil HTTP/1.1\r\nHost: x\r\n\r\n");
        refused(&balancer, request.as_bytes());
    }
    for request in [
        "GET /v1/models HTTP/1.1\r\n\r\n",
        "GET /v1/models HTTP/1.1\r\nHost: a b\r\n\r\n",
        "GET /v1/models HTTP/1.1\r\nHost: a/b\r\n\r\n",
        "GET /v1/models HTTP/1.1\nHost: x\n\n",
        "GET  /v1/models HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /v1/models  HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /v1/mo dels HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET\t/v1/models HTTP/1.1\r\nHost: x\r\n\r\n",
        " GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /v1/models#x HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /v1/models\x7f HTTP/1.1\r\nHost: x\r\n\r\n",
        "G(T /v1/models HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /v1/models\r\n\r\n",
        "GET /v1/models HTTP/1.1 x\r\nHost: x\r\n\r\n",
        "POST /v1/files HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01\x00\x01\x7a\x03\x03",
    ] {
        refused(&balancer, request.as_bytes());
    }
    for chunks in [
        "x\r\n",
        "-1\r\n",
        "0x5\r\nhello\r\n",
        "5 \r\nhello\r\n",
        "5\nhello",
        "5\r\nhelloworld",
        "ffffffffffffffff\r\n",
        "123456789\r\n",
    ] {
        let head = "POST /v1/files HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
        refused(&balancer, format!("{head}{chunks}0\r\n\r\n").as_bytes());
    }
    assert!(upstream.seen().is_empty(), "{:?}", upstream.seen());
    assert_eq!(balancer.chat().status, 200);
}

/// 400 (or 505 for a version that is none), in OpenAI's shape, and the end of the connection.
fn refused(balancer: &Balancer, request: &[u8]) {
    let mut client = balancer.client();
    client.try_send(request);
    let answer = client.answer();
    assert!(
        matches!(answer.status, 400 | 505),
        "{}: {}",
        answer.status,
        request.escape_ascii()
    );
    assert_eq!(answer.header("connection"), Some("close"));
    assert!(
        answer.whole && matches!(answer.code().as_str(), "bad_request" | "http_version"),
        "{}",
        answer.text()
    );
    assert!(client.ended(), "{}", request.escape_ascii());
}

#[test]
fn an_endpoint_cannot_smuggle_either() {
    for response in [
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
        "HTTP/1.1 20\r\n\r\n",
        "garbage\r\n\r\n",
        "",
    ] {
        let upstream = Upstream::start(move |stream, _| {
            common::send(stream, response);
            false
        });
        let balancer = Balancer::quick(&[upstream.address]);
        let answer = balancer.chat();
        assert!(matches!(answer.status, 502 | 503), "{response:?}: {}", answer.head);
        assert!(answer.json()["error"]["message"].is_string());
    }
    // More than the length: what is too much belongs to nobody, and the connection is not used again.
    let upstream = Upstream::start(|stream, _| {
        common::send(stream, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
        true
    });
    let balancer = Balancer::quick(&[upstream.address]);
    let mut client = balancer.client();
    for _ in 0..3 {
        assert_eq!(client.ask(common::chat("{}")).text(), "{}");
    }
    assert_eq!(upstream.connections(), 3);
}

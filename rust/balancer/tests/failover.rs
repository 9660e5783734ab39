// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

//! Endpoints that fail, clients that leave, and the balancer's own end.

mod common;

use common::upstream::{chunk, reply, until_closed, EVENTS};
use common::{chat, nobody, post, send, soon, Balancer, Client, Upstream, ADMIN_TOKEN, PATIENCE};
use std::time::{Duration, Instant};

#[test]
fn another_endpoint_answers_for_one_that_fails() {
    let good = Upstream::plain("{\"good\":true}");
    let resets = Upstream::start(|_, _| false);
    let half = Upstream::start(|stream, _| {
        send(stream, "HTTP/1.1 200 O");
        false
    });
    let garbage = Upstream::start(|stream, _| {
        send(stream, "garbage\r\n\r\n");
        false
    });
    let unwilling = Upstream::start(|stream, _| {
        send(
            stream,
            "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\n\r\n{}",
        );
        true
    });
    for bad in [
        nobody(),
        resets.address,
        half.address,
        garbage.address,
        unwilling.address,
    ] {
        let balancer = Balancer::quick(&[bad, good.address]);
        for _ in 0..6 {
            assert_eq!(balancer.chat().text(), "{\"good\":true}", "{bad}");
        }
    }
    assert!(!unwilling.seen().is_empty() && !resets.seen().is_empty());
}

#[test]
fn what_no_endpoint_can_answer_is_said_so() {
    let balancer = Balancer::quick(&[nobody(), nobody(), nobody(), nobody()]);
    let answer = balancer.chat();
    assert!(matches!(answer.status, 502 | 503), "{}", answer.head);
    assert!(answer.json()["error"]["code"].is_string());
    // An endpoint's own 503 passes where no other does better.
    let unwilling = Upstream::start(|stream, _| {
        send(
            stream,
            "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 7\r\n\r\ntheirs!",
        );
        true
    });
    let balancer = Balancer::quick(&[unwilling.address]);
    let answer = balancer.chat();
    assert_eq!((answer.status, answer.text().as_str()), (503, "theirs!"));
    assert!(unwilling.seen().len() <= 3, "attempts are bounded");
}

#[test]
fn an_endpoints_503_is_not_lost_by_a_later_failure() {
    let unwilling = Upstream::start(|stream, _| {
        send(
            stream,
            "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 7\r\n\r\ntheirs!",
        );
        true
    });
    let resets = Upstream::start(|_, _| false);
    for worse in [resets.address, nobody()] {
        let balancer = Balancer::start(
            &[unwilling.address, worse],
            "slots = 0\nretries = 1\n[health]\ninterval = 0\n",
        );
        let answer = balancer.chat();
        assert_eq!((answer.status, answer.text().as_str()), (503, "theirs!"));
    }
    assert_eq!((unwilling.seen().len(), resets.seen().len()), (2, 1));
}

#[test]
fn a_kept_connection_that_was_closed_is_replaced() {
    // Closes each connection after its first request, without saying so, as the next one arrives.
    let upstream = Upstream::start(|stream, seen| {
        send(stream, reply(&format!("{}", seen.connection)));
        let mut waiting = [0];
        stream
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        let _ = stream.peek(&mut waiting);
        false
    });
    let balancer = Balancer::quick(&[upstream.address]);
    for connection in 0..5 {
        let answer = balancer.chat();
        assert_eq!(
            (answer.status, answer.text()),
            (200, connection.to_string())
        );
    }
    assert_eq!(balancer.metric("llamaedge_lb_ejections_total"), 0.0);
}

#[test]
fn a_kept_connection_that_breaks_at_work_is_a_failure() {
    for (late, part) in [(1200, ""), (0, "HTTP/1.1 200 O")] {
        let upstream = Upstream::start(move |stream, seen| {
            if seen.number == 0 {
                send(stream, reply("{}"));
                return true;
            }
            std::thread::sleep(Duration::from_millis(late));
            send(stream, part);
            false
        });
        let balancer = Balancer::start(
            &[upstream.address],
            "slots = 0\nretries = 0\n[health]\ninterval = 0\n",
        );
        assert_eq!(balancer.chat().status, 200);
        let answer = balancer.chat();
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (502, "upstream_broken")
        );
        assert_eq!((upstream.seen().len(), upstream.connections()), (2, 1));
        assert_eq!(balancer.metric("llamaedge_lb_ejections_total"), 1.0);
    }
}

#[test]
fn what_changes_something_is_sent_once() {
    let good = Upstream::plain("{\"good\":true}");
    let resets = Upstream::start(|_, _| false);
    let unwilling = Upstream::start(|stream, _| {
        send(
            stream,
            "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\n\r\n{}",
        );
        true
    });
    let upload = post("/v1/files", "{}");
    for (bad, status) in [(&resets, 502), (&unwilling, 503)] {
        let balancer = Balancer::quick(&[bad.address, good.address]);
        assert_eq!(balancer.ask(&upload).status, status);
        assert_eq!((bad.seen().len(), good.seen().len()), (1, 0));
    }
    // Elsewhere where the first can't have got it, and never on a connection that may turn out to be closed.
    let balancer = Balancer::quick(&[nobody(), good.address]);
    for _ in 0..3 {
        assert_eq!(balancer.ask(&upload).status, 200);
    }
    assert_eq!((good.seen().len(), good.connections()), (3, 3));
}

#[test]
fn a_client_that_leaves_while_waiting_cancels_its_request() {
    let upstream = Upstream::start(|stream, _| {
        let closed = until_closed(stream, Duration::from_secs(5));
        assert!(closed, "the request was not cancelled");
        false
    });
    let balancer = Balancer::start(&[upstream.address], "slots = 1");
    let mut client = balancer.client();
    client.send(chat("{}"));
    soon("the request arrives", || upstream.seen().len() == 1);
    // One that waits in the queue behind it leaves as well, and must not take the place.
    let mut waiting = balancer.client();
    waiting.send(chat("{\"waiting\":1}"));
    std::thread::sleep(Duration::from_millis(50));
    drop(waiting);
    std::thread::sleep(Duration::from_millis(200));
    let mut next = balancer.client();
    next.send(chat("{\"next\":1}"));
    let began = Instant::now();
    drop(client);
    soon("the place is free", || upstream.seen().len() == 2);
    assert!(began.elapsed() < Duration::from_secs(2));
    assert_eq!(upstream.seen()[1].body, b"{\"next\":1}");
}

#[test]
fn a_client_that_leaves_a_stream_cancels_its_request() {
    for silent in [false, true] {
        let upstream = Upstream::start(move |stream, _| {
            send(stream, format!("{EVENTS}{}", chunk("data: 1\n\n")));
            if silent {
                return !until_closed(stream, Duration::from_secs(3));
            }
            stream
                .set_read_timeout(Some(Duration::from_millis(20)))
                .unwrap();
            for _ in 0..100 {
                send(stream, chunk("data: more\n\n"));
                if matches!(stream.peek(&mut [0]), Ok(0))
                    || until_closed(stream, Duration::from_millis(20))
                {
                    return false;
                }
            }
            panic!("the stream was not cancelled");
        });
        let balancer = Balancer::start(&[upstream.address], "slots = 1");
        let mut client = balancer.client();
        client.send(chat("{\"stream\":true}")).until("data: 1");
        drop(client);
        let began = Instant::now();
        // The only place is free again.
        let mut next = balancer.client();
        next.send(chat("{\"stream\":true}")).until("data: 1");
        assert!(began.elapsed() < Duration::from_secs(2), "silent: {silent}");
    }
}

#[test]
fn a_request_without_an_answer_moves_when_its_endpoint_dies() {
    let slow = Upstream::start(|stream, _| {
        until_closed(stream, Duration::from_millis(300));
        false // dies in the middle of its work
    });
    let good = Upstream::plain("{\"good\":true}");
    let balancer = Balancer::start(
        &[slow.address, good.address],
        "slots = 0\nretries = 2\n[health]\ninterval = 0\n",
    );
    let threads: Vec<_> = (0..40)
        .map(|_| balancer.client())
        .map(|mut client| std::thread::spawn(move || client.ask(chat("{}"))))
        .collect();
    for thread in threads {
        let answer = thread.join().unwrap();
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (200, "{\"good\":true}")
        );
    }
    assert!(!slow.seen().is_empty());
}

#[test]
fn a_client_that_reads_nothing_is_dropped() {
    let upstream = Upstream::start(|stream, _| {
        send(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n",
        );
        let piece = vec![b'x'; 1 << 20];
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        while std::io::Write::write_all(stream, &piece).is_ok() {}
        false
    });
    let balancer = Balancer::quick(&[upstream.address]);
    let mut client = balancer.client();
    client.send(chat("{\"stream\":true}"));
    soon("the request has come", || {
        balancer.metric("llamaedge_lb_client_connections") == 1.0
    });
    soon("the client is let go", || {
        balancer.metric("llamaedge_lb_client_connections") == 0.0
    });
    assert_eq!(
        balancer
            .ask("GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n")
            .status,
        200
    );
}

#[test]
fn a_request_that_is_still_on_its_way_here_counts() {
    let upstream = Upstream::plain("{}");
    let balancer = Balancer::start(&[upstream.address], "");
    let running = || {
        let ask = "GET /drained?timeout=0 HTTP/1.1\r\nHost: x\r\n\r\n";
        Client::new(balancer.ops).ask(ask).text()
    };
    let none = "time is over; 0 requests are in flight\n";
    assert_eq!(running(), none);
    let mut client = balancer.client();
    let request = chat("{}");
    client.send(&request[..request.len() - 1]);
    soon("its body is waited for", || {
        running() == none.replace('0', "1")
    });
    assert_eq!(client.ask("}").status, 200);
    soon("it has ended", || running() == none);
}

#[test]
fn draining_ends_connections_but_no_requests() {
    let upstream = Upstream::start(|stream, _| {
        std::thread::sleep(Duration::from_millis(500));
        send(stream, reply("{}"));
        true
    });
    let balancer = Balancer::start(&[upstream.address], "");
    let (mut idle, mut busy) = (balancer.client(), balancer.client());
    let models = "GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n";
    assert_eq!(idle.ask(models).header("connection"), Some("keep-alive"));
    busy.send(chat("{}"));
    soon("the request arrives", || upstream.seen().len() == 1);
    let drain = format!("POST /api/drain HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ADMIN_TOKEN}\r\nContent-Length: 0\r\n\r\n");
    let drained = Client::new(balancer.admin).ask(drain);
    assert!((200..300).contains(&drained.status), "{}", drained.head);
    assert!(idle.ended());
    let answer = busy.answer();
    assert_eq!(
        (answer.text().as_str(), answer.header("connection")),
        ("{}", Some("close"))
    );
    assert!(busy.ended());
    let mut late = balancer.client();
    let answer = late.ask(models);
    assert_eq!(
        (answer.status, answer.header("connection")),
        (200, Some("close"))
    );
    assert!(late.ended());
    assert_eq!(
        Client::new(balancer.ops)
            .ask("GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")
            .status,
        503
    );
}

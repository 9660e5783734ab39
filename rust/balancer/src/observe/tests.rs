// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

//! Requests over the real routing: what is counted, logged and shown of them.

use super::*;
use crate::config::AccessLog;
use crate::routing::{Ask, Registration, Slot};
use crate::Refusal;
use serde_json::Value;
use std::io::Write;

/// What a log line or a status says.
type Json = Value;

#[derive(Clone, Default)]
struct Sink(Rc<RefCell<Vec<Vec<u8>>>>);

impl Write for Sink {
    fn write(&mut self, piece: &[u8]) -> std::io::Result<usize> {
        self.0.borrow_mut().push(piece.to_vec());
        Ok(piece.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

struct Bench {
    routing: Rc<Routing>,
    observe: Rc<Observe>,
    sink: Sink,
}

impl Bench {
    fn new(access_log: AccessLog) -> Self {
        let config = Config {
            watch: false,
            access_log,
            ..Config::default()
        };
        let (routing, sink) = (Routing::new(&config), Sink::default());
        let observe = Observe::logging(&config, routing.clone(), Box::new(sink.clone()));
        Bench {
            routing,
            observe,
            sink,
        }
    }

    fn register(&self, name: &str, ip: [u8; 4]) {
        let registration = Registration {
            name: name.into(),
            weight: 1,
            ip: ip.into(),
            port: 8080,
            model: Some("m".into()),
            aliases: Vec::new(),
            kind: Default::default(),
            slots: Some(1),
        };
        self.routing
            .register(registration)
            .expect("a registration of a new name");
    }

    fn record(&self, path: &str) -> Record {
        self.observe
            .begin("POST", path, "id-1", ([10, 0, 0, 9], 40000).into())
    }

    async fn slot(&self, model: &str) -> Slot {
        let ask = Ask {
            model: Some(model),
            ..Ask::default()
        };
        self.routing.acquire(&ask).await.expect("a free place")
    }

    fn metrics(&self) -> String {
        String::from_utf8(self.observe.metrics()).expect("UTF-8")
    }

    /// The value of a series, written as in the text.
    fn value(&self, series: &str) -> Option<f64> {
        let text = self.metrics();
        let line = text.lines().find(|line| {
            line.strip_prefix(series)
                .is_some_and(|rest| rest.starts_with(' '))
        })?;
        line.rsplit(' ').next()?.parse().ok()
    }

    fn lines(&self) -> Vec<Json> {
        self.observe.log.flush();
        let written = self.sink.0.borrow().concat();
        written
            .split_inclusive(|byte| *byte == b'\n')
            .map(|line| serde_json::from_slice(line).expect("one JSON document a line"))
            .collect()
    }

    fn status(&self) -> Json {
        serde_json::to_value(self.observe.status()).expect("a status serialises")
    }
}

#[tokio::test]
async fn a_stream_from_head_to_last_byte() {
    let bench = Bench::new(AccessLog::All);
    bench.register("p", [10, 0, 0, 1]);
    let slot = bench.slot("m").await;
    let mut record = bench.record("/v1/chat/completions");
    record.key = "team".into();
    record.bytes_in = 100;
    bench.observe.connected(Duration::from_millis(2));
    record.place(&slot);
    record.reply(200, Some("text/event-stream; charset=utf-8"));
    record
        .chunk(b"data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n");
    assert_eq!(
        bench.value("llamaedge_lb_in_flight{model=\"m\",pool=\"p\",server=\"10.0.0.1:8080\"}"),
        Some(1.0)
    );
    assert_eq!(
        bench.value("llamaedge_lb_endpoints{model=\"m\",pool=\"p\",state=\"busy\"}"),
        Some(1.0)
    );
    for _ in 0..3 {
        record.chunk(b"data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\n");
    }
    let bytes = record.bytes_out;
    drop(record);
    drop(slot);

    let place = "model=\"m\",pool=\"p\",server=\"10.0.0.1:8080\"";
    for (series, value) in [
        ("llamaedge_lb_requests_total{code=\"200\",model=\"m\",pool=\"p\",route=\"/v1/chat/completions\",server=\"10.0.0.1:8080\"}".into(), 1.0),
        (format!("llamaedge_lb_request_duration_seconds_count{{{place}}}"), 1.0),
        (format!("llamaedge_lb_time_to_first_token_seconds_count{{{place}}}"), 1.0),
        (format!("llamaedge_lb_time_per_output_token_seconds_count{{{place}}}"), 1.0),
        (format!("llamaedge_lb_tokens_total{{direction=\"output\",{place}}}"), 3.0),
        (format!("llamaedge_lb_in_flight{{{place}}}"), 0.0),
        (format!("llamaedge_lb_slots{{{place}}}"), 1.0),
        ("llamaedge_lb_queue_wait_seconds_count{model=\"m\",pool=\"p\"}".into(), 1.0),
        ("llamaedge_lb_upstream_connect_seconds_count".into(), 1.0),
        ("llamaedge_lb_key_requests_total{key=\"team\"}".into(), 1.0),
        ("llamaedge_lb_endpoints{model=\"m\",pool=\"p\",state=\"ready\"}".into(), 1.0),
        ("llamaedge_lb_endpoints{model=\"m\",pool=\"p\",state=\"busy\"}".into(), 0.0),
    ] {
        assert_eq!(bench.value(&series), Some(value), "{series}\n{}", bench.metrics());
    }

    let line = &bench.lines()[0];
    assert_eq!(line["tokens_out"], 3);
    assert_eq!(line["endpoint"], "10.0.0.1:8080");
    assert_eq!(
        (&line["stream"], &line["bytes_out"], &line["key"]),
        (&true.into(), &bytes.into(), &"team".into())
    );
    assert!(line["first_byte_s"]
        .as_f64()
        .is_some_and(|time| time <= line["total_s"].as_f64().unwrap()));
    assert!(line["error"].is_null() && line["path"].is_null(), "{line}");
    assert_eq!(
        bench.status()["pools"][0]["endpoints"][0]["totals"]["tokens_out"],
        3
    );
}

#[tokio::test]
async fn what_clients_make_up_never_becomes_a_label() {
    let bench = Bench::new(AccessLog::All);
    for number in 0..50 {
        let mut record = bench.record(&format!("/v1/secret/{number}"));
        record.model = format!("made-up-{number}");
        let message = "no".into();
        record.refused(&Refusal {
            status: 404,
            code: "model_not_found",
            message,
            retry_after: None,
        });
    }
    let text = bench.metrics();
    assert!(
        !text.contains("made-up") && !text.contains("secret"),
        "{text}"
    );
    assert_eq!(
        bench.value("llamaedge_lb_refused_total{code=\"model_not_found\"}"),
        Some(50.0)
    );
    let series = "llamaedge_lb_requests_total{code=\"404\",model=\"\",pool=\"\",route=\"other\",server=\"\"}";
    assert_eq!(bench.value(series), Some(50.0));
    assert_eq!(bench.lines()[7]["path"], "/v1/secret/7");
    assert_eq!(
        bench.status()["totals"]["errors"],
        0,
        "what a client does wrong is no error of ours"
    );
}

#[tokio::test]
async fn a_client_that_leaves_and_an_endpoint_that_breaks() {
    let bench = Bench::new(AccessLog::Errors);
    bench.register("p", [10, 0, 0, 1]);
    drop(bench.record("/v1/models"));
    let slot = bench.slot("m").await;
    let mut record = bench.record("/v1/completions");
    record.place(&slot);
    record.retried("broken");
    record.reply(200, Some("application/json"));
    record.error = Some("upstream_broken");
    drop(record);
    let mut good = bench.record("/v1/completions");
    good.place(&slot);
    good.reply(200, Some("application/json"));
    good.chunk(br#"{"usage":{"prompt_tokens":4,"completion_tokens":6}}"#);
    drop(good);

    assert_eq!(
        bench.value("llamaedge_lb_client_aborts_total{model=\"\",pool=\"\"}"),
        Some(1.0)
    );
    assert_eq!(
        bench.value("llamaedge_lb_retries_total{model=\"m\",pool=\"p\",reason=\"broken\"}"),
        Some(1.0)
    );
    let lines = bench.lines();
    assert_eq!(lines.len(), 2, "only what failed is logged");
    assert_eq!(
        (&lines[0]["status"], &lines[0]["error"]),
        (&499.into(), &"client_gone".into())
    );
    assert_eq!(
        (&lines[1]["error"], &lines[1]["retries"]),
        (&"upstream_broken".into(), &1.into())
    );
    let status = bench.status();
    assert_eq!(
        (&status["totals"]["requests"], &status["totals"]["errors"]),
        (&3.into(), &1.into())
    );
    assert_eq!(
        (&status["tokens_in"], &status["totals"]["tokens_out"]),
        (&4.into(), &6.into())
    );
    assert_eq!(status["troubles"].as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn series_of_what_has_gone_stay_for_a_last_scrape_and_then_go() {
    let bench = Bench::new(AccessLog::Off);
    bench.register("p", [10, 0, 0, 1]);
    bench.register("stays", [10, 0, 0, 2]);
    for _ in 0..2 {
        let slot = bench.slot("m").await;
        let mut record = bench.record("/v1/chat/completions");
        record.place(&slot);
        record.retried("connect_failed");
        record.reply(200, Some("text/event-stream"));
        record.chunk(b"data: {\"content\":\"x\"}\n\n");
    }
    bench.status();
    let gone = ["10.0.0.1:8080", "pool=\"p\""];
    bench.routing.unregister("p").expect("it was registered");
    assert!(
        gone.iter().all(|label| bench.metrics().contains(label)),
        "the last figures can still be scraped"
    );

    let later = Instant::now() + KEEP;
    bench.observe.prune(&bench.routing.view(), later);
    let text = bench.metrics();
    assert!(gone.iter().all(|label| !text.contains(label)), "{text}");
    assert!(text.contains("10.0.0.2:8080"), "{text}");
    assert!(bench.lines().is_empty(), "the log is off");

    bench.register("p", [10, 0, 0, 1]);
    let back = bench.slot("m").await;
    let mut record = bench.record("/v1/chat/completions");
    record.place(&back);
    drop(record);
    assert!(
        bench.metrics().contains("pool=\"p\""),
        "what comes back counts anew"
    );
}

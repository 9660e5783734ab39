// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

//! The ops port (kubelet, Prometheus, autoscalers; no secrets) and the admin port (token).

mod api;
mod ops;
mod page;
mod registration;
mod token;

pub use api::admin;
pub use ops::ops;

use crate::http::Reply;
use serde::Serialize;

/// An error as all of the balancer's interfaces give it.
fn problem(status: u16, code: &str, message: impl Into<String>) -> Reply {
    #[derive(Serialize)]
    struct Problem<'a> {
        error: Words<'a>,
    }
    #[derive(Serialize)]
    struct Words<'a> {
        message: String,
        code: &'a str,
    }
    let reply = Reply::json(
        status,
        &Problem {
            error: Words {
                message: message.into(),
                code,
            },
        },
    );
    guarded(reply)
}

/// What every reply of these ports carries: nothing may be kept, framed or guessed.
fn guarded(reply: Reply) -> Reply {
    reply
        .with("Cache-Control", "no-store")
        .with("X-Content-Type-Options", "nosniff")
}

/// 405 with the methods that there are.
fn wrong_method(allowed: &'static str) -> Reply {
    problem(
        405,
        "method_not_allowed",
        format!("This path answers {allowed} only."),
    )
    .with("Allow", allowed)
}

// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

//! The ops and admin ports.

use crate::http::{Reply, Request};
use crate::App;
use std::rc::Rc;

/// `/healthz`, `/readyz`, `/metrics`, `/drained`.
pub async fn ops(app: Rc<App>, request: Request) -> Reply {
    match request.path.as_str() {
        "/healthz" => Reply::text(200, "ok\n"),
        "/readyz" if app.routing.ready() => Reply::text(200, "ready\n"),
        "/readyz" => Reply::text(503, "no endpoint is ready\n"),
        _ => Reply::text(404, "not found\n"),
    }
}

/// `/api/*` with the admin token, and the status page.
pub async fn admin(_app: Rc<App>, _request: Request) -> Reply {
    Reply::text(404, "not found\n")
}

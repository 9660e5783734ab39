// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

//! The admin port: the seed demo's registrations, the status and draining, all behind the token; and the status page,
//! which has no secrets in it.

use super::{guarded, page, problem, registration, token, wrong_method};
use crate::http::{Reply, Request};
use crate::routing::{Change, Kind, Source};
use crate::App;
use serde::Serialize;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

/// Answers on the admin port.
pub async fn admin(app: Rc<App>, request: Request) -> Reply {
    if request.path == "/" {
        return match request.method.as_str() {
            "GET" | "HEAD" => page::page(),
            _ => wrong_method("GET, HEAD"),
        };
    }
    // Before anything else, so that strangers learn nothing, not even which paths there are.
    if let Err(refused) = token::check(&app.config.files.admin_token, &request) {
        return refused;
    }
    let path = request.path.as_str();
    match (path, request.method.as_str()) {
        ("/api/status", "GET") => guarded(Reply::json(200, &app.observe.status())),
        ("/api/services", "GET") => guarded(Reply::json(200, &services(&app))),
        ("/api/register", "POST") => register(&app, &request.body),
        ("/api/drain", "POST") => {
            app.routing.drain();
            done(format!(
                "Draining: not ready from now on; {} requests are in flight. What still comes is served until the pod is deleted.",
                app.proxy.running()
            ))
        }
        ("/api/status" | "/api/services", _) => wrong_method("GET"),
        ("/api/register" | "/api/drain", _) => wrong_method("POST"),
        _ => match (path.strip_prefix("/api/unregister/"), request.method.as_str()) {
            (Some(name), "DELETE") => unregister(&app, name),
            (Some(_), _) => wrong_method("DELETE"),
            (None, _) => problem(
                404,
                "not_found",
                "This port has / (status page), /api/status, /api/services, /api/register, /api/unregister/NAME and /api/drain.",
            ),
        },
    }
}

fn done(message: String) -> Reply {
    #[derive(Serialize)]
    struct Done {
        message: String,
    }
    guarded(Reply::json(200, &Done { message }))
}

fn register(app: &App, body: &[u8]) -> Reply {
    let wanted = match registration::parse(body) {
        Ok(wanted) => wanted,
        Err(message) => return problem(400, "invalid_registration", message),
    };
    let words = format!(
        "{} at {}:{} with weight {}.",
        wanted.name, wanted.ip, wanted.port, wanted.weight
    );
    match app.routing.register(wanted) {
        Ok(Change::Added) => done(format!("Registered {words}")),
        Ok(Change::Updated) => done(format!("Updated {words}")),
        Ok(Change::Unchanged) => done(format!("Nothing new: {words}")),
        Err(refusal) => problem(refusal.status, refusal.code, refusal.message),
    }
}

fn unregister(app: &App, name: &str) -> Reply {
    match app.routing.unregister(name) {
        Ok(()) => done(format!("Unregistered {name}.")),
        Err(refusal) => problem(refusal.status, refusal.code, refusal.message),
    }
}

/// A pool as the seed demo lists it (`name`, `weight`, `ip`, `port`: its first endpoint's), and what is new.
#[derive(Serialize)]
struct Service {
    name: String,
    weight: u32,
    ip: Option<IpAddr>,
    port: Option<u16>,
    model: String,
    kind: Kind,
    source: Source,
    endpoints: Vec<SocketAddr>,
}

fn services(app: &App) -> Vec<Service> {
    let pools = app.routing.view().pools.into_iter();
    pools
        .map(|pool| {
            let endpoints: Vec<SocketAddr> = pool
                .endpoints
                .iter()
                .map(|endpoint| endpoint.address)
                .collect();
            Service {
                name: pool.name,
                weight: pool.weight,
                ip: endpoints.first().map(SocketAddr::ip),
                port: endpoints.first().map(SocketAddr::port),
                model: pool.model,
                kind: pool.kind,
                source: pool.source,
                endpoints,
            }
        })
        .collect()
}

// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

//! Where a request goes by its method and path.

use crate::http::receive::refusal;
use crate::routing::Kind;
use crate::Refusal;

/// What is to be done with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route<'a> {
    /// The list of models, answered here.
    Models,
    /// One model, answered here.
    Model(&'a str),
    /// OPTIONS: the methods that the path takes.
    Options(&'static str),
    /// To an endpoint.
    Endpoint(Kind),
}

const READ: &str = "GET, HEAD, OPTIONS";
const WRITE: &str = "POST, OPTIONS";
const ANY: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// The path of a target, which may name scheme and host as well (RFC 9112, section 3.2.2).
pub fn path(target: &str) -> &str {
    let rest = match target.split_once("://") {
        Some((scheme, rest))
            if scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https") =>
        {
            rest.find('/').map_or("/", |slash| &rest[slash..])
        }
        _ => target,
    };
    rest.split_once('?').map_or(rest, |(path, _)| path)
}

/// # Errors
/// 404 outside of `/v1`, 405 for a method that the path does not take.
pub fn route<'a>(method: &str, path: &'a str) -> Result<Route<'a>, Refusal> {
    if path == "*" && method == "OPTIONS" {
        return Ok(Route::Options(ANY));
    }
    let Some(name) = path
        .strip_prefix("/v1/")
        .filter(|name| !name.is_empty() && plain(name))
    else {
        return Err(refusal(
            404,
            "not_found",
            format!("There is nothing at {path}: the API is below /v1/."),
        ));
    };
    let allowed = match name {
        "models" => READ,
        "chat/completions" | "completions" | "embeddings" => WRITE,
        _ if name.starts_with("models/") => READ,
        _ => ANY,
    };
    if method == "OPTIONS" {
        return Ok(Route::Options(allowed));
    }
    if !allowed.split(", ").any(|known| known == method) {
        let message = format!("{path} does not take {method}; it takes {allowed}.");
        return Err(refusal(405, "method_not_allowed", message));
    }
    Ok(match name {
        "models" => Route::Models,
        "embeddings" => Route::Endpoint(Kind::Embedding),
        _ => name
            .strip_prefix("models/")
            .map_or(Route::Endpoint(Kind::Chat), Route::Model),
    })
}

/// The methods that a path takes, for a 405's `Allow`.
pub fn allowed(path: &str) -> &'static str {
    match route("OPTIONS", path) {
        Ok(Route::Options(allowed)) => allowed,
        _ => ANY,
    }
}

/// Whether a request may be sent twice without harm: it only reads, or is inference, which changes nothing. An upload,
/// say, would be there twice.
pub fn repeatable(method: &str, path: &str) -> bool {
    const INFERENCE: [&str; 8] = [
        "/v1/audio/speech",
        "/v1/audio/transcriptions",
        "/v1/audio/translations",
        "/v1/chat/completions",
        "/v1/chunks",
        "/v1/completions",
        "/v1/embeddings",
        "/v1/retrieve",
    ];
    matches!(method, "GET" | "HEAD") || method == "POST" && INFERENCE.contains(&path)
}

/// Without a step upwards, however written: a server behind us may resolve it and leave `/v1`.
fn plain(path: &str) -> bool {
    // Without these there is nothing to look for, as nearly always.
    if !path.contains(['.', '%', '\\']) {
        return true;
    }
    !path.split('/').any(|step| {
        let step = step.replace("%2e", ".").replace("%2E", ".");
        step == "."
            || step == ".."
            || step.contains('\\')
            || step.contains("%5c")
            || step.contains("%5C")
    }) && !path.contains("%2f")
        && !path.contains("%2F")
        && !path.contains("%00")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_of_both_forms_have_a_path() {
        for (target, expected) in [
            ("/v1/models", "/v1/models"),
            ("/v1/files?limit=2", "/v1/files"),
            ("http://host:80/v1/models?x", "/v1/models"),
            ("HTTPS://host", "/"),
            ("*", "*"),
        ] {
            assert_eq!(path(target), expected);
        }
    }

    #[test]
    fn routes_go_by_method_and_path() {
        assert_eq!(route("GET", "/v1/models"), Ok(Route::Models));
        assert_eq!(route("HEAD", "/v1/models/a/b"), Ok(Route::Model("a/b")));
        assert_eq!(
            route("POST", "/v1/chat/completions"),
            Ok(Route::Endpoint(Kind::Chat))
        );
        assert_eq!(
            route("POST", "/v1/embeddings"),
            Ok(Route::Endpoint(Kind::Embedding))
        );
        assert_eq!(
            route("DELETE", "/v1/files/f-1"),
            Ok(Route::Endpoint(Kind::Chat))
        );
        assert_eq!(route("OPTIONS", "/v1/models"), Ok(Route::Options(READ)));
        assert_eq!(route("OPTIONS", "*"), Ok(Route::Options(ANY)));
    }

    #[test]
    fn what_changes_something_is_not_repeated() {
        for (method, path, expected) in [
            ("POST", "/v1/chat/completions", true),
            ("POST", "/v1/embeddings", true),
            ("GET", "/v1/files/f-1", true),
            ("HEAD", "/v1/files/f-1", true),
            ("POST", "/v1/files", false),
            ("POST", "/v1/create/rag", false),
            ("POST", "/v1/responses", false),
            ("DELETE", "/v1/files/f-1", false),
            ("PUT", "/v1/chat/completions", false),
        ] {
            assert_eq!(repeatable(method, path), expected, "{method} {path}");
        }
    }

    #[test]
    fn others_are_turned_away() {
        for path in [
            "/",
            "/v1",
            "/v1/",
            "/v2/models",
            "/metrics",
            "*",
            "/v1/../echo",
            "/v1/%2e%2E/echo",
            "/v1/./x",
            "/v1/a/..",
            "/v1/..%2fecho",
            "/v1/..\\echo",
            "/v1/%00",
        ] {
            assert_eq!(route("GET", path).unwrap_err().status, 404, "{path}");
        }
        for (method, path) in [
            ("POST", "/v1/models"),
            ("GET", "/v1/chat/completions"),
            ("TRACE", "/v1/x"),
            ("get", "/v1/x"),
        ] {
            assert_eq!(
                route(method, path).unwrap_err().status,
                405,
                "{method} {path}"
            );
        }
    }
}

// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

//! The admin token: a file, read at each use, so that a new one counts at once.

use super::problem;
use crate::http::{Reply, Request};
use sha2::{Digest, Sha256};
use std::path::Path;

/// `Ok` where the request brings the token of `file`.
pub fn check(file: &Path, request: &Request) -> Result<(), Reply> {
    let token = std::fs::read_to_string(file).unwrap_or_default();
    let token = token.trim();
    if token.is_empty() {
        let message = format!(
            "The admin API has no token, so it answers nobody; put one into {} (from a Secret).",
            file.display()
        );
        return Err(problem(503, "no_admin_token", message));
    }
    let given = request
        .header("authorization")
        .and_then(bearer)
        .unwrap_or_default();
    if same(given, token) {
        return Ok(());
    }
    let message = if given.is_empty() {
        "The admin token is missing; send it as \"Authorization: Bearer TOKEN\"."
    } else {
        "This is not the admin token; it is in the Secret that the balancer's pod mounts."
    };
    Err(problem(401, "invalid_admin_token", message)
        .with("WWW-Authenticate", "Bearer realm=\"balancer admin\""))
}

/// The credentials of scheme Bearer, which is written in any case.
fn bearer(header: &str) -> Option<&str> {
    let (scheme, rest) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| rest.trim())
}

/// Compares in a time that tells nothing of the token: over digests, and to the end.
fn same(one: &str, other: &str) -> bool {
    let (one, other) = (Sha256::digest(one), Sha256::digest(other));
    std::hint::black_box(
        one.iter()
            .zip(other)
            .fold(0, |differs, (a, b)| differs | (a ^ b)),
    ) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(authorization: Option<&str>) -> Request {
        Request {
            method: "GET".into(),
            path: "/".into(),
            query: String::new(),
            headers: authorization
                .map(|value| ("authorization".into(), value.into()))
                .into_iter()
                .collect(),
            body: Vec::new(),
            client: ([127, 0, 0, 1], 1).into(),
        }
    }

    #[test]
    fn only_the_token_opens() {
        let file = std::env::temp_dir().join(format!("wasinn-admin-token-{}", std::process::id()));
        std::fs::write(&file, "correct horse\n").unwrap();
        let status = |header| check(&file, &request(header)).map_err(|reply| reply.status);
        assert_eq!(status(Some("Bearer correct horse")), Ok(()));
        assert_eq!(status(Some("bearer  correct horse ")), Ok(()));
        for wrong in [
            None,
            Some(""),
            Some("Bearer"),
            Some("Bearer "),
            Some("Bearer correct"),
            Some("Basic correct horse"),
        ] {
            assert_eq!(status(wrong), Err(401), "{wrong:?}");
        }
        let refused = check(&file, &request(None)).unwrap_err();
        assert!(refused
            .headers
            .iter()
            .any(|(name, _)| *name == "WWW-Authenticate"));

        std::fs::write(&file, " \n").unwrap();
        assert_eq!(
            check(&file, &request(Some("Bearer "))).map_err(|reply| reply.status),
            Err(503)
        );
        std::fs::remove_file(&file).unwrap();
        assert_eq!(
            check(&file, &request(Some("Bearer x"))).map_err(|reply| reply.status),
            Err(503)
        );
    }
}

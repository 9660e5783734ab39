// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

//! The status page: one document without secrets; its script asks for the token and then `/api/status`.

use crate::http::Reply;
use base64::prelude::{Engine, BASE64_STANDARD};
use sha2::{Digest, Sha256};

const STYLE: &str = include_str!("../../assets/status.css");
const SCRIPT: &str = include_str!("../../assets/status.js");
const PAGE: &str = include_str!("../../assets/status.html");

/// The page. Its policy allows its own style and script, by their hashes, and calls of the API beside it; nothing else
/// is fetched, nothing may frame it, and no form goes anywhere.
pub fn page() -> Reply {
    let policy = format!(
        "default-src 'none'; style-src '{}'; script-src '{}'; connect-src 'self'; img-src data:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        source(STYLE),
        source(SCRIPT)
    );
    super::guarded(Reply::new(
        200,
        "text/html; charset=utf-8",
        PAGE.replace("{style}", STYLE).replace("{script}", SCRIPT),
    ))
    .with("Content-Security-Policy", policy)
    .with("Referrer-Policy", "no-referrer")
}

/// A policy's source for a text in the page.
fn source(text: &str) -> String {
    format!("sha256-{}", BASE64_STANDARD.encode(Sha256::digest(text)))
}

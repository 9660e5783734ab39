// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

//! The keys' file.

use serde::Deserialize;
use serde_json::error::Category;
use std::rc::Rc;

/// A key, by its hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    pub name: String,
    pub sha256: [u8; 32],
    pub requests_per_minute: Option<u32>,
    /// Requests at once.
    pub concurrent: Option<u32>,
    pub models: Option<Rc<[String]>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    keys: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    sha256: String,
    #[serde(default)]
    requests_per_minute: Option<u32>,
    #[serde(default)]
    concurrent: Option<u32>,
    #[serde(default)]
    models: Option<Vec<String>>,
}

/// # Errors
/// What is wrong; never with a hash or key in it.
pub(super) fn parse(bytes: &[u8]) -> Result<Vec<Key>, String> {
    // Without serde_json's words: they quote the file, and with it a key that was put there by mistake.
    let file: File = serde_json::from_slice(bytes).map_err(|error| {
        let what = match error.classify() {
            Category::Data => "it is not what it should be",
            Category::Eof => "it ends too early",
            Category::Syntax | Category::Io => "it is not JSON",
        };
        let (line, column) = (error.line(), error.column());
        format!("{what} (line {line}, column {column})")
    })?;
    let mut keys: Vec<Key> = Vec::new();
    for entry in file.keys {
        let name = entry.name;
        if name.is_empty() {
            return Err("a key has an empty name".into());
        }
        if keys.iter().any(|key| key.name == name) {
            return Err(format!("two keys are named `{name}`"));
        }
        let Some(sha256) = hexadecimal(&entry.sha256) else {
            return Err(format!(
                "sha256 of `{name}` is not 64 hexadecimal digits (`printf %s KEY | sha256sum`)"
            ));
        };
        if let Some(same) = keys.iter().find(|key| key.sha256 == sha256) {
            return Err(format!("`{}` and `{name}` are the same key", same.name));
        }
        for (limit, value) in [
            ("requests_per_minute", entry.requests_per_minute),
            ("concurrent", entry.concurrent),
        ] {
            if value == Some(0) {
                return Err(format!(
                    "{limit} of `{name}` is 0: leave it out for no limit, or take the key away"
                ));
            }
        }
        keys.push(Key {
            name,
            sha256,
            requests_per_minute: entry.requests_per_minute,
            concurrent: entry.concurrent,
            models: entry.models.map(Rc::from),
        });
    }
    Ok(keys)
}

fn hexadecimal(text: &str) -> Option<[u8; 32]> {
    let digits = text.trim().as_bytes();
    let mut bytes = [0; 32];
    if digits.len() != 64 {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let value = |digit: u8| (digit as char).to_digit(16);
        *byte = (value(pair[0])? << 4 | value(pair[1])?) as u8;
    }
    Some(bytes)
}

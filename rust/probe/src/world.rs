// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

//! What of the container's world reaches WebAssembly: variables and files, devices among them.

use crate::args::Args;
use serde_json::{json, Map, Value};
use std::fs::File;
use std::io::Read;

/// Enough to see that a file can be read; a device such as /dev/zero has no end.
const FIRST_BYTES: u64 = 16;

/// `environment` by name (null for none), `read` by path: the number of bytes read, or why not.
pub fn look(args: &Args) -> Value {
    let environment: Map<String, Value> = args
        .environment
        .iter()
        .map(|name| (name.clone(), json!(std::env::var(name).ok())))
        .collect();
    let read: Map<String, Value> = args
        .read
        .iter()
        .map(|path| (path.clone(), first_bytes(path)))
        .collect();
    json!({"environment": environment, "read": read})
}

fn first_bytes(path: &str) -> Value {
    let mut bytes = Vec::new();
    match File::open(path).and_then(|file| file.take(FIRST_BYTES).read_to_end(&mut bytes)) {
        Ok(count) => json!({"bytes": count}),
        Err(error) => json!({"error": error.to_string()}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_and_devices_are_shown() {
        let args = Args {
            environment: vec!["PATH".into(), "NO_SUCH_VARIABLE".into()],
            read: vec!["/dev/null".into(), "/dev/zero".into(), "/no/such".into()],
            ..Args::default()
        };
        let seen = look(&args);
        assert!(seen["environment"]["PATH"].is_string());
        assert!(seen["environment"]["NO_SUCH_VARIABLE"].is_null());
        assert_eq!(seen["read"]["/dev/null"]["bytes"], 0);
        assert_eq!(seen["read"]["/dev/zero"]["bytes"], 16);
        assert!(seen["read"]["/no/such"]["error"].is_string());
    }
}

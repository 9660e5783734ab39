// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

//! What a module needs from its host.

use std::collections::BTreeSet;

use wasmparser::{Parser, Payload};

/// Names of the modules that `bytes` imports from. What does not parse has none: WasmEdge will say what is wrong.
pub fn modules(bytes: &[u8]) -> BTreeSet<String> {
    for payload in Parser::new(0).parse_all(bytes) {
        match payload {
            Ok(Payload::ImportSection(reader)) => {
                return reader
                    .into_iter()
                    .flatten()
                    .map(|import| import.module.to_owned())
                    .collect();
            }
            // Imports come before all code, so there is nothing further to read.
            Err(_) | Ok(Payload::FunctionSection(_) | Payload::CodeSectionStart { .. }) => break,
            Ok(_) => {}
        }
    }
    BTreeSet::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// (module (import "wasi_ephemeral_nn" "compute" (func (param i32) (result i32))))
    const MODULE: &[u8] = b"\0asm\x01\0\0\0\x01\x06\x01\x60\x01\x7f\x01\x7f\
        \x02\x1d\x01\x11wasi_ephemeral_nn\x07compute\0\0";

    #[test]
    fn imports_are_read() {
        assert_eq!(
            modules(MODULE),
            BTreeSet::from(["wasi_ephemeral_nn".to_owned()])
        );
    }

    #[test]
    fn anything_else_has_none() {
        assert!(modules(b"").is_empty());
        assert!(modules(b"\x7fELF").is_empty());
        assert!(modules(b"\0asm\x01\0\0\0").is_empty());
        assert!(modules(&MODULE[..20]).is_empty());
    }
}

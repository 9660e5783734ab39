// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

//! What a module's file says of itself, before WasmEdge reads it.

use std::collections::BTreeSet;

use wasmparser::{Parser, Payload};

/// The custom section that `wasmedge compile` adds, which holds native code (measured with 0.14.1 and 0.17.1).
const COMPILED: &str = "wasmedge";

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Names of the modules it imports from.
    pub imports: BTreeSet<String>,
    /// Whether native code comes along; which WasmEdge and which CPU may run it, WasmEdge decides.
    pub compiled: bool,
}

impl Facts {
    /// What does not parse has none from there on: WasmEdge will say what is wrong.
    pub fn of(bytes: &[u8]) -> Self {
        let mut facts = Self::default();
        for payload in Parser::new(0).parse_all(bytes) {
            match payload {
                Ok(Payload::ImportSection(reader)) => facts.imports.extend(
                    reader
                        .into_iter()
                        .flatten()
                        .map(|import| import.module.to_owned()),
                ),
                Ok(Payload::CustomSection(section)) => facts.compiled |= section.name() == COMPILED,
                Err(_) => break,
                Ok(_) => {}
            }
        }
        facts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// (module (import "wasi_ephemeral_nn" "compute" (func (param i32) (result i32))))
    const MODULE: &[u8] = b"\0asm\x01\0\0\0\x01\x06\x01\x60\x01\x7f\x01\x7f\
        \x02\x1d\x01\x11wasi_ephemeral_nn\x07compute\0\0";

    fn imported(bytes: &[u8]) -> BTreeSet<String> {
        Facts::of(bytes).imports
    }

    #[test]
    fn imports_are_read() {
        assert_eq!(
            imported(MODULE),
            BTreeSet::from(["wasi_ephemeral_nn".to_owned()])
        );
    }

    #[test]
    fn anything_else_has_none() {
        assert!(imported(b"").is_empty());
        assert!(imported(b"\x7fELF").is_empty());
        assert!(imported(b"\0asm\x01\0\0\0").is_empty());
        assert!(imported(&MODULE[..20]).is_empty());
    }

    #[test]
    fn native_code_is_seen() {
        assert!(!Facts::of(MODULE).compiled);
        let compiled = [MODULE, b"\x00\x0b\x08wasmedge\x02\x01"].concat();
        let facts = Facts::of(&compiled);
        assert!(facts.compiled && facts.imports.len() == 1);
        assert!(!Facts::of(&[MODULE, b"\x00\x05\x04name"].concat()).compiled);
    }
}

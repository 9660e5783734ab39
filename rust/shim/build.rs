// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

//! Writes two things into the shim: where the node keeps libwasmedge, and which tuple the shim was built for.

use std::{env, fs, path::Path};

/// Where the role `wasmedge` installs the library; `lib` is the folder's name in some of upstream's archives.
const RUNPATH: &str = "/opt/wasinn/wasmedge/current/lib64:/opt/wasinn/wasmedge/current/lib";

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=WASMEDGE_INCLUDE_DIR");
    println!("cargo:rustc-link-arg-bins=-Wl,--enable-new-dtags,-rpath,{RUNPATH}");

    let include = env::var("WASMEDGE_INCLUDE_DIR").unwrap_or_else(|_| "/usr/include".to_owned());
    let header = Path::new(&include).join("wasmedge/version.h");
    let text = fs::read_to_string(&header).unwrap_or_else(|error| {
        panic!(
            "{}: {error}; set WASMEDGE_INCLUDE_DIR to WasmEdge's headers",
            header.display()
        )
    });
    for (macro_name, variable) in [
        ("WASMEDGE_VERSION", "SHIM_WASMEDGE_VERSION"),
        ("WasmEdge_Plugin_CurrentAPIVersion", "SHIM_PLUGIN_API"),
    ] {
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix(&format!("#define {macro_name} ")))
            .unwrap_or_else(|| panic!("{} does not define {macro_name}", header.display()));
        println!(
            "cargo:rustc-env={variable}={}",
            value.trim().trim_matches('"')
        );
    }
}

// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

//! `--doctor`: what a container on this node would find, as JSON, without containerd.

use std::process::ExitCode;

use serde_json::json;

use crate::{
    config::{self, Config},
    engine,
    plugins::Plugins,
};

/// Prints the report; succeeds if there is no problem.
pub fn run(config: &Result<Config, String>) -> ExitCode {
    let plugins = Plugins::load(config);
    let version = engine::version();
    let ok = plugins.problems.is_empty();
    let report = json!({
        "ok": ok,
        "shim": env!("CARGO_PKG_VERSION"),
        "config": { "path": config::PATH, "values": config.as_ref().ok() },
        "wasmedge": { "version": version, "plugin_api": engine::plugin_api(&version), "built_with": engine::BUILT_WITH },
        "plugins": plugins.files,
        "available": plugins.names,
        "problems": plugins.problems,
    });
    println!("{report:#}");
    if ok {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

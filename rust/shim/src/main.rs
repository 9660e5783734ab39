// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

//! A containerd shim for WasmEdge, built on runwasi's library crates.
//!
//! It differs from upstream's in one idea: the node owns its plugins. They are loaded here, in `main`, on the host;
//! a pod needs its module and its model, and no host library.

mod capabilities;
mod config;
mod doctor;
mod engine;
mod environment;
mod instance;
mod module;
mod plugins;
mod preload;
mod remains;

use std::{path::Path, process::ExitCode};

use containerd_shim_wasm::shim::{version, Cli, Config as ShimConfig, Shim, Version};

use crate::{config::Config, instance::WasmEdgeSandbox, plugins::Plugins};

struct WasmEdgeShim;

impl Shim for WasmEdgeShim {
    type Sandbox = WasmEdgeSandbox;

    fn name() -> &'static str {
        "wasmedge"
    }

    fn version() -> Version {
        version!()
    }
}

fn main() -> ExitCode {
    if let Err(error) = environment::settle() {
        eprintln!("containerd-shim-wasmedge: it cannot start itself again without containerd's environment: {error}");
        return ExitCode::FAILURE;
    }
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let config = Config::load(Path::new(config::PATH));
    if arguments.iter().any(|argument| argument == "--doctor") {
        return doctor::run(&config);
    }
    if is_daemon(&arguments) {
        Plugins::load(&config);
    }
    let clears = cleans_up(&arguments);
    if clears {
        // containerd logs what is written here, and asks for the answer all the same.
        if let Err(error) = remains::clear(&arguments, Path::new(".")) {
            eprintln!("containerd-shim-wasmedge: {error:#}");
        }
    }
    let log_level = config.unwrap_or_default().log_level;
    WasmEdgeShim::run(ShimConfig {
        default_log_level: log_level,
        no_setup_logger: clears,
    });
    ExitCode::SUCCESS
}

/// containerd starts a shim three ways: with `start` and `delete` it reads what the process prints, and one line of a
/// plugin there would be taken for the socket's address; the process that serves containers has no subcommand.
fn is_daemon(arguments: &[String]) -> bool {
    let asks = |argument: &str| ["-v", "--version", "-info", "--info"].contains(&argument);
    let last = arguments.last().map(String::as_str);
    !matches!(last, Some("start" | "delete")) && !arguments.iter().any(|argument| asks(argument))
}

/// Whether this process clears up after a shim that died: nobody reads the bundle's `log` any more, so that opening the
/// FIFO would never end, and with it containerd's own start, which waits for `delete` of all shims that it finds dead.
fn cleans_up(arguments: &[String]) -> bool {
    arguments.last().is_some_and(|last| last == "delete")
}

#[cfg(test)]
mod tests {
    use super::{cleans_up, is_daemon};

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    fn daemon(line: &str) -> bool {
        is_daemon(&words(line))
    }

    #[test]
    fn plugins_are_for_the_daemon() {
        assert!(daemon("-namespace k8s.io -id 1 -address /run/containerd.sock -publish-binary /usr/bin/containerd"));
        assert!(!daemon(
            "-namespace k8s.io -id 1 -address /run/containerd.sock start"
        ));
        assert!(!daemon("-namespace k8s.io -id 1 -bundle /b delete"));
        assert!(!daemon("-v"));
        assert!(daemon(
            "-namespace default -id start -address /run/containerd.sock"
        ));
    }

    #[test]
    fn what_clears_up_writes_no_log() {
        assert!(cleans_up(&words(
            "-namespace k8s.io -id 1 -bundle /b delete"
        )));
        assert!(!cleans_up(&words(
            "-namespace k8s.io -id delete -address /run/containerd.sock start"
        )));
    }
}

// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

//! One container: the module, its WASI world and the plugins, from start to exit code.

use std::collections::BTreeSet;

use anyhow::{anyhow, Context, Result};
use containerd_shim_wasm::sandbox::{
    context::{RuntimeContext, Source},
    Sandbox,
};
use wasmedge_sdk::{
    error::{CoreCommonError, CoreError, WasmEdgeError},
    plugin::PluginManager,
    wasi::WasiModule,
    AsInstance, Instance,
};
use wasmedge_sys::{Executor, Loader, Store, Validator};

use crate::{capabilities, engine, module::Facts, plugins::Plugins, preload};

/// The exit code when the shim could not run the module; 137, which runwasi gives, reads as "out of memory".
const CANNOT_RUN: i32 = 125;

/// The exit code of a module that trapped: what a native program's abort() gives.
const TRAPPED: i32 = 134;

const WASI: &str = "wasi_snapshot_preview1";

#[derive(Default)]
pub struct WasmEdgeSandbox;

impl Sandbox for WasmEdgeSandbox {
    /// Runs in the container's own process, behind the sandbox.
    async fn run_wasi(&self, ctx: &impl RuntimeContext) -> Result<i32> {
        let plugins = Plugins::of_this_node();
        for problem in &plugins.problems {
            log::warn!("{problem}");
        }
        stop_on_signals();
        capabilities::settle()
            .and_then(|()| run(ctx, plugins))
            .or_else(|error| {
                report(&format!("{error:#}"));
                Ok(CANNOT_RUN)
            })
    }
}

/// Says it to the people who read the pod's log and to those who read containerd's.
fn report(sentence: &str) {
    log::error!("{sentence}");
    eprintln!("containerd-shim-wasmedge: {sentence}");
}

fn run(ctx: &impl RuntimeContext, plugins: &Plugins) -> Result<i32> {
    let entrypoint = ctx.entrypoint();
    let name = entrypoint
        .arg0
        .map(|path| path.display().to_string())
        .unwrap_or_default();
    let bytes = match &entrypoint.source {
        Source::File(path) => {
            std::fs::read(path).with_context(|| format!("cannot read the module {name}"))?
        }
        source => source.as_bytes()?.into_owned(),
    };

    let preloads = preload::from_environment(ctx.envs()).map_err(|error| anyhow!(error))?;
    for preload in &preloads {
        preload.check().map_err(|error| anyhow!(error))?;
    }
    if !preloads.is_empty() {
        PluginManager::nn_preload(preloads.into_iter().map(Into::into).collect());
    }

    let modules = plugin_modules(plugins)?;
    let provided = modules
        .iter()
        .filter_map(AsInstance::name)
        .chain([WASI.to_owned()])
        .collect();
    let facts = Facts::of(&bytes);
    require(&name, &facts.imports, &provided, plugins).map_err(|error| anyhow!(error))?;

    let texts = |list: &'_ [String]| {
        list.iter()
            .map(|text| text.replace('\0', ""))
            .collect::<Vec<_>>()
    };
    let (args, envs) = (texts(ctx.args()), texts(ctx.envs()));
    // The root is the container's own, so that this is the image and every volume in it.
    let mut wasi = WasiModule::create(
        Some(args.iter().map(String::as_str).collect()),
        Some(envs.iter().map(String::as_str).collect()),
        Some(vec!["/:/"]),
    )?;

    let config = engine::configuration(facts.compiled)?;
    let mut store = Store::create()?;
    let mut executor = Executor::create(Some(&config), None)?;
    executor.register_import_module(&mut store, wasi.as_mut())?;
    for module in &modules {
        executor.register_import_module(&mut store, module)?;
    }
    let module = Loader::create(Some(&config))?
        .from_bytes(bytes)
        .with_context(|| format!("{name} is not a module WasmEdge can run"))?;
    Validator::create(Some(&config))?
        .validate(&module)
        .with_context(|| format!("{name} is not a module WasmEdge can run"))?;
    let mut guest = executor
        .register_active_module(&mut store, &module)
        .with_context(|| format!("{name} cannot be linked"))?;

    log::info!("running {name}, function {}", entrypoint.func);
    let outcome = guest
        .get_func_mut(&entrypoint.func)
        .and_then(|mut function| executor.call_func(&mut function, []));
    match outcome {
        Ok(_) => Ok(wasi.exit_code() as i32),
        // proc_exit ends a module this way.
        Err(error)
            if matches!(
                *error,
                WasmEdgeError::Core(CoreError::Common(CoreCommonError::Terminated))
            ) =>
        {
            Ok(wasi.exit_code() as i32)
        }
        Err(error) => {
            report(&format!("{name} stopped in {}: {error}", entrypoint.func));
            Ok(TRAPPED)
        }
    }
}

/// An instance of every module of every plugin, the built-in ones of libwasmedge as well.
fn plugin_modules(plugins: &Plugins) -> Result<Vec<Instance>> {
    let mut instances = Vec::new();
    for name in &plugins.names {
        let plugin = PluginManager::find(name)?;
        for module in plugin.mod_names() {
            instances.push(
                plugin
                    .mod_instance(&module)
                    .with_context(|| format!("plugin {name}: module {module}"))?,
            );
        }
    }
    Ok(instances)
}

/// Says in one sentence what a module wants and this node does not have, before WasmEdge says "unknown import".
fn require(
    name: &str,
    wanted: &BTreeSet<String>,
    provided: &BTreeSet<String>,
    plugins: &Plugins,
) -> Result<(), String> {
    let missing: Vec<_> = wanted.difference(provided).map(String::as_str).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let why = match plugins.problems.is_empty() {
        true => "no plugin on this node has it; install the plugin, and check \"plugins\" in the shim's configuration"
            .to_owned(),
        false => plugins.problems.join("; "),
    };
    Err(format!(
        "unknown import: {name} imports {}, which nothing on this node provides: {why}",
        missing.join(", ")
    ))
}

/// WASI has no signals, and the first process of a PID namespace ignores those it has no handler for: without this,
/// a pod would only stop when its grace period is over.
fn stop_on_signals() {
    extern "C" fn stop(signal: libc::c_int) {
        // SAFETY: _exit may be called in a signal handler.
        unsafe { libc::_exit(128 + signal) }
    }
    for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGQUIT, libc::SIGHUP] {
        // SAFETY: the handler only calls what is safe in one; the mask is the process' own.
        unsafe {
            libc::signal(
                signal,
                stop as extern "C" fn(libc::c_int) as libc::sighandler_t,
            );
            let mut set = std::mem::zeroed();
            libc::sigemptyset(&mut set);
            libc::sigaddset(&mut set, signal);
            libc::sigprocmask(libc::SIG_UNBLOCK, &set, std::ptr::null_mut());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn a_missing_plugin_is_named_with_its_reason() {
        let provided = set(&[WASI]);
        assert!(require("a.wasm", &set(&[WASI]), &provided, &Plugins::default()).is_ok());
        let wanted = set(&[WASI, "wasi_ephemeral_nn"]);
        let without = require("a.wasm", &wanted, &provided, &Plugins::default()).unwrap_err();
        assert!(
            without.contains("wasi_ephemeral_nn") && without.contains("install the plugin"),
            "{without}"
        );
        let plugins = Plugins {
            problems: vec!["the plugin folder /p cannot be read".to_owned()],
            ..Plugins::default()
        };
        assert!(require("a.wasm", &wanted, &provided, &plugins)
            .unwrap_err()
            .contains("/p cannot be read"));
    }
}

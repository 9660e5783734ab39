// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

//! The node's plugins, loaded on the host before any sandbox exists.
//!
//! Upstream's shim loads them inside the container and so needs the plugin and all of its libraries mounted into every
//! pod. Here they are loaded once for each shim process; the processes of its containers are forked from it and
//! inherit them. WasmEdge itself passes silently over a plugin that it does not like, so each file is looked at first.

use std::{
    ffi::{c_char, c_void, CStr, CString},
    fs,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use serde::Serialize;
use wasmedge_sdk::plugin::PluginManager;

use crate::{config::Config, engine};

/// Plugins inside libwasmedge itself (since 0.14); llama-api-server.wasm imports this one.
const BUILT_IN: [&str; 1] = ["wasi_logging"];

static NODE: OnceLock<Plugins> = OnceLock::new();

/// A file of the plugin folder, and what became of it.
#[derive(Debug, Clone, Serialize)]
pub struct PluginFile {
    pub path: PathBuf,
    pub name: Option<String>,
    pub api_version: Option<u32>,
    pub loaded: bool,
    pub error: Option<String>,
}

impl PluginFile {
    fn refuse(&mut self, cause: String) {
        self.loaded = false;
        self.error = Some(format!("plugin {}: {cause}", self.path.display()));
    }
}

/// All that this process could and could not load.
#[derive(Debug, Default, Clone, Serialize)]
pub struct Plugins {
    pub files: Vec<PluginFile>,
    /// Names of the plugins whose modules a container gets.
    pub names: Vec<String>,
    /// One sentence each, for people.
    pub problems: Vec<String>,
}

impl Plugins {
    /// What `load` made in this process or in the one it was forked from.
    pub fn of_this_node() -> &'static Self {
        NODE.get_or_init(Self::default)
    }

    /// Loads every plugin that the configuration allows. Only the first call of a process has an effect.
    pub fn load(config: &Result<Config, String>) -> &'static Self {
        NODE.get_or_init(|| match config {
            Ok(config) => load_folder(config),
            Err(problem) => Self {
                problems: vec![problem.clone()],
                ..Self::default()
            },
        })
    }
}

fn load_folder(config: &Config) -> Plugins {
    let mut plugins = Plugins::default();
    let library = engine::version();
    let api = engine::plugin_api(&library);
    if api.is_none() {
        plugins.problems.push(format!(
            "libwasmedge is {library}, which this shim does not know; install one of {}, or the shim for it",
            engine::known()
        ));
    }
    let folder = config.plugin_dir.display();
    match shared_objects(&config.plugin_dir) {
        Err(error) => plugins.problems.push(format!(
            "the plugin folder {folder} cannot be read: {error}; install a plugin there or correct plugin_dir in {}",
            crate::config::PATH
        )),
        Ok(paths) if paths.is_empty() => plugins
            .problems
            .push(format!("the plugin folder {folder} holds no *.so file; install the WASI-NN plugin there")),
        Ok(paths) => {
            for path in paths {
                let file = look_at(path, config, api, &plugins.files);
                plugins.files.push(file);
            }
        }
    }
    load_with_wasmedge(&mut plugins);
    plugins
        .problems
        .extend(plugins.files.iter().filter_map(|file| file.error.clone()));
    plugins
}

/// Files that were decided on come first, so that no other of their name takes their place. libwasmedge offers its built-in
/// plugins only after it has gone through its default paths, one of which is the usual plugin folder. That may load files
/// that were refused or left out, so a container gets what is in `names` alone.
fn load_with_wasmedge(plugins: &mut Plugins) {
    for file in plugins.files.iter_mut().filter(|file| file.loaded) {
        let name = file.name.clone().unwrap_or_default();
        let result = quietly(|| PluginManager::load(Some(&file.path)));
        if PluginManager::names().contains(&name) {
            plugins.names.push(name);
            continue;
        }
        file.refuse(match &result {
            Err(error) => format!("WasmEdge cannot load it: {error}; install it again"),
            Ok(()) => format!(
                "WasmEdge {} passed over it without a reason; install the plugin of the very same release",
                engine::version()
            ),
        });
    }
    if let Err(error) = quietly(|| PluginManager::load(None)) {
        log::debug!("WasmEdge's default paths: {error}");
    }
    let available = PluginManager::names();
    plugins.names.extend(
        BUILT_IN
            .iter()
            .map(|&name| name.to_owned())
            .filter(|name| available.contains(name)),
    );
    plugins.names.sort();
    plugins.names.dedup();
}

/// `*.so` files of a folder, in a fixed order.
fn shared_objects(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_file() && path.extension().is_some_and(|extension| extension == "so") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// Reads a file's descriptor and decides; `loaded` then says what is to become of it.
fn look_at(path: PathBuf, config: &Config, api: Option<u32>, before: &[PluginFile]) -> PluginFile {
    let mut file = PluginFile {
        path,
        name: None,
        api_version: None,
        loaded: false,
        error: None,
    };
    match read_descriptor(&file.path) {
        Err(cause) => file.refuse(cause),
        Ok((name, api_version)) => {
            match verdict(&name, api_version, api, config, before) {
                Verdict::Load => file.loaded = true,
                Verdict::LeaveOut => {}
                Verdict::Refuse(cause) => file.refuse(cause),
            }
            (file.name, file.api_version) = (Some(name), Some(api_version));
        }
    }
    file
}

#[derive(Debug, PartialEq)]
enum Verdict {
    Load,
    /// Not allowed by the configuration: wanted, so no problem.
    LeaveOut,
    Refuse(String),
}

/// `wanted` is the plugin API of the libwasmedge here, where that is known.
fn verdict(
    name: &str,
    api_version: u32,
    wanted: Option<u32>,
    config: &Config,
    before: &[PluginFile],
) -> Verdict {
    if !config.allows(name) {
        return Verdict::LeaveOut;
    }
    if let Some(wanted) = wanted.filter(|&wanted| wanted != api_version) {
        let library = engine::version();
        return Verdict::Refuse(format!(
            "it has plugin API version {api_version}, but WasmEdge {library} takes {wanted} only; \
             install the plugin of WasmEdge {library}"
        ));
    }
    match before.iter().find(|file| file.loaded && file.name.as_deref() == Some(name)) {
        Some(first) => Verdict::Refuse(format!(
            "{} already is the plugin {name}; remove one of the two (WasmEdge would stop with \"module name conflict\")",
            first.path.display()
        )),
        None => Verdict::Load,
    }
}

/// WasmEdge logs to standard output, which here belongs to whoever asked; its lines go to standard error meanwhile.
fn quietly<T>(action: impl FnOnce() -> T) -> T {
    // SAFETY: plain descriptor calls; a failed dup is -1, which the others then refuse.
    unsafe {
        let stdout = libc::dup(1);
        libc::dup2(2, 1);
        let result = action();
        libc::dup2(stdout, 1);
        libc::close(stdout);
        result
    }
}

/// What both of WasmEdge's plugin descriptors, of the C and of the C++ interface, begin with.
#[repr(C)]
struct Descriptor {
    name: *const c_char,
    description: *const c_char,
    api_version: u32,
}

/// Name and API version from the file's own descriptor. The file stays open: closing it would run its destructors.
fn read_descriptor(path: &Path) -> Result<(String, u32), String> {
    let c_path = CString::new(path.as_os_str().as_bytes())
        .map_err(|_| "its path holds a NUL byte".to_owned())?;
    // SAFETY: dlopen and dlsym get valid strings; the symbols have these types in all of WasmEdge's versions.
    unsafe {
        let handle = libc::dlopen(c_path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL);
        if handle.is_null() {
            let cause = loader_error();
            let cause = cause
                .strip_prefix(&format!("{}: ", path.display()))
                .unwrap_or(&cause);
            return Err(format!(
                "{cause}; install the plugin again, and what ldd says it misses"
            ));
        }
        let get = [c"WasmEdge_Plugin_GetDescriptor", c"GetDescriptor"]
            .iter()
            .map(|symbol| libc::dlsym(handle, symbol.as_ptr()))
            .find(|symbol| !symbol.is_null())
            .ok_or(
                "it is no WasmEdge plugin (no GetDescriptor in it); remove it from the folder",
            )?;
        let get: extern "C" fn() -> *const Descriptor = std::mem::transmute::<*mut c_void, _>(get);
        let descriptor = get()
            .as_ref()
            .ok_or("it gives no plugin descriptor; install it again")?;
        Ok((
            CStr::from_ptr(descriptor.name)
                .to_string_lossy()
                .into_owned(),
            descriptor.api_version,
        ))
    }
}

fn loader_error() -> String {
    // SAFETY: dlerror returns null or a string valid until the next call of the loader.
    unsafe {
        match libc::dlerror() {
            message if message.is_null() => "the loader refused it".to_owned(),
            message => CStr::from_ptr(message).to_string_lossy().into_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const API: u32 = 4;

    fn judge(name: &str, api: u32, config: &Config, before: &[PluginFile]) -> Verdict {
        verdict(name, api, Some(API), config, before)
    }

    #[test]
    fn the_verdict_on_a_plugin() {
        let config = Config {
            plugins: vec!["wasi_nn".to_owned()],
            ..Config::default()
        };
        assert_eq!(judge("wasi_nn", API, &config, &[]), Verdict::Load);
        assert_eq!(judge("wasi_crypto", API, &config, &[]), Verdict::LeaveOut);
        let Verdict::Refuse(cause) = judge("wasi_nn", API - 1, &config, &[]) else {
            panic!()
        };
        assert!(
            cause.contains(&format!("API version {}", API - 1)) && cause.contains("install"),
            "{cause}"
        );
    }

    #[test]
    fn a_second_copy_is_refused() {
        let first = PluginFile {
            path: "/p/a.so".into(),
            name: Some("wasi_nn".to_owned()),
            api_version: Some(API),
            loaded: true,
            error: None,
        };
        let Verdict::Refuse(cause) = judge("wasi_nn", API, &Config::default(), &[first]) else {
            panic!()
        };
        assert!(cause.contains("/p/a.so"), "{cause}");
    }

    #[test]
    fn files_that_are_no_plugins_say_so() {
        let dir = tempfile::tempdir().unwrap();
        let text = dir.path().join("b.so");
        fs::write(&text, "not a library ".repeat(99)).unwrap();
        assert!(read_descriptor(&text)
            .unwrap_err()
            .contains("invalid ELF header"));
        fs::write(dir.path().join("a.txt"), "").unwrap();
        assert_eq!(shared_objects(dir.path()).unwrap(), [text]);
        let libc = Path::new("libm.so.6");
        assert!(read_descriptor(libc)
            .unwrap_err()
            .contains("no WasmEdge plugin"));
    }

    #[test]
    fn a_missing_folder_is_a_problem_with_a_remedy() {
        let config = Config {
            plugin_dir: "/nonexistent".into(),
            ..Config::default()
        };
        let plugins = load_folder(&config);
        assert!(plugins
            .problems
            .iter()
            .any(|p| p.contains("/nonexistent") && p.contains("plugin_dir")));
    }
}

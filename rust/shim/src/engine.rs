// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

//! The libwasmedge in this process. All lines have the same SONAME, and the functions used here have the same types in
//! each of them (compared in the headers of 0.14.1 and 0.17.1), so one binary serves them all: what differs between
//! them is asked for when it runs.

use std::ffi::{c_char, c_int, c_void, CStr};

use wasmedge_sys::Config;

/// WasmEdge's version whose headers this shim was compiled with.
pub const BUILT_WITH: &str = env!("SHIM_WASMEDGE_VERSION");

/// Versions this shim was tried with, by how they begin, and the plugin API that each takes: version.h of a release
/// has it as `WasmEdge_Plugin_CurrentAPIVersion`, and the library itself cannot be asked.
const LINES: [(&str, u32); 2] = [("0.14.1", 4), ("0.17.", 5)];

/// `WasmEdge_RunMode_AOT` (enum_types.h of 0.17.1).
const RUN_MODE_AOT: c_int = 2;

/// The version of the libwasmedge in this process.
pub fn version() -> String {
    extern "C" {
        fn WasmEdge_VersionGet() -> *const c_char;
    }
    // SAFETY: libwasmedge returns a static string.
    unsafe { CStr::from_ptr(WasmEdge_VersionGet()) }
        .to_string_lossy()
        .into_owned()
}

/// The plugin API of a version; `None` for one that this shim was not tried with.
pub fn plugin_api(version: &str) -> Option<u32> {
    LINES
        .iter()
        .find(|(line, _)| version.starts_with(line))
        .map(|&(_, api)| api)
}

/// The versions that this shim works with, for people.
pub fn known() -> String {
    LINES
        .map(|(line, _)| match line.strip_suffix('.') {
            Some(line) => format!("{line}.x"),
            None => line.to_owned(),
        })
        .join(" and ")
}

/// A configuration with which a compiled module runs compiled, and any other is interpreted.
///
/// 0.14 does so by itself. Since 0.17 the default is to interpret everything, until the run mode says otherwise; and
/// with that mode, each module without native code would write a warning to the container's log.
///
/// # Errors
/// As WasmEdge's own: when it has no memory left.
pub fn configuration(compiled: bool) -> anyhow::Result<Config> {
    let config = Config::create()?;
    if !compiled {
        return Ok(config);
    }
    // SAFETY: the name is a C string; the function, where there is one, has this type (wasmedge_configure.h of 0.17).
    unsafe {
        let function = libc::dlsym(libc::RTLD_DEFAULT, c"WasmEdge_ConfigureSetRunMode".as_ptr());
        if !function.is_null() {
            let set: extern "C" fn(*mut c_void, c_int) = std::mem::transmute(function);
            set(config.as_ptr() as *mut c_void, RUN_MODE_AOT);
        }
    }
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_has_its_plugin_api() {
        assert_eq!(plugin_api("0.14.1"), Some(4));
        assert_eq!(plugin_api("0.17.1"), Some(5));
        assert_eq!(plugin_api("0.14.0"), None);
        assert_eq!(plugin_api("0.1"), None);
        assert_eq!(known(), "0.14.1 and 0.17.x");
    }

    #[test]
    fn the_library_of_this_build_is_one_of_them() {
        let api = plugin_api(BUILT_WITH).map(|api| api.to_string());
        assert_eq!(api.as_deref(), Some(env!("SHIM_PLUGIN_API")));
        assert_eq!(version(), BUILT_WITH);
        configuration(true).unwrap();
    }
}

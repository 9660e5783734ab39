// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

//! The shim's processes have no variable of containerd's that they do not read.
//!
//! containerd hands its own environment on to its shims: proxies with their passwords, what k3s was given. A module runs
//! in a process that was forked from the shim and so finds the shim's environment in `/proc/self/environ`, which a native
//! program replaces with execve(2). The kernel shows the bytes that a process was started with, whatever it does to its
//! variables later, so the shim starts itself again.

use std::{env, ffi::OsStr, io, os::unix::process::CommandExt, process::Command};

/// What containerd tells a shim, and what runwasi's crates and the loader read.
const KEPT: [&str; 8] = [
    "DBUS_SYSTEM_BUS_ADDRESS",
    "GRPC_ADDRESS",
    "LD_LIBRARY_PATH",
    "MAX_SHIM_VERSION",
    "PATH",
    "RUST_BACKTRACE",
    "RUST_LOG",
    "TTRPC_ADDRESS",
];

/// Returns where there is nothing to take away; else this process begins again.
///
/// # Errors
/// Where it cannot be started again.
pub fn settle() -> io::Result<()> {
    let kept: Vec<_> = env::vars_os().filter(|(name, _)| is_kept(name)).collect();
    if kept.len() == env::vars_os().count() {
        return Ok(());
    }
    let mut arguments = env::args_os();
    let mut again = Command::new(env::current_exe()?);
    if let Some(name) = arguments.next() {
        again.arg0(name);
    }
    Err(again.args(arguments).env_clear().envs(kept).exec())
}

fn is_kept(name: &OsStr) -> bool {
    KEPT.iter().any(|&kept| name == kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_containerd_says_stays_and_what_it_was_told_goes() {
        assert!(is_kept(OsStr::new("TTRPC_ADDRESS")));
        assert!(!is_kept(OsStr::new("HTTPS_PROXY")));
        assert!(!is_kept(OsStr::new("K3S_TOKEN")));
    }
}

// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

//! The container's process gets no more capabilities than a native program would have there, and none to make devices.
//!
//! A module is run without execve(2), in which the kernel leaves a process of another user than root its ambient
//! capabilities alone (capabilities(7), "Transformation of capabilities during execve()"). So that is done here.
//! libcontainer restricts devices by cgroup v1 alone, and WASI makes none: on v2, CAP_MKNOD would let what a plugin
//! loads (CUDA does) make itself a GPU's device nodes.

use anyhow::{Context, Result};
use caps::{CapSet, Capability, CapsHashSet};

/// Takes away what execve(2) would have taken, and CAP_MKNOD: from the calling thread, which runs the module, and so from
/// all that it starts. runwasi's own threads began before; they wait, with what the specification gives.
pub fn settle() -> Result<()> {
    let read = |set| caps::read(None, set).context("capabilities cannot be read");
    // SAFETY: geteuid() cannot fail.
    let root = unsafe { libc::geteuid() } == 0;
    let kept = kept(&read(CapSet::Permitted)?, &read(CapSet::Ambient)?, root);
    caps::set(None, CapSet::Effective, &kept).context("effective capabilities")?;
    caps::set(None, CapSet::Permitted, &kept).context("permitted capabilities")
}

fn kept(permitted: &CapsHashSet, ambient: &CapsHashSet, root: bool) -> CapsHashSet {
    let mut kept = if root { permitted } else { ambient }.clone();
    kept.remove(&Capability::CAP_MKNOD);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use Capability::{CAP_CHOWN, CAP_MKNOD, CAP_NET_BIND_SERVICE};

    fn set(capabilities: &[Capability]) -> CapsHashSet {
        capabilities.iter().copied().collect()
    }

    #[test]
    fn root_keeps_what_it_was_given_and_others_what_is_ambient() {
        let given = set(&[CAP_CHOWN, CAP_MKNOD, CAP_NET_BIND_SERVICE]);
        let ambient = set(&[CAP_MKNOD, CAP_NET_BIND_SERVICE]);
        assert_eq!(
            kept(&given, &ambient, true),
            set(&[CAP_CHOWN, CAP_NET_BIND_SERVICE])
        );
        assert_eq!(kept(&given, &ambient, false), set(&[CAP_NET_BIND_SERVICE]));
    }
}

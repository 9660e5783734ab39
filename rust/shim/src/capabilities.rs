// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

//! The container's process gets no more capabilities than a native program would have there.
//!
//! A module is run without execve(2), in which the kernel leaves a process of another user than root its ambient
//! capabilities alone (capabilities(7), "Transformation of capabilities during execve()"). So that is done here.

use anyhow::{Context, Result};
use caps::CapSet;

/// Takes away what execve(2) would have taken.
pub fn as_after_execve() -> Result<()> {
    // SAFETY: geteuid() cannot fail.
    if unsafe { libc::geteuid() } == 0 {
        return Ok(());
    }
    let ambient = caps::read(None, CapSet::Ambient).context("ambient capabilities")?;
    caps::set(None, CapSet::Effective, &ambient).context("effective capabilities")?;
    caps::set(None, CapSet::Permitted, &ambient).context("permitted capabilities")
}

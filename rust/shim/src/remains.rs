// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

//! What is left of a container whose shim died: its process, its cgroup, the runtime's notes about it and the shim's socket.
//! runwasi leaves them, so that a model goes on with its memory and its port, and Kubernetes starts another one beside it.

use std::{
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use libcontainer::container::Container;
use serde::Deserialize;

/// Where runwasi keeps its notes, unless the runtime's options name another folder
/// (containerd-shimkit, `InstanceConfig::determine_rootdir`).
const ROOT: &str = "/run/containerd/wasmedge";

#[derive(Deserialize)]
struct Options {
    root: Option<PathBuf>,
}

/// Takes all of it away; a container that left nothing is no error.
///
/// `arguments` are containerd's, `bundle` is its folder of the container: this process' own one.
pub fn clear(arguments: &[String], bundle: &Path) -> Result<()> {
    let ended = end(arguments, bundle);
    // After it: the container's process was forked from the shim, and listens there as long as it lives.
    remove_socket(bundle)?;
    ended
}

/// Ends the container and takes away its cgroup and the notes.
fn end(arguments: &[String], bundle: &Path) -> Result<()> {
    let Some(notes) = notes(arguments, bundle)? else {
        return Ok(());
    };
    if !notes.join("state.json").exists() {
        return Ok(());
    }
    Container::load(notes.clone())
        .and_then(|mut container| container.delete(true))
        .with_context(|| format!("{} cannot be cleared away", notes.display()))
}

/// The shim's socket goes, unless somebody answers there: the containers of a pod share one shim.
fn remove_socket(bundle: &Path) -> Result<()> {
    let Ok(address) = std::fs::read_to_string(bundle.join("address")) else {
        return Ok(());
    };
    let socket = Path::new(address.trim().trim_start_matches("unix://"));
    if socket.exists() && UnixStream::connect(socket).is_err() {
        std::fs::remove_file(socket)
            .with_context(|| format!("{} cannot be removed", socket.display()))?;
    }
    Ok(())
}

/// The folder of the runtime's notes about this container.
fn notes(arguments: &[String], bundle: &Path) -> Result<Option<PathBuf>> {
    let (Some(namespace), Some(id)) = (value(arguments, "namespace"), value(arguments, "id"))
    else {
        return Ok(None);
    };
    let options = bundle.join("options.json");
    let root = match options.exists() {
        true => serde_json::from_slice::<Options>(&std::fs::read(&options)?)?.root,
        false => None,
    };
    let root = root.unwrap_or_else(|| ROOT.into());
    Ok(Some(root.join(namespace).join(id)))
}

/// What follows `-name`.
fn value<'a>(arguments: &'a [String], name: &str) -> Option<&'a str> {
    let is_it =
        |argument: &String| argument.trim_start_matches('-') == name && argument.starts_with('-');
    let place = arguments.iter().position(is_it)?;
    arguments.get(place + 1).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn notes_are_found_as_they_were_made() {
        let folder = tempfile::tempdir().unwrap();
        let arguments = words("-namespace k8s.io -address /run/a.sock -id id1 -bundle /b delete");
        let found = |arguments: &[String]| notes(arguments, folder.path()).unwrap();
        assert_eq!(
            found(&arguments),
            Some("/run/containerd/wasmedge/k8s.io/id1".into())
        );
        assert_eq!(found(&words("-namespace k8s.io delete")), None);
        std::fs::write(folder.path().join("options.json"), r#"{"root": "/r"}"#).unwrap();
        assert_eq!(found(&arguments), Some("/r/k8s.io/id1".into()));
    }

    #[test]
    fn a_socket_goes_once_nobody_answers_there() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("socket");
        std::fs::write(
            folder.path().join("address"),
            format!("unix://{}", socket.display()),
        )
        .unwrap();
        let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        remove_socket(folder.path()).unwrap();
        assert!(socket.exists());
        drop(listener);
        remove_socket(folder.path()).unwrap();
        assert!(!socket.exists());
    }

    #[test]
    fn a_container_that_left_nothing_is_no_error() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().display();
        std::fs::write(
            folder.path().join("options.json"),
            format!(r#"{{"root": "{root}"}}"#),
        )
        .unwrap();
        clear(&words("-namespace n -id i delete"), folder.path()).unwrap();
    }
}

// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

//! Models a pod wants under a name: `alias:BACKEND:TARGET:path` in `WASMEDGE_WASINN_PRELOAD`,
//! several of them separated by `;` or a newline (a chat and an embedding model in one pod).

use std::{fs::File, io::Read, path::PathBuf};

use wasmedge_sdk::plugin::{ExecutionTarget, GraphEncoding, NNPreload};

pub const VARIABLE: &str = "WASMEDGE_WASINN_PRELOAD";

/// One entry, checked as far as its text goes.
#[derive(Debug)]
pub struct Preload {
    alias: String,
    backend: GraphEncoding,
    target: ExecutionTarget,
    path: PathBuf,
}

impl Preload {
    fn parse(entry: &str) -> Result<Self, String> {
        let explain = |cause: String| {
            format!("{VARIABLE}: \"{entry}\": {cause}; the form is alias:GGML:AUTO|CPU|GPU:/path/in/the/pod.gguf")
        };
        // Only three colons separate: a path may hold more of them.
        let [alias, backend, target, path] = entry.splitn(4, ':').collect::<Vec<_>>()[..] else {
            return Err(explain("it has fewer than four fields".to_owned()));
        };
        if alias.is_empty() || path.is_empty() {
            return Err(explain("the alias or the path is empty".to_owned()));
        }
        // The SDK's errors carry upstream's wording, such as "Unknown NNBackend type: CPU" for swapped fields.
        Ok(Self {
            alias: alias.to_owned(),
            backend: backend
                .parse()
                .map_err(|error| explain(format!("{error}")))?,
            target: target
                .parse()
                .map_err(|error| explain(format!("{error}")))?,
            path: path.into(),
        })
    }

    /// Looks at the file where the plugin will look for it, which is inside the container.
    ///
    /// # Errors
    /// One sentence when the file is missing, unreadable or not GGUF.
    pub fn check(&self) -> Result<(), String> {
        let path = self.path.display();
        let mut magic = [0; 4];
        File::open(&self.path)
            .and_then(|mut file| file.read_exact(&mut magic))
            .map_err(|error| {
                format!(
                    "the model \"{}\" cannot be read at {path} in the container: {error}; \
                     mount its folder there or correct the path in {VARIABLE}",
                    self.alias
                )
            })?;
        if self.backend == GraphEncoding::GGML && &magic != b"GGUF" {
            return Err(format!(
                "the model \"{}\" at {path} is not a GGUF file; fetch it again",
                self.alias
            ));
        }
        Ok(())
    }
}

impl From<Preload> for NNPreload {
    fn from(preload: Preload) -> Self {
        Self::new(preload.alias, preload.backend, preload.target, preload.path)
    }
}

/// Reads the entries of a container's environment (`NAME=VALUE` each).
///
/// # Errors
/// One sentence naming the first entry that is wrong.
pub fn from_environment(environment: &[String]) -> Result<Vec<Preload>, String> {
    let value = environment
        .iter()
        .rev() // the last of several wins, as in a process
        .find_map(|entry| entry.strip_prefix(VARIABLE)?.strip_prefix('='))
        .unwrap_or_default();
    value
        .split([';', '\n'])
        .map(str::trim)
        .filter(|entry| !entry.is_empty())
        .map(Preload::parse)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(value: &str) -> Result<Vec<String>, String> {
        let environment = ["PATH=/bin".to_owned(), format!("{VARIABLE}={value}")];
        Ok(from_environment(&environment)?
            .into_iter()
            .map(|entry| NNPreload::from(entry).to_string())
            .collect())
    }

    #[test]
    fn none_one_and_several() {
        assert!(from_environment(&[]).unwrap().is_empty());
        assert!(parse(" ;\n").unwrap().is_empty());
        assert_eq!(
            parse("default:GGML:AUTO:/m/a.gguf").unwrap(),
            ["default:GGML:AUTO:/m/a.gguf"]
        );
        assert_eq!(
            parse("chat:ggml:cpu:/m/a.gguf;\nembed:GGML:GPU:/m/b:2.gguf\n").unwrap(),
            ["chat:GGML:CPU:/m/a.gguf", "embed:GGML:GPU:/m/b:2.gguf"]
        );
    }

    #[test]
    fn wrong_entries_are_named_with_upstreams_words() {
        let swapped = parse("default:CPU:GGML:/m/a.gguf").unwrap_err();
        assert!(
            swapped.contains("Unknown NNBackend type: CPU") && swapped.contains("the form is"),
            "{swapped}"
        );
        assert!(parse("default:GGML:NPU:/m/a.gguf")
            .unwrap_err()
            .contains("Unknown ExecutionTarget type: NPU"));
        assert!(parse("default:GGML:/m/a.gguf")
            .unwrap_err()
            .contains("fewer than four"));
        assert!(parse(":GGML:CPU:/m/a.gguf").unwrap_err().contains("empty"));
    }

    #[test]
    fn files_are_looked_at() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.gguf");
        let entry = || Preload::parse(&format!("default:GGML:CPU:{}", path.display())).unwrap();
        assert!(entry().check().unwrap_err().contains("No such file"));
        std::fs::write(&path, b"<html>").unwrap();
        assert!(entry().check().unwrap_err().contains("not a GGUF file"));
        std::fs::write(&path, b"GGUF...").unwrap();
        assert!(entry().check().is_ok());
    }
}

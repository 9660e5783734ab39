// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

//! What the node's owner decides, read from a file: containerd's environment belongs to containerd.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

/// Written by the role `shim`; a node without it gets the defaults.
pub const PATH: &str = "/etc/wasinn/shim.toml";

#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Folder whose `*.so` files are loaded, once for each shim process.
    pub plugin_dir: PathBuf,
    /// Names of plugins that may be loaded; empty allows all.
    pub plugins: Vec<String>,
    /// Level of the shim's lines in containerd's log: error, warn, info, debug or trace.
    pub log_level: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            plugin_dir: "/opt/wasinn/wasmedge/current/plugin".into(),
            plugins: Vec::new(),
            log_level: "info".to_owned(),
        }
    }
}

impl Config {
    /// Reads `path`; a missing file means the defaults.
    ///
    /// # Errors
    /// One sentence with cause and remedy when the file is there but cannot be used.
    pub fn load(path: &Path) -> Result<Self, String> {
        match fs::read_to_string(path) {
            Ok(text) => Self::parse(&text).map_err(|cause| {
                format!(
                    "{}: {cause}; mend the file or remove it to get the defaults",
                    path.display()
                )
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(format!(
                "{}: {error}; the shim must be able to read it",
                path.display()
            )),
        }
    }

    fn parse(text: &str) -> Result<Self, String> {
        let config: Self = toml::from_str(text).map_err(|error| one_line(&error.to_string()))?;
        if config.log_level.parse::<log::LevelFilter>().is_err() {
            return Err(format!(
                "log_level \"{}\" is none of error, warn, info, debug, trace, off",
                config.log_level
            ));
        }
        if !config.plugin_dir.is_absolute() {
            return Err(format!(
                "plugin_dir \"{}\" is not an absolute path",
                config.plugin_dir.display()
            ));
        }
        Ok(config)
    }

    pub fn allows(&self, plugin: &str) -> bool {
        self.plugins.is_empty() || self.plugins.iter().any(|name| name == plugin)
    }
}

fn one_line(text: &str) -> String {
    text.split('\n')
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_file_means_the_defaults() {
        let config = Config::load(Path::new("/nonexistent/shim.toml")).unwrap();
        assert_eq!(config, Config::default());
        assert!(config.allows("anything"));
    }

    #[test]
    fn what_is_left_out_keeps_its_default() {
        let config = Config::parse("plugins = [\"wasi_nn\"]").unwrap();
        assert_eq!(config.plugin_dir, Config::default().plugin_dir);
        assert!(config.allows("wasi_nn") && !config.allows("wasi_crypto"));
    }

    #[test]
    fn a_mistyped_key_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("shim.toml");
        fs::write(&path, "plugin_dri = \"/x\"").unwrap();
        let error = Config::load(&path).unwrap_err();
        assert!(
            error.contains("plugin_dri") && !error.contains('\n'),
            "{error}"
        );
    }

    #[test]
    fn values_are_checked() {
        assert!(Config::parse("log_level = \"loud\"")
            .unwrap_err()
            .contains("loud"));
        assert!(Config::parse("plugin_dir = \"plugin\"")
            .unwrap_err()
            .contains("absolute"));
        assert!(Config::parse("plugins = 1").is_err());
    }
}

// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0
//! Where the API is and who asks: from the pod's environment and service account.

use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{env, fs};

use crate::api::Api;

/// Where Kubernetes mounts CA, token and namespace into each pod.
pub const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// What [`crate::watch`] needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `https://host:port` of the API server; an IPv6 address in brackets.
    pub api: String,
    /// The only namespace that is looked at.
    pub namespace: String,
    /// PEM file of the certificate authorities that the API server's certificate may come from.
    pub ca_file: PathBuf,
    /// The bearer token; read again when it changes, as projected tokens do.
    pub token_file: PathBuf,
    /// Label selector of the Services.
    pub selector: String,
    /// Name of the pod that this runs in, to learn that it is terminating.
    pub own_pod: Option<String>,
    /// Name of the Service that this pod stands behind: its EndpointSlices tell of the pod's end.
    pub own_service: Option<String>,
    /// Everything is listed afresh this often, whatever the watches said.
    pub reconcile: Duration,
}

impl Config {
    /// From what Kubernetes gives to a pod, and from `POD_NAME`, `OWN_SERVICE` and `LABEL_SELECTOR` where set.
    ///
    /// # Errors
    /// One sentence with cause and remedy.
    pub fn in_cluster() -> Result<Self, String> {
        let host = set("KUBERNETES_SERVICE_HOST")
            .ok_or("KUBERNETES_SERVICE_HOST is not set: run this as a pod, or name the API server's address yourself.")?;
        let port = set("KUBERNETES_SERVICE_PORT").unwrap_or_else(|| "443".into());
        let host = if host.contains(':') {
            format!("[{host}]")
        } else {
            host
        };
        let namespace = read(&Path::new(SERVICE_ACCOUNT).join("namespace"))?;
        Ok(Self::new(format!("https://{host}:{port}"), namespace))
    }

    /// For another API server or namespace; the rest as [`Config::in_cluster`].
    pub fn new(api: String, namespace: String) -> Self {
        let account = Path::new(SERVICE_ACCOUNT);
        Self {
            api,
            namespace,
            ca_file: account.join("ca.crt"),
            token_file: account.join("token"),
            selector: set("LABEL_SELECTOR").unwrap_or_else(|| "llamaedge/target=true".into()),
            own_pod: set("POD_NAME"),
            own_service: set("OWN_SERVICE"),
            reconcile: Duration::from_secs(300),
        }
    }

    /// Whether [`crate::watch`] can begin: address, CA and token.
    ///
    /// # Errors
    /// One sentence with cause and remedy.
    pub fn check(&self) -> Result<(), String> {
        Api::new(self.clone())?.check()
    }
}

fn set(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// A small text file without the white space around its text.
pub(crate) fn read(path: &Path) -> Result<String, String> {
    match fs::read_to_string(path) {
        Ok(text) if text.trim().is_empty() => Err(format!("{} is empty: is its volume mounted?", path.display())),
        Ok(text) => Ok(text.trim().to_owned()),
        Err(error) => Err(format!(
            "{} cannot be read ({error}): mount a service account's token (automountServiceAccountToken).",
            path.display()
        )),
    }
}

// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

//! Bearer keys and what each may do.
//!
//! The file is JSON, from a Secret: `{"keys": [{"name": "alice", "sha256": "…", "requests_per_minute": 60,
//! "concurrent": 4, "models": ["llama"]}]}`; the last three are limits that may be left out. It holds the keys'
//! SHA-256 in hexadecimal (`printf %s KEY | sha256sum`), never the keys. An empty list admits nobody. Without a file
//! the balancer is open until there is one.
//!
//! Each replica counts for itself ([`crate::config::KeyLimits`]).

mod file;
#[cfg(test)]
mod tests;
mod usage;

use crate::clock;
use crate::config::{seconds, Config};
use crate::Refusal;
use file::Key;
use sha2::{Digest, Sha256};
use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;
use usage::Usage;

/// The keys as the file has them.
pub struct Keys {
    path: PathBuf,
    replicas: u32,
    /// Seconds between two looks at the file.
    pause: f64,
    state: RefCell<State>,
}

#[derive(Default)]
struct State {
    admits: Admits,
    /// What was read or met last, so that each change is taken over, and each fault told, once.
    last: Option<Result<Vec<u8>, String>>,
}

#[derive(Default)]
enum Admits {
    /// There is no file.
    #[default]
    All,
    /// The file was unusable from the start.
    None,
    Keys(Vec<Entry>),
}

struct Entry {
    key: Key,
    usage: Rc<Usage>,
}

/// Who asks; frees its share of concurrency on drop.
pub struct Caller {
    /// The key's name; empty where no keys are set.
    pub name: String,
    models: Option<Rc<[String]>>,
    usage: Option<Rc<Usage>>,
}

impl Caller {
    /// The models that its key is limited to, for [`crate::routing::Ask::allowed`].
    pub fn models(&self) -> Option<&Rc<[String]>> {
        self.models.as_ref()
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        if let Some(usage) = &self.usage {
            usage.leave();
        }
    }
}

impl Keys {
    /// Reads the file of the configuration for the first time.
    pub fn new(config: &Config) -> Rc<Self> {
        let keys = Keys {
            path: config.files.keys.clone(),
            replicas: config.keys.replicas,
            pause: config.keys.reload,
            state: RefCell::default(),
        };
        keys.look();
        Rc::new(keys)
    }

    /// Admits the caller of a request by its `Authorization` header.
    ///
    /// # Errors
    /// 401 for an unknown key, 429 above a limit, 503 where the file is broken.
    pub fn authorise(&self, authorization: Option<&str>) -> Result<Caller, Refusal> {
        let state = self.state.borrow();
        let entries = match &state.admits {
            Admits::All => {
                return Ok(Caller {
                    name: String::new(),
                    models: None,
                    usage: None,
                })
            }
            Admits::None => {
                let message = "The balancer cannot read its keys; its log says why.";
                return Err(refuse(503, "keys_unreadable", message.into(), Some(60)));
            }
            Admits::Keys(entries) => entries,
        };
        let Some(token) = authorization.and_then(bearer) else {
            let message = "You didn't provide an API key. You need to provide your API key in an Authorization header \
                           using Bearer auth (i.e. Authorization: Bearer YOUR_KEY).";
            return Err(refuse(401, "missing_api_key", message.into(), None));
        };
        let hash: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        // All are compared, and each whole, so that the time tells nothing.
        let mut found = None;
        for entry in entries {
            if equal(&entry.key.sha256, &hash) {
                found = Some(entry);
            }
        }
        let Some(Entry { key, usage }) = found else {
            return Err(refuse(
                401,
                "invalid_api_key",
                "Incorrect API key provided.".into(),
                None,
            ));
        };
        usage.enter(key, self.replicas, clock::now())?;
        Ok(Caller {
            name: key.name.clone(),
            models: key.models.clone(),
            usage: Some(usage.clone()),
        })
    }

    /// Reads the file again whenever its content changes, for ever. Looks at the content, not at the time of the
    /// file: a Secret's volume swaps symbolic links.
    pub async fn reload(self: Rc<Self>) {
        loop {
            tokio::time::sleep(seconds(self.pause)).await;
            self.look();
        }
    }

    /// A broken or missing file leaves the last good keys in force.
    fn look(&self) {
        let mut state = self.state.borrow_mut();
        let open = matches!(state.admits, Admits::All);
        let read = if self.path.as_os_str().is_empty() {
            Err("no file is configured".into())
        } else {
            match std::fs::read(&self.path) {
                Ok(bytes) => Ok(bytes),
                Err(error) if open && error.kind() == std::io::ErrorKind::NotFound => {
                    Err("there is no file".into())
                }
                Err(error) => Err(format!("the file cannot be read ({error})")),
            }
        };
        if state.last.as_ref() == Some(&read) {
            return;
        }
        let path = self.path.display();
        let fault = match &read {
            Err(fault)
                if open && (fault == "there is no file" || fault == "no file is configured") =>
            {
                log::warn!("No bearer keys: {fault} ({path}); all who reach the port for clients are served.");
                None
            }
            Err(fault) => Some(fault.clone()),
            Ok(bytes) => match file::parse(bytes) {
                Ok(keys) => {
                    log::info!("{path}: {} bearer keys are in force.", keys.len());
                    state.admits = Admits::Keys(merge(keys, &state.admits));
                    None
                }
                Err(fault) => Some(fault),
            },
        };
        if let Some(fault) = fault {
            let then = if matches!(state.admits, Admits::Keys(_)) {
                "the keys before it stay in force"
            } else {
                // Whoever puts a file there means to close the door.
                state.admits = Admits::None;
                "nobody is admitted until it is mended"
            };
            log::error!("{path}: {fault}; {then}.");
        }
        state.last = Some(read);
    }
}

/// What a key has used stays with it when the file changes.
fn merge(keys: Vec<Key>, old: &Admits) -> Vec<Entry> {
    let old = match old {
        Admits::Keys(entries) => &entries[..],
        Admits::All | Admits::None => &[],
    };
    let usage = |key: &Key| {
        old.iter()
            .find(|entry| entry.key.name == key.name)
            .map(|entry| entry.usage.clone())
    };
    keys.into_iter()
        .map(|key| Entry {
            usage: usage(&key).unwrap_or_default(),
            key,
        })
        .collect()
}

/// The token of `Bearer <token>`.
fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.trim().split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

fn equal(one: &[u8; 32], other: &[u8; 32]) -> bool {
    let difference = one
        .iter()
        .zip(other)
        .fold(0, |difference, (one, other)| difference | (one ^ other));
    std::hint::black_box(difference) == 0
}

fn refuse(status: u16, code: &'static str, message: String, retry_after: Option<u32>) -> Refusal {
    Refusal {
        status,
        code,
        message,
        retry_after,
    }
}

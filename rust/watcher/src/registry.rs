// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0
//! The two-pod form: a balancer that does not watch is told each Service by the seed demo's API, as one address that
//! kube-proxy divides. `POST /api/register`, `DELETE /api/unregister/<name>`, `GET /api/services`, with a token.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch::Receiver;
use tokio::time::{sleep, timeout};

use crate::backoff::Backoff;
use crate::config::read;
use crate::http::{Connection, Exchange};
use crate::snapshot::{Kind, Snapshot};
use crate::stream::Stream;

/// How often the balancer is asked what it knows: one that was started anew knows nothing.
const LOOK: Duration = Duration::from_secs(5);
const ANSWER: Duration = Duration::from_secs(10);
const LIMIT: usize = 4 * 1024 * 1024;
/// The most that the balancer takes.
const SLOTS: u32 = 1024;

/// A balancer's registry.
pub struct Registry {
    url: String,
    authority: String,
    token_file: PathBuf,
    kept: Option<Connection>,
    /// What was registered last, since the balancer's list does not show all of it.
    sent: BTreeMap<String, Registration>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct Registration {
    name: String,
    weight: u32,
    ip: IpAddr,
    port: u16,
    model: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    aliases: Vec<String>,
    kind: Kind,
    #[serde(skip_serializing_if = "Option::is_none")]
    slots: Option<u32>,
}

/// An entry of `GET /api/services`.
#[derive(Deserialize)]
struct Listed {
    name: String,
    weight: u32,
    ip: Option<IpAddr>,
    port: Option<u16>,
    /// Only a [`REGISTRATION`] can be taken away, not what the balancer knows from elsewhere; the seed demo names none.
    #[serde(default = "registration")]
    source: String,
}

const REGISTRATION: &str = "registration";

fn registration() -> String {
    REGISTRATION.into()
}

impl Registry {
    /// `url` is `http://host:port` of the balancer's admin API.
    ///
    /// # Errors
    /// One sentence about an address that is none, or a token that is not there.
    pub fn new(url: &str, token_file: PathBuf) -> Result<Self, String> {
        let url = url.trim_end_matches('/');
        let authority = url.strip_prefix("http://").filter(|rest| {
            let port = rest.rsplit_once(':').map(|(_, port)| port.parse::<u16>());
            matches!(port, Some(Ok(_))) && !rest.contains('/')
        });
        let Some(authority) = authority else {
            return Err(format!(
                "'{url}' is no address of a balancer's admin API: give http://host:port."
            ));
        };
        read(&token_file).map_err(|_| no_token(&token_file))?;
        Ok(Self {
            url: url.to_owned(),
            authority: authority.to_owned(),
            token_file,
            kept: None,
            sent: BTreeMap::new(),
        })
    }

    /// Keeps the registry equal to the snapshots, for ever. Each new trouble is logged once, and its end.
    pub async fn keep(mut self, mut snapshots: Receiver<Snapshot>) -> ! {
        let mut backoff = Backoff::default();
        let mut complaint = String::new();
        let mut headless = String::new();
        loop {
            let wanted = {
                let snapshot = snapshots.borrow_and_update();
                tell(&mut headless, without_address(&snapshot));
                snapshot.synced.then(|| wanted(&snapshot))
            };
            let pause = match wanted {
                None => LOOK,
                Some(wanted) => match self.reconcile(&wanted).await {
                    Ok(()) => {
                        if !complaint.is_empty() {
                            log::info!("The balancer {} takes registrations again.", self.url);
                        }
                        complaint.clear();
                        backoff.reset();
                        LOOK
                    }
                    Err(sentence) => {
                        tell(&mut complaint, sentence);
                        self.kept = None;
                        backoff.next()
                    }
                },
            };
            let _ = timeout(pause, snapshots.changed()).await;
            if snapshots.has_changed().is_err() {
                sleep(pause).await; // nobody watches any more
            }
        }
    }

    /// Makes the registry equal; what one registration's trouble is does not keep the others from being made.
    async fn reconcile(&mut self, wanted: &BTreeMap<String, Registration>) -> Result<(), String> {
        let body = self.call("GET", "/api/services", b"").await?;
        let listed: Vec<Listed> = serde_json::from_slice(&body).map_err(|error| {
            format!(
                "{}/api/services cannot be read ({error}): is it the balancer?",
                self.url
            )
        })?;
        let listed: BTreeMap<_, _> = listed
            .iter()
            .map(|entry| (entry.name.as_str(), entry))
            .collect();
        let mut outcome = Ok(());
        for (name, registration) in wanted {
            let known = listed
                .get(name.as_str())
                .is_some_and(|entry| registration.is(entry));
            if known && self.sent.get(name) == Some(registration) {
                continue;
            }
            let body = serde_json::to_vec(registration).unwrap_or_default();
            match self.call("POST", "/api/register", &body).await {
                Ok(_) => {
                    let Registration {
                        weight, ip, port, ..
                    } = registration;
                    log::info!("Registered {name} at {ip}:{port} with weight {weight}.");
                    self.sent.insert(name.clone(), registration.clone());
                }
                Err(sentence) => outcome = Err(format!("{name}: {sentence}")),
            }
        }
        self.sent.retain(|name, _| wanted.contains_key(name));
        for (name, _) in listed
            .iter()
            .filter(|(name, entry)| entry.source == REGISTRATION && !wanted.contains_key(**name))
        {
            match self
                .call("DELETE", &format!("/api/unregister/{name}"), b"")
                .await
            {
                Ok(_) => {
                    log::info!("Unregistered {name}: the cluster has no such Service any more.")
                }
                Err(sentence) => outcome = Err(format!("{name}: {sentence}")),
            }
        }
        outcome
    }

    /// The answer's body, over the connection that was kept or a new one.
    async fn call(&mut self, method: &str, path: &str, body: &[u8]) -> Result<Vec<u8>, String> {
        let token = read(&self.token_file).map_err(|_| no_token(&self.token_file))?;
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {token}\r\nAccept: application/json\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            self.authority,
            body.len()
        );
        let request = [head.as_bytes(), body].concat();
        let kept = self.kept.take();
        let answer = async {
            // Each of these requests may be sent twice without harm.
            let mut exchange = match kept {
                Some(connection) => match connection.send(&request).await {
                    Ok(exchange) => exchange,
                    Err(_) => self.fresh(&request).await?,
                },
                None => self.fresh(&request).await?,
            };
            let body = exchange.whole(LIMIT).await?;
            Ok::<_, io::Error>((exchange.status, body, exchange.into_connection()))
        };
        let error = match timeout(ANSWER, answer).await {
            Ok(Ok((status, body, connection))) => {
                self.kept = connection;
                return self.judge(status, body);
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {} s", ANSWER.as_secs()),
        };
        Err(format!("The balancer {} does not answer ({error}): is it up, and may this pod reach its admin port?", self.url))
    }

    async fn fresh(&self, request: &[u8]) -> io::Result<Exchange> {
        Connection::new(Stream::connect(&self.authority, None).await?)
            .send(request)
            .await
    }

    fn judge(&self, status: u16, body: Vec<u8>) -> Result<Vec<u8>, String> {
        match status {
            200..=299 => Ok(body),
            401 | 403 => Err(format!(
                "The balancer {} does not accept the token in {} ({status}): mount the Secret that it has.",
                self.url,
                self.token_file.display()
            )),
            _ => Err(format!("The balancer {} answers {status}: {}", self.url, message(&body))),
        }
    }
}

impl Registration {
    fn is(&self, entry: &Listed) -> bool {
        (self.weight, Some(self.ip), Some(self.port)) == (entry.weight, entry.ip, entry.port)
    }
}

/// Logs a sentence that is not the one before.
fn tell(before: &mut String, sentence: String) {
    if *before != sentence {
        if !sentence.is_empty() {
            log::warn!("{sentence}");
        }
        *before = sentence;
    }
}

/// All Services with a ClusterIP; `slots` are those of all ready endpoints together, since the address stands for all.
fn wanted(snapshot: &Snapshot) -> BTreeMap<String, Registration> {
    let registration = |pool: &crate::Pool| {
        let address = snapshot.services.get(&pool.name)?;
        let ready = pool
            .endpoints
            .iter()
            .filter(|endpoint| endpoint.ready)
            .count() as u32;
        let registration = Registration {
            name: pool.name.clone(),
            weight: pool.weight,
            ip: address.ip(),
            port: address.port(),
            model: pool.model.clone(),
            aliases: pool.aliases.clone(),
            kind: pool.kind,
            slots: pool
                .slots
                .map(|slots| slots.saturating_mul(ready).clamp(1, SLOTS)),
        };
        Some((pool.name.clone(), registration))
    };
    snapshot.pools.iter().filter_map(registration).collect()
}

/// A sentence about Services that have nothing to register, or none.
fn without_address(snapshot: &Snapshot) -> String {
    let names = snapshot.pools.iter().map(|pool| pool.name.as_str());
    let names: Vec<_> = names
        .filter(|name| !snapshot.services.contains_key(*name))
        .collect();
    match names.is_empty() {
        true => String::new(),
        false => format!(
            "No ClusterIP to register: {}. Give these Services one and a TCP port, or let the balancer watch by itself.",
            names.join(", ")
        ),
    }
}

fn no_token(file: &std::path::Path) -> String {
    format!(
        "{} has no token: mount the Secret with the balancer's admin token.",
        file.display()
    )
}

/// The sentence in a balancer's error, or the beginning of what it said.
fn message(body: &[u8]) -> String {
    let json: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    match json["error"]["message"].as_str() {
        Some(message) => message.to_owned(),
        None => String::from_utf8_lossy(&body[..body.len().min(200)])
            .trim()
            .to_owned(),
    }
}

// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

//! Where pools come from: the configuration, the cluster's Services, and registrations by the admin API.

use super::Kind;
use crate::config::Config;
use crate::Refusal;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use wasinn_watcher::Snapshot;

/// Who told of a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    Config,
    Service,
    Registration,
}

/// A registration by the admin API, as the seed demo posts it: `name`, `weight`, `ip`, `port`; the rest is optional.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registration {
    /// Name of the pool.
    pub name: String,
    #[serde(default = "one")]
    pub weight: u32,
    pub ip: IpAddr,
    pub port: u16,
    /// Name that clients ask for; the pool's name by default.
    #[serde(default)]
    pub model: Option<String>,
    #[serde(default)]
    pub aliases: Vec<String>,
    #[serde(default)]
    pub kind: Kind,
    /// Requests at once; the setting `registered_slots` by default.
    #[serde(default)]
    pub slots: Option<u32>,
}

fn one() -> u32 {
    1
}

/// What a registration changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    Added,
    Updated,
    Unchanged,
}

/// A pool as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PoolSpec {
    pub name: String,
    pub model: String,
    pub aliases: Vec<String>,
    pub kind: Kind,
    pub weight: u32,
    pub slots: u32,
    pub source: Source,
    pub endpoints: Vec<wasinn_watcher::Endpoint>,
}

/// What each source said last.
#[derive(Debug, Default)]
pub(super) struct Sources {
    fixed: Vec<PoolSpec>,
    watched: Vec<PoolSpec>,
    registered: BTreeMap<String, Registration>,
    slots: u32,
    registered_slots: u32,
}

fn endpoint(address: SocketAddr) -> wasinn_watcher::Endpoint {
    wasinn_watcher::Endpoint {
        address,
        pod: String::new(),
        node: String::new(),
        ready: true,
        terminating: false,
    }
}

impl Sources {
    pub fn new(config: &Config) -> Self {
        let fixed = config.pools.iter().map(|pool| PoolSpec {
            name: pool.name.clone(),
            model: pool.model.clone().unwrap_or_else(|| pool.name.clone()),
            aliases: pool.aliases.clone(),
            kind: pool.kind,
            weight: pool.weight,
            slots: pool.slots.unwrap_or(config.slots),
            source: Source::Config,
            endpoints: pool.endpoints.iter().copied().map(endpoint).collect(),
        });
        Sources {
            fixed: fixed.collect(),
            slots: config.slots,
            registered_slots: config.registered_slots,
            ..Sources::default()
        }
    }

    pub fn watched(&mut self, snapshot: &Snapshot) {
        let pools = snapshot.pools.iter().map(|pool| PoolSpec {
            name: pool.name.clone(),
            model: pool.model.clone(),
            aliases: pool.aliases.clone(),
            kind: pool.kind,
            weight: pool.weight,
            slots: pool.slots.unwrap_or(self.slots),
            source: Source::Service,
            endpoints: pool.endpoints.clone(),
        });
        self.watched = pools.collect();
    }

    /// # Errors
    /// 400 for a registration that makes no sense, 409 for a name that is taken.
    pub fn register(&mut self, registration: Registration) -> Result<Change, Refusal> {
        let name = &registration.name;
        if name.is_empty() || registration.port == 0 {
            let message = "A registration needs a name, an ip and a port above 0.";
            return Err(refuse(400, "invalid_registration", message.into()));
        }
        self.own(name)?;
        Ok(
            match self.registered.insert(name.clone(), registration.clone()) {
                None => Change::Added,
                Some(old) if old == registration => Change::Unchanged,
                Some(_) => Change::Updated,
            },
        )
    }

    /// # Errors
    /// 404 for a name that is not registered, 409 for one that comes from elsewhere.
    pub fn unregister(&mut self, name: &str) -> Result<(), Refusal> {
        if self.registered.remove(name).is_some() {
            return Ok(());
        }
        self.own(name)?;
        Err(refuse(
            404,
            "not_registered",
            format!("No pool `{name}` is registered; /api/services lists what there is."),
        ))
    }

    fn own(&self, name: &str) -> Result<(), Refusal> {
        let remedy = if self.watched.iter().any(|pool| pool.name == name) {
            "the cluster's Service of that name; take its label `llamaedge/target` away first, or choose another name"
        } else if self.fixed.iter().any(|pool| pool.name == name) {
            "the configuration file; change it there, or choose another name"
        } else {
            return Ok(());
        };
        Err(refuse(
            409,
            "name_taken",
            format!("The pool `{name}` comes from {remedy}."),
        ))
    }

    /// All pools, each name once: the configuration goes before Services, and those before registrations.
    pub fn pools(&self) -> Vec<PoolSpec> {
        let mut pools = self.fixed.clone();
        let registered = self.registered.values().map(|registration| PoolSpec {
            name: registration.name.clone(),
            model: registration
                .model
                .clone()
                .unwrap_or_else(|| registration.name.clone()),
            aliases: registration.aliases.clone(),
            kind: registration.kind,
            weight: registration.weight,
            slots: registration.slots.unwrap_or(self.registered_slots),
            source: Source::Registration,
            endpoints: vec![endpoint(SocketAddr::new(
                registration.ip,
                registration.port,
            ))],
        });
        for pool in self.watched.iter().cloned().chain(registered) {
            if pools.iter().all(|other| other.name != pool.name) {
                pools.push(pool);
            }
        }
        pools
    }
}

fn refuse(status: u16, code: &'static str, message: String) -> Refusal {
    Refusal {
        status,
        code,
        message,
        retry_after: None,
    }
}

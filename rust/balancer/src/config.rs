// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

//! The configuration: one TOML file. Each setting stands once, with its documentation and its default; from there
//! come the types, [`Config::default`] and the text of `balancer --print-defaults`.

use crate::routing::Kind;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

#[cfg(test)]
mod tests;

/// Declares a table of settings: its type, its defaults and its lines in `--print-defaults`.
macro_rules! settings {
    ($(#[doc = $about:literal])+ $name:ident { $($(#[doc = $doc:literal])* $field:ident: $type:ty = $default:expr;)* }) => {
        $(#[doc = $about])+
        #[derive(Debug, Clone, PartialEq, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct $name { $($(#[doc = $doc])* pub $field: $type,)* }

        impl Default for $name {
            fn default() -> Self {
                $name { $($field: $default,)* }
            }
        }

        impl $name {
            fn print_settings(&self, out: &mut String) {
                $(self.$field.print(&[$($doc),*], stringify!($field), out);)*
            }
        }

        impl Setting for $name {
            fn print(&self, _: &[&str], name: &str, out: &mut String) {
                out.push('\n');
                comment(&[$($about),+], out);
                out.push_str(&format!("[{name}]\n"));
                self.print_settings(out);
            }
        }
    };
}

settings! {
    /// Addresses that are listened on.
    Listen {
        /// Clients: `/v1/*` and nothing else.
        http: SocketAddr = any(8080);
        /// Kubelet and Prometheus: `/healthz`, `/readyz`, `/metrics`, `/drained`. Shows no secrets.
        ops: SocketAddr = any(9090);
        /// Admin API and status page; each call needs the admin token.
        admin: SocketAddr = any(9091);
    }
}

settings! {
    /// What a client may send; more is refused.
    Limits {
        /// Bytes of a request line with its headers.
        head: usize = 32 << 10;
        /// Headers of a request, by number.
        headers: usize = 100;
        /// Bytes of a request's body.
        body: usize = 16 << 20;
        /// Client connections at once.
        connections: usize = 4096;
    }
}

settings! {
    /// Seconds, fractions allowed.
    Timeouts {
        /// Seconds from a request's first byte to the end of its head.
        header: f64 = 10.0;
        /// Seconds between two reads of a request's body, and between two writes to a client.
        body: f64 = 30.0;
        /// Seconds for a connection to an endpoint; with `health` it decides how soon a lost node is noticed.
        connect: f64 = 1.0;
        /// Seconds from the request sent to the first byte of the response: a long answer that is not streamed
        /// comes as a whole.
        first_byte: f64 = 300.0;
        /// Seconds between two reads of a response.
        idle: f64 = 60.0;
        /// Seconds of a client's connection between two requests.
        keep_alive: f64 = 75.0;
        /// Seconds in a pool's queue.
        queue: f64 = 30.0;
    }
}

settings! {
    /// What keeps related requests on one endpoint, for its prompt cache. The header goes first; without both, the
    /// least busy endpoint answers. Pools are divided by weight all the same.
    Affinity {
        /// Name of a request header whose value keeps requests together, for example "x-session-id"; "" is off.
        header: Option<String> = None;
        /// Bytes of the messages' beginning that keep requests together; 0 is off.
        prefix: usize = 0;
    }
}

settings! {
    /// Health of endpoints. With these defaults a node that is gone is noticed within 8 s: at most `interval` until
    /// the next check, `timeouts.connect`, `recheck`, and `timeouts.connect` again; sooner where a request meets it.
    Health {
        /// Seconds between active checks of an endpoint; 0 turns them off. An idle endpoint is asked for /v1/models;
        /// at a busy one a connection is opened and closed, since llama-api-server answers one request at a time.
        interval: f64 = 5.0;
        /// Seconds from a failed check to the next.
        recheck: f64 = 1.0;
        /// Seconds for the answer of a check. Silence is no failure: the endpoint may work for another balancer.
        timeout: f64 = 2.0;
        /// Failed checks in a row that eject an endpoint.
        failures: u32 = 2;
        /// Responses with status 5xx in a row that eject an endpoint, unless it is its pool's last usable one.
        errors: u32 = 3;
        /// Seconds of an endpoint's first ejection; each further one doubles, until it has answered a request.
        eject_min: f64 = 1.0;
        /// Seconds of the longest ejection.
        eject_max: f64 = 60.0;
        /// An endpoint that turns unready while it works on a request of ours goes on taking its turn: its probe went
        /// unanswered because it was busy. False believes the probe.
        trust_busy: bool = true;
    }
}

settings! {
    /// Files that come from Secrets.
    Files {
        /// Bearer keys, JSON (docs of `keys`); "" or a missing file leaves the balancer open to all who reach it.
        keys: PathBuf = "/etc/balancer/keys/keys.json".into();
        /// The admin API's token.
        admin_token: PathBuf = "/etc/balancer/admin/token".into();
    }
}

settings! {
    /// The limits of bearer keys.
    KeyLimits {
        /// Replicas that a key's limits are divided by. Each replica counts for itself: with 1, N replicas let N times
        /// as much pass in the worst case; with N, a client whose connections meet one replica only gets an Nth.
        replicas: u32 = 1;
        /// Seconds between two looks at the keys' file; a change counts from the next on.
        reload: f64 = 2.0;
    }
}

/// A pool that is there from the start, without a cluster: `[[pools]]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StaticPool {
    /// Name of the pool, unlike any other's.
    pub name: String,
    /// Name that clients ask for; the pool's name by default.
    pub model: Option<String>,
    /// Other names of the model.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// "chat" or "embedding".
    #[serde(default)]
    pub kind: Kind,
    /// Share of requests among pools.
    #[serde(default = "one")]
    pub weight: u32,
    /// Requests that an endpoint takes at once; `slots` of the whole file by default, 0 is no limit.
    pub slots: Option<u32>,
    /// Addresses with port.
    pub endpoints: Vec<SocketAddr>,
}

/// Which requests are logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AccessLog {
    All,
    /// Status 400 and above, and those that broke off.
    Errors,
    Off,
}

settings! {
    /// Every setting; what the file leaves out has its default.
    Config {
        /// Watch the Services of the pod's own namespace that carry `llamaedge/target=true`. False: only `pools` and
        /// registrations by the admin API.
        watch: bool = true;
        /// Model of requests that name none; "" divides them by weight among all pools of their kind.
        default_model: Option<String> = None;
        /// Attempts at other endpoints after the first, as long as no byte of a response came.
        retries: u32 = 2;
        /// Requests that an endpoint takes at once where its Service does not say (`llamaedge/slots`); 0 is no limit.
        slots: u32 = 1;
        /// The same for registrations by the admin API, whose address may stand for many pods.
        registered_slots: u32 = 0;
        /// Requests that wait in a pool's queue; further ones get status 429.
        queue: usize = 64;
        /// Which requests are logged, one line of JSON each on standard output: "all", "errors" or "off".
        access_log: AccessLog = AccessLog::All;
        listen: Listen = Listen::default();
        limits: Limits = Limits::default();
        timeouts: Timeouts = Timeouts::default();
        affinity: Affinity = Affinity::default();
        health: Health = Health::default();
        files: Files = Files::default();
        keys: KeyLimits = KeyLimits::default();
        pools: Vec<StaticPool> = Vec::new();
    }
}

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// One sentence where it cannot be read, or a setting is unknown, of a wrong type or out of range.
    pub fn load(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            format!(
                "{} cannot be read ({error}): is the ConfigMap mounted?",
                path.display()
            )
        })?;
        Self::parse(&text).map_err(|error| format!("{}{error}", path.display()))
    }

    /// As [`Config::load`], from text; the sentence begins after the file's name.
    pub fn parse(text: &str) -> Result<Self, String> {
        let config: Config = toml::from_str(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start.min(text.len()));
            let line = text[..at].matches('\n').count() + 1;
            let setting = text.lines().nth(line - 1).unwrap_or_default().trim();
            let message = error.message().trim_end().replace('\n', ", ");
            format!(" line {line} (`{setting}`): {message}; `balancer --print-defaults` shows every setting.")
        })?;
        config.check().map_err(|error| format!(": {error}"))?;
        Ok(config)
    }

    /// What types cannot say.
    fn check(&self) -> Result<(), String> {
        let Timeouts {
            header,
            body,
            connect,
            first_byte,
            idle,
            keep_alive,
            queue,
        } = self.timeouts;
        let health = &self.health;
        let seconds = [
            ("timeouts.header", header),
            ("timeouts.body", body),
            ("timeouts.connect", connect),
            ("timeouts.first_byte", first_byte),
            ("timeouts.idle", idle),
            ("timeouts.keep_alive", keep_alive),
            ("timeouts.queue", queue),
            ("keys.reload", self.keys.reload),
            ("health.recheck", health.recheck),
            ("health.timeout", health.timeout),
            ("health.eject_min", health.eject_min),
            ("health.eject_max", health.eject_max),
        ];
        for (name, value) in seconds {
            if !(0.001..=MAX_SECONDS).contains(&value) {
                return Err(format!(
                    "{name} is {value}, but has to be from 0.001 to {MAX_SECONDS} seconds."
                ));
            }
        }
        if !(0.0..=MAX_SECONDS).contains(&health.interval) {
            return Err(format!(
                "health.interval is {}, but has to be from 0 (off) to {MAX_SECONDS} seconds.",
                health.interval
            ));
        }
        if health.eject_min > health.eject_max {
            return Err("health.eject_min is above health.eject_max: exchange them.".into());
        }
        for (name, value) in [
            ("health.failures", health.failures as usize),
            ("health.errors", health.errors as usize),
            ("keys.replicas", self.keys.replicas as usize),
            ("limits.head", self.limits.head),
            ("limits.headers", self.limits.headers),
            ("limits.body", self.limits.body),
            ("limits.connections", self.limits.connections),
        ] {
            if value == 0 {
                return Err(format!("{name} is 0, but has to be at least 1."));
            }
        }
        for (at, pool) in self.pools.iter().enumerate() {
            if pool.name.is_empty() {
                return Err("a pool of `pools` has an empty name: give it one.".into());
            }
            if self.pools[..at].iter().any(|other| other.name == pool.name) {
                return Err(format!(
                    "two pools are named `{}`: rename one; pools of one model share `model`.",
                    pool.name
                ));
            }
        }
        Ok(())
    }

    /// The text of `balancer --print-defaults`: a file with every setting, what it means, and its default.
    pub fn defaults() -> String {
        let mut out = String::from("# The balancer's settings with their defaults.\n");
        Config::default().print_settings(&mut out);
        out
    }
}

/// A day: what is longer is a mistake in the unit.
const MAX_SECONDS: f64 = 86_400.0;

/// Seconds of the file as a duration.
pub fn seconds(value: f64) -> Duration {
    Duration::from_secs_f64(value)
}

fn any(port: u16) -> SocketAddr {
    SocketAddr::from(([0, 0, 0, 0], port))
}

fn one() -> u32 {
    1
}

/// How a setting's default is printed.
trait Setting {
    fn print(&self, docs: &[&str], name: &str, out: &mut String);
}

macro_rules! scalars {
    ($($type:ty),+) => {
        $(impl Setting for $type {
            fn print(&self, docs: &[&str], name: &str, out: &mut String) {
                comment(docs, out);
                // JSON's strings, numbers and booleans are TOML's as well.
                let value = serde_json::to_string(self).unwrap_or_default();
                out.push_str(&format!("{name} = {value}\n"));
            }
        })+
    };
}
scalars!(SocketAddr, PathBuf, String, bool, u32, usize, f64, AccessLog);

impl Setting for Option<String> {
    fn print(&self, docs: &[&str], name: &str, out: &mut String) {
        self.clone().unwrap_or_default().print(docs, name, out);
    }
}

impl Setting for Vec<StaticPool> {
    fn print(&self, _: &[&str], name: &str, out: &mut String) {
        out.push_str(&format!(
            "\n# Pools that are there from the start, without a cluster; any number of them:\n\
             # [[{name}]]\n\
             # name = \"llama-a\"               # unlike any other pool's\n\
             # model = \"llama\"                # what clients ask for; the pool's name by default\n\
             # aliases = []                   # other names of the model\n\
             # kind = \"chat\"                  # or \"embedding\"\n\
             # weight = 1                     # share of requests; 0: only by the model's name, and if it stands alone\n\
             # slots = 1                      # requests at once at each endpoint; 0 is no limit\n\
             # endpoints = [\"10.0.0.1:8080\"]\n"
        ));
    }
}

fn comment(docs: &[&str], out: &mut String) {
    for line in docs {
        out.push_str(&format!("#{line}\n"));
    }
}

// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

//! What `POST /api/register` takes: the seed demo's `{name, weight, ip, port}`, and more where it is wanted.

use crate::routing::{Kind, Registration};
use serde::Deserialize;
use std::net::{IpAddr, SocketAddr};

/// A Kubernetes name has up to 63 characters, a model's name may have more.
const NAME: usize = 63;
const MODEL: usize = 128;
/// A share in thousandths of thousandths is enough, and sums stay far from overflow.
const WEIGHT: u32 = 1_000_000;
const SLOTS: u32 = 1024;
const ALIASES: usize = 16;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    name: String,
    #[serde(default = "one")]
    weight: u32,
    ip: Option<String>,
    port: Option<u16>,
    model: Option<String>,
    #[serde(default)]
    aliases: Vec<String>,
    #[serde(default)]
    kind: Kind,
    slots: Option<u32>,
}

fn one() -> u32 {
    1
}

/// Reads and checks a registration.
///
/// # Errors
/// One sentence with cause and remedy.
pub fn parse(body: &[u8]) -> Result<Registration, String> {
    let body: Body = serde_json::from_slice(body).map_err(|error| {
        format!("The registration does not read: {error}; send {{\"name\", \"weight\", \"ip\", \"port\"}}, and if wanted \"model\", \"aliases\", \"kind\" (chat or embedding) and \"slots\".")
    })?;
    if !is_name(&body.name, NAME) {
        return Err(format!(
            "name is {:?}; give 1 to {NAME} letters, digits, '-', '_' or '.'.",
            body.name
        ));
    }
    if let Some(model) = body
        .model
        .iter()
        .chain(&body.aliases)
        .find(|model| !is_model(model))
    {
        return Err(format!(
            "A model or alias is {model:?}; give 1 to {MODEL} printable characters."
        ));
    }
    if body.aliases.len() > ALIASES {
        return Err(format!(
            "There are {} aliases; give up to {ALIASES}.",
            body.aliases.len()
        ));
    }
    if body.weight > WEIGHT {
        return Err(format!("weight is {}; give 0 to {WEIGHT}.", body.weight));
    }
    if let Some(slots) = body.slots.filter(|slots| *slots > SLOTS) {
        return Err(format!("slots is {slots}; give 0 (no limit) to {SLOTS}."));
    }
    let address = address(&body, |name| std::env::var(name).ok())?;
    let Body {
        name,
        weight,
        model,
        aliases,
        kind,
        slots,
        ..
    } = body;
    Ok(Registration {
        name,
        weight,
        ip: address.ip(),
        port: address.port(),
        model,
        aliases,
        kind,
        slots,
    })
}

/// Where the service is: `ip` and `port`; without `ip` what Kubernetes put into the environment for a Service of that
/// name, which is where the seed demo looked.
fn address(body: &Body, env: impl Fn(&str) -> Option<String>) -> Result<SocketAddr, String> {
    let variable = body.name.to_uppercase().replace('-', "_");
    let (ip, port) = match &body.ip {
        Some(ip) => (ip.clone(), body.port),
        None => {
            let host = env(&format!("{variable}_SERVICE_HOST")).ok_or_else(|| {
                format!("ip is missing, and {variable}_SERVICE_HOST is not in the environment; give ip and port.")
            })?;
            (
                host,
                body.port
                    .or_else(|| env(&format!("{variable}_SERVICE_PORT"))?.parse().ok()),
            )
        }
    };
    let address: IpAddr = ip.parse().map_err(|_| {
        format!("ip is {ip:?}, which is no IP address; give one such as 10.43.0.7.")
    })?;
    if !is_reachable(address) {
        return Err(format!(
            "ip is {address}, where no pod or Service can be; give its unicast address."
        ));
    }
    match port {
        None => Err("port is missing; give the service's port, such as 8080.".into()),
        Some(0) => Err("port is 0; give 1 to 65535.".into()),
        Some(port) => Ok(SocketAddr::new(address, port)),
    }
}

fn is_name(name: &str, limit: usize) -> bool {
    (1..=limit).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

fn is_model(model: &str) -> bool {
    (1..=MODEL).contains(&model.len()) && !model.chars().any(char::is_control)
}

/// Unicast, and not the link's own (cloud machines' metadata service is there).
fn is_reachable(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            !(v4.is_unspecified()
                || v4.is_multicast()
                || v4.is_broadcast()
                || v4.is_link_local()
                || v4.octets()[0] == 0)
                && v4.octets()[0] < 240
        }
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => is_reachable(IpAddr::V4(v4)),
            None => !(v6.is_unspecified() || v6.is_multicast() || v6.is_unicast_link_local()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seed_demos_form_and_ours() {
        let seed =
            parse(br#"{"name":"llama-low","weight":3,"ip":"10.43.0.7","port":8080}"#).unwrap();
        assert_eq!(
            (seed.name.as_str(), seed.weight, seed.port),
            ("llama-low", 3, 8080)
        );
        assert_eq!(seed.ip, IpAddr::from([10, 43, 0, 7]));
        assert_eq!((seed.model, seed.slots), (None, None));
        let ours = parse(br#"{"name":"e","weight":0,"ip":"fd00::1","port":1,"model":"m","kind":"embedding","slots":4}"#).unwrap();
        assert!(
            ours.kind == Kind::Embedding
                && ours.slots == Some(4)
                && ours.model.as_deref() == Some("m")
        );
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (body, word) in [
            ("", "does not read"),
            ("[]", "does not read"),
            (
                r#"{"name":"a","weight":-1,"ip":"10.0.0.1","port":1}"#,
                "does not read",
            ),
            (
                r#"{"name":"a","weight":1,"ip":"10.0.0.1","port":70000}"#,
                "does not read",
            ),
            (
                r#"{"name":"a","weight":1,"ip":"10.0.0.1","port":1,"priority":2}"#,
                "priority",
            ),
            (
                r#"{"name":"","weight":1,"ip":"10.0.0.1","port":1}"#,
                "name is",
            ),
            (
                r#"{"name":"a/../b","weight":1,"ip":"10.0.0.1","port":1}"#,
                "name is",
            ),
            (
                r#"{"name":"a","weight":9000000,"ip":"10.0.0.1","port":1}"#,
                "weight is",
            ),
            (
                r#"{"name":"a","weight":1,"ip":"localhost","port":1}"#,
                "no IP address",
            ),
            (
                r#"{"name":"a","weight":1,"ip":"224.0.0.1","port":1}"#,
                "unicast",
            ),
            (
                r#"{"name":"a","weight":1,"ip":"0.0.0.0","port":1}"#,
                "unicast",
            ),
            (
                r#"{"name":"a","weight":1,"ip":"169.254.169.254","port":80}"#,
                "unicast",
            ),
            (
                r#"{"name":"a","weight":1,"ip":"::ffff:255.255.255.255","port":80}"#,
                "unicast",
            ),
            (
                r#"{"name":"a","weight":1,"ip":"fe80::1","port":80}"#,
                "unicast",
            ),
            (
                r#"{"name":"a","weight":1,"ip":"10.0.0.1","port":0}"#,
                "port is 0",
            ),
            (
                r#"{"name":"a","weight":1,"ip":"10.0.0.1"}"#,
                "port is missing",
            ),
            (r#"{"name":"a","weight":1}"#, "A_SERVICE_HOST"),
            (
                r#"{"name":"a","weight":1,"ip":"10.0.0.1","port":1,"slots":9999}"#,
                "slots is",
            ),
            (
                r#"{"name":"a","weight":1,"ip":"10.0.0.1","port":1,"model":""}"#,
                "model or alias is",
            ),
            (
                r#"{"name":"a","weight":1,"ip":"10.0.0.1","port":1,"aliases":["a\nb"]}"#,
                "model or alias is",
            ),
        ] {
            let Err(said) = parse(body.as_bytes()) else {
                panic!("{body} was taken")
            };
            assert!(said.contains(word), "{body}: {said}");
        }
    }

    #[test]
    fn without_ip_the_environment_knows() {
        let body: Body = serde_json::from_str(r#"{"name":"llama-low-cost","weight":1}"#).unwrap();
        let env = |name: &str| match name {
            "LLAMA_LOW_COST_SERVICE_HOST" => Some("10.43.1.1".into()),
            "LLAMA_LOW_COST_SERVICE_PORT" => Some("8080".into()),
            _ => None,
        };
        assert_eq!(address(&body, env), Ok(([10, 43, 1, 1], 8080).into()));
    }
}

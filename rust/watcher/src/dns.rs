// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0
//! Names as addresses, by what the kubelet gives to each pod: `/etc/hosts` and `/etc/resolv.conf`. WASI itself has no
//! resolver; WasmEdge's asks the host's C library, which stops the whole program meanwhile and wants files that a
//! pod's root does not have. Here DNS (RFC 1035) goes over TCP, which cluster DNS serves as well as UDP.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::backoff::chance;

const PORT: u16 = 53;
/// For each server and name.
const PATIENCE: Duration = Duration::from_secs(2);
const A: u16 = 1;
const AAAA: u16 = 28;
const INTERNET: u16 = 1;

/// What `/etc/resolv.conf` says.
#[derive(Debug, PartialEq)]
struct Resolver {
    servers: Vec<IpAddr>,
    search: Vec<String>,
    ndots: usize,
}

/// All addresses of `host:port`, which may be addresses already.
pub(crate) async fn resolve(authority: &str) -> io::Result<Vec<SocketAddr>> {
    if let Ok(address) = authority.parse() {
        return Ok(vec![address]);
    }
    let (host, port) = authority.rsplit_once(':').unwrap_or((authority, ""));
    let port = port
        .parse()
        .map_err(|_| io::Error::other(format!("'{authority}' has no port")))?;
    let addresses = match hosts(&read("/etc/hosts"), host) {
        Some(address) => vec![address],
        None => {
            Resolver::parse(&read("/etc/resolv.conf"))
                .lookup(host)
                .await?
        }
    };
    Ok(addresses
        .into_iter()
        .map(|address| SocketAddr::new(address, port))
        .collect())
}

fn read(file: &str) -> String {
    std::fs::read_to_string(file).unwrap_or_default()
}

fn hosts(text: &str, name: &str) -> Option<IpAddr> {
    text.lines().find_map(|line| {
        let mut words = line.split('#').next()?.split_whitespace();
        let address = words.next()?.parse().ok()?;
        words
            .any(|word| word.eq_ignore_ascii_case(name))
            .then_some(address)
    })
}

impl Resolver {
    fn parse(text: &str) -> Self {
        let mut resolver = Self {
            servers: vec![],
            search: vec![],
            ndots: 1,
        };
        for line in text.lines() {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => resolver
                    .servers
                    .extend(words.next().and_then(|word| word.parse::<IpAddr>().ok())),
                Some("search") => resolver.search = words.map(str::to_owned).collect(),
                Some("options") => {
                    let ndots = words
                        .filter_map(|word| word.strip_prefix("ndots:")?.parse().ok())
                        .next_back();
                    resolver.ndots = ndots.unwrap_or(resolver.ndots);
                }
                _ => {}
            }
        }
        resolver
    }

    /// The full names that a short one may mean, the likeliest first.
    fn candidates(&self, name: &str) -> Vec<String> {
        if let Some(full) = name.strip_suffix('.') {
            return vec![full.to_owned()];
        }
        let mut names: Vec<_> = self
            .search
            .iter()
            .map(|domain| format!("{name}.{}", domain.trim_end_matches('.')))
            .collect();
        match name.matches('.').count() >= self.ndots {
            true => names.insert(0, name.to_owned()),
            false => names.push(name.to_owned()),
        }
        names
    }

    async fn lookup(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let mut trouble = io::Error::other("/etc/resolv.conf names no server");
        for server in &self.servers {
            match timeout(PATIENCE, self.ask(*server, name)).await {
                Ok(Ok(addresses)) if !addresses.is_empty() => return Ok(addresses),
                Ok(Ok(_)) => {
                    return Err(io::Error::new(
                        io::ErrorKind::NotFound,
                        format!("there is no host '{name}'"),
                    ))
                }
                Ok(Err(error)) => {
                    trouble = io::Error::other(format!("DNS server {server}: {error}"))
                }
                Err(_) => {
                    trouble = io::Error::other(format!("DNS server {server} does not answer"))
                }
            }
        }
        Err(trouble)
    }

    /// One connection for all names, A before AAAA; empty where the server knows none of them.
    async fn ask(&self, server: IpAddr, name: &str) -> io::Result<Vec<IpAddr>> {
        let mut stream = TcpStream::connect(SocketAddr::new(server, PORT)).await?;
        for name in self.candidates(name) {
            for kind in [A, AAAA] {
                let id = (chance() * f64::from(u16::MAX)) as u16;
                let query = query(id, &name, kind)
                    .ok_or_else(|| io::Error::other("a name that cannot be"))?;
                stream.write_all(&query).await?;
                let mut message = vec![0; usize::from(stream.read_u16().await?)];
                stream.read_exact(&mut message).await?;
                let found = answers(&message, id)
                    .ok_or_else(|| io::Error::other("an answer that cannot be read"))?;
                if !found.is_empty() {
                    return Ok(found);
                }
            }
        }
        Ok(vec![])
    }
}

/// A question with its length before it, as TCP wants it; none for a name that DNS cannot have.
fn query(id: u16, name: &str, kind: u16) -> Option<Vec<u8>> {
    let mut message = Vec::new();
    for word in [id, 0x0100 /* recursion desired */, 1, 0, 0, 0] {
        message.extend(word.to_be_bytes());
    }
    for label in name.split('.') {
        let length = u8::try_from(label.len())
            .ok()
            .filter(|length| (1..64).contains(length))?;
        message.push(length);
        message.extend(label.as_bytes());
    }
    message.push(0);
    message.extend(kind.to_be_bytes());
    message.extend(INTERNET.to_be_bytes());
    let length = u16::try_from(message.len()).ok()?;
    Some([&length.to_be_bytes()[..], &message].concat())
}

/// The addresses in an answer: none of them where the name does not exist; `None` for an error or a broken message.
fn answers(message: &[u8], id: u16) -> Option<Vec<IpAddr>> {
    let word = |at: usize| {
        Some(u16::from_be_bytes([
            *message.get(at)?,
            *message.get(at + 1)?,
        ]))
    };
    const NO_SUCH_NAME: u16 = 3;
    if word(0)? != id || word(2)? & 0x8000 == 0 {
        return None;
    }
    match word(2)? & 0xf {
        0 => {}
        NO_SUCH_NAME => return Some(vec![]),
        _ => return None,
    }
    let mut at = 12;
    for _ in 0..word(4)? {
        at = past_name(message, at)? + 4;
    }
    let mut found = Vec::new();
    for _ in 0..word(6)? {
        at = past_name(message, at)?;
        let (kind, length) = (word(at)?, usize::from(word(at + 8)?));
        let data = message.get(at + 10..at + 10 + length)?;
        match kind {
            A => found.push(Ipv4Addr::from(<[u8; 4]>::try_from(data).ok()?).into()),
            AAAA => found.push(Ipv6Addr::from(<[u8; 16]>::try_from(data).ok()?).into()),
            _ => {} // CNAME: what it leads to follows
        }
        at += 10 + length;
    }
    Some(found)
}

/// Behind a name, which ends with an empty label or a pointer.
fn past_name(message: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *message.get(at)? {
            0 => return Some(at + 1),
            length if length >= 0xc0 => return Some(at + 2),
            length => at += usize::from(length) + 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Recorded from CoreDNS 1.14: an A record, and a name that does not exist (with a SOA record).
    const FOUND: &[u8] = b"\x12\x34\x85\x00\x00\x01\x00\x01\x00\x00\x00\x00\x0cbalancer-ops\x09llamaedge\x03svc\x07cluster\x05local\
        \x00\x00\x01\x00\x01\x0cbalancer-ops\x09llamaedge\x03svc\x07cluster\x05local\x00\x00\x01\x00\x01\x00\x00\x00\x05\x00\x04\x0a+EG";
    const MISSING: &[u8] = b"\x12\x34\x85\x03\x00\x01\x00\x00\x00\x01\x00\x00\x07nothing\x09llamaedge\x03svc\x07cluster\x05local\
        \x00\x00\x01\x00\x01\x07cluster\x05local\x00\x00\x06\x00\x01\x00\x00\x00\x05\x00D\x02ns\x03dns\x07cluster\x05local\
        \x00\x0ahostmaster\x07cluster\x05local\x00k\x04\x80 \x00\x00\x1c \x00\x00\x07\x08\x00\x01Q\x80\x00\x00\x00\x05";

    #[test]
    fn answers_that_were_recorded() {
        assert_eq!(answers(FOUND, 0x1234), Some(vec![[10, 43, 69, 71].into()]));
        assert_eq!(answers(MISSING, 0x1234), Some(vec![]));
        assert_eq!(
            answers(FOUND, 0x4321),
            None,
            "an answer to another question"
        );
        for length in 0..FOUND.len() {
            assert_eq!(
                answers(&FOUND[..length], 0x1234),
                None,
                "cut after {length}"
            );
        }
        let mut refused = FOUND.to_vec();
        refused[3] = 5;
        assert_eq!(answers(&refused, 0x1234), None);
    }

    #[test]
    fn a_pointer_ends_a_name() {
        let mut message = query(7, "a.b", AAAA).unwrap()[2..].to_vec();
        message[2] = 0x81; // an answer, of two records
        message[7] = 2;
        message.extend(b"\xc0\x0c\x00\x05\x00\x01\x00\x00\x00\x05\x00\x02\xc0\x0e"); // CNAME b
        message.extend(
            b"\xc0\x0e\x00\x1c\x00\x01\x00\x00\x00\x05\x00\x10\xfd\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x07",
        );
        assert_eq!(answers(&message, 7), Some(vec!["fd00::7".parse().unwrap()]));
    }

    #[test]
    fn questions() {
        let asked = query(0x1234, "balancer-ops.llamaedge.svc.cluster.local", A).unwrap();
        assert!(
            FOUND[12..].starts_with(&asked[14..]),
            "the recorded answer repeats the question"
        );
        assert_eq!(usize::from(asked[1]), asked.len() - 2);
        for name in ["", "a..b", &"x".repeat(64)] {
            assert_eq!(query(1, name, A), None, "{name}");
        }
    }

    #[test]
    fn names_as_kubernetes_means_them() {
        let text = "search llamaedge.svc.cluster.local svc.cluster.local cluster.local\nnameserver 10.43.0.10\noptions ndots:5\n";
        let resolver = Resolver::parse(text);
        assert_eq!(resolver.servers, ["10.43.0.10".parse::<IpAddr>().unwrap()]);
        let names = resolver.candidates("balancer-ops");
        assert_eq!(
            names.first().unwrap(),
            "balancer-ops.llamaedge.svc.cluster.local"
        );
        assert_eq!(names.last().unwrap(), "balancer-ops");
        assert_eq!(
            resolver.candidates("b.example.com.").as_slice(),
            ["b.example.com"]
        );
        assert_eq!(resolver.candidates("a.b.c.d.e.f")[0], "a.b.c.d.e.f");
        assert_eq!(Resolver::parse("").candidates("a"), ["a"]);
    }

    #[test]
    fn hosts_come_first() {
        let text = "# made by the kubelet\n127.0.0.1\tlocalhost\nfe00::0 ip6-localnet\n10.0.0.9 b B.example.com # two\n";
        assert_eq!(hosts(text, "localhost"), Some([127, 0, 0, 1].into()));
        assert_eq!(hosts(text, "b.example.com"), Some([10, 0, 0, 9].into()));
        assert_eq!(hosts(text, "two"), None);
    }
}

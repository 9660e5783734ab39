// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0
//! The command line.

use std::collections::HashMap;

pub const USAGE: &str = "\
Keeps a balancer's registry equal to the Services labelled llamaedge/target=true and their endpoints.

Usage: watcher --balancer http://HOST:PORT --token-file FILE
       watcher --print

  --balancer URL        the balancer's admin API
  --token-file FILE     its token
  --print               writes each snapshot as a line of JSON to standard output instead
  --api URL             API server, where this is no pod: https://HOST:PORT
  --ca-file FILE        its CA certificates (PEM)
  --api-token-file FILE a service account's token
  --namespace NAME      whose Services
  --selector LABELS     other than llamaedge/target=true
  --verbose             logs more
  --help, --version

In a pod, KUBERNETES_SERVICE_HOST and the service account's volume say the rest. The service account needs a Role
with list and watch on services and on endpointslices.discovery.k8s.io.";

const OPTIONS: [&str; 7] = [
    "--balancer",
    "--token-file",
    "--api",
    "--ca-file",
    "--api-token-file",
    "--namespace",
    "--selector",
];
const FLAGS: [&str; 4] = ["--print", "--verbose", "--help", "--version"];

/// What was asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Args {
    flags: Vec<String>,
    options: HashMap<String, String>,
}

impl Args {
    /// # Errors
    /// One sentence about what cannot be.
    pub fn parse(words: impl IntoIterator<Item = String>) -> Result<Self, String> {
        let mut args = Self::default();
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            let (name, value) = match word.split_once('=') {
                Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                None => (word, None),
            };
            if FLAGS.contains(&name.as_str()) && value.is_none() {
                args.flags.push(name);
            } else if OPTIONS.contains(&name.as_str()) {
                let value = value
                    .or_else(|| words.next())
                    .filter(|value| !value.is_empty());
                let value = value.ok_or_else(|| format!("{name} needs a value; see --help."))?;
                args.options.insert(name, value);
            } else {
                return Err(format!("'{name}' is no option; see --help."));
            }
        }
        let asks = ["--print", "--help", "--version"]
            .iter()
            .any(|flag| args.flag(flag));
        match asks || (args.option("--balancer").is_some() && args.option("--token-file").is_some())
        {
            true => Ok(args),
            false => Err("Give --balancer and --token-file, or --print; see --help.".into()),
        }
    }

    pub fn flag(&self, name: &str) -> bool {
        self.flags.iter().any(|flag| flag == name)
    }

    pub fn option(&self, name: &str) -> Option<&str> {
        self.options.get(name).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Args, String> {
        Args::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn values_come_both_ways() {
        let args = parse("--balancer http://b:9091 --token-file=/t --verbose").unwrap();
        assert_eq!(args.option("--balancer"), Some("http://b:9091"));
        assert_eq!(args.option("--token-file"), Some("/t"));
        assert!(args.flag("--verbose") && !args.flag("--print"));
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (line, word) in [
            ("", "--balancer and --token-file"),
            ("--balancer http://b:1", "--token-file"),
            ("--balancer", "needs a value"),
            ("--print --token-file=", "needs a value"),
            ("--print --once", "--once"),
            ("--print=yes", "--print"),
        ] {
            let said = parse(line).expect_err(line);
            assert!(said.contains(word), "{line}: {said}");
        }
    }
}

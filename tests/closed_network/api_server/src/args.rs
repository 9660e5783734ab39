// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

//! The command line of llama-api-server 0.28 (options and defaults as its README lists them), for one chat
//! model: of comma-separated pairs (chat, embedding) the first value counts.

use crate::sampling::Sampling;
use crate::template::Template;
use serde_json::{Map, Value};
use std::net::SocketAddr;

/// What the command line asks for.
#[derive(Debug)]
pub enum Command {
    Serve(Box<Args>),
    /// `--help`, `--version`: print this and end well.
    Print(String),
}

/// Everything the server needs to start.
#[derive(Debug, Clone)]
pub struct Args {
    pub model_name: String,
    pub model_alias: String,
    pub template: Template,
    pub address: SocketAddr,
    pub sampling: Sampling,
    pub include_usage: bool,
    /// Options of the `wasi_nn` plugin, under its own names, given with the load and with every request.
    pub plugin_options: Map<String, Value>,
}

const USAGE: &str = "Usage: llama-api-server.wasm --prompt-template NAME [--model-name NAME] [--model-alias ALIAS] \
[--ctx-size N] [--batch-size N] [--n-predict N] [--n-gpu-layers N] [--threads N] [--temp T] [--top-p P] \
[--repeat-penalty R] [--presence-penalty P] [--frequency-penalty F] [--reverse-prompt TEXT] \
[--socket-addr IP:PORT | --port PORT] [--include-usage] and the other options of llama-api-server 0.28";

/// Reads the words after the program's name.
pub fn parse(words: impl IntoIterator<Item = String>) -> Result<Command, String> {
    let mut words = words.into_iter();
    let mut name = String::from("default");
    let mut alias = String::from("default");
    let mut template = None;
    let mut socket = None;
    let mut port = None;
    let mut sampling = Sampling::default();
    let mut include_usage = false;
    let mut plugin = Map::new();
    for (key, value) in [
        ("ctx-size", 4096),
        ("batch-size", 512),
        ("n-gpu-layers", 100),
        ("threads", 2),
    ] {
        plugin.insert(key.into(), value.into());
    }

    while let Some(word) = words.next() {
        let (option, inline) = match word.split_once('=') {
            Some((option, value)) if option.starts_with("--") => {
                (option.to_string(), Some(value.to_string()))
            }
            _ => (word, None),
        };
        let option = long_name(&option);
        match option {
            "--help" => return Ok(Command::Print(USAGE.into())),
            "--version" => {
                return Ok(Command::Print(
                    concat!("llama-api-server stand-in ", env!("CARGO_PKG_VERSION")).into(),
                ))
            }
            "--log-prompts" | "--log-stat" | "--log-all" => continue,
            "--include-usage" => {
                include_usage = true;
                continue;
            }
            _ => {}
        }
        let value = inline
            .or_else(|| words.next())
            .ok_or_else(|| format!("option '{option}' needs a value; {USAGE}"))?;
        let first = value.split(',').next().unwrap_or_default();
        let key = option.trim_start_matches("--");
        match option {
            "--model-name" => name = first.into(),
            "--model-alias" => alias = first.into(),
            "--prompt-template" => template = Some(first.parse::<Template>()?),
            "--socket-addr" => {
                socket = Some(
                    value
                        .parse()
                        .map_err(|_| wrong(option, &value, "an address such as 0.0.0.0:8080"))?,
                )
            }
            "--port" => port = Some(number::<u16>(option, &value)?),
            "--n-predict" => {
                sampling.max_tokens = usize::try_from(number::<i64>(option, &value)?).ok()
            }
            "--temp" => sampling.temperature = number(option, &value)?,
            "--top-p" => sampling.top_p = number(option, &value)?,
            "--repeat-penalty" => sampling.repeat_penalty = number(option, &value)?,
            "--presence-penalty" => sampling.presence_penalty = number(option, &value)?,
            "--frequency-penalty" => sampling.frequency_penalty = number(option, &value)?,
            "--reverse-prompt" => sampling.stop.push(value),
            "--ctx-size" | "--batch-size" | "--ubatch-size" | "--n-gpu-layers" | "--threads"
            | "--main-gpu" => {
                plugin.insert(key.into(), number::<u64>(option, first)?.into());
            }
            "--tensor-split" | "--split-mode" | "--grammar" | "--json-schema" => {
                plugin.insert(key.into(), value.into());
            }
            "--no-mmap" => {
                plugin.insert("use-mmap".into(), (value != "true").into());
            }
            "--web-ui" | "--llava-mmproj" => {}
            _ => return Err(format!("unknown option '{option}'; {USAGE}")),
        }
    }

    let template = template.ok_or_else(|| format!("--prompt-template is missing; {USAGE}"))?;
    let address = match (socket, port) {
        (Some(_), Some(_)) => {
            return Err("--socket-addr and --port exclude each other; give one of them".into())
        }
        (Some(address), None) => address,
        (None, port) => SocketAddr::from(([0, 0, 0, 0], port.unwrap_or(8080))),
    };
    Ok(Command::Serve(Box::new(Args {
        model_name: name,
        model_alias: alias,
        template,
        address,
        sampling,
        include_usage,
        plugin_options: plugin,
    })))
}

fn long_name(option: &str) -> &str {
    match option {
        "-m" => "--model-name",
        "-a" => "--model-alias",
        "-c" => "--ctx-size",
        "-b" => "--batch-size",
        "-u" => "--ubatch-size",
        "-p" => "--prompt-template",
        "-r" => "--reverse-prompt",
        "-n" => "--n-predict",
        "-g" => "--n-gpu-layers",
        "-h" => "--help",
        "-V" => "--version",
        other => other,
    }
}

fn number<T: std::str::FromStr>(option: &str, value: &str) -> Result<T, String> {
    value
        .parse()
        .map_err(|_| wrong(option, value, "a number in its range"))
}

fn wrong(option: &str, value: &str, wanted: &str) -> String {
    format!("{option} is '{value}'; give {wanted}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn serve(line: &str) -> Result<Args, String> {
        match parse(line.split_whitespace().map(str::to_string))? {
            Command::Serve(args) => Ok(*args),
            Command::Print(text) => Err(text),
        }
    }

    #[test]
    fn the_collections_options_are_read() {
        let args = serve(
            "--prompt-template chatml --model-name smollm2 --model-alias=chat --ctx-size 2048 --batch-size 256 \
             --n-predict 128 --n-gpu-layers 0 --threads 4 --temp 0.5 --socket-addr 0.0.0.0:9000 --log-prompts --log-stat",
        )
        .unwrap();
        assert_eq!(
            (args.model_name.as_str(), args.model_alias.as_str()),
            ("smollm2", "chat")
        );
        assert_eq!(args.address.to_string(), "0.0.0.0:9000");
        assert_eq!(args.sampling.max_tokens, Some(128));
        assert_eq!(args.sampling.temperature, 0.5);
        for (key, value) in [
            ("ctx-size", 2048),
            ("batch-size", 256),
            ("n-gpu-layers", 0),
            ("threads", 4),
        ] {
            assert_eq!(args.plugin_options[key], value);
        }
    }

    #[test]
    fn pairs_give_their_first_value_and_minus_one_means_no_limit() {
        let args =
            serve("-p chatml,embedding -m chat,embed -c 4096,384 -n -1 --port 81 -g 7").unwrap();
        assert_eq!(
            (args.model_name.as_str(), args.address.port()),
            ("chat", 81)
        );
        assert_eq!(args.plugin_options["ctx-size"], 4096);
        assert_eq!(args.plugin_options["n-gpu-layers"], 7);
        assert_eq!(args.sampling.max_tokens, None);
    }

    #[test]
    fn mistakes_are_named() {
        for (line, part) in [
            ("", "--prompt-template is missing"),
            ("-p no-such", "no-such"),
            ("-p chatml --port 99999", "99999"),
            ("-p chatml --port 1 --socket-addr 0.0.0.0:2", "exclude"),
            ("-p chatml --nonsense 1", "--nonsense"),
            ("-p chatml --temp", "needs a value"),
        ] {
            let error = serve(line).unwrap_err();
            assert!(error.contains(part), "{line}: {error}");
        }
    }
}

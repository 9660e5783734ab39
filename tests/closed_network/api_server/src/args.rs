// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

//! The command line of llama-api-server 0.28 (options and defaults as its README lists them): a chat model, an
//! embedding model, or both as comma-separated pairs, chat first.

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

/// A model that the runtime has preloaded.
#[derive(Debug, Clone)]
pub struct Model {
    /// What clients call it.
    pub name: String,
    /// What the preload calls it.
    pub alias: String,
    pub template: Template,
    /// Options of the `wasi_nn` plugin, under its own names, given with the load and with every request.
    pub options: Map<String, Value>,
}

/// Everything the server needs to start; one of the two models at least.
#[derive(Debug, Clone)]
pub struct Args {
    pub chat: Option<Model>,
    pub embedding: Option<Model>,
    pub address: SocketAddr,
    pub sampling: Sampling,
    pub include_usage: bool,
}

const USAGE: &str = "Usage: llama-api-server.wasm --prompt-template NAME [--model-name NAME] [--model-alias ALIAS] \
[--ctx-size N] [--batch-size N] [--n-predict N] [--n-gpu-layers N] [--threads N] [--temp T] [--top-p P] \
[--repeat-penalty R] [--presence-penalty P] [--frequency-penalty F] [--reverse-prompt TEXT] \
[--socket-addr IP:PORT | --port PORT] [--include-usage] and the other options of llama-api-server 0.28";

/// Options of which a chat and an embedding model have one each.
struct Pairs {
    name: String,
    alias: String,
    template: Option<String>,
    ctx_size: String,
    batch_size: String,
    ubatch_size: String,
}

impl Default for Pairs {
    fn default() -> Self {
        Self {
            name: "default".into(),
            alias: "default,embedding".into(),
            template: None,
            ctx_size: "4096,384".into(),
            batch_size: "512,512".into(),
            ubatch_size: "512,512".into(),
        }
    }
}

impl Pairs {
    fn place(&mut self, option: &str) -> Option<&mut String> {
        Some(match option {
            "--model-name" => &mut self.name,
            "--model-alias" => &mut self.alias,
            "--prompt-template" => self.template.get_or_insert_with(String::new),
            "--ctx-size" => &mut self.ctx_size,
            "--batch-size" => &mut self.batch_size,
            "--ubatch-size" => &mut self.ubatch_size,
            _ => return None,
        })
    }

    /// The models, in the order of their templates; `options` are those that all have in common.
    fn models(&self, options: &Map<String, Value>) -> Result<Vec<Model>, String> {
        let templates = self
            .template
            .as_ref()
            .ok_or_else(|| format!("--prompt-template is missing; {USAGE}"))?;
        let templates: Vec<&str> = templates.split(',').collect();
        let names = self.name.split(',').count();
        if names != templates.len() || names > 2 {
            return Err(format!(
                "there are {names} model names and {} prompt templates; give one of each a model, and two models at most",
                templates.len()
            ));
        }
        let nth = |option: &str, values: &str, index: usize| {
            values.split(',').nth(index).map(str::to_string).ok_or_else(|| {
                format!("{option} is '{values}', but there are two models; give it as a pair: chat,embedding")
            })
        };
        let mut models = Vec::new();
        for (index, template) in templates.into_iter().enumerate() {
            let template: Template = template.parse()?;
            let mut options = options.clone();
            for (option, values) in [
                ("--ctx-size", &self.ctx_size),
                ("--batch-size", &self.batch_size),
                ("--ubatch-size", &self.ubatch_size),
            ] {
                let value = nth(option, values, index)?;
                options.insert(
                    option.trim_start_matches("--").into(),
                    number::<u64>(option, &value)?.into(),
                );
            }
            options.insert("embedding".into(), (template == Template::Embedding).into());
            models.push(Model {
                name: nth("--model-name", &self.name, index)?,
                alias: nth("--model-alias", &self.alias, index)?,
                template,
                options,
            });
        }
        Ok(models)
    }
}

/// Reads the words after the program's name.
pub fn parse(words: impl IntoIterator<Item = String>) -> Result<Command, String> {
    let mut words = words.into_iter();
    let mut pairs = Pairs::default();
    let mut socket = None;
    let mut port = None;
    let mut sampling = Sampling::default();
    let mut include_usage = false;
    let mut common = Map::new();
    for (key, value) in [("n-gpu-layers", 100), ("threads", 2)] {
        common.insert(key.into(), value.into());
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
        if let Some(place) = pairs.place(option) {
            *place = value;
            continue;
        }
        let key = option.trim_start_matches("--");
        match option {
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
            "--n-gpu-layers" | "--threads" | "--main-gpu" => {
                common.insert(key.into(), number::<u64>(option, &value)?.into());
            }
            "--tensor-split" | "--split-mode" | "--grammar" | "--json-schema" => {
                common.insert(key.into(), value.into());
            }
            "--no-mmap" => {
                common.insert("use-mmap".into(), (value != "true").into());
            }
            "--web-ui" | "--llava-mmproj" => {}
            _ => return Err(format!("unknown option '{option}'; {USAGE}")),
        }
    }

    let (mut chat, mut embedding) = (None, None);
    for (index, model) in pairs.models(&common)?.into_iter().enumerate() {
        match (index, model.template == Template::Embedding) {
            (0, false) => chat = Some(model),
            (_, true) if embedding.is_none() => embedding = Some(model),
            _ => return Err("of two models the first is for chat and the second has the prompt template 'embedding'".into()),
        }
    }
    let address = match (socket, port) {
        (Some(_), Some(_)) => {
            return Err("--socket-addr and --port exclude each other; give one of them".into())
        }
        (Some(address), None) => address,
        (None, port) => SocketAddr::from(([0, 0, 0, 0], port.unwrap_or(8080))),
    };
    Ok(Command::Serve(Box::new(Args {
        chat,
        embedding,
        address,
        sampling,
        include_usage,
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
        assert_eq!(args.address.to_string(), "0.0.0.0:9000");
        assert_eq!(args.sampling.max_tokens, Some(128));
        assert_eq!(args.sampling.temperature, 0.5);
        assert!(args.embedding.is_none());
        let chat = args.chat.unwrap();
        assert_eq!(
            (chat.name.as_str(), chat.alias.as_str()),
            ("smollm2", "chat")
        );
        assert_eq!(chat.options["embedding"], false);
        for (key, value) in [
            ("ctx-size", 2048),
            ("batch-size", 256),
            ("n-gpu-layers", 0),
            ("threads", 4),
        ] {
            assert_eq!(chat.options[key], value);
        }
    }

    #[test]
    fn pairs_are_a_chat_and_an_embedding_model_and_minus_one_means_no_limit() {
        let args =
            serve("-p chatml,embedding -m chat,embed -c 4096,512 -n -1 --port 81 -g 7").unwrap();
        assert_eq!(args.address.port(), 81);
        assert_eq!(args.sampling.max_tokens, None);
        let (chat, embedding) = (args.chat.unwrap(), args.embedding.unwrap());
        assert_eq!(
            (chat.name.as_str(), chat.alias.as_str()),
            ("chat", "default")
        );
        assert_eq!(
            (embedding.name.as_str(), embedding.alias.as_str()),
            ("embed", "embedding")
        );
        assert_eq!(chat.options["ctx-size"], 4096);
        assert_eq!(embedding.options["ctx-size"], 512);
        assert_eq!(embedding.options["embedding"], true);
        assert_eq!(embedding.options["n-gpu-layers"], 7);
    }

    #[test]
    fn an_embedding_model_alone_takes_the_first_of_each() {
        let args = serve("-p embedding -m minilm -a default -c 384").unwrap();
        assert!(args.chat.is_none());
        let embedding = args.embedding.unwrap();
        assert_eq!(embedding.alias, "default");
        assert_eq!(embedding.options["ctx-size"], 384);
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
            ("-p chatml,embedding -m one", "1 model names and 2"),
            ("-p chatml,embedding -m a,b -c 512", "a pair"),
            ("-p chatml,chatml -m a,b", "the second has"),
            ("-p embedding,chatml -m a,b", "the first is for chat"),
            ("-p chatml -c many", "'many'"),
        ] {
            let error = serve(line).unwrap_err();
            assert!(error.contains(part), "{line}: {error}");
        }
    }
}

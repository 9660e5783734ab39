// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

//! Command line of the probe: `--prompt TEXT --max-tokens N --alias NAME --threads N --gpu-layers N`,
//! or `--environment NAME` and `--read PATH`, each any number of times.

/// What to ask and of which model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Args {
    /// Given to the model as it is: no chat template.
    pub prompt: String,
    /// Upper limit of generated tokens, at least 1.
    pub max_tokens: usize,
    /// Name under which the runtime preloaded the model.
    pub alias: String,
    /// Threads that compute, at least 1.
    pub threads: usize,
    /// Layers of the model to put onto a GPU; with any, llama.cpp's log goes to stderr, which tells how many it put there.
    pub gpu_layers: usize,
    /// Names of variables and paths of files to look at, in place of asking a model.
    pub environment: Vec<String>,
    pub read: Vec<String>,
}

impl Default for Args {
    fn default() -> Self {
        Self {
            prompt: "The capital of France is".into(),
            max_tokens: 16,
            alias: "default".into(),
            // llama.cpp's threads wait for each other spinning: on a busy machine two were 30 times slower
            // than one (measured on 2 cores), and a probe has to be quick anywhere.
            threads: 1,
            gpu_layers: 0,
            environment: Vec::new(),
            read: Vec::new(),
        }
    }
}

/// Reads the options after the program's name; `--name value` and `--name=value` are the same.
pub fn parse(words: impl IntoIterator<Item = String>) -> Result<Args, String> {
    let mut args = Args::default();
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        let (name, inline) = match word.split_once('=') {
            Some((name, value)) => (name.to_string(), Some(value.to_string())),
            None => (word, None),
        };
        let mut value = || {
            inline
                .clone()
                .or_else(|| words.next())
                .ok_or_else(|| format!("option {name} needs a value; give it as '{name} VALUE'"))
        };
        match name.as_str() {
            "--prompt" => args.prompt = value()?,
            "--alias" => args.alias = value()?,
            "--max-tokens" => args.max_tokens = positive(&name, &value()?)?,
            "--threads" => args.threads = positive(&name, &value()?)?,
            "--gpu-layers" => args.gpu_layers = positive(&name, &value()?)?,
            "--environment" => args.environment.push(value()?),
            "--read" => args.read.push(value()?),
            other => {
                return Err(format!(
                    "unknown option '{other}'; known are --prompt TEXT, --max-tokens N, --alias NAME, --threads N, --gpu-layers N, --environment NAME and --read PATH"
                ))
            }
        }
    }
    if args.prompt.is_empty() {
        return Err("the prompt is empty; give --prompt some text".into());
    }
    Ok(args)
}

fn positive(name: &str, text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|number| *number > 0)
        .ok_or_else(|| format!("{name} is '{text}'; give a whole number of 1 or more"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &[&str]) -> Result<Args, String> {
        parse(words.iter().map(|w| w.to_string()))
    }

    #[test]
    fn defaults_need_no_option() {
        assert_eq!(read(&[]), Ok(Args::default()));
    }

    #[test]
    fn both_spellings_are_read() {
        let args = read(&["--prompt", "2 + 2 =", "--max-tokens=3", "--alias=chat"]).unwrap();
        assert_eq!(
            (args.prompt.as_str(), args.max_tokens, args.alias.as_str()),
            ("2 + 2 =", 3, "chat")
        );
    }

    #[test]
    fn what_to_look_at_may_be_several() {
        let args = read(&["--read", "/dev/a", "--read=/dev/b", "--environment=A"]).unwrap();
        assert_eq!(
            (args.read.len(), args.environment),
            (2, vec!["A".to_string()])
        );
    }

    #[test]
    fn mistakes_are_named() {
        assert!(read(&["--max-tokens", "0"]).unwrap_err().contains("'0'"));
        assert!(read(&["--threads=x"])
            .unwrap_err()
            .contains("--threads is 'x'"));
        assert!(read(&["--prompt"]).unwrap_err().contains("needs a value"));
        assert!(read(&["--promt", "x"]).unwrap_err().contains("--promt"));
        assert!(read(&["--prompt="]).unwrap_err().contains("empty"));
    }
}

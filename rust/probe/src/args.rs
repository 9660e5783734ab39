// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

//! Command line of the probe: `--prompt TEXT --max-tokens N --alias NAME`.

/// What to ask and of which model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Args {
    /// Given to the model as it is: no chat template.
    pub prompt: String,
    /// Upper limit of generated tokens, at least 1.
    pub max_tokens: usize,
    /// Name under which the runtime preloaded the model.
    pub alias: String,
}

impl Default for Args {
    fn default() -> Self {
        Self {
            prompt: "The capital of France is".into(),
            max_tokens: 16,
            alias: "default".into(),
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
            "--max-tokens" => {
                let text = value()?;
                args.max_tokens = text.parse().ok().filter(|n| *n > 0).ok_or_else(|| {
                    format!("--max-tokens is '{text}'; give a whole number of 1 or more")
                })?;
            }
            other => {
                return Err(format!(
                    "unknown option '{other}'; known are --prompt TEXT, --max-tokens N and --alias NAME"
                ))
            }
        }
    }
    if args.prompt.is_empty() {
        return Err("the prompt is empty; give --prompt some text".into());
    }
    Ok(args)
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
        assert_eq!((args.prompt.as_str(), args.max_tokens, args.alias.as_str()), ("2 + 2 =", 3, "chat"));
    }

    #[test]
    fn mistakes_are_named() {
        assert!(read(&["--max-tokens", "0"]).unwrap_err().contains("'0'"));
        assert!(read(&["--prompt"]).unwrap_err().contains("needs a value"));
        assert!(read(&["--promt", "x"]).unwrap_err().contains("--promt"));
        assert!(read(&["--prompt="]).unwrap_err().contains("empty"));
    }
}

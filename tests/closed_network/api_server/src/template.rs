// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

//! Chat messages to prompt text, by the names that llama-api-server gives its prompt templates.

use std::str::FromStr;

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    System,
    User,
    Assistant,
}

/// The prompt formats that the stand-in knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Template {
    /// `<|im_start|>role … <|im_end|>`: SmolLM2, Qwen and many others.
    Chatml,
    Llama3,
    Gemma,
    /// The messages' text, one below the other.
    Plain,
    /// Not for talking: the model's answer to a text is a vector.
    Embedding,
}

impl FromStr for Template {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "chatml" => Ok(Self::Chatml),
            "llama-3-chat" => Ok(Self::Llama3),
            "gemma-instruct" => Ok(Self::Gemma),
            "none" => Ok(Self::Plain),
            "embedding" => Ok(Self::Embedding),
            _ => Err(format!(
                "prompt template '{name}' is not known to this stand-in; give chatml, llama-3-chat, gemma-instruct, embedding or none"
            )),
        }
    }
}

impl Template {
    pub fn name(self) -> &'static str {
        match self {
            Self::Chatml => "chatml",
            Self::Llama3 => "llama-3-chat",
            Self::Gemma => "gemma-instruct",
            Self::Plain => "none",
            Self::Embedding => "embedding",
        }
    }

    /// Text that ends an answer, where the model's own end token does not.
    pub fn stop(self) -> Option<&'static str> {
        match self {
            Self::Chatml => Some("<|im_end|>"),
            Self::Llama3 => Some("<|eot_id|>"),
            Self::Gemma => Some("<end_of_turn>"),
            Self::Plain | Self::Embedding => None,
        }
    }

    /// The whole conversation, ending where the assistant has to go on. The begin-of-text token is left to
    /// the plugin, which knows whether the model wants one.
    pub fn prompt(self, messages: &[(Role, String)]) -> String {
        let mut prompt = String::new();
        for (role, text) in messages {
            let text = text.trim();
            prompt += &match self {
                Self::Chatml => format!(
                    "<|im_start|>{}\n{text}<|im_end|>\n",
                    role_name(*role, "assistant")
                ),
                Self::Llama3 => format!(
                    "<|start_header_id|>{}<|end_header_id|>\n\n{text}<|eot_id|>",
                    role_name(*role, "assistant")
                ),
                // Gemma has no system role; its instructions stand in a turn of the user.
                Self::Gemma => {
                    let role = if *role == Role::System {
                        Role::User
                    } else {
                        *role
                    };
                    format!(
                        "<start_of_turn>{}\n{text}<end_of_turn>\n",
                        role_name(role, "model")
                    )
                }
                Self::Plain | Self::Embedding => format!("{text}\n"),
            };
        }
        prompt
            + match self {
                Self::Chatml => "<|im_start|>assistant\n",
                Self::Llama3 => "<|start_header_id|>assistant<|end_header_id|>\n\n",
                Self::Gemma => "<start_of_turn>model\n",
                Self::Plain | Self::Embedding => "",
            }
    }
}

fn role_name(role: Role, assistant: &'static str) -> &'static str {
    match role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => assistant,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn talk() -> Vec<(Role, String)> {
        vec![
            (Role::System, "Be brief. ".into()),
            (Role::User, "Hello".into()),
        ]
    }

    #[test]
    fn chatml_marks_every_turn_and_opens_the_answer() {
        assert_eq!(
            Template::Chatml.prompt(&talk()),
            "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n"
        );
    }

    #[test]
    fn gemma_calls_the_assistant_model_and_has_no_system() {
        let mut talk = talk();
        talk.push((Role::Assistant, "Hi".into()));
        assert_eq!(
            Template::Gemma.prompt(&talk),
            "<start_of_turn>user\nBe brief.<end_of_turn>\n<start_of_turn>user\nHello<end_of_turn>\n\
             <start_of_turn>model\nHi<end_of_turn>\n<start_of_turn>model\n"
        );
    }

    #[test]
    fn names_lead_to_templates_and_back() {
        for name in [
            "chatml",
            "llama-3-chat",
            "gemma-instruct",
            "embedding",
            "none",
        ] {
            assert_eq!(name.parse::<Template>().unwrap().name(), name);
        }
        assert!("moxin-chat"
            .parse::<Template>()
            .unwrap_err()
            .contains("'moxin-chat'"));
    }
}

// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

//! Paths as labels: a short list, whatever clients ask for.

/// llama-api-server's and OpenAI's routes; a path below one of them counts as that one.
const KNOWN: [&str; 14] = [
    "/v1/audio/speech",
    "/v1/audio/transcriptions",
    "/v1/audio/translations",
    "/v1/chat/completions",
    "/v1/chunks",
    "/v1/completions",
    "/v1/create/rag",
    "/v1/embeddings",
    "/v1/files",
    "/v1/images",
    "/v1/info",
    "/v1/models",
    "/v1/responses",
    "/v1/retrieve",
];

/// The route that `path` (without a query) belongs to, or `other`.
pub fn route(path: &str) -> &'static str {
    KNOWN
        .into_iter()
        .find(|known| {
            path.strip_prefix(known)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
        .unwrap_or("other")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_strange_paths_make_no_new_routes() {
        assert_eq!(route("/v1/chat/completions"), "/v1/chat/completions");
        assert_eq!(route("/v1/files/file-123/content"), "/v1/files");
        assert_eq!(route("/v1/modelsX"), "other");
        assert_eq!(route("/"), "other");
    }
}

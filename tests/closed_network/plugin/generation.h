// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

// One conversation with a model: prompt in, tokens out one by one, on one KV cache.
#pragma once

#include "model.h"

#include <memory>
#include <string>
#include <vector>

namespace wasinn {

class Generation {
public:
  Generation(std::shared_ptr<Model> TheModel, const Options &Opts) : TheModel(std::move(TheModel)), Opts(Opts) {}

  Errno setPrompt(const std::string &Text);
  Errno setOptions(const std::string &Json);

  // The whole answer at once.
  Errno compute();
  // One token; EndOfSequence and ContextFull say that there are no more.
  Errno computeSingle();
  // Forget a half-read answer.
  void finishSingle();

  const std::string &output() const { return Output; }
  const std::string &lastPiece() const { return Piece; }
  // Upstream's counters: {"input_tokens", "output_tokens", "llama_commit", "llama_build_number"}.
  std::string metadata() const;

private:
  struct FreeContext {
    void operator()(llama_context *Context) const { llama_free(Context); }
  };

  Errno open();                    // a fresh answer: context, empty KV cache, prompt evaluated
  Errno next(llama_token &Token);  // sample, and evaluate the token before
  Errno evaluate(const llama_token *Tokens, std::size_t Count);
  Errno embed();
  llama_token sample();
  bool reachedReversePrompt() const;

  std::shared_ptr<Model> TheModel;
  Options Opts;
  Options ContextOpts; // what Context was made for
  std::unique_ptr<llama_context, FreeContext> Context;
  std::vector<llama_token> Prompt;
  std::vector<llama_token> Answer;
  int32_t Position = 0; // tokens in the KV cache
  bool Started = false;
  std::string Output;
  std::string Piece;
};

} // namespace wasinn

// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

#include "generation.h"

#include "json.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <sched.h>

namespace wasinn {

namespace {

// Half of the processors this process may run on, which is about its physical cores. llama.cpp's threads wait for each
// other by spinning, so that one too many costs far more than one too few: on a busy machine seconds a token.
uint32_t defaultThreads() {
  cpu_set_t Set;
  CPU_ZERO(&Set);
  const int Count = sched_getaffinity(0, sizeof(Set), &Set) == 0 ? CPU_COUNT(&Set) : 1;
  return static_cast<uint32_t>(std::max(1, Count / 2));
}

constexpr std::size_t PenaltyWindow = 64; // tokens; llama.cpp's own default

} // namespace

Errno Generation::setPrompt(const std::string &Text) {
  finishSingle();
  Prompt = TheModel->tokenize(Text);
  Answer.clear();
  Output.clear();
  if (Prompt.empty()) {
    return fail(Errno::InvalidArgument, "GGML backend: Error: the prompt has no tokens.");
  }
  return Errno::Success;
}

Errno Generation::setOptions(const std::string &Json) {
  const auto Before = Opts;
  const auto Result = Opts.update(Json);
  if (Result == Errno::Success && (Before.NGpuLayers != Opts.NGpuLayers || Before.UseMmap != Opts.UseMmap)) {
    return fail(Errno::UnsupportedOperation, "GGML backend: Error: n-gpu-layers and use-mmap belong to the model; give "
                                             "them when the graph is built.");
  }
  return Result;
}

Errno Generation::open() {
  finishSingle();
  Answer.clear();
  Output.clear();
  if (Prompt.empty()) {
    return fail(Errno::InvalidArgument, "GGML backend: Error: compute before set_input.");
  }
  if (!Context || !ContextOpts.sameContext(Opts)) {
    auto Params = llama_context_default_params();
    Params.n_ctx = Opts.CtxSize; // 0: as long as the model was trained for
    Params.n_batch = Opts.BatchSize;
    Params.n_ubatch = Opts.UBatchSize;
    Params.n_threads = Params.n_threads_batch = Opts.Threads != 0 ? Opts.Threads : defaultThreads();
    Params.seed = Opts.Seed;
    Params.embeddings = Opts.Embedding;
    Context.reset(); // the old one first: both together may not fit
    Context.reset(llama_new_context_with_model(TheModel->raw(), Params));
    if (!Context) {
      return fail(Errno::RuntimeError, "GGML backend: Error: unable to init context; ctx-size " +
                                           std::to_string(Opts.CtxSize) + " needs more memory than there is.");
    }
    ContextOpts = Opts;
  }
  llama_kv_cache_clear(Context.get());
  if (Opts.Seed != 0xFFFFFFFFU) {
    llama_set_rng_seed(Context.get(), Opts.Seed); // the same answer to the same question, every time
  }
  Position = 0;
  if (Prompt.size() >= llama_n_ctx(Context.get())) {
    return fail(Errno::PromptTooLong, "GGML backend: Error: the prompt is too long. Your input has " +
                                          std::to_string(Prompt.size()) + " tokens. Please reduce it to less than " +
                                          std::to_string(llama_n_ctx(Context.get())) + " or raise ctx-size.");
  }
  return Errno::Success;
}

Errno Generation::evaluate(const llama_token *Tokens, std::size_t Count) {
  const std::size_t Batch = llama_n_batch(Context.get());
  while (Count > 0) {
    const auto Part = std::min(Count, Batch);
    // llama.cpp takes a mutable pointer but only reads.
    const auto Code = llama_decode(Context.get(), llama_batch_get_one(const_cast<llama_token *>(Tokens),
                                                                      static_cast<int32_t>(Part), Position, 0));
    if (Code != 0) {
      return fail(Errno::RuntimeError, "GGML backend: Error: failed to llama_decode: code " + std::to_string(Code));
    }
    Position += static_cast<int32_t>(Part);
    Tokens += Part;
    Count -= Part;
  }
  return Errno::Success;
}

llama_token Generation::sample() {
  auto *Ctx = Context.get();
  const auto *Logits = llama_get_logits_ith(Ctx, -1);
  const auto Size = llama_n_vocab(TheModel->raw());
  std::vector<llama_token_data> Data;
  Data.reserve(static_cast<std::size_t>(Size));
  for (llama_token Id = 0; Id < Size; ++Id) {
    Data.push_back({Id, Logits[Id], 0.0F});
  }
  llama_token_data_array Candidates{Data.data(), Data.size(), false};
  const auto Window = std::min(Answer.size(), PenaltyWindow);
  llama_sample_repetition_penalties(Ctx, &Candidates, Answer.data() + (Answer.size() - Window), Window,
                                    Opts.RepeatPenalty, Opts.FrequencyPenalty, Opts.PresencePenalty);
  if (Opts.Temp <= 0.0F) {
    return llama_sample_token_greedy(Ctx, &Candidates);
  }
  llama_sample_top_k(Ctx, &Candidates, Opts.TopK > 0 ? Opts.TopK : Size, 1);
  llama_sample_top_p(Ctx, &Candidates, Opts.TopP, 1);
  llama_sample_temp(Ctx, &Candidates, Opts.Temp);
  return llama_sample_token(Ctx, &Candidates);
}

// What is not yet in the KV cache is evaluated first: the prompt, then always the token before.
Errno Generation::next(llama_token &Token) {
  if (static_cast<uint32_t>(Position) >= llama_n_ctx(Context.get())) {
    return Errno::ContextFull;
  }
  const auto Result = Answer.empty() ? evaluate(Prompt.data(), Prompt.size()) : evaluate(&Answer.back(), 1);
  if (Result != Errno::Success) {
    return Result;
  }
  Token = sample();
  if (llama_token_is_eog(TheModel->raw(), Token)) {
    return Errno::EndOfSequence;
  }
  Answer.push_back(Token);
  Piece = TheModel->piece(Token);
  Output += Piece;
  if (Opts.StreamStdout) {
    std::fwrite(Piece.data(), 1, Piece.size(), stdout);
    std::fflush(stdout);
  }
  return Errno::Success;
}

bool Generation::reachedReversePrompt() const {
  const auto &Stop = Opts.ReversePrompt;
  return !Stop.empty() && Output.size() >= Stop.size() &&
         Output.compare(Output.size() - Stop.size(), Stop.size(), Stop) == 0;
}

Errno Generation::compute() {
  if (const auto Result = open(); Result != Errno::Success) {
    return Result;
  }
  if (Opts.Embedding) {
    return embed();
  }
  llama_token Token = 0;
  for (int64_t Left = Opts.NPredict; Left != 0; --Left) {
    const auto Result = next(Token);
    if (Result == Errno::EndOfSequence) {
      break;
    }
    if (Result != Errno::Success) {
      return Result; // ContextFull too: the guest can read what there is
    }
    if (reachedReversePrompt()) {
      break;
    }
  }
  return Errno::Success;
}

Errno Generation::computeSingle() {
  if (!Started) {
    if (const auto Result = open(); Result != Errno::Success) {
      return Result;
    }
    Started = true;
  }
  const bool Enough = Opts.NPredict >= 0 && Answer.size() >= static_cast<std::size_t>(Opts.NPredict);
  Piece.clear();
  if (Enough || reachedReversePrompt()) {
    return Errno::EndOfSequence;
  }
  llama_token Token = 0;
  return next(Token);
}

void Generation::finishSingle() {
  Started = false;
  Piece.clear();
}

Errno Generation::embed() {
  if (Prompt.size() > Opts.BatchSize) {
    return fail(Errno::PromptTooLong, "GGML backend: Error: the input has " + std::to_string(Prompt.size()) +
                                          " tokens, and embeddings need them in one batch: raise batch-size.");
  }
  if (const auto Result = evaluate(Prompt.data(), Prompt.size()); Result != Errno::Success) {
    return Result;
  }
  const auto *Values = llama_get_embeddings_seq(Context.get(), 0);
  if (Values == nullptr) { // a model without pooling: the last token stands for the text
    Values = llama_get_embeddings_ith(Context.get(), -1);
  }
  if (Values == nullptr) {
    return fail(Errno::RuntimeError, "GGML backend: Error: the model gave no embedding.");
  }
  std::vector<float> Vector(Values, Values + llama_n_embd(TheModel->raw()));
  const auto Length = std::sqrt(std::inner_product(Vector.begin(), Vector.end(), Vector.begin(), 0.0));
  for (auto &Value : Vector) { // of length one, as llama.cpp's own programs give them
    Value = Length > 0.0 ? static_cast<float>(Value / Length) : 0.0F;
  }
  Output = nlohmann::json{{"n_embedding", Vector.size()}, {"embedding", Vector}}.dump();
  return Errno::Success;
}

std::string Generation::metadata() const {
  return nlohmann::json{{"input_tokens", Prompt.size()},
                        {"output_tokens", Answer.size()},
                        {"llama_build_number", 0}, // the source archive does not say
                        {"llama_commit", LLAMA_RELEASE}}
      .dump();
}

} // namespace wasinn

// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

// The peer: libllama called by a plain program, with the settings and the sampling that the pod has.
//
//   native MODEL CONTEXT BATCH THREADS REPEAT_PENALTY
//
// Each request on stdin is a line "TOKENS BYTES" and then a prompt of so many bytes; each answer is a line of JSON. As in
// the pod, the model stays loaded, one context serves all requests, and every prompt is evaluated from its beginning.

#include "llama.h"

#include "json.hpp"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <iostream>
#include <string>
#include <vector>

namespace {

constexpr std::size_t PenaltyWindow = 64; // tokens; llama.cpp's own default

double wallMs() {
  using Ms = std::chrono::duration<double, std::milli>;
  return Ms(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double cpuMs() {
  timespec Now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &Now);
  return static_cast<double>(Now.tv_sec) * 1e3 + static_cast<double>(Now.tv_nsec) / 1e6;
}

std::vector<llama_token> tokenize(const llama_model *Model, const std::string &Text) {
  std::vector<llama_token> Tokens(Text.size() + 2);
  const auto Count = llama_tokenize(Model, Text.data(), static_cast<int32_t>(Text.size()), Tokens.data(),
                                    static_cast<int32_t>(Tokens.size()), true, true);
  Tokens.resize(static_cast<std::size_t>(std::max(Count, 0)));
  return Tokens;
}

std::string pieceOf(const llama_model *Model, llama_token Token) {
  char Text[256];
  const auto Length = llama_token_to_piece(Model, Token, Text, sizeof(Text), 0, true);
  return {Text, static_cast<std::size_t>(std::max(Length, 0))};
}

// The likeliest token after the repetition penalty.
llama_token choose(llama_context *Context, int32_t Vocabulary, const std::vector<llama_token> &Answer, float Penalty) {
  const auto *Logits = llama_get_logits_ith(Context, -1);
  std::vector<llama_token_data> Data(static_cast<std::size_t>(Vocabulary));
  for (llama_token Id = 0; Id < Vocabulary; ++Id) {
    Data[static_cast<std::size_t>(Id)] = {Id, Logits[Id], 0.0F};
  }
  llama_token_data_array Candidates{Data.data(), Data.size(), false};
  const auto Window = std::min(Answer.size(), PenaltyWindow);
  llama_sample_repetition_penalties(Context, &Candidates, Answer.data() + (Answer.size() - Window), Window, Penalty,
                                    0.0F, 0.0F);
  return llama_sample_token_greedy(Context, &Candidates);
}

} // namespace

int main(int Count, char **Words) {
  if (Count != 6) {
    std::fprintf(stderr, "usage: native MODEL CONTEXT BATCH THREADS REPEAT_PENALTY\n");
    return 2;
  }
  llama_log_set([](ggml_log_level, const char *, void *) {}, nullptr);
  llama_backend_init();
  auto *Model = llama_load_model_from_file(Words[1], llama_model_default_params());
  auto Params = llama_context_default_params();
  Params.n_ctx = static_cast<uint32_t>(std::stoul(Words[2]));
  Params.n_batch = Params.n_ubatch = static_cast<uint32_t>(std::stoul(Words[3]));
  Params.n_threads = Params.n_threads_batch = static_cast<uint32_t>(std::stoul(Words[4]));
  const auto Penalty = std::stof(Words[5]);
  auto *Context = Model != nullptr ? llama_new_context_with_model(Model, Params) : nullptr;
  if (Context == nullptr) {
    std::fprintf(stderr, "native: %s cannot be loaded with a context of %s\n", Words[1], Words[2]);
    return 1;
  }

  std::size_t Wanted = 0;
  std::size_t Bytes = 0;
  while (std::cin >> Wanted >> Bytes) {
    std::cin.get();
    std::string Text(Bytes, '\0');
    std::cin.read(Text.data(), static_cast<std::streamsize>(Bytes));
    const auto Wall = wallMs();
    const auto Cpu = cpuMs();
    double FirstWall = Wall;
    double FirstCpu = Cpu;
    auto Prompt = tokenize(Model, Text);
    std::vector<llama_token> Answer;
    std::string Output;
    llama_kv_cache_clear(Context);
    int32_t Position = 0;
    const auto Evaluate = [&](llama_token *Tokens, std::size_t Left) {
      while (Left > 0) {
        const auto Part = static_cast<int32_t>(std::min<std::size_t>(Left, Params.n_batch));
        if (llama_decode(Context, llama_batch_get_one(Tokens, Part, Position, 0)) != 0) {
          return false;
        }
        Position += Part;
        Tokens += Part;
        Left -= static_cast<std::size_t>(Part);
      }
      return true;
    };
    bool Good = Evaluate(Prompt.data(), Prompt.size());
    while (Good && Answer.size() < Wanted) {
      const auto Token = choose(Context, llama_n_vocab(Model), Answer, Penalty);
      if (llama_token_is_eog(Model, Token)) {
        break;
      }
      Answer.push_back(Token);
      Output += pieceOf(Model, Token);
      if (Answer.size() == 1) {
        FirstWall = wallMs();
        FirstCpu = cpuMs();
      }
      if (Answer.size() < Wanted) {
        Good = Evaluate(&Answer.back(), 1);
      }
    }
    const auto LastWall = wallMs();
    const auto LastCpu = cpuMs();
    if (!Good) {
      std::fprintf(stderr, "native: llama_decode failed after %zu tokens\n", Answer.size());
      return 1;
    }
    const nlohmann::json Line{{"prompt_tokens", Prompt.size()},       {"tokens", Answer.size()},
                              {"prompt_ms", FirstWall - Wall},        {"generate_ms", LastWall - FirstWall},
                              {"prompt_cpu_ms", FirstCpu - Cpu},      {"generate_cpu_ms", LastCpu - FirstCpu},
                              {"text", Output}};
    std::cout << Line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) << std::endl;
  }
  llama_free(Context);
  llama_free_model(Model);
  llama_backend_free();
  return 0;
}

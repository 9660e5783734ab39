// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

// The JSON configuration of a GGML graph ("metadata" in upstream's words).
#pragma once

#include "errors.h"

#include <cstdint>
#include <string>

namespace wasinn {

// Defaults as llama.cpp's and upstream's plugin have them.
struct Options {
  bool EnableLog = false;
  bool StreamStdout = false;
  bool Embedding = false;
  int64_t NPredict = -1; // tokens; below zero: until the model ends or the context is full
  std::string ReversePrompt;

  // Of the model.
  int32_t NGpuLayers = 0;
  bool UseMmap = true;

  // Of the context.
  uint32_t CtxSize = 512;
  uint32_t BatchSize = 512;
  uint32_t UBatchSize = 512;
  uint32_t Threads = 0; // 0: half of the processors this process may use

  // Of sampling; Temp <= 0 is greedy and so repeatable.
  float Temp = 0.8F;
  float TopP = 0.95F;
  int32_t TopK = 40;
  float RepeatPenalty = 1.0F;
  float PresencePenalty = 0.0F;
  float FrequencyPenalty = 0.0F;
  uint32_t Seed = 0xFFFFFFFFU; // all ones: another one each time

  // Take what `Json` names over the present values; unknown keys are left alone, as upstream does.
  Errno update(const std::string &Json);

  // Whether a context made for `Other` serves these options as well.
  bool sameContext(const Options &Other) const;
};

} // namespace wasinn

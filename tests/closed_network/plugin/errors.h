// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

// The numbers a guest gets back, as the crate wasmedge-wasi-nn 0.8 reads them, and the one place that logs.
#pragma once

#include <cstdint>
#include <cstdio>
#include <string>

namespace wasinn {

enum class Errno : uint32_t {
  Success = 0,
  InvalidArgument = 1,
  InvalidEncoding = 2,
  MissingMemory = 3,
  RuntimeError = 5,
  UnsupportedOperation = 6,
  TooLarge = 7,
  NotFound = 8,
  EndOfSequence = 100,
  ContextFull = 101,
  PromptTooLong = 102,
  ModelNotFound = 103,
};

// One line on the container's standard error. WASI-NN itself can only return a number.
inline void logError(const std::string &Message) {
  std::fprintf(stderr, "[error] [WASI-NN] %s\n", Message.c_str());
}

inline Errno fail(Errno Code, const std::string &Message) {
  logError(Message);
  return Code;
}

} // namespace wasinn

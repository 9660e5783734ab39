// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

#include "options.h"

#include "json.hpp"

namespace wasinn {

namespace {

using Json = nlohmann::json;

// Upstream's wording, so that the same log lines lead to the same remedies.
template <typename T> void take(const Json &Config, const char *Key, T &Value) {
  const auto It = Config.find(Key);
  if (It == Config.end()) {
    return;
  }
  try {
    Value = It->template get<T>();
  } catch (const Json::exception &) {
    throw std::string("Unable to retrieve the ") + Key + " option.";
  }
}

} // namespace

Errno Options::update(const std::string &Text) {
  const Json Config = Json::parse(Text, nullptr, /* allow_exceptions */ false);
  if (!Config.is_object()) {
    return fail(Errno::InvalidEncoding, "GGML backend: Error: Fail to parse metadata: " + Text);
  }
  Options New = *this;
  try {
    take(Config, "enable-log", New.EnableLog);
    take(Config, "stream-stdout", New.StreamStdout);
    take(Config, "embedding", New.Embedding);
    take(Config, "n-predict", New.NPredict);
    take(Config, "reverse-prompt", New.ReversePrompt);
    take(Config, "n-gpu-layers", New.NGpuLayers);
    take(Config, "use-mmap", New.UseMmap);
    take(Config, "ctx-size", New.CtxSize);
    take(Config, "batch-size", New.BatchSize);
    take(Config, "ubatch-size", New.UBatchSize);
    take(Config, "threads", New.Threads);
    take(Config, "temp", New.Temp);
    take(Config, "top-p", New.TopP);
    take(Config, "top-k", New.TopK);
    take(Config, "repeat-penalty", New.RepeatPenalty);
    take(Config, "presence-penalty", New.PresencePenalty);
    take(Config, "frequency-penalty", New.FrequencyPenalty);
    take(Config, "seed", New.Seed);
  } catch (const std::string &Message) {
    return fail(Errno::InvalidArgument, "GGML backend: Error: " + Message);
  }
  if (New.BatchSize == 0 || New.UBatchSize == 0) {
    return fail(Errno::InvalidArgument, "GGML backend: Error: batch-size and ubatch-size must be above 0.");
  }
  *this = New;
  return Errno::Success;
}

bool Options::sameContext(const Options &Other) const {
  return CtxSize == Other.CtxSize && BatchSize == Other.BatchSize && UBatchSize == Other.UBatchSize &&
         Threads == Other.Threads && Embedding == Other.Embedding && Seed == Other.Seed;
}

} // namespace wasinn

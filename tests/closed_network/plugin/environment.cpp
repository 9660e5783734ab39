// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

#include "environment.h"

#include "preload.h"

namespace wasinn {

namespace {

constexpr uint32_t EncodingAutodetect = 5;
constexpr uint32_t EncodingGgml = 6;
constexpr uint32_t TargetTpu = 2;
constexpr char PreloadPrefix[] = "preload:";

} // namespace

Environment::Environment() : Preloaded(preloadedModels()) {}

Errno Environment::addGraph(const std::string &Path, std::unique_ptr<MemoryFile> Bytes, const std::string &Config,
                            uint32_t &GraphId) {
  auto New = std::make_shared<Graph>();
  if (!Config.empty()) {
    if (const auto Result = New->Opts.update(Config); Result != Errno::Success) {
      return Result;
    }
  }
  New->Bytes = std::move(Bytes);
  New->TheModel = Model::load(Path, New->Opts);
  if (!New->TheModel) {
    return Errno::InvalidArgument;
  }
  GraphId = NextGraph++;
  Graphs[GraphId] = std::move(New);
  return Errno::Success;
}

Errno Environment::loadByName(const std::string &Name, const std::string &Config, uint32_t &GraphId) {
  const auto Key = Name + '\n' + Config;
  if (const auto Known = Named.find(Key); Known != Named.end() && Graphs.count(Known->second) != 0) {
    GraphId = Known->second;
    return Errno::Success;
  }
  const auto It = Preloaded.find(Name);
  if (It == Preloaded.end()) {
    return fail(Errno::NotFound, "Model \"" + Name + "\" is not among the " + std::to_string(Preloaded.size()) +
                                     " preloaded ones: name it in nn-preload or WASMEDGE_WASINN_PRELOAD.");
  }
  const auto Result = addGraph(It->second, nullptr, Config, GraphId);
  if (Result == Errno::Success) {
    Named[Key] = GraphId;
  }
  return Result;
}

Errno Environment::load(const std::vector<std::string> &Parts, uint32_t Encoding, uint32_t Target, uint32_t &GraphId) {
  if (Encoding != EncodingGgml && Encoding != EncodingAutodetect) {
    return fail(Errno::InvalidEncoding, "Current backend is not supported: this plugin has GGML alone.");
  }
  if (Target == TargetTpu || Parts.empty()) {
    return fail(Errno::InvalidArgument, "A GGML graph needs the model and a target of CPU, GPU or AUTO.");
  }
  const auto Config = Parts.size() > 1 ? Parts[1] : std::string();
  if (Parts[0].rfind(PreloadPrefix, 0) == 0) {
    return addGraph(Parts[0].substr(sizeof(PreloadPrefix) - 1), nullptr, Config, GraphId);
  }
  auto Bytes = std::make_unique<MemoryFile>(Parts[0].data(), Parts[0].size());
  if (!Bytes->valid()) {
    return fail(Errno::RuntimeError, "No memory for a copy of the model; preload it by path instead.");
  }
  const auto Path = Bytes->path();
  return addGraph(Path, std::move(Bytes), Config, GraphId);
}

Errno Environment::unload(uint32_t GraphId) {
  // Contexts keep what they need of it.
  return Graphs.erase(GraphId) == 1 ? Errno::Success : Errno::InvalidArgument;
}

Errno Environment::initContext(uint32_t GraphId, uint32_t &ContextId) {
  const auto It = Graphs.find(GraphId);
  if (It == Graphs.end()) {
    return fail(Errno::InvalidArgument, "init_execution_context: there is no graph " + std::to_string(GraphId) + ".");
  }
  ContextId = static_cast<uint32_t>(Contexts.size());
  Contexts.push_back(std::make_unique<Generation>(It->second->TheModel, It->second->Opts));
  return Errno::Success;
}

Generation *Environment::context(uint32_t ContextId) {
  return ContextId < Contexts.size() ? Contexts[ContextId].get() : nullptr;
}

} // namespace wasinn

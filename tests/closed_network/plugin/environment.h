// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

// What the numbers in a guest's hands stand for: graphs and execution contexts of one module instance.
#pragma once

#include "generation.h"

#include <map>
#include <memory>
#include <string>
#include <vector>

namespace wasinn {

struct Graph {
  std::shared_ptr<Model> TheModel;
  std::unique_ptr<MemoryFile> Bytes; // for a model that the guest handed over itself
  Options Opts;
};

class Environment {
public:
  Environment();

  Errno loadByName(const std::string &Name, const std::string &Config, uint32_t &GraphId);
  // Parts as the guest passes them: the model's bytes or "preload:PATH", then optionally the configuration.
  Errno load(const std::vector<std::string> &Parts, uint32_t Encoding, uint32_t Target, uint32_t &GraphId);
  Errno unload(uint32_t GraphId);
  Errno initContext(uint32_t GraphId, uint32_t &ContextId);
  // Null when there is no such context; the caller answers InvalidArgument.
  Generation *context(uint32_t ContextId);

private:
  Errno addGraph(const std::string &Path, std::unique_ptr<MemoryFile> Bytes, const std::string &Config,
                 uint32_t &GraphId);

  std::map<std::string, std::string> Preloaded; // alias to path
  std::map<std::string, uint32_t> Named;        // alias and configuration to graph
  std::map<uint32_t, std::shared_ptr<Graph>> Graphs;
  std::vector<std::unique_ptr<Generation>> Contexts;
  uint32_t NextGraph = 0;
};

} // namespace wasinn

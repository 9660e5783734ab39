// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

// A GGUF file in memory, and llama.cpp's objects owned the C++ way.
#pragma once

#include "options.h"

#include "llama.h"

#include <memory>
#include <string>
#include <vector>

namespace wasinn {

class Model {
public:
  // Null when the file cannot be loaded; the reason is logged.
  // Graphs of the same file and options share the weights.
  static std::shared_ptr<Model> load(const std::string &Path, const Options &Opts);

  explicit Model(llama_model *Raw) : Raw(Raw) {}
  ~Model() { llama_free_model(Raw); }
  Model(const Model &) = delete;
  Model &operator=(const Model &) = delete;

  llama_model *raw() const { return Raw; }
  std::vector<llama_token> tokenize(const std::string &Text) const;
  // The bytes of one token; a character may span several tokens.
  std::string piece(llama_token Token) const;

private:
  llama_model *Raw;
};

// Bytes kept as an anonymous file, since llama.cpp loads from paths alone.
class MemoryFile {
public:
  static constexpr const char *Folder = "/proc/self/fd/";
  MemoryFile(const void *Data, std::size_t Size);
  ~MemoryFile();
  MemoryFile(const MemoryFile &) = delete;
  MemoryFile &operator=(const MemoryFile &) = delete;
  bool valid() const { return Fd >= 0; }
  std::string path() const { return Folder + std::to_string(Fd); }

private:
  int Fd;
};

} // namespace wasinn

// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

#include "model.h"

#include <cerrno>
#include <cstring>
#include <map>
#include <mutex>
#include <sys/mman.h>
#include <unistd.h>

namespace wasinn {

namespace {

bool LogWanted = false;

// llama.cpp's own errors are the only hint at why a file does not load, so they always come through.
void logLlama(ggml_log_level Level, const char *Text, void *) {
  if (LogWanted || Level == GGML_LOG_LEVEL_ERROR) {
    std::fputs(Text, stderr);
  }
}

} // namespace

std::shared_ptr<Model> Model::load(const std::string &Path, const Options &Opts) {
  // Not at load time of the plugin: the shim loads it in a process that forks afterwards.
  static std::once_flag Once;
  std::call_once(Once, [] {
    llama_log_set(logLlama, nullptr);
    llama_backend_init();
  });
  LogWanted = Opts.EnableLog;

  static std::map<std::string, std::weak_ptr<Model>> Loaded;
  const auto Key = Path + '\n' + std::to_string(Opts.NGpuLayers) + (Opts.UseMmap ? "m" : "");
  const bool Shared = Path.rfind(MemoryFile::Folder, 0) != 0; // a descriptor's number is used again
  if (auto Known = Shared ? Loaded[Key].lock() : nullptr) {
    return Known;
  }
  if (::access(Path.c_str(), R_OK) != 0) {
    logError("GGML backend: Error: unable to init model. " + Path + ": " + std::strerror(errno) +
             ". Check the path after the third colon of the preload and the volume that should hold it.");
    return nullptr;
  }
  auto Params = llama_model_default_params();
  Params.n_gpu_layers = Opts.NGpuLayers;
  Params.use_mmap = Opts.UseMmap;
  auto *Raw = llama_load_model_from_file(Path.c_str(), Params);
  if (Raw == nullptr) {
    logError("GGML backend: Error: unable to init model. " + Path +
             " is not a GGUF file that this llama.cpp can read (truncated, or of a newer architecture).");
    return nullptr;
  }
  auto Result = std::make_shared<Model>(Raw);
  if (Shared) {
    Loaded[Key] = Result;
  }
  return Result;
}

std::vector<llama_token> Model::tokenize(const std::string &Text) const {
  std::vector<llama_token> Tokens(Text.size() + 2); // never more tokens than bytes, BOS and EOS besides
  const auto Count = llama_tokenize(Raw, Text.data(), static_cast<int32_t>(Text.size()), Tokens.data(),
                                    static_cast<int32_t>(Tokens.size()), /* add_special */ true,
                                    /* parse_special */ true);
  Tokens.resize(Count > 0 ? static_cast<std::size_t>(Count) : 0);
  return Tokens;
}

std::string Model::piece(llama_token Token) const {
  std::string Text(64, '\0');
  auto Length = llama_token_to_piece(Raw, Token, Text.data(), static_cast<int32_t>(Text.size()), 0, true);
  if (Length < 0) {
    Text.resize(static_cast<std::size_t>(-Length));
    Length = llama_token_to_piece(Raw, Token, Text.data(), -Length, 0, true);
  }
  Text.resize(static_cast<std::size_t>(std::max(Length, 0)));
  return Text;
}

MemoryFile::MemoryFile(const void *Data, std::size_t Size) : Fd(::memfd_create("gguf", MFD_CLOEXEC)) {
  const char *From = static_cast<const char *>(Data);
  while (Fd >= 0 && Size > 0) {
    const auto Written = ::write(Fd, From, Size);
    if (Written <= 0) {
      ::close(Fd);
      Fd = -1;
      return;
    }
    From += Written;
    Size -= static_cast<std::size_t>(Written);
  }
}

MemoryFile::~MemoryFile() {
  if (Fd >= 0) {
    ::close(Fd);
  }
}

} // namespace wasinn

// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

#include "preload.h"

#include "errors.h"

#include <algorithm>
#include <cstring>
#include <vector>

namespace wasinn {

namespace {

// WasmEdge fills the option in one of two ways, and the C interface tells neither apart:
//  - the CLI parses `--nn-preload x` into a WasmEdge_String (the option's declared type);
//  - WasmEdge_PluginInitWASINN(), which hosts such as the shim use, assigns a std::vector<std::string> to the very same
//    address, because upstream's own plugin, written against the C++ interface, declares a list.
// So the storage is large enough for both and starts as zeros, an empty value of either. Only a vector has a third word.
using List = std::vector<std::string>;
static_assert(sizeof(List) == 3 * sizeof(void *), "libstdc++'s vector is three pointers");
static_assert(sizeof(WasmEdge_String) == 2 * sizeof(void *), "the third word belongs to the vector alone");
alignas(List) unsigned char Storage[sizeof(List)];
const WasmEdge_String Nothing{0, nullptr};

// Entries of both forms; inside one text they are separated by `;` or a newline.
List entries() {
  const void *Capacity = nullptr;
  std::memcpy(&Capacity, Storage + 2 * sizeof(void *), sizeof(Capacity));
  if (Capacity != nullptr) {
    return *reinterpret_cast<const List *>(Storage);
  }
  const auto *Text = reinterpret_cast<const WasmEdge_String *>(Storage);
  List Result;
  std::string Rest(Text->Buf == nullptr ? "" : std::string(Text->Buf, Text->Length));
  while (!Rest.empty()) {
    const auto End = std::min(Rest.find_first_of(";\n"), Rest.size());
    if (End > 0) {
      Result.push_back(Rest.substr(0, End));
    }
    Rest.erase(0, End + 1);
  }
  return Result;
}

std::string upper(std::string Text) {
  std::transform(Text.begin(), Text.end(), Text.begin(), [](unsigned char C) { return std::toupper(C); });
  return Text;
}

} // namespace

WasmEdge_ProgramOption preloadOption() {
  return {"nn-preload", "Allow preload models from wasi_nn plugin. Each NN model can be specified as --nn-preload "
                        "`NAME:ENCODING:TARGET:PATH`.",
          WasmEdge_ProgramOptionType_String, Storage, &Nothing};
}

std::map<std::string, std::string> preloadedModels() {
  std::map<std::string, std::string> Result;
  for (const auto &Entry : entries()) {
    std::vector<std::string> Fields;
    std::size_t Start = 0;
    // A path may hold a colon; only the first three separate fields.
    for (std::size_t End; Fields.size() < 3 && (End = Entry.find(':', Start)) != std::string::npos; Start = End + 1) {
      Fields.push_back(Entry.substr(Start, End - Start));
    }
    if (Fields.size() != 3 || Fields[0].empty() || Start >= Entry.size()) {
      logError("Preload \"" + Entry + "\" is not of the form NAME:ENCODING:TARGET:PATH.");
      continue;
    }
    const auto Target = upper(Fields[2]);
    if (upper(Fields[1]) != "GGML" || (Target != "AUTO" && Target != "CPU" && Target != "GPU")) {
      logError("Preload Model's Backend or Device is Not Support. \"" + Entry +
               "\": this plugin has the backend GGML and the devices AUTO, CPU and GPU.");
      continue;
    }
    Result[Fields[0]] = Entry.substr(Start);
  }
  return Result;
}

} // namespace wasinn

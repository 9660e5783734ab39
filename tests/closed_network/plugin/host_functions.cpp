// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

// The border between guest memory and the environment: every address that a guest names is checked here.
// Signatures as in the crate wasmedge-wasi-nn 0.8: all parameters are i32, the result is an Errno.

#include "host_functions.h"

#include "environment.h"

#include <cstring>
#include <exception>

namespace wasinn {

namespace {

class Guest {
public:
  Guest(const WasmEdge_CallingFrameContext *Frame, const WasmEdge_Value *Params)
      : Memory(WasmEdge_CallingFrameGetMemoryInstance(Frame, 0)), Params(Params) {}

  bool hasMemory() const { return Memory != nullptr; }
  uint32_t param(std::size_t Index) const { return static_cast<uint32_t>(WasmEdge_ValueGetI32(Params[Index])); }

  // Null when the range is not the guest's.
  uint8_t *at(uint32_t Offset, uint32_t Length) const {
    return WasmEdge_MemoryInstanceGetPointer(Memory, Offset, Length);
  }
  bool read(uint32_t Offset, uint32_t Length, std::string &Text) const {
    Text.clear();
    if (Length == 0) {
      return true;
    }
    const auto *From = at(Offset, Length);
    if (From != nullptr) {
      Text.assign(reinterpret_cast<const char *>(From), Length);
    }
    return From != nullptr;
  }
  // Wasm memory is little endian, and so is every machine this is built for.
  bool readWords(uint32_t Offset, uint32_t *Words, uint32_t Count) const {
    const auto *From = at(Offset, Count * 4);
    if (From != nullptr) {
      std::memcpy(Words, From, Count * 4);
    }
    return From != nullptr;
  }
  Errno writeWord(uint32_t Offset, uint32_t Word) const {
    auto *To = at(Offset, 4);
    if (To == nullptr) {
      return Errno::InvalidArgument;
    }
    std::memcpy(To, &Word, 4);
    return Errno::Success;
  }

private:
  WasmEdge_MemoryInstanceContext *Memory;
  const WasmEdge_Value *Params;
};

using Function = Errno (*)(Environment &, const Guest &);

// (builders, count, encoding, target, &graph); a builder is (address, length)
Errno load(Environment &Env, const Guest &G) {
  std::vector<std::string> Parts;
  for (uint32_t I = 0; I < G.param(1); ++I) {
    uint32_t Builder[2];
    std::string Part;
    if (!G.readWords(G.param(0) + I * 8, Builder, 2) || !G.read(Builder[0], Builder[1], Part)) {
      return Errno::InvalidArgument;
    }
    Parts.push_back(std::move(Part));
  }
  uint32_t Id = 0;
  const auto Result = Env.load(Parts, G.param(2), G.param(3), Id);
  return Result == Errno::Success ? G.writeWord(G.param(4), Id) : Result;
}

Errno loadNamed(Environment &Env, const Guest &G, const std::string &Config, uint32_t Out) {
  std::string Name;
  if (!G.read(G.param(0), G.param(1), Name)) {
    return Errno::InvalidArgument;
  }
  uint32_t Id = 0;
  const auto Result = Env.loadByName(Name, Config, Id);
  return Result == Errno::Success ? G.writeWord(Out, Id) : Result;
}

// (name, length, &graph)
Errno loadByName(Environment &Env, const Guest &G) { return loadNamed(Env, G, "", G.param(2)); }

// (name, length, config, length, &graph)
Errno loadByNameWithConfig(Environment &Env, const Guest &G) {
  std::string Config;
  return G.read(G.param(2), G.param(3), Config) ? loadNamed(Env, G, Config, G.param(4)) : Errno::InvalidArgument;
}

// (graph)
Errno unload(Environment &Env, const Guest &G) { return Env.unload(G.param(0)); }

// (graph, &context)
Errno initExecutionContext(Environment &Env, const Guest &G) {
  uint32_t Id = 0;
  const auto Result = Env.initContext(G.param(0), Id);
  return Result == Errno::Success ? G.writeWord(G.param(1), Id) : Result;
}

// (context, index, &tensor); a tensor is (dimensions, count, type, data, length)
Errno setInput(Environment &Env, const Guest &G) {
  auto *Context = Env.context(G.param(0));
  uint32_t Tensor[5];
  std::string Data;
  if (Context == nullptr || !G.readWords(G.param(2), Tensor, 5) || !G.read(Tensor[3], Tensor[4], Data)) {
    return Errno::InvalidArgument;
  }
  switch (G.param(1)) {
  case 0:
    return Context->setPrompt(Data);
  case 1:
    return Context->setOptions(Data);
  default:
    return fail(Errno::InvalidArgument, "GGML backend: Error: an input is 0 (prompt) or 1 (metadata).");
  }
}

// (context)
template <Errno (Generation::*Method)()> Errno computeBy(Environment &Env, const Guest &G) {
  auto *Context = Env.context(G.param(0));
  return Context != nullptr ? (Context->*Method)() : Errno::InvalidArgument;
}

Errno finiSingle(Environment &Env, const Guest &G) {
  auto *Context = Env.context(G.param(0));
  if (Context == nullptr) {
    return Errno::InvalidArgument;
  }
  Context->finishSingle();
  return Errno::Success;
}

// (context, index, buffer, size, &written)
template <const std::string &(Generation::*Text)() const> Errno getOutputOf(Environment &Env, const Guest &G) {
  const auto *Context = Env.context(G.param(0));
  if (Context == nullptr || G.param(1) > 1) {
    return Errno::InvalidArgument;
  }
  const auto Output = G.param(1) == 0 ? (Context->*Text)() : Context->metadata();
  if (Output.size() > G.param(3)) {
    return fail(Errno::TooLarge, "GGML backend: Error: the output has " + std::to_string(Output.size()) +
                                     " bytes, the guest's buffer " + std::to_string(G.param(3)) + ".");
  }
  if (!Output.empty()) {
    auto *To = G.at(G.param(2), static_cast<uint32_t>(Output.size()));
    if (To == nullptr) {
      return Errno::InvalidArgument;
    }
    std::memcpy(To, Output.data(), Output.size());
  }
  return G.writeWord(G.param(4), static_cast<uint32_t>(Output.size()));
}

struct Export {
  const char *Name;
  uint32_t Params;
  Function Body;
};

const Export Exports[] = {
    {"load", 5, load},
    {"load_by_name", 3, loadByName},
    {"load_by_name_with_config", 5, loadByNameWithConfig},
    {"unload", 1, unload},
    {"init_execution_context", 2, initExecutionContext},
    {"set_input", 3, setInput},
    {"compute", 1, computeBy<&Generation::compute>},
    {"compute_single", 1, computeBy<&Generation::computeSingle>},
    {"fini_single", 1, finiSingle},
    {"get_output", 5, getOutputOf<&Generation::output>},
    {"get_output_single", 5, getOutputOf<&Generation::lastPiece>},
};

// What WasmEdge hands back with each call.
struct Binding {
  Environment *Env;
  const Export *To;
};
struct Instance {
  Environment Env;
  Binding Bindings[std::size(Exports)];
};

WasmEdge_Result call(void *Data, const WasmEdge_CallingFrameContext *Frame, const WasmEdge_Value *Params,
                     WasmEdge_Value *Returns) {
  const auto *Bound = static_cast<const Binding *>(Data);
  const Guest G(Frame, Params);
  Errno Result = Errno::MissingMemory;
  if (G.hasMemory()) {
    try { // nothing may be thrown into WasmEdge's C interface
      Result = Bound->To->Body(*Bound->Env, G);
    } catch (const std::exception &Error) {
      Result = fail(Errno::RuntimeError, std::string(Bound->To->Name) + ": " + Error.what());
    }
  }
  Returns[0] = WasmEdge_ValueGenI32(static_cast<int32_t>(Result));
  return WasmEdge_Result_Success;
}

} // namespace

WasmEdge_ModuleInstanceContext *createModule(const WasmEdge_ModuleDescriptor *) {
  auto *Host = new Instance;
  const auto Name = WasmEdge_StringCreateByCString("wasi_ephemeral_nn");
  auto *Module =
      WasmEdge_ModuleInstanceCreateWithData(Name, Host, [](void *Data) { delete static_cast<Instance *>(Data); });
  WasmEdge_StringDelete(Name);

  const std::vector<WasmEdge_ValType> Params(5, WasmEdge_ValTypeGenI32());
  const auto Return = WasmEdge_ValTypeGenI32();
  for (std::size_t I = 0; I < std::size(Exports); ++I) {
    Host->Bindings[I] = {&Host->Env, &Exports[I]};
    auto *Type = WasmEdge_FunctionTypeCreate(Params.data(), Exports[I].Params, &Return, 1);
    auto *Function = WasmEdge_FunctionInstanceCreate(Type, call, &Host->Bindings[I], 0);
    WasmEdge_FunctionTypeDelete(Type);
    const auto ExportName = WasmEdge_StringCreateByCString(Exports[I].Name);
    WasmEdge_ModuleInstanceAddFunction(Module, ExportName, Function);
    WasmEdge_StringDelete(ExportName);
  }
  return Module;
}

} // namespace wasinn

// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

// What WasmEdge asks a plugin file for: who it is, which modules it makes, which options it takes.
// Nothing here may start a thread, print or touch a model: the shim loads plugins in a process that forks later.

#include "host_functions.h"
#include "preload.h"

#ifndef PLUGIN_API_VERSION
#define PLUGIN_API_VERSION WasmEdge_Plugin_CurrentAPIVersion
#endif

namespace {

WasmEdge_ModuleDescriptor Modules[] = {{
    /* Name */ "wasi_nn", // what WasmEdge's VM asks for; the instance is named as guests import it
    /* Description */ "WASI-NN on llama.cpp, a stand-in for upstream's GGML plugin in closed networks",
    /* Create */ wasinn::createModule,
}};

WasmEdge_ProgramOption ProgramOptions[] = {wasinn::preloadOption()};

const WasmEdge_PluginDescriptor Descriptor{
    /* Name */ "wasi_nn",
    /* Description */ "wasinn.cluster's test plugin: GGML on " LLAMA_RELEASE,
    /* APIVersion */ PLUGIN_API_VERSION,
    /* Version */ {0, 1, 0, 0},
    /* ModuleCount */ 1,
    /* ProgramOptionCount */ 1,
    /* ModuleDescriptions */ Modules,
    /* ProgramOptions */ ProgramOptions,
};

} // namespace

extern "C" WASMEDGE_CAPI_PLUGIN_EXPORT const WasmEdge_PluginDescriptor *WasmEdge_Plugin_GetDescriptor(void) {
  return &Descriptor;
}

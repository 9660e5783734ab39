// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

// Models named from outside: `alias:GGML:AUTO|CPU|GPU:path`, the option `nn-preload`.
#pragma once

#include <map>
#include <string>
#include <wasmedge/wasmedge.h>

namespace wasinn {

// The option as WasmEdge's plugin interface wants it described.
WasmEdge_ProgramOption preloadOption();

// Alias to path of every valid entry given so far; a wrong one is logged and left out.
std::map<std::string, std::string> preloadedModels();

} // namespace wasinn

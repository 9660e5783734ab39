// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

#pragma once

#include <wasmedge/wasmedge.h>

namespace wasinn {

// A new instance of the module `wasi_ephemeral_nn`; the caller owns it.
WasmEdge_ModuleInstanceContext *createModule(const WasmEdge_ModuleDescriptor *Descriptor);

} // namespace wasinn

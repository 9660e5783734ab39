// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

// A GGUF file in Q8_0, made from one in any quantisation by libllama itself: quantizer INPUT OUTPUT

#include "llama.h"

#include <cstdio>

int main(int Count, char **Words) {
  if (Count != 3) {
    std::fprintf(stderr, "usage: quantizer INPUT.gguf OUTPUT.gguf\n");
    return 2;
  }
  llama_backend_init();
  auto Params = llama_model_quantize_default_params();
  Params.nthread = 2; // of no influence on the result: threads share out whole rows
  Params.ftype = LLAMA_FTYPE_MOSTLY_Q8_0;
  Params.allow_requantize = true;
  const auto Failed = llama_model_quantize(Words[1], Words[2], &Params);
  llama_backend_free();
  if (Failed != 0) {
    std::fprintf(stderr, "quantizer: %s was not made from %s; llama.cpp's lines above say why\n", Words[2], Words[1]);
    return 1;
  }
  return 0;
}

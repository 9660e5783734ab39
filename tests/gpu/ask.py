# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asks both models through the balancer, three times each, and says how fast each answer came."""

from __future__ import annotations

import json
import sys
import time
import urllib.error
import urllib.request

URL = "http://10.213.5.11:30080/v1/chat/completions"
QUESTION = "Tell a long story about a lighthouse."


def ask(model: str) -> bool:
    body = {"model": model, "max_tokens": 200, "temperature": 0, "messages": [{"role": "user", "content": QUESTION}]}
    request = urllib.request.Request(URL, json.dumps(body).encode(), {"Content-Type": "application/json"})
    began = time.monotonic()
    try:
        answer = json.load(urllib.request.urlopen(request, timeout=60))
    except urllib.error.HTTPError as error:
        print(f"{model}: {error}: {error.read(500)!r}")
        return False
    except OSError as error:
        print(f"{model}: {error}")
        return False
    seconds = time.monotonic() - began
    tokens = answer["usage"]["completion_tokens"]
    text = answer["choices"][0]["message"]["content"]
    print(f"{model}: {tokens} tokens in {seconds:.2f} s, {tokens / seconds:.0f} tokens/s: {text[:120]!r}")
    return True


if __name__ == "__main__":
    done = [ask(model) for model in ("on-gpu", "on-cpu") for _attempt in range(3)]
    sys.exit(done.count(False))

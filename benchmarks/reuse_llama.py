"""The worker of reuse.py for llama.cpp, through llama-cpp-python: its prompt-cache file.

    python benchmarks/reuse_llama.py GGUF --flash on --cache FILE < request.json

Where FILE is not there, the document is read and its cache saved; else it is loaded, the question
read behind it, and answered. The clock starts with the model loaded, before FILE is touched. A
request is one JSON object with document_ids, question_ids and new_tokens; so is the reply.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import sys
from pathlib import Path
from typing import Any

from peer_worker import Clock


def main() -> None:
    """Read and save, or load and answer."""
    import llama_cpp
    import numpy as np

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("gguf")
    parser.add_argument("--flash", choices=["on", "off"], required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--context", type=int, default=8192)
    arguments = parser.parse_args()
    request: dict[str, Any] = json.load(sys.stdin)
    document, question = request["document_ids"], request["question_ids"]
    threads = os.cpu_count()
    llama = llama_cpp.Llama(
        arguments.gguf,
        n_ctx=arguments.context,
        n_batch=512,
        n_ubatch=512,
        n_threads=threads,
        n_threads_batch=threads,
        flash_attn=arguments.flash == "on",
        verbose=False,
    )
    path = os.fsencode(arguments.cache)

    def greedy() -> int:
        logits = llama_cpp.llama_get_logits_ith(llama.ctx, -1)
        return int(np.ctypeslib.as_array(logits, (llama.n_vocab(),)).argmax())

    llama.eval(document[:64])  # a process that has done nothing yet is slower
    llama.reset()
    clock = Clock()
    if not arguments.cache.exists():
        llama.eval(document)
        clock.tick(greedy())
        ids = (llama_cpp.llama_token * len(document))(*document)
        if not llama_cpp.llama_state_save_file(llama.ctx, path, ids, len(document)):
            raise SystemExit("llama.cpp could not save its cache")
        print(json.dumps({"read_s": clock.seconds}))
        return
    ids = (llama_cpp.llama_token * arguments.context)()
    count = ctypes.c_size_t()
    if not llama_cpp.llama_state_load_file(
        llama.ctx, path, ids, arguments.context, ctypes.byref(count)
    ):
        raise SystemExit("llama.cpp could not load its cache")
    if list(ids[: count.value]) != document:
        raise SystemExit("the cache is that of another document")
    llama.input_ids[: len(document)] = document
    llama.n_tokens = len(document)
    llama.eval(question)
    clock.tick(greedy())
    while len(clock.token_ids) < request["new_tokens"]:
        llama.eval(clock.token_ids[-1:])
        clock.tick(greedy())
    figures = clock.figures(kept_bytes=None)
    print(json.dumps({**figures, "file_bytes": arguments.cache.stat().st_size}))


if __name__ == "__main__":
    main()

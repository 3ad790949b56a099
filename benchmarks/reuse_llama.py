"""The worker of reuse.py for llama.cpp, through llama-cpp-python: its prompt-cache file.

    python benchmarks/reuse_llama.py GGUF --flash on --cache FILE < request.json

If FILE does not exist, the document is prefilled and its cache saved; else the cache is loaded, the
question prefilled after it, and answered. The clock starts with the model loaded, before FILE is
touched. A request is one JSON object with document_ids, question_ids and new_tokens; so is the
reply.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
from pathlib import Path
from typing import Any

import llama_cpp
from llama_greedy import GreedyLlama, make_parser
from peer_worker import Clock

BATCH = 512


def save(model: GreedyLlama, document: list[int], cache: Path) -> None:
    """Write the cache of a document that was just prefilled."""
    ids = (llama_cpp.llama_token * len(document))(*document)
    path = os.fsencode(cache)
    if not llama_cpp.llama_state_save_file(model.llama.ctx, path, ids, len(document)):
        raise SystemExit("llama.cpp could not save its cache")


def load(model: GreedyLlama, document: list[int], cache: Path) -> None:
    """Load the cache of a document, as if it had just been prefilled."""
    room = model.llama.n_ctx()
    ids = (llama_cpp.llama_token * room)()
    count = ctypes.c_size_t()
    if not llama_cpp.llama_state_load_file(
        model.llama.ctx, os.fsencode(cache), ids, room, ctypes.byref(count)
    ):
        raise SystemExit("llama.cpp could not load its cache")
    if list(ids[: count.value]) != document:
        raise SystemExit("the cache is that of another document")
    model.llama.input_ids[: len(document)] = document
    model.llama.n_tokens = len(document)


def main() -> None:
    """Prefill and save, or load and answer."""
    parser = make_parser(__doc__.splitlines()[0])
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--context", type=int, default=8192)
    arguments = parser.parse_args()
    request: dict[str, Any] = json.load(sys.stdin)
    document, cache = request["document_ids"], arguments.cache
    model = GreedyLlama(
        arguments.gguf, flash=arguments.flash == "on", batch=BATCH, context=arguments.context
    )
    model.llama.eval(document[:64])  # warm-up: the first evaluation of a process is slower
    model.llama.reset()
    clock = Clock()
    if not cache.exists():
        model.answer(clock, document, new_tokens=1)
        save(model, document, cache)
        print(json.dumps({"read_s": clock.seconds}))
        return
    load(model, document, cache)
    model.answer(clock, request["question_ids"], request["new_tokens"])
    figures = clock.figures(kept_bytes=None)
    print(json.dumps({**figures, "file_bytes": cache.stat().st_size}))


if __name__ == "__main__":
    main()

"""Greedy decoding with llama.cpp, through llama-cpp-python; for peer_llama.py and reuse_llama.py.

Both run in an environment of llama-cpp-python only, so this module needs nothing else.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from typing import Any

import llama_cpp
import numpy as np
from peer_worker import Clock


class GreedyLlama:
    """A loaded model, on all cores.

    Attributes:
        llama: the llama-cpp-python model.
    """

    def __init__(self, gguf: str, *, flash: bool, batch: int, context: int) -> None:
        """Load the model, with batch and context sizes in tokens."""
        threads = os.cpu_count() or 1
        self.llama: Any = llama_cpp.Llama(
            gguf,
            n_ctx=context,
            n_batch=batch,
            n_ubatch=batch,
            n_threads=threads,
            n_threads_batch=threads,
            flash_attn=flash,
            verbose=False,
        )

    def answer(self, clock: Clock, token_ids: Sequence[int], new_tokens: int) -> None:
        """Process tokens after those already in the context, then decode `new_tokens`."""
        self._step(clock, token_ids)
        for _ in range(new_tokens - 1):
            self._step(clock, clock.token_ids[-1:])

    def _step(self, clock: Clock, token_ids: Sequence[int]) -> None:
        self.llama.eval(token_ids)
        logits = llama_cpp.llama_get_logits_ith(self.llama.ctx, -1)
        clock.tick(int(np.ctypeslib.as_array(logits, (self.llama.n_vocab(),)).argmax()))


def make_parser(description: str) -> argparse.ArgumentParser:
    """The options shared by both workers."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("gguf")
    parser.add_argument("--flash", choices=["on", "off"], required=True)
    return parser

"""The worker of peers.py for kvpress: each press with its own settings, 80% of the cache pruned.

    python benchmarks/peer_kvpress.py FOLDER --press snapkv

Accuracy is measured by kvpress_peer.py.
"""

from __future__ import annotations

import argparse

from kvpress_peer import KEPT, greedy_tokens
from peer_worker import Clock, Figures, serve

PRESSES = ("snapkv", "adakv", "expected attention")


def main() -> None:
    import kvpress
    import torch
    import transformers

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("--press", choices=PRESSES, required=True)
    arguments = parser.parse_args()
    press = {
        "snapkv": lambda: kvpress.SnapKVPress(1 - KEPT),
        "adakv": lambda: kvpress.AdaKVPress(kvpress.SnapKVPress(1 - KEPT)),
        "expected attention": lambda: kvpress.ExpectedAttentionPress(1 - KEPT),
    }[arguments.press]()
    model = transformers.AutoModelForCausalLM.from_pretrained(
        arguments.folder, dtype=torch.bfloat16, attn_implementation="sdpa"
    ).eval()

    def answer(prompt_ids: list[int], new_tokens: int, _: slice) -> Figures:
        cache = transformers.DynamicCache()
        clock = Clock()
        tokens = greedy_tokens(model, press, prompt_ids, cache)
        clock.tick(next(tokens))
        kept_bytes = sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers)
        while len(clock.token_ids) < new_tokens:
            clock.tick(next(tokens))
        return clock.figures(kept_bytes)

    serve(answer, ["torch", "transformers", "kvpress"])


if __name__ == "__main__":
    main()

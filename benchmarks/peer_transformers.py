"""The worker of peers.py for transformers: `generate` with SDPA attention and the full cache.

python benchmarks/peer_transformers.py FOLDER --dtype bfloat16
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Any

from peer_worker import Clock, Figures, serve


@dataclass
class Streamer:
    """Receives the prompt first, then every token as it is chosen."""

    clock: Clock
    is_prompt: bool = True

    def put(self, ids: Any) -> None:
        if not self.is_prompt:
            self.clock.tick(int(ids))
        self.is_prompt = False

    def end(self) -> None:
        """Required by `generate`; nothing to do."""


def main() -> None:
    import torch
    import transformers

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("--dtype", default="bfloat16")
    arguments = parser.parse_args()
    model = transformers.AutoModelForCausalLM.from_pretrained(
        arguments.folder, dtype=getattr(torch, arguments.dtype), attn_implementation="sdpa"
    ).eval()
    # A user of the model needs the tokenizer too: fastkv and llama.cpp hold theirs in memory.
    tokenizer = transformers.AutoTokenizer.from_pretrained(arguments.folder)
    assert tokenizer.vocab_size > 0
    model.generation_config.eos_token_id = None  # generates as many tokens as requested

    def answer(prompt_ids: list[int], new_tokens: int, _: slice) -> Figures:
        ids = torch.tensor([prompt_ids])
        clock = Clock()
        cache = model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=new_tokens,
            do_sample=False,
            streamer=Streamer(clock),
            return_dict_in_generate=True,
        ).past_key_values
        num_bytes = sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers)
        return clock.figures(num_bytes * len(prompt_ids) // cache.get_seq_length())

    serve(answer, ["torch", "transformers"])


if __name__ == "__main__":
    main()

"""The worker of peers.py for llama.cpp, through llama-cpp-python.

python benchmarks/peer_llama.py GGUF --flash on --batch 512 --context 8192 --threads 2
"""

from __future__ import annotations

import argparse

from peer_worker import Clock, Figures, serve


def main() -> None:
    """Load, and answer."""
    import llama_cpp
    import numpy as np

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("gguf")
    parser.add_argument("--flash", choices=["on", "off"], required=True)
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--context", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    arguments = parser.parse_args()
    llama = llama_cpp.Llama(
        arguments.gguf,
        n_ctx=arguments.context,
        n_batch=arguments.batch,
        n_ubatch=arguments.batch,
        n_threads=arguments.threads,
        n_threads_batch=arguments.threads,
        flash_attn=arguments.flash == "on",
        verbose=False,
    )

    def greedy() -> int:
        logits = llama_cpp.llama_get_logits_ith(llama.ctx, -1)
        return int(np.ctypeslib.as_array(logits, (llama.n_vocab(),)).argmax())

    def answer(prompt_ids: list[int], new_tokens: int, _: slice) -> Figures:
        llama.reset()  # an empty cache: nothing of the last run is taken over
        clock = Clock()
        llama.eval(prompt_ids)
        clock.tick(greedy())
        while len(clock.token_ids) < new_tokens:
            llama.eval(clock.token_ids[-1:])
            clock.tick(greedy())
        return clock.figures(kept_bytes=None)

    serve(answer, ["llama-cpp-python"])


if __name__ == "__main__":
    main()

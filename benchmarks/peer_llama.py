"""The worker of peers.py for llama.cpp, through llama-cpp-python, on all cores.

python benchmarks/peer_llama.py GGUF --flash on --batch 512 --context 8192
"""

from __future__ import annotations

import time

from llama_greedy import GreedyLlama, make_parser
from peer_worker import Clock, Figures, serve


def main() -> None:
    parser = make_parser(__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--context", type=int, required=True)
    arguments = parser.parse_args()
    started = time.perf_counter()
    model = GreedyLlama(
        arguments.gguf,
        flash=arguments.flash == "on",
        batch=arguments.batch,
        context=arguments.context,
    )
    load_s = time.perf_counter() - started

    def answer(prompt_ids: list[int], new_tokens: int, _: slice) -> Figures:
        model.llama.reset()  # clears the cache of the last run
        clock = Clock()
        model.answer(clock, prompt_ids, new_tokens)
        return clock.figures(kept_bytes=None)

    serve(answer, ["llama-cpp-python"], load_s)


if __name__ == "__main__":
    main()

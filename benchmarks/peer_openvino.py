"""The worker of peers.py for OpenVINO GenAI, on all cores.

    python benchmarks/peer_openvino.py MODEL --attention sdpa|paged|xattention [--group SIZE]

MODEL is a folder that openvino_export.py wrote. "paged" prefills the prompt in one batch;
"xattention" is the same with block-sparse attention, by OpenVINO's own thresholds. SIZE is the
number of values for which activations share a scale (0: they are not quantized).
"""

from __future__ import annotations

import argparse
import time
from typing import Any

from peer_worker import Clock, Figures, serve

ATTENTIONS = ("sdpa", "paged", "xattention")
_CACHE_GIB = 3  # for the KV cache of the paged backend, which reserves it


def _pipeline(model: str, attention: str, group: int | None) -> Any:
    """OpenVINO's pipeline with a backend, the prompt in one batch where it is paged."""
    import openvino_genai as genai

    settings: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY"}
    if group is not None:
        settings["DYNAMIC_QUANTIZATION_GROUP_SIZE"] = group
    if attention == "sdpa":
        return genai.LLMPipeline(model, "CPU", ATTENTION_BACKEND="SDPA", **settings)
    scheduler = genai.SchedulerConfig()
    scheduler.max_num_batched_tokens = 1 << 20
    scheduler.cache_size = _CACHE_GIB
    scheduler.enable_prefix_caching = False  # a prompt is read anew in every round
    if attention == "xattention":
        scheduler.use_sparse_attention = True
        scheduler.sparse_attention_config = genai.SparseAttentionConfig(
            mode=genai.SparseAttentionMode.XATTENTION
        )
    return genai.LLMPipeline(
        model, "CPU", ATTENTION_BACKEND="PA", scheduler_config=scheduler, **settings
    )


def main() -> None:
    import numpy as np
    import openvino as ov
    import openvino_genai as genai

    class Ticker(genai.StreamerBase):  # type: ignore[misc]
        """Records when each token comes."""

        def __init__(self, clock: Clock) -> None:
            super().__init__()
            self._clock = clock

        def write(self, token: int | list[int]) -> Any:
            for one in [token] if isinstance(token, int) else token:
                self._clock.tick(one)
            return genai.StreamingStatus.RUNNING

        def end(self) -> None:
            """Required; nothing to do."""

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--attention", choices=ATTENTIONS, required=True)
    parser.add_argument("--group", type=int)
    arguments = parser.parse_args()
    started = time.perf_counter()
    pipeline = _pipeline(arguments.model, arguments.attention, arguments.group)
    load_s = time.perf_counter() - started

    def answer(prompt_ids: list[int], new_tokens: int, _: slice) -> Figures:
        config = genai.GenerationConfig(
            max_new_tokens=new_tokens, min_new_tokens=new_tokens, ignore_eos=True, do_sample=False
        )
        prompt = ov.Tensor(np.array([prompt_ids], dtype=np.int64))
        clock = Clock()
        pipeline.generate(prompt, config, Ticker(clock))
        return clock.figures(kept_bytes=None)

    serve(answer, ["openvino", "openvino-genai"], load_s)


if __name__ == "__main__":
    main()

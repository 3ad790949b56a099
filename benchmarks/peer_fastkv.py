"""The worker of peers.py for fastkv, set up by the same code as the command line.

    python benchmarks/peer_fastkv.py default
    python benchmarks/peer_fastkv.py full|fast|balanced|quality

`default` is a question without options: `balanced`, and the full cache below 512 tokens.
"""

from __future__ import annotations

import argparse
import importlib
import time

from peer_worker import Figures, serve

from fastkv_cli.config import EMBEDDED_MODEL, DType, MethodName, MethodSettings, Preset
from fastkv_cli.engine.tuning import tuning_of
from fastkv_cli.session.loading import load_engine, torch_environment
from fastkv_cli.session.observer import SILENT
from fastkv_cli.session.options import DeviceOptions

SETTINGS = {
    "full": MethodSettings(MethodName.FULL),
    "default": MethodSettings(),
    **{str(preset): MethodSettings(preset=preset) for preset in Preset},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("setting", choices=SETTINGS)
    parser.add_argument("--model", default=EMBEDDED_MODEL)
    parser.add_argument("--dtype", type=DType, default=DType.AUTO)
    arguments = parser.parse_args()
    with torch_environment():
        from fastkv_cli.engine.generate import Engine  # imports do not count as loading
        from fastkv_cli.engine.methods import build_method

        importlib.import_module("transformers.tokenization_utils_tokenizers")
    started = time.perf_counter()
    engine: Engine = load_engine(arguments.model, DeviceOptions(dtype=arguments.dtype), SILENT)
    load_s = time.perf_counter() - started
    tuning = tuning_of(engine.loaded)
    method = build_method(SETTINGS[arguments.setting], tuning)

    def answer(prompt_ids: list[int], new_tokens: int, question: slice) -> Figures:
        generation = engine.generate(
            prompt_ids, method, new_tokens, question=question, ignore_eos=True
        )
        return {
            "ttft_s": generation.stats.ttft_s,
            "decode_tokens_per_s": generation.stats.decode_tokens_per_s,
            "kept_bytes": generation.kv.kept_bytes,
            "token_ids": generation.token_ids,
        }

    serve(answer, ["fastkv-cli", "torch", "transformers"], load_s)


if __name__ == "__main__":
    main()

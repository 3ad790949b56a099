"""Quantize a GGUF file with llama.cpp's own quantizer, through llama-cpp-python.

    python benchmarks/quantize_llama.py SOURCE TARGET Q4_K_M
    python benchmarks/quantize_llama.py SOURCE TARGET Q4_K --pure  # every matrix in these blocks

Runs in an environment of llama-cpp-python only, so it needs nothing else. SOURCE is in 16 bits.
"""

from __future__ import annotations

import argparse
import ctypes
import os
from pathlib import Path

import llama_cpp

# File types of which some matrices are in other blocks have names of their own.
_FILE_TYPES = {"Q4_K": "Q4_K_S", "Q5_K": "Q5_K_S", "MXFP4": "MXFP4_MOE"}


def quantize(source: Path, target: Path, kind: str, pure: bool) -> None:
    """Write a quantized copy, which appears complete or not at all.

    Args:
        source: the file in 16 bits.
        target: the copy.
        kind: a file type such as `Q4_K_M`, or, if `pure`, a type of blocks such as `Q4_K`.
        pure: whether to quantize every matrix to this type of blocks.
    """
    file_type = getattr(llama_cpp, f"LLAMA_FTYPE_MOSTLY_{_FILE_TYPES.get(kind, kind)}", None)
    if file_type is None:
        raise SystemExit(f"llama.cpp has no file type {kind}")
    settings = llama_cpp.llama_model_quantize_default_params()
    settings.nthread = os.cpu_count() or 1
    settings.ftype = file_type
    if pure:
        block_type = getattr(llama_cpp, f"GGML_TYPE_{kind}")
        settings.pure = True
        settings.token_embedding_type = settings.output_tensor_type = block_type
        if kind in _FILE_TYPES:
            # The last entry has no pattern: it ends the list.
            overrides = (llama_cpp.llama_model_tensor_override * 2)()
            overrides[0].pattern, overrides[0].type = b"weight", block_type
            settings.tt_overrides = overrides
    unfinished = target.with_suffix(".part")
    paths = os.fsencode(source), os.fsencode(unfinished)
    if llama_cpp.llama_model_quantize(*paths, ctypes.byref(settings)):
        raise SystemExit(f"llama.cpp could not quantize {source} to {kind}")
    unfinished.replace(target)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("kind")
    parser.add_argument("--pure", action="store_true")
    arguments = parser.parse_args()
    quantize(arguments.source, arguments.target, arguments.kind, arguments.pure)


if __name__ == "__main__":
    main()

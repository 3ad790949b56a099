"""Export a model folder for OpenVINO GenAI, with weights in 8 or 4 bits.

    python benchmarks/openvino_export.py FOLDER TARGET --bits 8|4

Runs in the peer's own environment. 8 bits: symmetric, a scale a row; 4 bits: symmetric, groups of
64, as much in 4 bits as optimum-intel allows.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path


def export(folder: Path, target: Path, bits: int) -> None:
    """Write the model and its tokenizer; the target appears when it is whole."""
    from openvino import save_model
    from openvino_tokenizers import convert_tokenizer
    from optimum.intel import OVModelForCausalLM, OVWeightQuantizationConfig
    from transformers import AutoTokenizer

    unfinished = target.with_name(f"{target.name}.part")
    shutil.rmtree(unfinished, ignore_errors=True)
    quantization = (
        OVWeightQuantizationConfig(bits=8, sym=True)
        if bits == 8
        else OVWeightQuantizationConfig(bits=4, sym=True, group_size=64, ratio=1.0)
    )
    model = OVModelForCausalLM.from_pretrained(
        folder, export=True, compile=False, quantization_config=quantization
    )
    model.save_pretrained(unfinished)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.save_pretrained(unfinished)
    encoder, decoder = convert_tokenizer(tokenizer, with_detokenizer=True)
    save_model(encoder, unfinished / "openvino_tokenizer.xml")
    save_model(decoder, unfinished / "openvino_detokenizer.xml")
    unfinished.replace(target)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--bits", type=int, choices=(8, 4), required=True)
    arguments = parser.parse_args()
    export(arguments.folder, arguments.target, arguments.bits)


if __name__ == "__main__":
    main()

"""Weights that are mapped from their files: the same numbers, and memory that goes back."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
import torch
from cases import make_prompt
from torch import Tensor

from fastkv_cli import Engine, Full
from fastkv_cli.config import DType
from fastkv_cli.engine.kernels.packing import can_pack
from fastkv_cli.engine.model.decoder_opening import open_decoder
from fastkv_cli.engine.model.loader import load_model
from fastkv_cli.engine.model.mapped import MappedLayers

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="asks Linux what is in memory")


def resident_kib(folder: Path) -> int:
    """What this process holds in memory of a folder's safetensors files."""
    smaps = Path("/proc/self/smaps").read_text()
    pattern = rf"{re.escape(str(folder))}\S*\.safetensors\n(?:.*\n)*?Rss:\s+(\d+) kB"
    return sum(int(size) for size in re.findall(pattern, smaps))


def weights_of(model: torch.nn.Module) -> dict[str, Tensor]:
    return {name: weight.clone() for name, weight in model.named_parameters()}


@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3", "phi3"])
def test_the_weights_are_the_same(tiny_models: dict[str, Path], family: str) -> None:
    stored = load_model(str(tiny_models[family]), device="cpu", dtype=DType.FLOAT32)
    before = weights_of(stored.model)
    mapped = MappedLayers.of(stored)
    assert sorted(mapped.spans) == [0, 1, 2, 3]
    for layer in open_decoder(stored.model).layers:
        mapped.release(layer)
    after = weights_of(stored.model)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_layer_s_weights_lie_side_by_side(tiny_models: dict[str, Path]) -> None:
    stored = load_model(str(tiny_models["llama"]), device="cpu", dtype=DType.FLOAT32)
    sizes = [sum(p.numel() * 4 for p in layer.parameters()) for layer in stored.model.model.layers]
    mapped = MappedLayers.of(stored)
    for index, spans in mapped.spans.items():
        assert [span.stop - span.start for span in spans] == [sizes[index]]


def test_weights_of_another_format_stay_where_they_are(tiny_models: dict[str, Path]) -> None:
    loaded = load_model(
        str(tiny_models["llama"]), device="cpu", dtype=DType.BFLOAT16
    )  # of float32 files
    places = [weight.data_ptr() for weight in loaded.model.parameters()]
    assert MappedLayers.of(loaded).spans == {}
    assert [weight.data_ptr() for weight in loaded.model.parameters()] == places


@pytest.mark.skipif(not can_pack(), reason="torch has no packed kernels here")
def test_memory_goes_back_and_answers_stay(plain_folder: Path) -> None:
    """14 MiB of layers: gone after loading and after each prompt, and the same answer again."""
    engine = Engine.load(str(plain_folder), device="cpu", dtype="bfloat16")
    folder = engine.loaded.folder.resolve()
    after_loading = resident_kib(folder)
    prompt = engine.tokenizer("One fox and one dog. " * 30)["input_ids"]
    answers = [engine.generate(prompt, Full(), 8).token_ids for _ in range(2)]
    assert answers[0] == answers[1]
    after_answering = resident_kib(folder)
    for weight in engine.loaded.model.parameters():
        float(weight.sum())
    everything = resident_kib(folder)
    assert everything > 64 * 1024
    assert after_loading < everything - 12 * 1024
    assert after_answering < everything - 12 * 1024


def test_what_decodes_from_its_own_weights_keeps_them(tiny_models: dict[str, Path]) -> None:
    engine = Engine.load(str(tiny_models["llama"]), device="cpu", dtype="float32")
    first = engine.generate(make_prompt(50), Full(), 4).token_ids
    assert engine.generate(make_prompt(50), Full(), 4).token_ids == first
    assert resident_kib(engine.loaded.folder.resolve()) > 0

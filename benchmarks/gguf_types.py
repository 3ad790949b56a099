"""Does fastkv read each type of blocks as it is? The second part of large_models.py (`--equal`).

For each type that llama.cpp's quantizer writes: a small random model with every matrix in these
blocks, whose dequantized values (by the package `gguf`) make a transformers model in float32.
fastkv reads the GGUF file and answers a prompt with the full cache, in float32, where the greedy
tokens must be those of transformers and the logits nearly so, and in bfloat16.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from random_gguf import Geometry, write_random

BLOCK_TYPES = (
    *("Q4_0", "Q4_1", "Q4_K", "Q5_0", "Q5_1", "Q5_K", "Q6_K", "Q8_0"),
    *("IQ4_NL", "IQ4_XS", "MXFP4", "F16", "BF16"),
)
MIXED = ("Q4_K_M", "Q5_K_M")
"""File types of several types of blocks, as they are published."""
SMALL = {
    "llama": Geometry("llama", 3, 256, 768, 4, 2, 64, 49_152, 2048, 1e4),
    "qwen3": Geometry(
        *("qwen3", 3, 256, 512, 4, 2, 128, 49_152, 2048, 1e6), normalized_heads=True, tied=False
    ),
}
"""Small geometries, of multiples of 256, as the larger blocks need."""
TOLERANCE = 1e-3
"""The largest difference of float32 logits, in standard deviations of the logits."""

Quantize = Callable[..., None]


def compare_types(folder: Path, quantize: Quantize, types: Sequence[str]) -> list[dict[str, Any]]:
    """Compare fastkv with transformers for each type; a row for each type and architecture.

    Args:
        folder: for the files.
        quantize: takes source, target, type, and `--pure` for one type of blocks.
        types: of `BLOCK_TYPES` and `MIXED`.
    """
    rows = []
    for name, geometry in SMALL.items():
        source = write_random(folder / f"small-{name}-F16.gguf", geometry)
        for kind in types:
            gguf = folder / f"small-{name}-{kind}.gguf"
            if kind == "BF16":
                write_random(gguf, geometry, kind)
            elif kind != "F16":
                quantize(source, gguf, kind, *(() if kind in MIXED else ("--pure",)))
            rows.append({"architecture": name, "type": kind, **compare(gguf, geometry)})
            print(f"{name} {kind}: {rows[-1]}", file=sys.stderr, flush=True)
    return rows


def compare(gguf: Path, geometry: Geometry, num_tokens: int = 79, new_tokens: int = 24) -> Any:
    """Compare fastkv on a GGUF file with transformers on its dequantized weights.

    Returns:
        The types of blocks found; the largest difference of the last logits in float32 and in
        bfloat16, in standard deviations of the logits; how many of the greedy tokens are equal
        from the first one on; and whether that is enough.
    """
    generator = torch.Generator().manual_seed(1)
    prompt = torch.randint(3, 40_000, (1, num_tokens), generator=generator)
    model, kinds = reference(gguf, geometry)
    with torch.no_grad():
        logits = model(prompt).logits[0, -1]
        ids = model.generate(
            prompt,
            attention_mask=torch.ones_like(prompt),
            max_new_tokens=new_tokens,
            min_new_tokens=new_tokens,
            do_sample=False,
        )[0, num_tokens:].tolist()
    found: dict[str, Any] = {"blocks": kinds, "new_tokens": new_tokens}
    for dtype in ("float32", "bfloat16"):
        ours, token_ids = answer(gguf, dtype, prompt[0].tolist(), new_tokens)
        difference = (ours - logits).abs().max() / logits.std()
        equal = [a == b for a, b in zip(token_ids, ids, strict=True)]
        found[f"difference_{dtype}"] = float(difference)
        found[f"equal_tokens_{dtype}"] = equal.index(False) if False in equal else new_tokens
    is_near = found["difference_float32"] <= TOLERANCE
    return found | {"ok": is_near and found["equal_tokens_float32"] == new_tokens}


def answer(
    gguf: Path, dtype: str, prompt_ids: list[int], new_tokens: int
) -> tuple[torch.Tensor, list[int]]:
    """First logits and greedy tokens of fastkv, with the full cache."""
    from fastkv_cli import Engine
    from fastkv_cli.engine.methods import Full

    engine = Engine.load(str(gguf), dtype=dtype, device="cpu", offline=True)
    generation = engine.generate(prompt_ids, Full(), new_tokens, ignore_eos=True)
    return generation.first_logits.flatten().float(), generation.token_ids


def reference(gguf: Path, geometry: Geometry) -> tuple[Any, dict[str, int]]:
    """A transformers model of the file's dequantized weights in float32, and its block types."""
    from gguf import MODEL_ARCH_NAMES, GGUFReader, get_tensor_name_map
    from gguf.quants import dequantize
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.for_model(
        geometry.architecture,
        hidden_size=geometry.hidden,
        intermediate_size=geometry.inner,
        num_hidden_layers=geometry.layers,
        num_attention_heads=geometry.heads,
        num_key_value_heads=geometry.kv_heads,
        head_dim=geometry.head_dim,
        vocab_size=geometry.vocabulary,
        max_position_embeddings=geometry.context,
        rope_parameters={"rope_type": "default", "rope_theta": geometry.theta},
        rms_norm_eps=1e-6,
        tie_word_embeddings=geometry.tied,
    )
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    stored = {tensor.name: tensor for tensor in GGUFReader(gguf).tensors}
    architectures = {name: number for number, name in MODEL_ARCH_NAMES.items()}
    names = get_tensor_name_map(architectures[geometry.architecture], geometry.layers)
    kinds: dict[str, int] = {}
    for key, parameter in model.named_parameters():
        tensor = stored[f"{names.get_name(key.removesuffix('.weight'))}.weight"]
        kinds[tensor.tensor_type.name] = kinds.get(tensor.tensor_type.name, 0) + 1
        values = torch.from_numpy(dequantize(tensor.data, tensor.tensor_type).copy())
        if geometry.architecture == "llama" and key.endswith(("q_proj.weight", "k_proj.weight")):
            # llama.cpp rotates neighbours, transformers rotates halves.
            halves = values.reshape(-1, geometry.head_dim // 2, 2, values.shape[1])
            values = halves.transpose(1, 2).reshape(values.shape)
        with torch.no_grad():
            parameter.copy_(values.reshape(parameter.shape))
    return model, kinds

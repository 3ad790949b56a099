"""Metadata of a GGUF file that transformers omits or gets wrong.

A GGUF file states the scaling of its rotary embeddings in metadata and tensors that transformers
does not read; without them a model made for 128k tokens derails after 8k. The special tokens and
the splitting of digits are not correct in all versions of transformers either.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import ModelError

# Llama 3.1 to 3.3: only the factor differs, the other settings are the same. The file holds only
# the numbers derived from them, one for each frequency.
_LLAMA3_LOW, _LLAMA3_HIGH, _LLAMA3_ORIGINAL = 1.0, 4.0, 8192

_SPECIAL_TOKENS = {
    "bos_token": "tokenizer.ggml.bos_token_id",
    "eos_token": "tokenizer.ggml.eos_token_id",
    "unk_token": "tokenizer.ggml.unknown_token_id",
    "pad_token": "tokenizer.ggml.padding_token_id",
}
_NO_TOKEN = 2**32 - 1  # llama.cpp's -1
_LONG_LISTS = {f"tokenizer.ggml.{name}" for name in ("tokens", "scores", "token_type", "merges")}


def complete(gguf: Path, config: Any, tokenizer: Any) -> None:
    """Set RoPE, special tokens and the splitting of digits as the file states them, in place.

    Raises:
        ModelError: when the file asks for a RoPE scaling that is not supported.
    """
    from gguf import GGUFReader

    reader = GGUFReader(gguf)
    facts = {
        key: field.contents() for key, field in reader.fields.items() if key not in _LONG_LISTS
    }
    tensors = {t.name: t for t in reader.tensors if t.name.startswith("rope_")}
    factors = {name: np.asarray(t.data, np.float64).reshape(-1) for name, t in tensors.items()}
    architecture = str(facts["general.architecture"])
    if config.model_type == "phi3":
        _set_phi3(config, facts)
    config.rope_parameters = dict(config.rope_parameters) | _scaling(
        gguf, {k.removeprefix(f"{architecture}."): v for k, v in facts.items()}, factors, config
    )
    for name, key in _SPECIAL_TOKENS.items():
        if facts.get(key, _NO_TOKEN) != _NO_TOKEN:
            setattr(tokenizer, name, tokenizer.convert_ids_to_tokens(int(facts[key])))
    if facts.get("tokenizer.ggml.pre") == "smollm":
        _split_digits(tokenizer)


def _set_phi3(config: Any, facts: dict[str, Any]) -> None:
    head_dim = config.hidden_size // config.num_attention_heads
    rotary = facts.get("phi3.rope.dimension_count", head_dim)
    config.rope_parameters["partial_rotary_factor"] = rotary / head_dim
    config.sliding_window = facts.get("phi3.attention.sliding_window") or None


def _scaling(
    gguf: Path, facts: dict[str, Any], factors: dict[str, np.ndarray], config: Any
) -> dict[str, Any]:
    """The RoPE parameters of the file beyond the base frequency."""
    kind = facts.get("rope.scaling.type", "none")
    original = facts.get("rope.scaling.original_context_length")
    if "rope_factors_long.weight" in factors:
        original = original or config.original_max_position_embeddings
        config.original_max_position_embeddings = original
        return {
            "rope_type": "longrope",
            "short_factor": factors["rope_factors_short.weight"].tolist(),
            "long_factor": factors["rope_factors_long.weight"].tolist(),
            "original_max_position_embeddings": original,
        }
    if "rope_freqs.weight" in factors:
        return _llama3_scaling(gguf, factors["rope_freqs.weight"], config)
    if kind in {"none", "default"} or facts.get("rope.scaling.factor", 0) in {0, 1}:
        return {}
    if kind == "linear":
        return {"rope_type": "linear", "factor": facts["rope.scaling.factor"]}
    if kind == "yarn":
        return {
            "rope_type": "yarn",
            "factor": facts["rope.scaling.factor"],
            "original_max_position_embeddings": original or config.max_position_embeddings,
        }
    raise _unknown(gguf, f"of type {kind!r}")


def _llama3_scaling(gguf: Path, divisors: np.ndarray, config: Any) -> dict[str, Any]:
    """The settings of Llama 3.1 and later, provided that they yield the file's numbers."""
    head_dim, theta = 2 * len(divisors), config.rope_parameters["rope_theta"]
    factor = float(divisors.max())
    wavelengths = 2 * math.pi * theta ** (np.arange(0, head_dim, 2) / head_dim)
    num_periods = _LLAMA3_ORIGINAL / wavelengths
    smooth = np.clip((num_periods - _LLAMA3_LOW) / (_LLAMA3_HIGH - _LLAMA3_LOW), 0, 1)
    expected = 1 / ((1 - smooth) / factor + smooth)
    if not np.allclose(divisors, expected, rtol=1e-3):
        raise _unknown(gguf, "by factors other than those of Llama 3")
    return {
        "rope_type": "llama3",
        "factor": factor,
        "low_freq_factor": _LLAMA3_LOW,
        "high_freq_factor": _LLAMA3_HIGH,
        "original_max_position_embeddings": _LLAMA3_ORIGINAL,
    }


def _unknown(gguf: Path, how: str) -> ModelError:
    return ModelError(
        f"{gguf.name} scales its rotary embeddings {how}, which is not supported",
        "take the safetensors of the same model, by its Hugging Face id",
    )


def _split_digits(tokenizer: Any) -> None:
    """Split numbers into digits before anything else, as SmolLM's merges were learned.

    Otherwise blank lines and indents before a number give other tokens than in training.
    """
    from tokenizers import pre_tokenizers

    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )

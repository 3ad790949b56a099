"""Llama and its near relatives in torch alone: halves the start-up time of a process.

Importing any model class of transformers imports most of torch's compiler with it: 1.3 to 2.2 s and
100 MiB, which nothing here uses. A plain Llama, Mistral, Qwen2 or Qwen3 needs none of that. Its
modules have the same names as in transformers, so that `decoder.py` treats both alike; tests check
that results are equal.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

# Classes in tokenizer_config.json whose tokenizer is defined by tokenizer.json alone.
_PLAIN_TOKENIZERS = {"TokenizersBackend", "PreTrainedTokenizerFast"}
# Required fields of config.json: transformers has defaults for missing ones, this module has none.
_USED = {
    "hidden_size",
    "intermediate_size",
    "max_position_embeddings",
    "num_attention_heads",
    "num_hidden_layers",
    "num_key_value_heads",
    "rms_norm_eps",
    "tie_word_embeddings",
    "vocab_size",
}
_FAMILIES = {"llama", "mistral", "qwen2", "qwen3"}
_WITH_BIASES, _WITH_HEAD_NORMS = "qwen2", "qwen3"
_OPTIONS = (
    *("attention_bias", "mlp_bias", "quantization_config"),
    *("sliding_window", "use_sliding_window"),
)
_LLAMA3 = ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings")


def is_plain(
    config: dict[str, Any],
    tokenizer: dict[str, Any],
    device: torch.device,
    dtype: torch.dtype,
    in_blocks: bool = False,
) -> bool:
    """Whether a model is of a plain family, without options, stored as it is run on the CPU.

    Args:
        config: its config.json.
        tokenizer: its tokenizer_config.json.
        device: the device to run on.
        dtype: the number format to run in.
        in_blocks: its weights are a GGUF file's, for any number format; else they are to be in
            bfloat16, and so run.
    """
    family = config.get("model_type")
    used = _USED | ({"head_dim"} if family == _WITH_HEAD_NORMS else set())
    return (
        family in _FAMILIES
        and config.keys() >= used
        and None not in {config[name] for name in used}
        and device.type == "cpu"
        and (in_blocks or (config.get("dtype"), dtype) == ("bfloat16", torch.bfloat16))
        and config.get("hidden_act") == "silu"
        and _is_known(config.get("rope_parameters") or {})
        and str(tokenizer.get("tokenizer_class")) in _PLAIN_TOKENIZERS
        and not any(config.get(name) for name in _OPTIONS)
    )


def _is_known(rope: Mapping[str, Any]) -> bool:
    """Whether these are plain rotary embeddings, or those of Llama 3.1 and later."""
    scaling = {"default": (), "llama3": _LLAMA3}.get(str(rope.get("rope_type")))
    if scaling is None or "partial_rotary_factor" in rope:
        return False
    numbers = [rope.get(name) for name in ("rope_theta", *scaling)]
    return all(isinstance(number, int | float) and number > 0 for number in numbers)


class PlainLlama(nn.Module):
    """The weights of a model under transformers' module names; `decoder.py` computes with them."""

    def __init__(self, config: Any) -> None:
        """Make modules without memory for the weights, which `load` maps.

        `config` has the field names of config.json.
        """
        super().__init__()
        self.config = config
        self.model = _Body(config)
        self.lm_head = PlainLinear(config.hidden_size, config.vocab_size)
        self._tie()

    def load(self, files: Sequence[Path]) -> list[str]:
        """Map the weights of safetensors files.

        Returns:
            The names of weights that no file holds.

        Raises:
            ValueError: when a weight's shape differs from config.json.
        """
        from safetensors.torch import load_file

        shapes = {name: weight.shape for name, weight in self.state_dict().items()}
        missing = set(shapes)
        for path in files:
            weights = load_file(path)
            for name in shapes.keys() & weights.keys():
                if weights[name].shape != shapes[name]:
                    raise ValueError(f"{name} is of shape {tuple(weights[name].shape)}")
            self.load_state_dict(weights, strict=False, assign=True)
            missing -= weights.keys()
        if "lm_head.weight" in missing and self._tie():
            missing.remove("lm_head.weight")
        return sorted(missing)

    def _tie(self) -> bool:
        """Share the embeddings with the LM head if the config ties them; return whether it does."""
        if self.config.tie_word_embeddings:
            self.lm_head.weight = self.model.embed_tokens.weight
        return bool(self.config.tie_word_embeddings)


def _weight(*shape: int) -> nn.Parameter:
    """A weight without memory; torch's own modules would initialize it, importing its compiler."""
    return nn.Parameter(torch.empty(shape, device="meta"))


class PlainLinear(nn.Module):
    bias: nn.Parameter | None

    def __init__(self, num_inputs: int, num_outputs: int, *, has_bias: bool = False) -> None:
        super().__init__()
        self.in_features, self.out_features = num_inputs, num_outputs
        self.weight = _weight(num_outputs, num_inputs)
        self.register_parameter("bias", _weight(num_outputs) if has_bias else None)

    def forward(self, hidden: Tensor) -> Tensor:
        """(…, inputs) → (…, outputs)."""
        return functional.linear(hidden, self.weight, self.bias)


class PlainEmbedding(nn.Module):
    def __init__(self, config: Any) -> None:
        super().__init__()
        self.weight = _weight(config.vocab_size, config.hidden_size)

    def forward(self, token_ids: Tensor) -> Tensor:
        """(…) → (…, hidden)."""
        return functional.embedding(token_ids, self.weight)


class _Body(nn.Module):
    def __init__(self, config: Any) -> None:
        super().__init__()
        self.embed_tokens = PlainEmbedding(config)
        self.layers = nn.ModuleList(_Layer(config) for _ in range(config.num_hidden_layers))
        self.norm = _Norm(config.hidden_size, config)
        self.rotary_emb = _Rotary(config)


class _Layer(nn.Module):
    def __init__(self, config: Any) -> None:
        super().__init__()
        self.input_layernorm = _Norm(config.hidden_size, config)
        self.self_attn = _Attention(config)
        self.post_attention_layernorm = _Norm(config.hidden_size, config)
        self.mlp = _MLP(config)


class _Norm(nn.Module):
    def __init__(self, size: int, config: Any) -> None:
        super().__init__()
        self.weight = _weight(size)
        self.variance_epsilon = config.rms_norm_eps

    def forward(self, rows: Tensor) -> Tensor:
        """(…, size) → (…, size), in one torch call: half the time of transformers' steps."""
        return functional.rms_norm(rows, self.weight.shape, self.weight, self.variance_epsilon)


class _Attention(nn.Module):
    def __init__(self, config: Any) -> None:
        super().__init__()
        self.head_dim = _head_dim(config)
        self.scaling = self.head_dim**-0.5
        size, kv_size = (
            heads * self.head_dim
            for heads in (config.num_attention_heads, config.num_key_value_heads)
        )
        biased = config.model_type == _WITH_BIASES
        self.q_proj = PlainLinear(config.hidden_size, size, has_bias=biased)
        self.k_proj = PlainLinear(config.hidden_size, kv_size, has_bias=biased)
        self.v_proj = PlainLinear(config.hidden_size, kv_size, has_bias=biased)
        self.o_proj = PlainLinear(size, config.hidden_size)
        if config.model_type == _WITH_HEAD_NORMS:
            self.q_norm = _Norm(self.head_dim, config)
            self.k_norm = _Norm(self.head_dim, config)


class _MLP(nn.Module):
    def __init__(self, config: Any) -> None:
        super().__init__()
        self.gate_proj = PlainLinear(config.hidden_size, config.intermediate_size)
        self.up_proj = PlainLinear(config.hidden_size, config.intermediate_size)
        self.down_proj = PlainLinear(config.intermediate_size, config.hidden_size)
        self.act_fn = nn.SiLU()

    def forward(self, hidden: Tensor) -> Tensor:
        """(…, hidden) → (…, hidden)."""
        gated = functional.silu(self.gate_proj(hidden)) * self.up_proj(hidden)
        down: Tensor = self.down_proj(gated)
        return down


class _Rotary(nn.Module):
    def __init__(self, config: Any) -> None:
        super().__init__()
        self.head_dim = _head_dim(config)
        self.settings = config.rope_parameters

    def forward(self, like: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Positions (1, T) → cos and sin (1, T, D) in the dtype of `like`."""
        rope = self.settings
        powers = torch.arange(0, self.head_dim, 2).float() / self.head_dim
        frequencies = 1.0 / rope["rope_theta"] ** powers
        if rope["rope_type"] == "llama3":
            frequencies = _stretched(frequencies, *(rope[name] for name in _LLAMA3))
        angles = positions.float().unsqueeze(-1) * frequencies
        angles = torch.cat((angles, angles), dim=-1)
        return angles.cos().to(like.dtype), angles.sin().to(like.dtype)


def _stretched(frequencies: Tensor, factor: float, low: float, high: float, length: int) -> Tensor:
    """Scale frequencies as Llama 3.1 does, by their number of rotations within `length` positions.

    Those with less than `low` are divided by `factor`, those with more than `high` stay, and those
    between are interpolated.
    """
    wavelengths = 2 * math.pi / frequencies
    smooth = (length / wavelengths - low) / (high - low)
    between = (1 - smooth) * (frequencies / factor) + smooth * frequencies
    slow = torch.where(wavelengths > length / low, frequencies / factor, between)
    return torch.where(wavelengths < length / high, frequencies, slow)


def _head_dim(config: Any) -> int:
    stated: int | None = getattr(config, "head_dim", None)
    return stated or config.hidden_size // config.num_attention_heads

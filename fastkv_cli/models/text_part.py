"""The text part of models that take images, too; the rest of such a model is not loaded.

Their config.json holds the text model's settings as `text_config`, and their weights lie below
`language_model` (transformers' *ForConditionalGeneration).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

# The model_type of a model with images to that of its text part, where text_config names none.
_TEXT_TYPES = {
    "gemma3": "gemma3_text",
    "mistral3": "mistral",
    "qwen3_5": "qwen3_5_text",
    "qwen3_5_moe": "qwen3_5_moe_text",
}
# What applies to the text part although it may stand beside it. Each overrides the part's own.
_SHARED = ("eos_token_id", "quantization_config")
# Settings that published text_configs leave to transformers' defaults (Gemma 3 4B).
_DEFAULTS: dict[str, dict[str, Any]] = {
    "gemma3_text": {
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "head_dim": 256,
        "max_position_embeddings": 131_072,
        "sliding_window": 4096,
        "sliding_window_pattern": 6,
    }
}
KEY_MAPPING = {
    r"^(model\.)?language_model\.(model\.)?(?!lm_head\.)": "model.",
    r"^language_model\.lm_head\.": "lm_head.",
}
"""What `text_weight_name` does, as patterns for transformers' `from_pretrained`."""

_Value = TypeVar("_Value")


def has_other_parts(config: Mapping[str, Any]) -> bool:
    """Whether a config.json describes a model of which only the text part is supported."""
    kind, part = str(config.get("model_type")), config.get("text_config")
    return kind in _TEXT_TYPES and isinstance(part, dict)


def text_config(config: dict[str, Any]) -> dict[str, Any]:
    """The settings of a model's text part: those of `text_config`, or all where there is none."""
    if has_other_parts(config):
        part = {"model_type": _TEXT_TYPES[config["model_type"]], **config["text_config"]}
        config = part | {key: config[key] for key in _SHARED if config.get(key) is not None}
    return _DEFAULTS.get(str(config.get("model_type")), {}) | config


def text_weights(stored: Mapping[str, _Value]) -> dict[str, _Value]:
    """Of a model with other parts, the weights of its text part, under the text model's names."""
    found = {}
    for key, value in stored.items():
        name = text_weight_name(key)
        if name is not None:
            found[name] = value
    return found


def text_weight_name(name: str) -> str | None:
    """The text model's name of a weight that a model with other parts stores; None for theirs."""
    if name.startswith("lm_head."):
        return name
    body = name.removeprefix("model.")
    if not body.startswith("language_model."):
        return None
    body = body.removeprefix("language_model.")
    return body if body.startswith("lm_head.") else f"model.{body.removeprefix('model.')}"

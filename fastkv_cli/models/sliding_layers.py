"""Which layers of a model attend to a sliding window, as its files state it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .gguf_header import Items

# Every n-th layer attends to all tokens, where a file does not say it: llama.cpp's own patterns.
_PATTERNS = {"gemma3": 6, "gpt-oss": 2}
_ALL = {"phi3"}  # every layer has the window


def sliding_in_gguf(architecture: str, facts: Mapping[str, Any], num_layers: int) -> list[bool]:
    """For each layer, whether it attends to a sliding window.

    Args:
        architecture: llama.cpp's name.
        facts: the metadata of the architecture, without its prefix, checked.
        num_layers: L.
    """
    pattern = facts.get("attention.sliding_window_pattern", _PATTERNS.get(architecture))
    if not facts.get("attention.sliding_window"):
        return [False] * num_layers
    if isinstance(pattern, Items):
        return [bool(each) for each in pattern.values]
    if pattern is None:
        return [architecture in _ALL] * num_layers
    return [(index + 1) % pattern != 0 for index in range(num_layers)]


def sliding_in_config(config: Mapping[str, Any], num_layers: int) -> list[bool]:
    """The same of a config.json."""
    layer_types = config.get("layer_types")
    if not config.get("sliding_window") or config.get("use_sliding_window") is False:
        return [False] * num_layers
    if isinstance(layer_types, list) and len(layer_types) == num_layers:
        return [kind == "sliding_attention" for kind in layer_types]
    pattern = config.get("sliding_window_pattern")
    if isinstance(pattern, int) and pattern > 0:
        return [(index + 1) % pattern != 0 for index in range(num_layers)]
    return [True] * num_layers

"""What the headers of a model's files say of it; no weights are read."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import ModelError
from ...forecasts import ModelSizes
from ..checked import is_mxfp4, read_object
from ..gguf_parts import read_model
from ..gguf_sizes import check_header
from ..local import check_folder, weight_files
from ..safetensors_header import read_shapes, with_unpacked_blocks
from ..sliding_layers import sliding_in_config, sliding_in_gguf
from ..supported import label_of, label_of_gguf
from ..text_part import has_other_parts, text_config, text_weights
from .found import FoundModel

_LAYER = re.compile(r"(?:blk|(?:\w+\.)*layers)\.(\d{1,6})\.")
_EMBEDDINGS = ("token_embd.weight", "model.embed_tokens.weight")
_HEADS = ("output.weight", "lm_head.weight")
_KV = re.compile(r"attn_[kv]\.weight|self_attn\.[kv]_proj\.weight")


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """A model as its files describe it.

    Attributes:
        family: the common name of its family.
        file_bytes: of its weights on disk.
        window: of context, in tokens.
        sizes: for the memory forecast.
        sliding_window: tokens that a query attends to in layers with a sliding window.
        sliding_kv_per_token: numbers in K and V of a token, over those layers.
        unused_weights: weights in the files that are not loaded: a vision encoder's.
    """

    family: str
    file_bytes: int
    window: int
    sizes: ModelSizes
    sliding_window: int = 0
    sliding_kv_per_token: int = 0
    unused_weights: int = 0

    def kv_numbers(self, num_tokens: int, kept: float = 1.0) -> int:
        """Numbers in K and V of a text, of which layers without a window keep this share."""
        in_windows = self.sliding_kv_per_token * min(num_tokens, self.sliding_window)
        others = (self.sizes.kv_per_token - self.sliding_kv_per_token) * num_tokens
        return in_windows + round(others * kept)

    @property
    def bits(self) -> float:
        """Bits that a weight takes on disk."""
        stored = self.sizes.num_weights + self.unused_weights
        return 8 * self.file_bytes / max(stored, 1)


def read_facts(model: FoundModel) -> ModelFacts:
    """Read the headers of a model's files.

    Raises:
        ModelError: when it cannot be used: its family is not supported, or a file is damaged.
    """
    if model.problem:
        raise ModelError(model.problem)
    try:
        return _of_gguf(model) if model.parts else _of_folder(model)
    except OSError as error:
        raise ModelError(f"cannot read {model.name}", error.strerror or str(error)) from error


def _of_gguf(model: FoundModel) -> ModelFacts:
    header = read_model(model.path, model.name)
    check_header(header, model.name)
    facts, architecture = header.facts, str(header.facts["general.architecture"])

    def size(key: str, default: int) -> int:
        value = facts.get(f"{architecture}.{key}")
        return value if isinstance(value, int) and value > 0 else default

    heads, hidden = size("attention.head_count", 1), size("embedding_length", 1)
    kv_heads = size("attention.head_count_kv", heads)
    head_dim = size("attention.key_length", hidden // heads)
    sizes = _sizes(
        {
            key: shape[::-1] for key, shape in header.shapes.items()
        },  # the contiguous dimension first
        hidden=hidden,
        intermediate=size("feed_forward_length", hidden),
        num_heads=heads,
        num_kv_heads=kv_heads,
        head_dim=head_dim,
        packed_bytes=header.packed_bytes,
        expert_bytes=header.expert_bytes,
    )
    prefix = f"{architecture}."
    own = {key.removeprefix(prefix): facts[key] for key in facts if key.startswith(prefix)}
    are_sliding = sliding_in_gguf(architecture, own, size("block_count", 1))
    return ModelFacts(
        label_of_gguf(architecture),
        _bytes_of(model.parts),
        size("context_length", 0),
        sizes,
        size("attention.sliding_window", 0),
        _share(sizes.kv_per_token, are_sliding),
    )


def _of_folder(model: FoundModel) -> ModelFacts:
    folder, name = model.path, model.name
    check_folder(folder, name)
    stated = read_object(folder / "config.json", name)
    config = text_config(stated)
    files = weight_files(folder, name)
    stored = {key: shape for file in files for key, shape in read_shapes(file, name).items()}
    stored = with_unpacked_blocks(stored)
    shapes = text_weights(stored) if has_other_parts(stated) else stored
    # in 8 bits; experts have a matrix each in one tensor
    packed, experts = (
        sum(math.prod(shape) for shape in shapes.values() if len(shape) == dimensions)
        for dimensions in (2, 3)
    )
    in_blocks = is_mxfp4(config)

    def size(key: str, default: int) -> int:
        value = config.get(key)
        return value if isinstance(value, int) and value > 0 else default

    heads, hidden = size("num_attention_heads", 1), size("hidden_size", 1)
    sizes = _sizes(
        shapes,
        hidden=hidden,
        intermediate=size("intermediate_size", hidden),
        num_heads=heads,
        num_kv_heads=size("num_key_value_heads", heads),
        head_dim=size("head_dim", hidden // heads),
        packed_bytes=packed if in_blocks else None,
        expert_bytes=experts if in_blocks else 0,
    )
    family = label_of(config["model_type"])
    are_sliding = sliding_in_config(config, size("num_hidden_layers", 1))
    return ModelFacts(
        family,
        _bytes_of(files),
        size("max_position_embeddings", 0),
        sizes,
        size("sliding_window", 0),
        _share(sizes.kv_per_token, are_sliding),
        _count(stored) - _count(shapes),
    )


def _count(shapes: Mapping[str, tuple[int, ...]]) -> int:
    return sum(math.prod(shape) for shape in shapes.values())


def _share(kv_per_token: int, are_sliding: list[bool]) -> int:
    """Numbers in K and V of layers with a window: all layers' are of the same size."""
    return kv_per_token * sum(are_sliding) // max(len(are_sliding), 1)


def _sizes(shapes: Mapping[str, tuple[int, ...]], **stated: Any) -> ModelSizes:
    """The sizes by the tensors' shapes, (out, in), and those that only the metadata states."""
    layers: dict[str, int] = defaultdict(int)
    matrices = kv_per_token = 0
    for key, shape in shapes.items():
        layer = _LAYER.match(key)
        if layer is None:
            continue
        layers[layer[1]] += math.prod(shape)
        matrices += math.prod(shape) if len(shape) > 1 else 0
        kv_per_token += shape[0] if _KV.fullmatch(key[layer.end() :]) else 0
    head = next((shapes[key] for key in (*_HEADS, *_EMBEDDINGS) if key in shapes), ())
    # Where one matrix computes Q, K and V, only the metadata tells K and V apart.
    fused = 2 * len(layers) * stated["num_kv_heads"] * stated["head_dim"]
    return ModelSizes(
        num_weights=_count(shapes),
        layer_weights=sum(layers.values()),
        largest_layer=max(layers.values(), default=0),
        matrix_weights=matrices + math.prod(head),
        kv_per_token=kv_per_token or fused,
        **stated,
    )


def _bytes_of(files: tuple[Path, ...] | list[Path]) -> int:
    return sum(file.stat().st_size for file in files)

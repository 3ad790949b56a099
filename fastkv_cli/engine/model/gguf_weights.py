"""Gives a model its weights from a file in blocks, where matrices stay; the rest is unpacked."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .block_modules import BlockEmbedding, BlockHead, BlockLinear, BlockStack, Scratch
from .block_tensor import BlockFile, BlockTensor, ScaledBlockTensor
from .gguf_blocks import READABLE_TYPES
from .gguf_placement import Stored
from .gguf_plan import PlannedTensor, check_plan
from .plain import PlainEmbedding, PlainLinear

_EMBEDDING, _HEAD = "model.embed_tokens", "lm_head"
_LINEAR, _EMBEDDINGS = (nn.Linear, PlainLinear), (nn.Embedding, PlainEmbedding)
_Sources = dict[str, list[PlannedTensor]]
_Files = dict[Path, BlockFile]


def open_blocks(
    plan: Sequence[PlannedTensor],
    name: str,
    model_class: Any,
    settings: Any,
    dtype: torch.dtype,
    unpacked: bool,
) -> Any:
    """Open a model over the blocks of a file, or with its weights unpacked.

    Args:
        plan: the file's tensors.
        name: the user's name for the model, for messages.
        model_class: of transformers, or `PlainLlama`.
        settings: the model's config.json, as the class takes it.
        dtype: the number format to compute in.
        unpacked: whether the weights are unpacked into memory.

    Raises:
        ModelError: when the file does not hold the model that its settings describe.
    """
    with torch.device("meta"):
        model = model_class(settings)
    check_plan(plan, {key: tuple(each.shape) for key, each in model.named_parameters()}, name)
    load_blocks(model, plan, dtype, unpacked=unpacked)
    return model.eval().requires_grad_(False)


def load_blocks(
    model: Any, plan: Sequence[PlannedTensor], dtype: torch.dtype, *, unpacked: bool = False
) -> None:
    """Give a model on the meta device its weights.

    Args:
        model: a transformers ForCausalLM or a `PlainLlama`.
        plan: the file's tensors; they make up all parameters.
        dtype: the number format to compute in.
        unpacked: unpack all matrices into memory, in `dtype`, instead of leaving them in the file.

    Raises:
        OSError: when the file cannot be read.
    """
    fill_buffers(model)  # first: it also gives random values to parameters of these modules
    sources: _Sources = defaultdict(list)
    for tensor in plan:
        sources[tensor.place.parameter].append(tensor)
    places = [place for tensor in plan for place in (tensor.info, tensor.scales) if place]
    files = {path: BlockFile(path) for path in {place.file for place in places}}
    scratch = Scratch(dtype)
    blocks = {} if unpacked else dict(_matrices(model, sources, files))
    for name, found in sources.items():
        if not unpacked and _are_experts(found):
            _set_stack(model, name, found, files, scratch)
        elif name.removesuffix(".weight") not in blocks:
            weight = _unpack(found, files, model.get_parameter(name).shape)
            _module(model, name).register_parameter(
                name.rpartition(".")[2], nn.Parameter(weight.to(dtype), requires_grad=False)
            )
    columns = {name: sources[f"{name}.weight"][0].place.columns for name in blocks}
    orders = {
        name: torch.from_numpy(np.argsort(order))
        for name, order in columns.items()
        if order is not None
    }
    _replace(model, blocks, orders, dtype, scratch)
    if f"{_HEAD}.weight" not in sources:
        _tie(model, blocks, dtype)


def _matrices(model: Any, sources: _Sources, files: _Files) -> Iterator[tuple[str, BlockTensor]]:
    """The linear layers and embeddings whose matrix a tensor holds in whole rows."""
    for name, found in sources.items():
        if not name.endswith(".weight") or not isinstance(
            _module(model, name), _LINEAR + _EMBEDDINGS
        ):
            continue
        place = found[0].place
        if len(found) == 1 and place.stored is Stored.PLAIN:
            in_parts = place.part is not None or place.transposed
            if not in_parts and len(found[0].shape) == 2:
                order = None if place.rows is None else torch.from_numpy(place.rows.copy())
                yield name.removesuffix(".weight"), _block_tensor(found[0], files, order)


def _block_tensor(tensor: PlannedTensor, files: _Files, order: Tensor | None = None) -> BlockTensor:
    """A tensor as a matrix; more dimensions than two are rows."""
    info = tensor.info
    place: dict[str, Any] = {
        "file": files[info.file],
        "offset": info.start,
        "kind": READABLE_TYPES[info.kind],
        "num_rows": math.prod(info.shape[1:]),
        "num_columns": info.shape[0],
        "order": order,
    }
    if tensor.scales is None:
        return BlockTensor(**place)
    scales = tensor.scales
    return ScaledBlockTensor(**place, scales_file=files[scales.file], scales_offset=scales.start)


def _are_experts(found: list[PlannedTensor]) -> bool:
    """Whether tensors hold the matrices of a layer's experts, in whole rows."""
    return all(
        len(tensor.shape) == 3
        and tensor.place.stored is Stored.PLAIN
        and tensor.place.rows is None
        and tensor.place.columns is None
        and isinstance(tensor.place.part, slice | None)
        for tensor in found
    )


def _set_stack(
    model: Any, name: str, found: list[PlannedTensor], files: _Files, scratch: Scratch
) -> None:
    """Put a stack over blocks in the place of a parameter (E, N, K) or (E, K, N)."""
    tensors = [
        (
            _block_tensor(each, files),
            each.place.part if isinstance(each.place.part, slice) else slice(None),
        )
        for each in found
    ]
    module, attribute = _module(model, name), name.rpartition(".")[2]
    stack = BlockStack(
        tensors, found[0].shape[0], attribute, scratch, transposed=found[0].place.transposed
    )
    delattr(module, attribute)
    module.add_module(attribute, stack)


def _replace(
    model: Any,
    blocks: Mapping[str, BlockTensor],
    orders: Mapping[str, Tensor],
    dtype: torch.dtype,
    scratch: Scratch,
) -> None:
    """Put modules over blocks in the places of linear layers and embeddings."""
    for name, tensor in blocks.items():
        replaced = model.get_submodule(name)
        parent, _, attribute = name.rpartition(".")
        module: nn.Module
        if isinstance(replaced, _EMBEDDINGS):
            # Gemma's embeddings are scaled in their module
            module = BlockEmbedding(tensor, dtype, getattr(replaced, "scalar_embed_scale", 1.0))
        elif name == _HEAD:
            module = BlockHead(tensor, dtype)
        else:
            module = BlockLinear(tensor, replaced.bias, attribute, scratch, orders.get(name))
        setattr(model.get_submodule(parent), attribute, module)


def _tie(model: Any, blocks: Mapping[str, BlockTensor], dtype: torch.dtype) -> None:
    """Let the LM head share the embeddings: the file holds no matrix of its own for it."""
    if _EMBEDDING in blocks:
        model.lm_head = BlockHead(blocks[_EMBEDDING], dtype)
    else:
        model.lm_head.weight = model.model.embed_tokens.weight


def _unpack(found: list[PlannedTensor], files: _Files, shape: torch.Size) -> Tensor:
    """Unpack the tensors that make up a parameter of this shape; float32."""
    weight = np.empty(shape, dtype=np.float32)
    for tensor in found:
        blocks = _block_tensor(tensor, files)
        values = torch.empty(blocks.shape)
        blocks.unpack(values)
        tensor.place.place(values.numpy().reshape(tensor.shape), weight)
    return torch.from_numpy(weight)


def _module(model: Any, parameter: str) -> Any:
    return model.get_submodule(parameter.rpartition(".")[0])


def fill_buffers(model: Any) -> None:
    """Compute the buffers of transformers' modules, such as RoPE frequencies.

    On the meta device they have no values; transformers computes them like this, too.
    """
    for module in model.modules():
        buffers = dict(module.named_buffers(recurse=False))
        if any(buffer.is_meta for buffer in buffers.values()):
            for name, buffer in buffers.items():
                module.register_buffer(
                    name, torch.empty_like(buffer, device="cpu"), persistent=False
                )
            model._init_weights(module)

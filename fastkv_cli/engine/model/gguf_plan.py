"""The list of a GGUF file's tensors that make up a model, checked to be complete."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ...errors import ModelError
from ...models.gguf_header import GGUFHeader, TensorInfo
from .gguf_placement import Placement, placement

Shape = tuple[int, ...]


class PlannedTensor(NamedTuple):
    """A tensor of a file, and its place in the model.

    Attributes:
        name: its name in the file, as `blk.0.attn_q.weight`.
        info: where its values are, and how they are stored.
        place: the parameter that it is, or is a part of.
        scales: where the scales of its blocks are; None if each block begins with its own.
    """

    name: str
    info: TensorInfo
    place: Placement
    scales: TensorInfo | None = None

    @property
    def shape(self) -> Shape:
        """The tensor's shape in torch's order: (N, K), experts (E, N, K)."""
        return self.info.shape[::-1]


def plan_tensors(header: GGUFHeader, config: Mapping[str, Any]) -> list[PlannedTensor]:
    """The tensors that the model needs, in the order of the file.

    Args:
        header: the header of the model's files, checked.
        config: the model's config.json.

    Raises:
        ModelError: when the file holds a tensor that the model has no place for.
    """
    architecture = header.facts["general.architecture"]
    planned = []
    for name, info in header.tensors.items():
        place = placement(name, architecture, config)
        if place is not None:
            planned.append(PlannedTensor(name, info, place))
    return planned


def check_plan(plan: Sequence[PlannedTensor], parameters: Mapping[str, Shape], name: str) -> None:
    """Raise a ModelError unless the tensors make up the model's parameters, each exactly.

    Args:
        plan: the tensors.
        parameters: the shapes of the transformers model's parameters, without those tied to others.
        name: the user's name for the model, for messages.
    """
    filled: Counter[str] = Counter()
    for tensor in plan:
        parameter = tensor.place.parameter
        wanted = parameters.get(parameter)
        if wanted is None:
            raise ModelError(
                f"{name} holds {tensor.name}, and its settings make no {parameter}",
                "fetch it again",
            )
        expected = _expected(tensor.place, wanted)
        if [n for n in tensor.shape if n != 1] != [n for n in expected if n != 1]:
            raise ModelError(
                f"{name} contradicts itself: {tensor.name} is of shape {_shown(tensor.shape)}, "
                f"not {_shown(expected)}",
                "fetch it again",
            )
        filled[parameter] += math.prod(expected)
    for parameter, shape in parameters.items():
        if filled[parameter] < math.prod(shape):
            raise ModelError(
                f"{name} is incomplete: it lacks the values of {parameter}",
                "fetch the file again, and all parts of it",
            )
        if filled[parameter] > math.prod(shape):
            raise ModelError(f"{name} holds {parameter} twice", "fetch it again")


def _expected(place: Placement, parameter: Shape) -> Shape:
    """The shape that a tensor must have to be its part of a parameter."""
    shape = list(parameter)
    if isinstance(place.part, slice):
        shape[place.axis] = len(range(*place.part.indices(shape[place.axis])))
    elif place.part is not None:
        shape[place.axis] = len(place.part)
    if place.transposed:
        shape[-2:] = shape[:-3:-1]
    return tuple(shape)


def _shown(shape: Shape) -> str:
    return "×".join(f"{size:,}" for size in shape)

"""What of a model is multiplied in 8 bits, kept on disk.

It depends on the weights alone. To find it, a sample passes through all layers and every product is
compared, which takes four times as long as to make the matrices: so it is done once for a model,
and not in every process. The plans of the embedded model ship with the package.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor

from ..errors import FastKVError
from ..system.kept_text import keep_text
from .model.decoder import Decoder
from .model.int8_decoder import MOST_ERROR, SAMPLE, Int8Decoder, planned_decoder, quantize_decoder
from .model.int8_layer import Int8Plan, Int8Plans
from .model.loader import LoadedModel
from .tuning import load_measured, loaded_content, tuning_json, tuning_path

_KIND = "int8"
_FORM = 1  # of the file, and of the rules that made it
_MOST_EXPONENT = 16
_SCALES = ("input_scales", "mlp_scales", "inner_scales")
_PRODUCTS = ("query_key_value", "output", "gate_up", "down")


def open_int8(loaded: LoadedModel, decoder: Decoder) -> Int8Decoder:
    """The decoder in 8 bits, by the plans that are kept, or else made and kept now."""
    plans = load_plans(loaded, decoder)
    if plans is not None:
        return planned_decoder(decoder, plans)
    found = quantize_decoder(decoder, loaded.tokenizer(SAMPLE)["input_ids"])
    if content := loaded_content(loaded):
        text = tuning_json(loaded.name, content, _as_json(found.plans))
        keep_text(tuning_path(_KIND, content), text)
    return found


def load_plans(loaded: LoadedModel, decoder: Decoder) -> Int8Plans | None:
    """The plans that are kept of a model's layers; None if there are none, or they are damaged."""
    content = loaded_content(loaded)
    if not content:
        return None
    with suppress(FastKVError, ValueError, KeyError, TypeError, AttributeError):
        measured = load_measured(_KIND, content)
        if measured is not None and measured["form"] == _FORM:
            return _of_json(measured, decoder)
    return None


def _as_json(plans: Int8Plans) -> dict[str, Any]:
    return {
        "form": _FORM,
        "errors": [round(error, 5) for error in plans.errors],
        "layers": [
            {
                **{name: getattr(plan, name) for name in _PRODUCTS},
                **{name: _exponents(getattr(plan, name)) for name in _SCALES},
            }
            for plan in plans.layers
        ],
    }


def _of_json(measured: Mapping[str, Any], decoder: Decoder) -> Int8Plans:
    """The plans that `_as_json` wrote.

    Raises:
        ValueError, KeyError, TypeError or AttributeError: when they are damaged, or another
            model's.
    """
    layers = decoder.attention_layers
    plans = []
    for layer, stored in zip(layers, measured["layers"], strict=True):
        sizes = decoder.hidden_size, decoder.hidden_size, layer.intermediate_size
        has_norm = layer.input_norm is not None, layer.mlp_norm is not None, True
        scales = [
            _scales(stored[name], size) if can_divide else None
            for name, size, can_divide in zip(_SCALES, sizes, has_norm, strict=True)
        ]
        query_key_value, output, gate_up, down = (bool(stored[name]) for name in _PRODUCTS)
        plans.append(Int8Plan(query_key_value, output, gate_up, down, *scales))
    errors = tuple(float(error) for error in measured["errors"])
    num_chosen = sum(getattr(plan, name) for plan in plans for name in _PRODUCTS)
    if len(errors) != num_chosen or not all(0 <= error <= MOST_ERROR for error in errors):
        raise ValueError("the errors are not those of the products")
    return Int8Plans(tuple(plans), errors)


def _exponents(scales: Tensor | None) -> dict[str, int] | None:
    """The powers of two that differ from 1, by column."""
    if scales is None:
        return None
    exponents = torch.log2(scales).int().tolist()
    return {str(column): power for column, power in enumerate(exponents) if power}


def _scales(exponents: Mapping[str, int] | None, num_columns: int) -> Tensor | None:
    if exponents is None:
        return None
    columns, powers = [int(column) for column in exponents], list(exponents.values())
    if not all(0 <= column < num_columns for column in columns):
        raise ValueError("a column is out of range")
    if not all(isinstance(power, int) and 0 < power <= _MOST_EXPONENT for power in powers):
        raise ValueError("a power is out of range")
    scales = torch.ones(num_columns)
    scales[columns] = torch.exp2(torch.tensor(powers, dtype=torch.float32))
    return scales

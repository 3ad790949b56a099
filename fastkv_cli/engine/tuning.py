"""Measured settings of a checkpoint: its calibrated presets, and the scores of its heads.

One JSON file of each kind in the user's cache, written by `fastkv calibrate` and `fastkv
profile-heads`; those of the embedded model ship with the package. A file is named after the content
of the weights, so that it belongs to the model under any name and path, and to no other model.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from importlib.resources import files
from importlib.resources.abc import Traversable
from itertools import chain
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ..config import (
    DEFAULT_METHOD,
    Budget,
    MethodName,
    MethodSettings,
    PrefillAttention,
    Preset,
    cache_dir,
)
from ..errors import FastKVError, UsageError
from ..models.content import content_id
from ..propagation import PropagationStep
from ..system.trust import check_trusted

if TYPE_CHECKING:
    from .model.loader import LoadedModel

_SCHEMA = "fastkv-tuning/1"
_UNSAFE = re.compile(r"[^A-Za-z0-9.-]+")  # characters to replace in a file name
_Parsed = TypeVar("_Parsed")
# OverflowError is raised by int(Infinity), which Python's JSON accepts.
_UNREADABLE = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    OverflowError,
    RecursionError,
    UsageError,
)


@dataclass(frozen=True, slots=True)
class PresetSettings:
    """TSP layer, TSP rate and KV budget of a preset.

    Attributes:
        tsp_layer: ℓ*, 0-based; None is L/2 − 1, the paper's choice.
        tsp_rate: share of the tokens that are propagated behind ℓ*.
        budget: share of the KV cache to keep.
        tsp_steps: several steps of propagation, for `fastkv-cascade`; ℓ* is the first one's layer.
            Empty if there is only that one.
        is_sparse: whether attention is block-sparse in the layers that process every token.
    """

    tsp_layer: int | None
    tsp_rate: float
    budget: Budget
    tsp_steps: tuple[PropagationStep, ...] = ()
    is_sparse: bool = False

    def __str__(self) -> str:
        sparse = ", sparse attention" if self.is_sparse else ""
        if self.tsp_steps:
            return f"TSP steps {', '.join(map(str, self.tsp_steps))}, budget {self.budget}{sparse}"
        layer = "L/2 − 1" if self.tsp_layer is None else self.tsp_layer
        return f"TSP layer {layer}, rate {self.tsp_rate:g}, budget {self.budget}{sparse}"


# The paper's layer and its two rates, for models that have not been calibrated.
_UNMEASURED: dict[Preset, PresetSettings] = {
    Preset.FAST: PresetSettings(None, 0.2, Budget(rate=0.1)),
    Preset.BALANCED: PresetSettings(None, 0.2, Budget(rate=0.2)),
    Preset.QUALITY: PresetSettings(None, 0.5, Budget(rate=0.4)),
}


@dataclass(frozen=True, slots=True)
class Tuning:
    """A model's presets and measured values.

    Attributes:
        model: the model's name.
        presets: the settings of each preset.
        scoring_layer: the layer whose scores find a question's passages best; None is L/2 − 1.
        head_scores: retrieval score of each query head, (L, H); None until they are measured.
        is_calibrated: whether the presets were measured.
        is_coarse: whether that ended at its time limit, before every setting was tried.
        passages: how many a question on a long text is answered from, and how many in a second try.
        whole_below: the most tokens of a text that questions are answered from as a whole; None if
            whatever fits the window is.
        full_below: prompts of fewer tokens are not compressed: there is little to gain.
    """

    model: str = "the model"
    presets: Mapping[Preset, PresetSettings] = field(default_factory=lambda: _UNMEASURED)
    scoring_layer: int | None = None
    head_scores: tuple[tuple[float, ...], ...] | None = None
    is_calibrated: bool = False
    is_coarse: bool = False
    passages: tuple[int, int] = (6, 3)
    whole_below: int | None = None
    full_below: int = 512

    def whole_below_for(self, settings: MethodSettings) -> int | None:
        """`whole_below`; None where the user chose a method: it compresses whatever fits."""
        chosen = settings.name is not DEFAULT_METHOD or not settings.is_default
        return None if chosen else self.whole_below

    def describe(self, settings: MethodSettings) -> str:
        """Describe where a run's settings come from, for the statistics."""
        if settings.name is MethodName.FULL:
            return ""
        measured = "not calibrated: the paper's settings"
        if self.is_calibrated:
            measured = "calibrated coarsely" if self.is_coarse else "calibrated"
        given = {
            "--budget": settings.budget,
            "--tsp-layer": settings.tsp_layer,
            "--tsp-rate": settings.tsp_rate,
            "--tsp-steps": settings.tsp_steps or None,
        }
        own = [option for option, value in given.items() if value is not None]
        by_hand = f"; by hand: {', '.join(own)}" if own else ""
        return f"preset {settings.chosen_preset}, {measured}{by_hand}"


def tuning_of(loaded: LoadedModel) -> Tuning:
    """Load the tuning of a loaded model; raises as `load_tuning`."""
    return load_tuning(loaded.name, loaded_content(loaded))


def loaded_content(loaded: LoadedModel) -> str:
    """The `content_id` of a loaded model."""
    return content_id(loaded.name, loaded.folder, loaded.revision)


def load_tuning(model: str, content: str) -> Tuning:
    """Load a model's tuning: the user's own files first, then those that ship.

    Args:
        model: the model's name, for messages.
        content: the `content_id` of its weights.

    Raises:
        FastKVError: when a file cannot be read.
    """
    tuning = Tuning(model=model)
    calibration = _load("calibration", content, _calibration)
    if calibration is not None:
        tuning = replace(tuning, is_calibrated=True, **calibration)
    scores = _load("heads", content, _head_scores)
    return tuning if scores is None else replace(tuning, head_scores=scores)


def tuning_json(model: str, content: str, measured: Mapping[str, Any]) -> str:
    """The JSON that `load_tuning` reads, with the schema, the model and its content."""
    stamped = {"schema": _SCHEMA, "model": model, "content": content, **measured}
    return json.dumps(stamped, ensure_ascii=False, indent=1) + "\n"


def tuning_path(kind: str, content: str) -> Path:
    """Path of the user's file of a kind."""
    return cache_dir() / "tuning" / _file_name(kind, content)


def _file_name(kind: str, content: str) -> str:
    return f"{_UNSAFE.sub('--', content)}.{kind}.json"


def load_measured(kind: str, content: str) -> dict[str, Any] | None:
    """Load the user's file of a kind, else the one that ships; None if there is neither.

    Raises:
        FastKVError: when it cannot be read.
    """
    return _load(kind, content, lambda measured: measured)


def _load(kind: str, content: str, parse: Callable[[dict[str, Any]], _Parsed]) -> _Parsed | None:
    shipped = files("fastkv_cli") / "tuned" / _file_name(kind, content)
    own = tuning_path(kind, content)
    for file in (own, shipped):
        if not _is_file(file):
            continue
        try:
            if file is own:
                check_trusted(own.parent)
            measured = json.loads(file.read_text(encoding="utf-8"))
            if measured["schema"] == _SCHEMA:
                return parse(measured)
        except _UNREADABLE as error:
            reason = " ".join(str(error).split())
            raise FastKVError(
                f"cannot read {file} ({reason})", "delete it, and measure again"
            ) from error
    return None


def _is_file(file: Path | Traversable) -> bool:
    try:
        return file.is_file()
    except OSError:  # in a folder without permission: treated as missing
        return False


def _calibration(measured: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of `Tuning` from a calibration file."""
    return {
        "presets": {preset: _preset(measured["presets"][preset]) for preset in Preset},
        "scoring_layer": int(measured["scoring_layer"]),
        "is_coarse": bool(measured.get("coarse")),
        **(_answering(measured["answering"]) if "answering" in measured else {}),
    }


def _answering(measured: Mapping[str, Any]) -> dict[str, Any]:
    first, second = (int(number) for number in measured["passages"])
    whole_below = int(measured["whole_below"])
    if min(first, second, whole_below) < 1:
        raise ValueError("a number of passages or tokens is below 1")
    return {"passages": (first, second), "whole_below": whole_below}


def _preset(chosen: Mapping[str, Any]) -> PresetSettings:
    layer, rate = int(chosen["tsp_layer"]), float(chosen["tsp_rate"])
    MethodSettings(tsp_layer=layer, tsp_rate=rate)  # raises where they are out of range
    steps = PropagationStep.parse_all(chosen["tsp_steps"]) if chosen.get("tsp_steps") else ()
    is_sparse = PrefillAttention(chosen.get("prefill_attention", "dense")) == "sparse"
    return PresetSettings(layer, rate, Budget(rate=float(chosen["budget"])), steps, is_sparse)


def _head_scores(measured: Mapping[str, Any]) -> tuple[tuple[float, ...], ...]:
    scores = tuple(tuple(float(score) for score in row) for row in measured["scores"])
    if not all(map(isfinite, chain.from_iterable(scores))):
        raise ValueError("a score is no finite number")
    return scores

"""The compression methods: each one file with one frozen dataclass, which is found by itself.

The names load on first use: importing `tuning`, as `fastkv --help` does, must not import torch.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any

from ...config import MethodName, MethodSettings
from .tuning import Tuning

if TYPE_CHECKING:
    from .adakv import AdaKV
    from .base import Capacity, Kept, Method, Observation, Plan, PromptShape, Propagation
    from .fastkv import FastKV
    from .full import Full
    from .gemfilter import GemFilter
    from .h2o import H2O
    from .headkv import HeadKV
    from .probe import FastKVProbe
    from .pyramidkv import PyramidKV
    from .snapkv import SnapKV
    from .streamingllm import StreamingLLM
    from .tova import TOVA

    METHODS: dict[MethodName, type[Method]]

_BASE = ("Capacity", "Kept", "Method", "Observation", "Plan", "PromptShape", "Propagation")


@cache
def _methods_in_this_folder() -> dict[MethodName, type[Method]]:
    from .base import Method

    modules = [import_module(f"{__name__}.{module.name}") for module in iter_modules(__path__)]
    kinds = [kind for module in modules for kind in vars(module).values()]
    return {
        MethodName(kind.name): kind
        for kind in kinds
        if isinstance(kind, type) and issubclass(kind, Method) and hasattr(kind, "name")
    }


def __getattr__(name: str) -> Any:
    if name == "METHODS":
        return _methods_in_this_folder()
    if name in _BASE:
        return getattr(import_module(".base", __name__), name)
    if name in __all__:
        return next(kind for kind in _methods_in_this_folder().values() if kind.__name__ == name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def build_method(settings: MethodSettings, tuning: Tuning) -> Method:
    """The method that the user asked for, with what was measured to suit the model.

    Raises:
        UsageError: when a setting is out of range, or means nothing to the method.
    """
    return _methods_in_this_folder()[settings.name].from_settings(settings, tuning)


def build_scoring_method(tuning: Tuning, window: int) -> FastKV:
    """FastKV with an observation window of `window` tokens, to score parts of a long text."""
    from .fastkv import FastKV

    return FastKV(
        tsp_layer=tuning.scoring_layer,
        tsp_length=window + 1,
        capacity=window + 1,
        window_size=window,
    )


__all__ = [
    "H2O",
    "METHODS",
    "TOVA",
    "AdaKV",
    "Capacity",
    "FastKV",
    "FastKVProbe",
    "Full",
    "GemFilter",
    "HeadKV",
    "Kept",
    "Method",
    "Observation",
    "Plan",
    "PromptShape",
    "Propagation",
    "PyramidKV",
    "SnapKV",
    "StreamingLLM",
    "build_method",
    "build_scoring_method",
]

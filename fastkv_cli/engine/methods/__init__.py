"""The compression methods: one file and one frozen dataclass each, registered automatically."""

from importlib import import_module
from pkgutil import iter_modules

from ...config import MethodName, MethodSettings
from ..tuning import Tuning
from .adakv import AdaKV
from .base import Capacity, Kept, Method, Observation, Plan, PromptShape, Propagation
from .cascade import FastKVCascade
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
from .uniprefill import UniPrefill


def _methods_in_this_folder() -> dict[MethodName, type[Method]]:
    modules = [import_module(f"{__name__}.{module.name}") for module in iter_modules(__path__)]
    kinds = [kind for module in modules for kind in vars(module).values()]
    return {
        MethodName(kind.name): kind
        for kind in kinds
        if isinstance(kind, type) and issubclass(kind, Method) and hasattr(kind, "name")
    }


METHODS: dict[MethodName, type[Method]] = _methods_in_this_folder()


def build_method(settings: MethodSettings, tuning: Tuning) -> Method:
    """Build the method of the user's settings, with the model's tuning for the rest.

    Raises:
        UsageError: when a setting is out of range, or does not apply to the method.
    """
    return METHODS[settings.name].from_settings(settings, tuning)


def build_scoring_method(tuning: Tuning, window: int) -> FastKV:
    """FastKV with an observation window of `window` tokens, to score parts of a long text."""
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
    "FastKVCascade",
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
    "UniPrefill",
    "build_method",
    "build_scoring_method",
]

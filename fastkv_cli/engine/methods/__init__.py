"""The compression methods: each one file with one frozen dataclass, which is found by itself."""

from importlib import import_module
from pkgutil import iter_modules

from ...config import METHOD_DEFAULTS, MethodDefaults, MethodName, MethodSettings
from .base import Method, Observation, Plan
from .fastkv import FastKV
from .full import Full


def _methods_in_this_folder() -> dict[MethodName, type[Method]]:
    modules = [import_module(f"{__name__}.{module.name}") for module in iter_modules(__path__)]
    kinds = [kind for module in modules for kind in vars(module).values()]
    return {
        MethodName(kind.name): kind
        for kind in kinds
        if isinstance(kind, type) and issubclass(kind, Method) and kind is not Method
    }


METHODS: dict[MethodName, type[Method]] = _methods_in_this_folder()


def build_method(settings: MethodSettings, model: str) -> Method:
    """The method that the user asked for, with what was measured to suit the model.

    Raises:
        UsageError: when a setting is out of range, or means nothing to the method.
    """
    defaults = METHOD_DEFAULTS.get(model, MethodDefaults())
    return METHODS[settings.name].from_settings(settings, defaults)


def build_scoring_method(model: str, window: int) -> FastKV:
    """FastKV with an observation window of `window` tokens, to score parts of a long text."""
    defaults = METHOD_DEFAULTS.get(model, MethodDefaults())
    return FastKV(
        tsp_layer=defaults.tsp_layer,
        tsp_length=window + 1,
        capacity=window + 1,
        window_size=window,
    )


__all__ = [
    "METHODS",
    "FastKV",
    "Full",
    "Method",
    "Observation",
    "Plan",
    "build_method",
    "build_scoring_method",
]

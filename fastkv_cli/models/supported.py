"""Checks whether a model's family is supported, by the `model_type` of its config.json."""

from __future__ import annotations

from collections.abc import Iterable

from ..engine.model.families import FAMILIES
from ..errors import ModelError

GGUF_ARCHITECTURES = frozenset(family.gguf for family in FAMILIES.values() if family.gguf)

# The beginnings of model types to the nearest supported family and a model of it to take.
_NEAREST = {
    "llama": ("llama", "meta-llama/Llama-3.2-1B-Instruct"),
    "mllama": ("llama", "meta-llama/Llama-3.2-1B-Instruct"),
    "mistral": ("ministral3", "mistralai/Ministral-3-3B-Instruct-2512"),
    "mixtral": ("ministral3", "mistralai/Ministral-3-3B-Instruct-2512"),
    "gemma": ("gemma3_text", "google/gemma-3-1b-it"),
    "glm": ("glm4", "zai-org/GLM-4-9B-0414"),
    "granite": ("granite", "ibm-granite/granite-3.3-2b-instruct"),
    "lfm": ("lfm2", "LiquidAI/LFM2-1.2B"),
    "olmo": ("olmo3", "allenai/Olmo-3-7B-Instruct"),
    "phi": ("phi3", "microsoft/Phi-4-mini-instruct"),
    "qwen3_": ("qwen3_5_text", "Qwen/Qwen3.5-4B"),
    "qwen4": ("qwen3_5_text", "Qwen/Qwen3.5-4B"),
    "smol": ("smollm3", "HuggingFaceTB/SmolLM3-3B"),
}
_OTHERWISE = ("qwen3", "Qwen/Qwen3-4B-Instruct-2507")


def check_model_type(model_type: object, name: str) -> None:
    """Raise a ModelError unless the family is supported; `name` is the model's, for the message."""
    if not is_supported(model_type):
        kind = (
            f"of type {repr(model_type)[:60]}"
            if model_type
            else "of no type that its config.json names"
        )
        raise unsupported(name, kind, FAMILIES, nearest=str(model_type)[:60])


def is_supported(model_type: object) -> bool:
    """Whether a `model_type` of a config.json, which may hold any value, is supported."""
    return isinstance(model_type, str) and model_type in FAMILIES


def label_of(model_type: str) -> str:
    """The common name of a supported family."""
    return FAMILIES[model_type].label


def label_of_gguf(architecture: str) -> str:
    """The common name of the family with this name in GGUF files; the name where there is none."""
    labels = (family.label for family in FAMILIES.values() if family.gguf == architecture)
    return next(labels, architecture)


def unsupported(name: str, kind: str, supported: Iterable[str], *, nearest: str = "") -> ModelError:
    """The error for a family that is not supported; `nearest` is its name, for a model to take."""
    found = (_NEAREST[start] for start in _NEAREST if nearest.startswith(start))
    family, model = next(found, _OTHERWISE)
    names = ", ".join(sorted(supported))
    return ModelError(
        f"{name} is {kind}, which is not supported",
        f"take {FAMILIES[family].label}, for example --model {model} (supported: {names})",
    )

"""Whether a model is of a family that can be run, by the `model_type` of its config.json."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..engine.families import FAMILIES
from ..errors import ModelError

GGUF_ARCHITECTURES = frozenset(family.gguf for family in FAMILIES.values() if family.gguf)


def check_model_type(model_type: object, name: str) -> None:
    """Raise a ModelError unless the family can be run; `name` is the model's, for the message."""
    if not is_supported(model_type):
        kind = f"of type {model_type!r}" if model_type else "of no type that its config.json names"
        raise unsupported(name, kind, FAMILIES)


def is_supported(model_type: object) -> bool:
    """Whether this `model_type` of a config.json, which may be anything, can be run."""
    return isinstance(model_type, str) and model_type in FAMILIES


def unsupported(name: str, kind: str, supported: Iterable[str]) -> ModelError:
    """The error for a family that cannot be run."""
    names = ", ".join(sorted(supported))
    return ModelError(f"{name} is {kind}, which is not supported", f"supported are {names}")


def read_config(path: Path, name: str) -> dict[str, Any]:
    """The contents of a config.json.

    Raises:
        ModelError: when it cannot be read, or is not a JSON object.
    """
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(f"cannot read {path}", error.strerror or str(error)) from error
    except ValueError as error:
        raise ModelError(
            f"the config.json of {name} is not JSON", "fetch the model again"
        ) from error
    if not isinstance(config, dict):
        raise ModelError(f"the config.json of {name} is not a JSON object", "fetch it again")
    return config

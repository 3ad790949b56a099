"""From what a user writes to one model on disk: its name there, or a part that only it has."""

from __future__ import annotations

import re

from ...errors import ModelError, UsageError
from .found import FoundModel, Place
from .ollama import LATEST
from .ollama import PREFIX as OLLAMA

SCHEMES = ("ollama", "lmstudio", "llama.cpp", "hf")
_MIN_LETTERS = 3  # of a part of a name
_MAX_SHOWN = 8  # names in an error, which is one line
_BETWEEN = re.compile(r"[^a-z0-9.]+")  # `qwen3:4b` and `Qwen3-4B` are one word


def has_scheme(name: str) -> bool:
    """Whether a name says whose folder its model is in, as `ollama:qwen3:4b` does."""
    scheme, colon, _ = name.partition(":")
    return bool(colon) and scheme.lower() in SCHEMES


def match_name(name: str, models: list[FoundModel]) -> FoundModel | None:
    """The model that a name means; None if there is none.

    Args:
        name: a full name, or a part of one.
        models: those on disk.

    Raises:
        UsageError: when it is a part of several names.
    """
    wanted = name.strip().removesuffix(".gguf").lower()
    named = {model.name.lower(): model for model in models}
    latest = f"{wanted}:{LATEST}" if wanted.startswith(OLLAMA) else wanted
    exact = named.get(wanted) or named.get(latest)
    if exact is not None:
        return exact
    matches = [model for key, model in named.items() if _is_part(wanted, key)]
    usable = [model for model in matches if not model.problem] or matches
    whole = [model for model in usable if _words(_local(model.name)) == _words(wanted)]
    found = whole if len(whole) == 1 else usable
    if len(found) > 1:
        shown = ", ".join(model.name for model in found[:_MAX_SHOWN])
        more = f" and {len(found) - _MAX_SHOWN} more" if len(found) > _MAX_SHOWN else ""
        raise UsageError(f"{name} may be {shown}{more}", "give one of these names")
    return found[0] if found else None


def check_usable(model: FoundModel) -> None:
    """Raise a ModelError if something is known to be wrong; the embedded model can be fetched."""
    if model.problem and model.place is not Place.EMBEDDED:
        raise ModelError(
            f"{model.name} cannot be used, as {model.problem}"
            if model.problem.startswith(("it ", "its "))
            else f"{model.name} {model.problem}"
        )


def _is_part(wanted: str, name: str) -> bool:
    if has_scheme(wanted):  # a repository of several files, or a name without its tag
        return name.startswith((f"{wanted}/", f"{wanted}:"))
    words = _words(wanted)
    return len(words) >= _MIN_LETTERS and words in _words(name)


def _local(name: str) -> str:
    """A name without its scheme."""
    return name.partition(":")[2] if has_scheme(name) else name


def _words(name: str) -> str:
    return _BETWEEN.sub("-", name.lower()).strip("-")

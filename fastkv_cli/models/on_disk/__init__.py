"""Models that other programs, and fastkv itself, have on this disk. Everything here only reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress

from ...config import EMBEDDED_MODEL, cache_dir
from ...errors import FastKVError, ModelError
from .. import embedded
from ..checked import read_object
from ..files import silent
from ..gguf_header import peek_architecture
from ..gptoss_header import OLLAMA_NAME
from ..supported import GGUF_ARCHITECTURES, is_supported
from ..text_part import text_config
from .found import FoundModel, Place
from .gguf_folders import find_llama_cpp, find_lm_studio
from .hub_cache import find_hub
from .naming import check_usable, has_scheme, match_name
from .ollama import find_ollama

__all__ = [
    "FoundModel",
    "Place",
    "check_usable",
    "find_models",
    "has_scheme",
    "known_model_names",
    "match_name",
]

_FINDERS: tuple[Callable[[], Iterator[FoundModel]], ...] = (
    find_hub,
    find_ollama,
    find_lm_studio,
    find_llama_cpp,
)


def find_models() -> list[FoundModel]:
    """All models on disk, whole or not; the embedded one first. No header is read."""
    return [_find_embedded(), *_find_others()]


def known_model_names() -> list[str]:
    """Names of the models that need no download, for shell completion.

    Those that are broken, or whose family is not supported, are left out.
    """
    return [EMBEDDED_MODEL, *(model.name for model in _find_others() if _may_run(model))]


def _find_others() -> list[FoundModel]:
    found: dict[str, FoundModel] = {}
    for find in _FINDERS:
        with suppress(RuntimeError):  # there is no home folder to look in
            for model in find():
                # Two stores may have one name; the second is used if the first is broken.
                if model.name not in found or found[model.name].problem:
                    found[model.name] = model
    return list(found.values())


def _find_embedded() -> FoundModel:
    try:
        files = embedded.resolve(offline=True, on_progress=silent)
    except FastKVError:
        problem = "it is not downloaded yet: the first use fetches it (93 MB)"
        return FoundModel(EMBEDDED_MODEL, Place.EMBEDDED, cache_dir(), problem=problem)
    parts = () if files.gguf is None else (files.gguf,)
    return FoundModel(EMBEDDED_MODEL, Place.EMBEDDED, files.gguf or files.path, parts)


def _may_run(model: FoundModel) -> bool:
    """Whether a model's family is supported, by the first bytes of its file."""
    if model.problem:
        return False
    if model.parts:
        return peek_architecture(model.path) in {*GGUF_ARCHITECTURES, OLLAMA_NAME}
    try:
        config = text_config(read_object(model.path / "config.json", model.name))
    except ModelError:
        return False
    return is_supported(config.get("model_type"))

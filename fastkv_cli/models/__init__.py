"""Resolves model names to files: embedded, on the Hugging Face hub, or in a folder on this disk.

Nothing in this package imports torch or transformers; a test in a subprocess checks that.
"""

from __future__ import annotations

import re
from pathlib import Path

from ..config import EMBEDDED_MODEL, is_offline
from ..errors import ModelError
from . import embedded, hub, local, on_disk
from .files import ModelFiles, ModelKind, Progress, ProgressCallback, silent
from .on_disk import known_model_names
from .supported import check_model_type

__all__ = [
    "ModelFiles",
    "ModelKind",
    "Progress",
    "ProgressCallback",
    "check_model_type",
    "full_name",
    "known_model_names",
    "resolve_model",
]

_HUB_ID = re.compile(r"(?P<repo>\w[\w.-]*/\w[\w.-]*)(?:@(?P<revision>[\w./-]+))?")

ACCEPTED = (
    f"give {EMBEDDED_MODEL}, a Hugging Face id as org/name or org/name@revision, "
    "a folder with config.json and safetensors, a .gguf file, or a name that fastkv models lists"
)


def resolve_model(
    name: str, *, offline: bool, on_progress: ProgressCallback | None = None
) -> ModelFiles:
    """Find the files of a model; download them first where necessary and allowed.

    Args:
        name: `smollm2-135m`, `org/name[@revision]`, a folder, a `.gguf` file, a name with a scheme
            (`ollama:qwen3:4b`), or a part that only one model on this disk has in its name. A
            folder that exists is preferred to a hub id of the same spelling.
        offline: if True, or if HF_HUB_OFFLINE is set, no socket is opened.
        on_progress: called with the progress, from this thread or another.

    Raises:
        ModelError: when the name is none of these, the model's family is not supported, or it is
            not on disk and cannot be downloaded.
        UsageError: when it is a part of several names.
    """
    report = on_progress or silent
    offline = is_offline(offline)
    if name == EMBEDDED_MODEL:
        return embedded.resolve(offline=offline, on_progress=report)
    if not name.strip():
        raise ModelError("the name of the model is empty", ACCEPTED)
    path = _on_disk(name)
    if path is not None and path.is_file():
        return local.resolve_gguf(name, path, on_progress=report)
    if path is not None and path.is_dir():
        return local.resolve_folder(name, path)
    if _looks_like_path(name) and not on_disk.has_scheme(name):
        raise ModelError(f"there is no model at {name}", ACCEPTED)
    match = _HUB_ID.fullmatch(name)
    if match is not None:
        return hub.resolve(
            name, match["repo"], match["revision"], offline=offline, on_progress=report
        )
    model = _named_on_disk(name)
    if model.parts:
        return local.resolve_gguf(model.name, model.path, on_progress=report)
    return resolve_model(model.name, offline=offline, on_progress=on_progress)


def full_name(name: str) -> str:
    """The full name of a model on disk of which a part is given; any other name as it is.

    Reports, states and calibrations are then those of one model, however its name was written.

    Raises:
        ModelError: when there is no such model, or it cannot be used.
        UsageError: when it is a part of several names.
    """
    is_other = name == EMBEDDED_MODEL or not name.strip() or _on_disk(name) is not None
    if is_other or _HUB_ID.fullmatch(name) is not None:
        return name
    if _looks_like_path(name) and not on_disk.has_scheme(name):
        return name
    return _named_on_disk(name).name


def _named_on_disk(name: str) -> on_disk.FoundModel:
    model = on_disk.match_name(name, on_disk.find_models())
    if model is None and on_disk.has_scheme(name):
        raise ModelError(f"there is no model {name} on this disk", "list them with fastkv models")
    if model is None:
        raise ModelError(f"unknown model {name!r}", ACCEPTED)
    on_disk.check_usable(model)
    return model


def _on_disk(name: str) -> Path | None:
    """The existing path of this name; None if there is none, or the name cannot be a path."""
    try:
        path = Path(name).expanduser()
        return path if path.exists() else None
    except (OSError, RuntimeError, ValueError):  # too long, ~ of an unknown user, NUL
        return None


def _looks_like_path(name: str) -> bool:
    return name.startswith((".", "/", "~")) or name.lower().endswith(".gguf") or "\\" in name

"""Resolves model names to files: the embedded model, the Hugging Face hub, folders, GGUF files.

Nothing in this package imports torch or transformers; a test in a subprocess checks that.
"""

from __future__ import annotations

import re
from pathlib import Path

from ..config import EMBEDDED_MODEL, is_offline
from ..errors import ModelError
from . import embedded, hub, local
from .files import ModelFiles, ModelKind, Progress, ProgressCallback, silent
from .supported import check_model_type

__all__ = [
    "ModelFiles",
    "ModelKind",
    "Progress",
    "ProgressCallback",
    "check_model_type",
    "known_model_names",
    "resolve_model",
]

_HUB_ID = re.compile(r"(?P<repo>\w[\w.-]*/\w[\w.-]*)(?:@(?P<revision>[\w./-]+))?")

ACCEPTED = (
    f"give {EMBEDDED_MODEL}, a Hugging Face id as org/name or org/name@revision, "
    "a folder with config.json and safetensors, or a .gguf file"
)


def resolve_model(
    name: str, *, offline: bool, on_progress: ProgressCallback | None = None
) -> ModelFiles:
    """Find the files of a model; download them first where necessary and allowed.

    Args:
        name: `smollm2-135m`, `org/name[@revision]`, a folder, or a `.gguf` file. A folder that
            exists is preferred to a hub id of the same spelling.
        offline: if True, or if HF_HUB_OFFLINE is set, no socket is opened.
        on_progress: called with the progress, from this thread or another.

    Raises:
        ModelError: when the name is none of these, the model's family is not supported, or it is
            not on disk and cannot be downloaded.
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
    if _looks_like_path(name):
        raise ModelError(f"there is no model at {name}", ACCEPTED)
    match = _HUB_ID.fullmatch(name)
    if match is None:
        raise ModelError(f"unknown model {name!r}", ACCEPTED)
    return hub.resolve(name, match["repo"], match["revision"], offline=offline, on_progress=report)


def known_model_names() -> list[str]:
    """Names of the models that need no download, for shell completion.

    The embedded model, then those in the Hugging Face cache whose family is supported. Reads the
    local cache only; whatever cannot be read is left out.
    """
    return [EMBEDDED_MODEL, *hub.cached_names()]


def _on_disk(name: str) -> Path | None:
    """The existing path of this name; None if there is none, or the name cannot be a path."""
    try:
        path = Path(name).expanduser()
        return path if path.exists() else None
    except (OSError, RuntimeError, ValueError):  # too long, ~ of an unknown user, NUL
        return None


def _looks_like_path(name: str) -> bool:
    return name.startswith((".", "/", "~")) or name.lower().endswith(".gguf") or "\\" in name

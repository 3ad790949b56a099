"""Ollama's store: a manifest in JSON for each name, which says in which blob the GGUF file is."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...errors import ModelError
from ..checked import read_object
from .found import FoundModel, Place
from .walk import reason_of, walk

PREFIX = "ollama:"
LATEST = "latest"  # the tag of a name without one
_SERVICE = Path("/usr/share/ollama/.ollama/models")  # of the system service on Linux
_MODEL = "application/vnd.ollama.image.model"
_ADAPTER = "application/vnd.ollama.image.adapter"
_DIGEST = re.compile(r"sha256[:-]([0-9a-f]{64})")
_HOST, _LIBRARY = "registry.ollama.ai", "library"  # left out of names
_MAX_BYTES = 2**20  # of a manifest, which has about 1 kB
_AGAIN = "fetch it again with ollama pull"
_DAMAGED = ModelError("its manifest is damaged", _AGAIN)


def find_ollama() -> Iterator[FoundModel]:
    """The models of Ollama, named as in `ollama list`: `ollama:qwen3:4b`."""
    chosen = os.environ.get("OLLAMA_MODELS")
    roots = (
        [Path(chosen).expanduser()] if chosen else [Path.home() / ".ollama" / "models", _SERVICE]
    )
    for root in roots:
        manifests = root / "manifests"
        found = walk(manifests, 4)
        for path, problem in found.problems:
            yield FoundModel(str(path), Place.OLLAMA, path, problem=problem)
        for manifest in found.files:
            levels = manifest.relative_to(manifests).parts
            if len(levels) == 4 and not manifest.name.startswith("."):
                yield _read(manifest, root, _name(levels))


def _name(levels: tuple[str, ...]) -> str:
    host, namespace, model, tag = levels
    shown = [] if (host, namespace) == (_HOST, _LIBRARY) else [namespace]
    return PREFIX + "/".join([*([] if host == _HOST else [host]), *shown, f"{model}:{tag}"])


def _read(manifest: Path, root: Path, name: str) -> FoundModel:
    try:
        blob = _find_blob(manifest, root, name)
    except ModelError as error:
        return FoundModel(name, Place.OLLAMA, manifest, problem=str(error))
    return FoundModel(name, Place.OLLAMA, blob, (blob,))


def _read_layers(manifest: Path, name: str) -> Any:
    try:
        return read_object(manifest, name)["layers"]
    except ModelError as error:
        raise _DAMAGED from error


def _find_blob(manifest: Path, root: Path, name: str) -> Path:
    """The GGUF file that a manifest names.

    Raises:
        ModelError: when there is none, or the manifest is damaged.
    """
    try:
        if manifest.stat().st_size > _MAX_BYTES:
            raise ModelError("its manifest is too large to be one")
        layers = _read_layers(manifest, name)
        digests = {str(layer["mediaType"]): str(layer["digest"]) for layer in reversed(layers)}
        if _ADAPTER in digests:
            raise ModelError("it is an adapter to another model")
        if _MODEL not in digests:
            raise ModelError("it has no GGUF file on this machine")
        match = _DIGEST.fullmatch(digests[_MODEL])
        if match is None:
            raise _DAMAGED
        blob = root / "blobs" / f"sha256-{match[1]}"
        if not blob.is_file():
            raise ModelError("its weights are missing", _AGAIN)
    except OSError as error:
        raise ModelError(f"it cannot be read ({reason_of(error)})") from error
    except (KeyError, TypeError) as error:
        raise _DAMAGED from error
    return blob

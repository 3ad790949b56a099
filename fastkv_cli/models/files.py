"""The result of resolving a model, and progress reports."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from ..config import cache_dir

REVISION_DIGITS = 12

# Increase this when conversions change, so that earlier ones are no longer used.
_CONVERSION_VERSION = 2


class ModelKind(StrEnum):
    """Source of a model."""

    EMBEDDED = "embedded"
    HUB = "hub"
    FOLDER = "folder"
    GGUF = "gguf"


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """A model on disk.

    `path` is the folder to load, or the `.gguf` file as long as it has not been converted.
    `converted` is the folder of a GGUF file's conversion, made or not; None for other models.
    `revision` is the commit hash of a hub snapshot, the first digits of the sha256 of a GGUF file,
    or `local`.
    """

    name: str
    path: Path
    converted: Path | None
    revision: str
    kind: ModelKind

    @property
    def needs_conversion(self) -> bool:
        """Whether `path` is a GGUF file that has to be converted before loading."""
        return self.converted is not None and self.path != self.converted


@dataclass(frozen=True, slots=True)
class Progress:
    """Progress of a slow activity; `total` is None where unknown."""

    activity: str
    done: float = 0
    total: float | None = None
    unit: str = ""


ProgressCallback = Callable[[Progress], None]


def silent(progress: Progress) -> None:
    """Ignore a progress report."""
    del progress


def conversion_folder(stem: str, sha256: str) -> Path:
    """The folder for the conversion of the GGUF file with this name and hash."""
    digits = sha256[:REVISION_DIGITS]
    return cache_dir() / "models" / f"{stem}-{digits}-v{_CONVERSION_VERSION}"


def converted_or(gguf: Path, *, name: str, stem: str, sha256: str, kind: ModelKind) -> ModelFiles:
    """The files of a GGUF model: its conversion if there is one, else the GGUF file itself."""
    target = conversion_folder(stem, sha256)
    # A conversion appears under its name in one step, complete or not at all.
    path = target if (target / "config.json").is_file() else gguf
    return ModelFiles(name, path, target, sha256[:REVISION_DIGITS], kind)

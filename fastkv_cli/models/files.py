"""What resolving a model yields, and how progress is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from ..config import cache_dir

REVISION_DIGITS = 12

# Raise this when conversions change, so that those made before are not used any more.
_CONVERSION_VERSION = 2


class ModelKind(StrEnum):
    """Where a model comes from."""

    EMBEDDED = "embedded"
    HUB = "hub"
    FOLDER = "folder"
    GGUF = "gguf"


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """A model on disk.

    `path` is the folder to load, or the `.gguf` file while there is no conversion of it yet;
    then `converted` is the folder where the conversion belongs. `revision` is the commit hash of
    a hub snapshot, the first digits of the sha256 of a GGUF file, or `local`.
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
    """One step of something slow: what it is, and how far it is (a total of None: not known)."""

    activity: str
    done: float = 0
    total: float | None = None
    unit: str = ""


ProgressCallback = Callable[[Progress], None]


def silent(progress: Progress) -> None:
    """The callback for callers who do not want to know."""
    del progress


def conversion_folder(stem: str, sha256: str) -> Path:
    """Where the conversion of the GGUF file with this name and hash is kept."""
    digits = sha256[:REVISION_DIGITS]
    return cache_dir() / "models" / f"{stem}-{digits}-v{_CONVERSION_VERSION}"


def converted_or(gguf: Path, *, name: str, stem: str, sha256: str, kind: ModelKind) -> ModelFiles:
    """The files of a GGUF model: its conversion where there is one, else the GGUF itself."""
    target = conversion_folder(stem, sha256)
    # A conversion appears under its name in one step, whole, or not at all.
    path = target if (target / "config.json").is_file() else gguf
    return ModelFiles(name, path, target, sha256[:REVISION_DIGITS], kind)

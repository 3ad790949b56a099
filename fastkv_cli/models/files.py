"""The result of resolving a model, and progress reports."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from ..config import cache_dir

REVISION_DIGITS = 12

# Increase this when what is made of a GGUF file's header changes, so that the old is not used.
_FOLDER_VERSION = 3


class ModelKind(StrEnum):
    """Source of a model."""

    EMBEDDED = "embedded"
    HUB = "hub"
    FOLDER = "folder"
    GGUF = "gguf"


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """A model on disk.

    `path` is the folder with config.json and tokenizer; that of a GGUF model is made from the
    file's header when it is first used. `gguf` is the GGUF file that holds the weights, the first
    one of several; None for other models.
    `revision` is the commit hash of a hub snapshot, the first digits of the sha256 of a GGUF file,
    or `local`.
    """

    name: str
    path: Path
    gguf: Path | None
    revision: str
    kind: ModelKind

    @property
    def is_prepared(self) -> bool:
        """Whether `path` is complete: it appears under its name in one step."""
        return (self.path / "config.json").is_file()


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


def gguf_files(gguf: Path, *, name: str, stem: str, sha256: str, kind: ModelKind) -> ModelFiles:
    """The files of a GGUF model; `stem` and hash name the folder for its config and tokenizer."""
    digits = sha256[:REVISION_DIGITS]
    folder = cache_dir() / "models" / f"{stem}-{digits}-v{_FOLDER_VERSION}"
    return ModelFiles(name, folder, gguf, digits, kind)

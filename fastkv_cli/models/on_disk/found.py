"""What was found on the disk: one entry for each model, and where it lies."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class Place(StrEnum):
    """Whose folder a model lies in."""

    EMBEDDED = "fastkv"
    HUGGING_FACE = "Hugging Face"
    OLLAMA = "Ollama"
    LM_STUDIO = "LM Studio"
    LLAMA_CPP = "llama.cpp"
    FOLDER = "folder"


@dataclass(frozen=True, slots=True)
class FoundModel:
    """A model on disk, or something that would be one if it were whole.

    Attributes:
        name: for `--model`; the path where there is no name.
        place: whose folder it lies in.
        path: its folder, its GGUF file or the first of several.
        parts: its GGUF files; empty for a folder of safetensors.
        problem: why it cannot be used, as the end of a line; empty if nothing is known.
    """

    name: str
    place: Place
    path: Path
    parts: tuple[Path, ...] = ()
    problem: str = ""

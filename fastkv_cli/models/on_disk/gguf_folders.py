"""GGUF files in the folders of LM Studio and llama.cpp, and in Hugging Face snapshots."""

from __future__ import annotations

import os
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from .found import FoundModel, Place
from .walk import Walk, walk

_PART = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})")
_PROJECTOR = "mmproj"  # in the names of files with the image part of a model
_DEPTH = 4

Naming = Callable[[Path, bool], str]
"""From a file's path below a folder, without suffix, to its model's name; whether it is alone."""


def find_lm_studio() -> Iterator[FoundModel]:
    """The models of LM Studio, named `lmstudio:publisher/repo[/file]`."""
    home = Path.home()
    for root in (home / ".lmstudio" / "models", home / ".cache" / "lm-studio" / "models"):
        found = walk(root, _DEPTH, ".gguf")
        yield from _problems(found, Place.LM_STUDIO)
        repositories: dict[Path, list[Path]] = defaultdict(list)
        for file in found.files:
            folders = file.relative_to(root).parts[:-1]
            repositories[root.joinpath(*folders[:2])].append(file)
        for folder, files in repositories.items():
            base = folder.relative_to(root).as_posix()
            yield from group(files, folder, Place.LM_STUDIO, _named("lmstudio:", base))


def find_llama_cpp() -> Iterator[FoundModel]:
    """The models that llama.cpp downloaded, named `llama.cpp:file`."""
    root = _llama_cache()
    found = walk(root, _DEPTH, ".gguf")
    yield from _problems(found, Place.LLAMA_CPP)
    yield from group(found.files, root, Place.LLAMA_CPP, _named("llama.cpp:", "."))


def find_in_snapshot(snapshot: Path, repo: str) -> Iterator[FoundModel]:
    """The GGUF files of a Hugging Face snapshot, named `hf:org/name[/file]`."""
    found = walk(snapshot, _DEPTH, ".gguf")
    yield from _problems(found, Place.HUGGING_FACE)
    yield from group(found.files, snapshot, Place.HUGGING_FACE, _named("hf:", repo))


def group(files: Sequence[Path], root: Path, place: Place, name_of: Naming) -> Iterator[FoundModel]:
    """The models in GGUF files; the parts of a split one are one model.

    Args:
        files: below the root.
        root: the folder that the names begin below.
        place: whose folder it is.
        name_of: makes the names.
    """
    models: dict[Path, dict[int, Path]] = defaultdict(dict)
    counts: dict[Path, int] = {}
    for file in files:
        if _PROJECTOR in file.name.lower():
            continue
        stem = file.relative_to(root).with_name(file.stem)
        part = _PART.fullmatch(file.stem)
        if part is None:
            models[stem][1] = file
        else:
            whole = stem.with_name(part["stem"])
            models[whole][int(part["number"])] = file
            counts[whole] = int(part["count"])
    for stem, parts in sorted(models.items()):
        missing = next((n for n in range(1, counts.get(stem, 1) + 1) if n not in parts), None)
        problem = f"part {missing} of {counts.get(stem)} is missing" if missing else ""
        ordered = tuple(parts[number] for number in sorted(parts))
        yield FoundModel(name_of(stem, len(models) == 1), place, ordered[0], ordered, problem)


def _named(prefix: str, base: str) -> Naming:
    def name(stem: Path, is_alone: bool) -> str:
        if base == ".":
            return f"{prefix}{stem.as_posix()}"
        return f"{prefix}{base}" if is_alone else f"{prefix}{base}/{stem.as_posix()}"

    return name


def _problems(found: Walk, place: Place) -> Iterator[FoundModel]:
    for path, problem in found.problems:
        yield FoundModel(str(path), place, path, problem=problem)


def _llama_cache() -> Path:
    """The cache folder by llama.cpp's rules."""
    if folder := os.environ.get("LLAMA_CACHE"):
        return Path(folder).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "llama.cpp"
    base = os.environ.get("LOCALAPPDATA" if sys.platform == "win32" else "XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "llama.cpp"

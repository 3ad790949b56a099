"""The Hugging Face cache: folders of safetensors, and GGUF files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from .. import hub
from .found import FoundModel, Place
from .gguf_folders import find_in_snapshot
from .walk import reason_of

_PREFIX = "models--"


def find_hub() -> Iterator[FoundModel]:
    """The models in the cache: `org/name`, `org/name@revision`, or GGUF files as `hf:org/name`."""
    cache = hub.cache_folder()
    try:
        names = sorted(each.name for each in cache.iterdir() if each.name.startswith(_PREFIX))
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        problem = f"cannot be read ({reason_of(error)})"
        yield FoundModel(str(cache), Place.HUGGING_FACE, cache, problem=problem)
        return
    for name in names:
        org, dashes, rest = name.removeprefix(_PREFIX).partition("--")
        if dashes:  # models without an organization are older than the families that run
            yield from _find_repo(cache / name, f"{org}/{rest}")


def _find_repo(folder: Path, repo: str) -> Iterator[FoundModel]:
    try:
        revisions = sorted(each.name for each in (folder / "snapshots").iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return  # only names of revisions were looked up
    except OSError as error:
        problem = f"cannot be read ({reason_of(error)})"
        yield FoundModel(repo, Place.HUGGING_FACE, folder, problem=problem)
        return
    main = _main_revision(folder)
    for revision in [main] if main in revisions else revisions:
        snapshot = folder / "snapshots" / revision
        if os.path.lexists(snapshot / "config.json"):
            name = repo if revision == main else f"{repo}@{revision}"
            yield FoundModel(name, Place.HUGGING_FACE, snapshot)
        else:
            files = list(find_in_snapshot(snapshot, repo))
            yield from files or [
                FoundModel(repo, Place.HUGGING_FACE, snapshot, problem="it has no config.json")
            ]


def _main_revision(folder: Path) -> str | None:
    """The commit that the revision `main` stands for; None if that is unknown."""
    try:
        with (folder / "refs" / "main").open("rb") as file:
            return file.read(100).decode("ascii", "replace").strip()
    except OSError:
        return None

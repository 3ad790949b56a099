"""The manifest of a batch: everything that changes a result, so that one folder holds one kind."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from filelock import FileLock

from ..config import StoreMode
from ..errors import OutputError, UsageError
from ..session.options import SessionOptions
from ..version import __version__
from .batch_folder import BatchFolder
from .batch_task import BatchTask

FORMAT = 1  # of the folder; increases with every change that an older fastkv cannot read
_NAME = "fastkv-batch"
# Options that change how long a result takes, or whether there is one, but not what it says; and
# those of the model, which says itself what it is once it is loaded.
_HARMLESS = {"extract_timeout", "offline", "no_store", "store", "password"}
_OF_MODEL = {"model", "device", "dtype", "attention", "decode_weights"}
_ANOTHER = "give the same, or another --out"


def describe_settings(tasks: Sequence[BatchTask], options: SessionOptions) -> dict[str, Any]:
    """The settings that results depend on, as JSON values."""
    left_out = _HARMLESS | _OF_MODEL
    chosen = {name: value for name, value in asdict(options).items() if name not in left_out}
    if options.store_mode is StoreMode.INT8:  # the one that changes words
        chosen["store"] = str(StoreMode.INT8)
    return {
        "fastkv": __version__,
        "tasks": [asdict(task) for task in tasks],
        "options": json.loads(json.dumps(chosen)),
    }


def check_manifest(folder: BatchFolder, settings: Mapping[str, Any]) -> None:
    """Check that a folder's results have these settings, before anything is written.

    Raises:
        UsageError: when they have others; the message says which.
        OutputError: when the manifest cannot be read.
    """
    found = read_manifest(folder)
    if found is None:
        if folder.path.is_dir() and any(folder.path.glob("results/*/*.json")):
            raise UsageError(
                f"{folder.path} holds results, but no manifest.json that says of which settings",
                "give another --out",
            )
    elif found["model"] is not None:
        _compare(folder, found, settings)


def begin_manifest(
    folder: BatchFolder, settings: Mapping[str, Any], runs: Iterable[str] = ()
) -> None:
    """Write the settings before documents are added, or compare them with what is there.

    The model is null until one is loaded. Such a manifest has no results yet: it counts only for as
    long as another run is at work.

    Args:
        folder: of the batch.
        settings: as of `describe_settings`.
        runs: the identifiers of all runs that the index knows.

    Raises:
        UsageError: when the folder is one of other settings.
        OutputError: when the manifest cannot be read or written.
    """
    with _locked(folder):
        found = read_manifest(folder)
        is_alone = not any(run != folder.run and folder.is_alive(run) for run in runs)
        if found is None or (found["model"] is None and is_alone):
            _write(folder, settings, None)
        else:
            _compare(folder, found, settings)


def settle_model(
    folder: BatchFolder, settings: Mapping[str, Any], model: Mapping[str, Any]
) -> None:
    """Write the loaded model into the manifest, or compare it with what is there.

    Raises:
        UsageError: when the results there are of another model.
        OutputError: when the manifest cannot be read or written.
    """
    with _locked(folder):
        found = read_manifest(folder)
        if found is None or found["model"] is None:
            _write(folder, settings, model)
        else:
            _compare(folder, found, {**settings, "model": dict(model)})


@contextmanager
def _locked(folder: BatchFolder) -> Iterator[None]:
    """Hold the manifest of a folder, for as long as it takes to write it."""
    try:
        with FileLock(folder.path / "runs" / "manifest"):
            yield
    except OSError as error:
        raise OutputError(
            f"cannot lock {folder.manifest_path} ({error.strerror})", "name another folder"
        ) from error


def _write(
    folder: BatchFolder, settings: Mapping[str, Any], model: Mapping[str, Any] | None
) -> None:
    data = {"format": FORMAT, "kind": _NAME, **settings, "model": model and dict(model)}
    text = json.dumps(data, ensure_ascii=False, indent=2) + "\n"
    folder.write(folder.manifest_path, [text.encode()])


def _compare(folder: BatchFolder, there: Mapping[str, Any], here: Mapping[str, Any]) -> None:
    for what, found, wanted in _differences(there, here):
        raise UsageError(
            f"{folder.path} is the folder of another run: {what} is {found} there, {wanted} here",
            _ANOTHER,
        )


def read_manifest(folder: BatchFolder) -> dict[str, Any] | None:
    """The manifest; None where there is none.

    Raises:
        UsageError: when a newer fastkv wrote it.
        OutputError: when it cannot be read.
    """
    path = folder.manifest_path
    try:
        found = json.loads(path.read_bytes())
        number = int(found["format"])
        is_ours = found["kind"] == _NAME
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise OutputError(f"{path} cannot be read ({error})", "give another folder") from error
    if number > FORMAT or not is_ours:
        raise UsageError(
            f"{path} was written by a newer fastkv (format {number}; this one reads {FORMAT})",
            "update fastkv, or give another folder",
        )
    if not _is_whole(found):
        raise OutputError(f"{path} cannot be read (it lacks settings)", "give another folder")
    return dict(found)


def _is_whole(found: Mapping[str, Any]) -> bool:
    """Whether a manifest holds the settings that are read from it, each of its type."""
    tasks, model = found.get("tasks"), found.get("model", "")
    return (
        isinstance(tasks, list)
        and all(isinstance(task, dict) and {"kind", "options"} <= set(task) for task in tasks)
        and all(isinstance(task["options"], dict) for task in tasks)
        and (model is None or (isinstance(model, dict) and {"name", "content"} <= set(model)))
    )


def open_existing(path: Path) -> tuple[BatchFolder, dict[str, Any]]:
    """A folder that `fastkv batch` has written, and its manifest.

    Raises:
        UsageError: when it is none.
        OutputError: when its manifest cannot be read.
    """
    folder = BatchFolder(path)
    manifest = read_manifest(folder)
    if manifest is None:
        raise UsageError(
            f"{path} is no folder of a batch: it has no manifest.json",
            "name the folder that --out named",
        )
    return folder, manifest


def _differences(
    there: Mapping[str, Any], here: Mapping[str, Any]
) -> Iterator[tuple[str, str, str]]:
    """What differs, the version first: its name, and both values."""
    for name in ("fastkv", "tasks", "options", "model"):
        if name not in here:
            continue
        found: Any = there.get(name)
        wanted: Any = here[name]
        if name == "tasks" and found != wanted:
            yield "what is asked", _words(found), _words(wanted)
        elif name == "model" and found["content"] != wanted["content"]:
            yield name, _show(found["name"]), _show(wanted["name"])
        elif isinstance(found, dict) and isinstance(wanted, dict):
            for inner in [*wanted, *(set(found) - set(wanted))]:
                if inner != "name" and found.get(inner) != wanted.get(inner):
                    yield f"{name}.{inner}", _show(found.get(inner)), _show(wanted.get(inner))
        elif found != wanted:
            yield name, _show(found), _show(wanted)


def _words(tasks: Sequence[Mapping[str, Any]]) -> str:
    """The tasks of a manifest, for a message."""
    return _show([{"kind": task["kind"], **task["options"]} for task in tasks])


def _show(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 200 else f"{text[:200]}…"

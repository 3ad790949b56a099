"""The manifest of a batch: everything that changes a result, so that one folder holds one kind."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

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
    """Check that a folder's results have these settings, before a model is loaded.

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
        return
    for what, there, here in _differences(found, settings):
        raise UsageError(
            f"{folder.path} holds results of another run: {what} is {there} there, {here} here",
            _ANOTHER,
        )


def settle_model(
    folder: BatchFolder, settings: Mapping[str, Any], model: Mapping[str, Any]
) -> None:
    """Write the manifest with the loaded model, or compare the model with what is there.

    Raises:
        UsageError: when the results there are of another model.
        OutputError: when it cannot be read or written.
    """
    found = read_manifest(folder)
    if found is None:
        data = {"format": FORMAT, "kind": _NAME, **settings, "model": dict(model)}
        text = json.dumps(data, ensure_ascii=False, indent=2) + "\n"
        beside = folder.manifest_path.with_name(f".manifest.{folder.run}.part")
        folder.write(beside, text.encode())
        try:
            os.link(beside, folder.manifest_path)  # fails where another run was first
        except FileExistsError:
            pass
        except OSError:  # a file system without links
            folder.write(folder.manifest_path, text.encode())
        beside.unlink(missing_ok=True)
        found = read_manifest(folder)
    wanted = {**settings, "model": dict(model)}
    for what, there, here in _differences(found or wanted, wanted):
        raise UsageError(
            f"{folder.path} holds results of another run: {what} is {there} there, {here} here",
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
    return dict(found)


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

"""Models that are on disk already: folders, and GGUF files."""

from __future__ import annotations

import hashlib
import json
import os
import struct
from pathlib import Path
from typing import BinaryIO

from ..config import LOCAL_REVISION, cache_dir
from ..errors import ModelError
from .checked import check_files, check_sizes, read_object
from .files import ModelFiles, ModelKind, Progress, ProgressCallback, converted_or
from .supported import GGUF_ARCHITECTURES, check_model_type, unsupported

_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "tekken.json")
_GGUF_STRING = 8
_GGUF_ARRAY = 9
_GGUF_WIDTHS = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}


def resolve_folder(name: str, folder: Path) -> ModelFiles:
    """A folder with config.json, safetensors and a tokenizer.

    Raises:
        ModelError: when one of these is missing, or the family is not supported.
    """
    check_folder(folder, name)
    return ModelFiles(name, folder.resolve(), None, LOCAL_REVISION, ModelKind.FOLDER)


def check_folder(folder: Path, name: str) -> None:
    """Raise a ModelError unless the folder holds a complete model of a supported family."""
    config = folder / "config.json"
    if not config.exists():
        raise ModelError(
            f"{name} has no config.json", "give a model folder as transformers saves it"
        )
    check_files(folder, name)
    settings = read_object(config, name)
    check_model_type(settings.get("model_type"), name)
    check_sizes(settings, name)
    missing = next((path.name for path in weight_files(folder, name) if not path.is_file()), None)
    if missing:
        raise ModelError(
            f"the weights of {name} are incomplete: {missing} is missing", "fetch the model again"
        )
    if not any((folder / file).is_file() for file in _TOKENIZER_FILES):
        raise ModelError(
            f"{name} has no tokenizer", "add the tokenizer.json that belongs to the model"
        )


def weight_files(folder: Path, name: str) -> list[Path]:
    """The files that hold the weights of a model, which may be missing.

    Raises:
        ModelError: when the index of several files cannot be read, or names others than those
            beside it.
    """
    whole, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    if whole.is_file() or not index.exists():
        return [whole]
    shards = read_object(index, name).get("weight_map")
    if not isinstance(shards, dict) or not shards:
        raise ModelError(f"the {index.name} of {name} lists no weights", "fetch the model again")
    names = sorted({str(shard) for shard in shards.values()})
    for shard in names:
        if shard != Path(shard).name or "\\" in shard or not shard.endswith(".safetensors"):
            raise ModelError(
                f"the {index.name} of {name} names {shard[:60]!r}, which is no file beside it",
                "fetch the model again",
            )
    return [folder / shard for shard in names]


def resolve_gguf(name: str, gguf: Path, *, on_progress: ProgressCallback) -> ModelFiles:
    """A GGUF file, or the conversion that was made of it before.

    Raises:
        ModelError: when the file is not GGUF, or its architecture is not supported.
    """
    gguf = gguf.resolve()
    try:
        architecture = _read_architecture(gguf)
        if architecture not in GGUF_ARCHITECTURES:
            raise unsupported(name, f"a GGUF file of type {architecture!r}", GGUF_ARCHITECTURES)
        sha256 = _cached_sha256(gguf, on_progress)
    except OSError as error:
        raise ModelError(f"cannot read {name}", error.strerror or str(error)) from error
    return converted_or(gguf, name=name, stem=gguf.stem, sha256=sha256, kind=ModelKind.GGUF)


def sha256_of(path: Path, on_progress: ProgressCallback, activity: str) -> str:
    """The sha256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    total, done = path.stat().st_size, 0
    with path.open("rb") as file:
        while block := file.read(1 << 24):
            digest.update(block)
            done += len(block)
            on_progress(Progress(activity, done, total, "bytes"))
    return digest.hexdigest()


def _cached_sha256(gguf: Path, on_progress: ProgressCallback) -> str:
    """The sha256, computed once for as long as the file's size and time stay what they are."""
    facts = gguf.stat()
    key = hashlib.sha256(os.fsencode(gguf)).hexdigest()[:32]
    note = cache_dir() / "hashes" / f"{key}.json"
    stamp = {"path": str(gguf), "size": facts.st_size, "mtime_ns": facts.st_mtime_ns}
    try:
        noted = json.loads(note.read_text(encoding="utf-8"))
        if noted == stamp | {"sha256": noted["sha256"]}:
            return str(noted["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        pass  # not noted yet, or not readable: both mean computing it
    sha256 = sha256_of(gguf, on_progress, f"checking {gguf.name}")
    try:
        note.parent.mkdir(parents=True, exist_ok=True)
        fresh = note.with_suffix(f".{os.getpid()}.tmp")
        fresh.write_text(json.dumps(stamp | {"sha256": sha256}), encoding="utf-8")
        fresh.replace(note)
    except OSError:
        pass  # a note only saves time; the conversion will report a cache that is unwritable
    return sha256


def _read_architecture(gguf: Path) -> str:
    """`general.architecture`, from the head of the file alone."""
    with gguf.open("rb") as file:
        try:
            magic, version, _, count = struct.unpack("<4sIQQ", file.read(24))
            if magic == b"GGUF" and version in {2, 3}:
                for _ in range(count):
                    key = _read_string(file)
                    value = _read_value(file)
                    if key == "general.architecture" and isinstance(value, str):
                        return value
        except (struct.error, UnicodeDecodeError, KeyError, MemoryError, OverflowError):
            pass  # cut short or damaged: the same answer as for any other file
    raise ModelError(f"{gguf.name} is not a GGUF file that can be read", "fetch it again")


def _read_string(file: BinaryIO) -> str:
    (length,) = struct.unpack("<Q", file.read(8))
    if length > 1 << 26:
        raise OverflowError
    return file.read(length).decode("utf-8")


def _read_value(file: BinaryIO) -> str | None:
    """Read past one metadata value; strings are returned, the others are not needed."""
    (kind,) = struct.unpack("<I", file.read(4))
    if kind == _GGUF_STRING:
        return _read_string(file)
    if kind != _GGUF_ARRAY:
        file.seek(_GGUF_WIDTHS[kind], os.SEEK_CUR)
        return None
    kind, count = struct.unpack("<IQ", file.read(12))
    if kind == _GGUF_STRING:
        for _ in range(count):
            _read_string(file)
    else:
        file.seek(_GGUF_WIDTHS[kind] * count, os.SEEK_CUR)
    return None

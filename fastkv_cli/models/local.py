"""Models on disk: folders and GGUF files."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from ..config import LOCAL_REVISION, cache_dir
from ..errors import ModelError
from .checked import check_files, check_labels, check_sizes, read_object
from .files import ModelFiles, ModelKind, Progress, ProgressCallback, gguf_files
from .gguf_parts import part_files, read_model
from .gguf_sizes import check_header
from .supported import check_model_type
from .text_part import text_config

_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "tekken.json")


def resolve_folder(name: str, folder: Path) -> ModelFiles:
    """Resolve a folder with config.json, safetensors and a tokenizer.

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
    stated = read_object(config, name)
    settings = text_config(stated)
    check_model_type(settings.get("model_type"), name)
    check_sizes(settings, name)
    check_labels(stated, name)
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
    """The files that hold a model's weights, whether they exist or not.

    Raises:
        ModelError: when the index of several files cannot be read, or names files in other folders.
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
                f"the {index.name} of {name} names {shard[:60]!r}, which is not a file beside it",
                "fetch the model again",
            )
    return [folder / shard for shard in names]


def resolve_gguf(name: str, gguf: Path, *, on_progress: ProgressCallback) -> ModelFiles:
    """Resolve a GGUF file, or any of the parts that a model is split into.

    Raises:
        ModelError: when the file is not GGUF, damaged, incomplete, or its architecture is not
            supported.
    """
    parts = _parts(gguf)
    first = parts[0]
    try:
        if noted_sha256(gguf) is None:
            check_header(read_model(first, name), name)  # before hashing 8 GB
        sha256 = _sha256_of_all([known_sha256(part, on_progress, part.name) for part in parts])
        return gguf_files(first, name=name, stem=first.stem, sha256=sha256, kind=ModelKind.GGUF)
    except OSError as error:
        raise ModelError(f"cannot read {name}", error.strerror or str(error)) from error


def noted_sha256(gguf: Path) -> str | None:
    """The sha256 of a GGUF file, or of all parts of it, if each was computed earlier."""
    parts = _parts(gguf)
    noted = [sha256 for part in parts if (sha256 := _noted(part)) is not None]
    return _sha256_of_all(noted) if len(noted) == len(parts) else None


def _parts(gguf: Path) -> list[Path]:
    """The files of a model. Those of several are found by their names, which links may not have."""
    parts = part_files(gguf)
    return [part.absolute() for part in parts] if len(parts) > 1 else [gguf.resolve()]


def _sha256_of_all(sha256s: list[str]) -> str:
    return (
        sha256s[0] if len(sha256s) == 1 else hashlib.sha256("".join(sha256s).encode()).hexdigest()
    )


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


def _note_of(gguf: Path) -> tuple[Path, dict[str, object]]:
    """The note file for a GGUF file's sha256, and the path, size and time for which it is valid."""
    facts = gguf.stat()
    key = hashlib.sha256(os.fsencode(gguf)).hexdigest()[:32]
    stamp = {"path": str(gguf), "size": facts.st_size, "mtime_ns": facts.st_mtime_ns}
    return cache_dir() / "hashes" / f"{key}.json", stamp


def _noted(gguf: Path) -> str | None:
    """The sha256 as computed earlier, valid while the file's size and time are unchanged."""
    try:
        note, stamp = _note_of(gguf)
        noted = json.loads(note.read_text(encoding="utf-8"))
        if noted == stamp | {"sha256": noted["sha256"]}:
            return str(noted["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        pass  # not noted yet, or not readable: compute it
    return None


def known_sha256(gguf: Path, on_progress: ProgressCallback, name: str) -> str:
    """The sha256 as noted, or computed and noted; `name` is the model's in reports of progress."""
    noted = _noted(gguf)
    if noted is not None:
        return noted
    note, stamp = _note_of(gguf)
    sha256 = sha256_of(gguf, on_progress, f"checking {name}")
    try:
        note.parent.mkdir(parents=True, exist_ok=True)
        fresh = note.with_suffix(f".{os.getpid()}.tmp")
        fresh.write_text(json.dumps(stamp | {"sha256": sha256}), encoding="utf-8")
        fresh.replace(note)
    except OSError:
        pass  # a note only saves time
    return sha256

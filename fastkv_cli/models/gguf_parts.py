"""Models in several GGUF files, `NAME-00001-of-00003.gguf`, as llama.cpp splits them.

The first part holds the metadata; each has the header of its own tensors. Split or not, a model is
read here.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from ..errors import ModelError
from .gguf_header import GGUFHeader, read_header
from .gptoss_header import as_llama_cpp

_PART = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf", re.IGNORECASE)
_NUMBER, _COUNT, _TENSORS = "split.no", "split.count", "split.tensors.count"
_AGAIN = "fetch all of its parts again, into one folder"


def part_files(gguf: Path) -> list[Path]:
    """The files of a model by the name of one of them, whether they exist or not."""
    match = _PART.fullmatch(gguf.name)
    count = int(match["count"]) if match else 1
    if match is None or not 1 <= int(match["number"]) <= count:
        return [gguf]
    suffix = gguf.name[-len(".gguf") :]
    names = (f"{match['stem']}-{n + 1:05}-of-{count:05}{suffix}" for n in range(count))
    return [gguf.with_name(name) for name in names]


def read_model(gguf: Path, name: str, lists: Collection[str] = ()) -> GGUFHeader:
    """Read and check the headers of a model's files: the metadata, and the tensors of all parts.

    Args:
        gguf: the file, or any of the parts.
        name: the user's name for the model, for messages.
        lists: keys of long lists whose items are wanted.

    Raises:
        ModelError: when a part is missing, belongs to another model, or cannot be read.
    """
    files = part_files(gguf)
    missing = next((file for file in files if not file.is_file()), None)
    if missing is not None:
        raise ModelError(
            f"{name} is incomplete: of its {len(files)} parts, {missing.name} is missing", _AGAIN
        )
    header = read_header(files[0], name, lists)
    _check_part(header, files, 0)
    tensors = dict(header.tensors)
    for number, file in enumerate(files[1:], 1):
        part = read_header(file, name)
        _check_part(part, files, number)
        if twice := tensors.keys() & part.tensors.keys():
            raise ModelError(f"two parts of {name} hold {min(twice)[:60]!r}", _AGAIN)
        tensors |= part.tensors
    stated = header.facts.get(_TENSORS, len(tensors))
    if stated != len(tensors):
        raise ModelError(
            f"{name} names {stated!r:.20} tensors, and its parts hold {len(tensors):,}", _AGAIN
        )
    return as_llama_cpp(replace(header, tensors=tensors))


def _check_part(part: GGUFHeader, files: list[Path], number: int) -> None:
    """Raise a ModelError unless a file says that it is the part that its name says."""
    count = part.facts.get(_COUNT, 1)
    stated = part.facts.get(_NUMBER, 0)
    if len(files) == 1 and count not in (0, 1):
        raise ModelError(
            f"{files[0].name} is one of {count!r:.20} parts, and its name does not tell which",
            "name the parts NAME-00001-of-0000N.gguf, as they were published",
        )
    if len(files) > 1 and (count, stated) != (len(files), number):
        raise ModelError(
            f"{files[number].name} says that it is part {stated!r:.20} (from 0) of {count!r:.20}",
            _AGAIN,
        )

"""The header of a state's file: a safetensors header with the state's identity and checksums.

A file is plain safetensors: 8 bytes with the length of the header, the header as JSON, the tensors.
The header's `__metadata__` holds strings only. Spaces at its end make the tensors begin at a
multiple of 64 bytes. All checksums are CRC-32, as 8 hex digits, so that the header written before
the tensors is exactly as long as the final one that replaces it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, BinaryIO
from zlib import crc32

from .spec import FORMAT, StateSpec, TensorSpec

_ALIGNMENT = 64
_LENGTH_BYTES = 8
_MAX_HEADER_BYTES = 100_000_000  # the limit of safetensors itself
_FAMILY = FORMAT.rpartition("/")[0] + "/"
_NO_SUM = "00000000"


class StateProblem(Exception):  # noqa: N818 (a finding to report, not a failure of the program)
    """A problem with a file, worded as the end of a sentence that begins with its name."""


@dataclass(frozen=True, slots=True)
class StateHeader:
    """The contents of a file's header.

    Attributes:
        identity, tensors, documents, num_tokens, made_with: as in StateSpec.
        created: time of creation, as ISO 8601 in UTC.
        sums: checksums of the tensors, by name.
        data_start: offset of the first tensor, in bytes from the start of the file.
    """

    identity: dict[str, str | int]
    tensors: dict[str, TensorSpec]
    documents: tuple[str, ...]
    num_tokens: int
    made_with: dict[str, str]
    created: str
    sums: dict[str, int]
    data_start: int

    def spans(self) -> dict[str, tuple[int, int]]:
        """Start and end of each tensor in the file, in bytes."""
        spans, start = {}, self.data_start
        for name, tensor in self.tensors.items():
            spans[name] = (start, start + tensor.nbytes)
            start += tensor.nbytes
        return spans

    @property
    def file_bytes(self) -> int:
        """Expected size of the file, in bytes."""
        return self.data_start + sum(tensor.nbytes for tensor in self.tensors.values())


def build_header(spec: StateSpec, created: datetime, sums: Mapping[str, int]) -> bytes:
    """Build the bytes before the tensors; their number does not depend on the checksums.

    Args:
        spec: the state's spec.
        created: time of creation.
        sums: checksums of the tensors, by name; missing ones count as 0.
    """
    metadata = {
        "format": FORMAT,
        "header_sum": _NO_SUM,
        "made_with": json.dumps(dict(spec.made_with)),
        "identity": json.dumps(dict(spec.identity)),
        "documents": json.dumps(spec.documents),
        "num_tokens": str(spec.num_tokens),
        "created": created.astimezone(UTC).isoformat(timespec="seconds"),
        "sums": json.dumps({name: f"{sums.get(name, 0):08x}" for name in spec.tensors}),
    }
    header: dict[str, Any] = {"__metadata__": metadata}
    start = 0
    for name, tensor in spec.tensors.items():
        stop = start + tensor.nbytes
        header[name] = {"dtype": tensor.dtype, "shape": tensor.shape, "data_offsets": (start, stop)}
        start = stop
    text = json.dumps(header).encode()
    text += b" " * (-(_LENGTH_BYTES + len(text)) % _ALIGNMENT)
    text = text.replace(_header_sum(_NO_SUM), _header_sum(f"{crc32(text):08x}"), 1)
    return len(text).to_bytes(_LENGTH_BYTES, "little") + text


def read_header(file: BinaryIO, file_bytes: int) -> StateHeader:
    """Read a file's header, and check everything except the tensors.

    Args:
        file: the file, positioned at its start.
        file_bytes: the file's actual size.

    Raises:
        StateProblem: when it is not a state's header, or does not match the file's size.
        OSError: when it cannot be read.
    """
    if not file_bytes:
        raise StateProblem("is empty")
    length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
    if file_bytes >= _LENGTH_BYTES and length > _MAX_HEADER_BYTES:
        raise StateProblem("is no document state of fastkv")
    if file_bytes < _LENGTH_BYTES + length:
        raise StateProblem("is cut short")
    text = file.read(length)
    try:
        header = json.loads(text)
        metadata = header.pop("__metadata__", {})
        found = str(metadata.get("format", ""))
    except (ValueError, TypeError, AttributeError, RecursionError):
        is_ours = _FAMILY.encode() in text[:64]
        what = "has a damaged header" if is_ours else "is no document state of fastkv"
        raise StateProblem(what) from None
    if not found.startswith(_FAMILY):
        raise StateProblem("is no document state of fastkv")
    if found != FORMAT:
        raise StateProblem(f"was made by another version of fastkv ({found})")
    try:
        read = _parse(text, header, metadata)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        raise StateProblem("has a damaged header") from None
    if file_bytes != read.file_bytes:
        what = "is cut short" if file_bytes < read.file_bytes else "is longer than it says"
        raise StateProblem(what)
    return read


def _parse(text: bytes, header: Mapping[str, Any], metadata: Mapping[str, Any]) -> StateHeader:
    """Parse a header.

    Raises:
        ValueError, TypeError, KeyError, AttributeError: when fastkv did not write it like this.
    """
    written_sum = metadata["header_sum"]
    unsummed = text.replace(_header_sum(written_sum), _header_sum(_NO_SUM), 1)
    if written_sum != f"{crc32(unsummed):08x}":
        raise ValueError("not what was written")
    tensors = {
        name: TensorSpec(entry["dtype"], tuple(map(int, entry["shape"])))
        for name, entry in header.items()
    }
    read = StateHeader(
        identity=dict(json.loads(metadata["identity"])),
        tensors=tensors,
        documents=tuple(map(str, json.loads(metadata["documents"]))),
        num_tokens=int(metadata["num_tokens"]),
        made_with=dict(json.loads(metadata["made_with"])),
        created=metadata["created"],
        sums={name: int(value, 16) for name, value in json.loads(metadata["sums"]).items()},
        data_start=_LENGTH_BYTES + len(text),
    )
    for name, (start, stop) in read.spans().items():
        offsets = [start - read.data_start, stop - read.data_start]
        if header[name]["data_offsets"] != offsets or name not in read.sums:
            raise ValueError("not what was written")
    return read


def _header_sum(digits: str) -> bytes:
    """The checksum field as in a header; inside a JSON string its quotes would be escaped."""
    return f'"header_sum": "{digits}"'.encode()

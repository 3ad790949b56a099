"""Reads the header of a GGUF file in one pass of bounded time and memory, whatever the file holds.

The reader of the package `gguf` trusts counts, lengths and offsets. Here each is checked against
the file's size and a limit first. Of lists, only the type and number of their items are kept, the
items themselves if they are few numbers or asked for.
Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import math
import mmap
import struct
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import ModelError
from .checked import check_file

_STRING, _ARRAY, _BOOL = 8, 9, 7
_SCALARS = {
    0: "<B",
    1: "<b",
    2: "<H",
    3: "<h",
    4: "<I",
    5: "<i",
    6: "<f",
    _BOOL: "<?",
    10: "<Q",
    11: "<q",
    12: "<d",
}
_FLOATS = {6, 12}
# Llama 3 has 30 entries and 800,000 items in their lists; 405 billion weights are 1,138 tensors.
_MAX_ENTRIES, _MAX_ITEMS, _MAX_TENSORS = 10_000, 4_000_000, 100_000
_MAX_NAME, _MAX_STRING = 2**16, 2**24
_MAX_DIMENSIONS = 4
FOUR_BIT_KINDS = frozenset({"Q4_0", "Q4_1", "Q4_K"})
"""Types with 16 evenly spaced levels in groups of 32: what 4-bit kernels take."""
PAIRED_MXFP4 = "MXFP4_PAIRED"
"""MXFP4 with neighbours in a byte, as gpt-oss was published; in ggml's they are 16 apart."""
_PAIRED_MXFP4 = 4  # Ollama's number; ggml gave up its own type 4 before there were GGUF files
_MAX_ALIGNMENT = 2**20
_MAX_TRAILING = 2**20  # unused bytes after the last tensor
_MAX_KEPT = 4096  # numbers of a list: models state settings of their layers so


class Items(NamedTuple):
    """Stands for a list.

    Attributes:
        kind: the type of its items: `str`, `int`, `float` or `bool`.
        size: their number.
        values: the items; empty if there are many, and nobody asked for them.
    """

    kind: type
    size: int
    values: tuple[Any, ...] = ()


class TensorInfo(NamedTuple):
    """Where a tensor's values are, and how they are stored.

    Attributes:
        shape: its shape, with the contiguous dimension first.
        kind: ggml's name of the number format or block, as `F32` or `Q4_K`.
        file: the file.
        start: the place of its first byte in the file.
        num_bytes: their number.
    """

    shape: tuple[int, ...]
    kind: str
    file: Path
    start: int
    num_bytes: int


@dataclass(frozen=True, slots=True)
class GGUFHeader:
    """The contents of a GGUF file before the weights.

    Attributes:
        facts: the metadata entries by key; lists as `Items`.
        tensors: the tensors by name.
    """

    facts: dict[str, Any] = field(default_factory=dict)
    tensors: dict[str, TensorInfo] = field(default_factory=dict)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The tensors' shapes by name, with the contiguous dimension first."""
        return {name: tensor.shape for name, tensor in self.tensors.items()}

    @property
    def packed_bytes(self) -> int:
        """Bytes of the matrices packed for decoding: 5 bits a weight for 4-bit types, else 8.

        Embeddings are not packed, unless they are the LM head, too; experts when they are used.
        """
        skipped = {"token_embd.weight"} if "output.weight" in self.tensors else set()
        return sum(
            math.prod(tensor.shape) * (5 if tensor.kind in FOUR_BIT_KINDS else 8) // 8
            for name, tensor in self.tensors.items()
            if len(tensor.shape) > 1 and name not in skipped and "_exps." not in name
        )

    @property
    def expert_bytes(self) -> int:
        """As `packed_bytes`, of all experts."""
        return sum(
            math.prod(tensor.shape) * (5 if tensor.kind in FOUR_BIT_KINDS else 8) // 8
            for name, tensor in self.tensors.items()
            if len(tensor.shape) > 2 and "_exps." in name
        )

    @property
    def num_weights(self) -> int:
        """Number of weights in all tensors."""
        return sum(math.prod(tensor.shape) for tensor in self.tensors.values())


def read_header(gguf: Path, name: str, lists: Collection[str] = ()) -> GGUFHeader:
    """Read and check the header of one file; `gguf_parts.read_model` knows split models.

    Args:
        gguf: the file.
        name: the user's name for the model, for messages.
        lists: keys of long lists whose items are wanted.

    Raises:
        ModelError: when the file is not GGUF, or its header describes more than it holds.
    """
    check_file(gguf, name)
    try:
        with gguf.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _Parser(data, gguf, lists).header()
    except OSError as error:
        raise ModelError(f"cannot read {name}", error.strerror or str(error)) from error
    except (ValueError, struct.error) as error:
        # struct.error: truncated within a number; ValueError: from mmap for an empty file, and ours
        reason = "it is cut off" if isinstance(error, struct.error) else str(error)
        raise ModelError(
            f"{gguf.name} is not a GGUF file that can be read ({reason})", "fetch it again"
        ) from error


def peek_architecture(gguf: Path) -> str | None:
    """The architecture that a file names in its first entry, as files do; None if it does not."""
    try:
        with gguf.open("rb") as file:
            start = file.read(256)
        size, key = struct.unpack_from("<Q", start, 24)[0], b"general.architecture"
        if start[:4] != b"GGUF" or size != len(key) or start[32 : 32 + size] != key:
            return None
        kind, length = struct.unpack_from("<IQ", start, 32 + size)
        text = start[44 + size : 44 + size + length]
        return text.decode("utf-8") if kind == _STRING and len(text) == length else None
    except (OSError, struct.error, ValueError):
        return None


class _Parser:
    """Parses values one after another; raises ValueError or struct.error for invalid ones."""

    def __init__(self, data: mmap.mmap, file: Path, lists: Collection[str]) -> None:
        self._data = data
        self._file = file
        self._lists = lists
        self._at = 0
        self._items = 0

    def header(self) -> GGUFHeader:
        magic, version = self._data[:4], self._number("<I", at=4)
        if magic != b"GGUF":
            raise ValueError("it does not begin with GGUF")
        if version not in {2, 3}:
            raise ValueError(f"its version is {version}, and 2 and 3 are known")
        self._at = 8
        num_tensors, num_entries = self._number("<Q"), self._number("<Q")
        if num_tensors > _MAX_TENSORS or num_entries > _MAX_ENTRIES:
            raise ValueError(f"it names {num_tensors:,} tensors and {num_entries:,} entries")
        header = GGUFHeader()
        for _ in range(num_entries):
            key = self._string(_MAX_NAME)
            _check_new(key, header.facts)
            header.facts[key] = self._value(key in self._lists)
        found = header.tensors
        for _ in range(num_tensors):
            name = self._string(_MAX_NAME)
            _check_new(name, found)
            found[name] = self._tensor(name)
        begin = self._begin(header.facts.get("general.alignment", 32), found)
        found.update({n: t._replace(start=begin + t.start) for n, t in found.items()})
        return header

    def _value(self, is_wanted: bool) -> Any:
        kind = self._number("<I")
        if kind == _STRING:
            return self._string(_MAX_STRING)
        if kind != _ARRAY:
            return self._number(_form(kind))
        kind, count = self._number("<I"), self._number("<Q")
        self._items += count
        if self._items > _MAX_ITEMS:
            raise ValueError(f"its lists have {self._items:,} items")
        if kind == _STRING:
            return Items(str, count, self._texts(count, is_wanted))
        form, start = _form(kind), self._at
        self._skip(struct.calcsize(form) * count)
        is_kept = is_wanted or count <= _MAX_KEPT
        numbers = struct.unpack_from(f"<{count}{form[1:]}", self._data, start) if is_kept else ()
        return Items(float if kind in _FLOATS else bool if kind == _BOOL else int, count, numbers)

    def _texts(self, count: int, is_wanted: bool) -> tuple[str, ...]:
        if is_wanted:
            return tuple([self._string(_MAX_STRING) for _ in range(count)])
        for _ in range(count):
            self._skip(self._number("<Q"))
        return ()

    def _tensor(self, name: str) -> TensorInfo:
        """Read a tensor's entry behind its name; `start` is still counted from the first tensor."""
        from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

        num_dimensions = self._number("<I")
        if not 1 <= num_dimensions <= _MAX_DIMENSIONS:
            raise ValueError(f"{name[:60]!r} has {num_dimensions:,} dimensions")
        shape = tuple(self._number("<Q") for _ in range(num_dimensions))
        kind, offset = self._number("<I"), self._number("<Q")
        if kind not in {*GGMLQuantizationType, _PAIRED_MXFP4}:
            raise ValueError(f"{name[:60]!r} is of type {kind}, which is unknown")
        is_paired = kind == _PAIRED_MXFP4
        known = GGMLQuantizationType.MXFP4 if is_paired else GGMLQuantizationType(kind)
        block, size = GGML_QUANT_SIZES[known]
        if not all(shape) or shape[0] % block:
            raise ValueError(f"{name[:60]!r} is of shape {shape}")
        num_bytes = math.prod(shape) // block * size
        kind_name = PAIRED_MXFP4 if is_paired else known.name
        return TensorInfo(shape, kind_name, self._file, offset, num_bytes)

    def _begin(self, alignment: Any, tensors: dict[str, TensorInfo]) -> int:
        """The place of the first tensor's first byte.

        Raises:
            ValueError: unless the tensors are aligned, do not overlap and fill the file. At most
                1 MiB may follow the last one.
        """
        is_power = isinstance(alignment, int) and alignment > 0 and not alignment & (alignment - 1)
        if not is_power or alignment > _MAX_ALIGNMENT:
            raise ValueError(f"its alignment is {alignment}")
        begin: int = self._at + -self._at % alignment
        end = 0
        for _, _, _, offset, num_bytes in sorted(tensors.values(), key=lambda each: each.start):
            if offset % alignment or offset < end:
                raise ValueError("its tensors overlap, or are not aligned")
            end = offset + num_bytes
        if tensors and begin + end > len(self._data):
            raise ValueError(
                f"it is cut off: its tensors take {end:,} bytes, and "
                f"{max(len(self._data) - begin, 0):,} are there"
            )
        if len(self._data) - begin - end > _MAX_TRAILING:
            trailing = len(self._data) - begin - end
            raise ValueError(f"{trailing:,} bytes after its tensors belong to none of them")
        return begin

    def _string(self, limit: int) -> str:
        length = self._number("<Q")
        if length > limit:
            raise ValueError(f"it holds a text of {length:,} bytes")
        start = self._at
        self._skip(length)
        return self._data[start : self._at].decode("utf-8")

    def _number(self, form: str, at: int | None = None) -> Any:
        start = self._at if at is None else at
        (number,) = struct.unpack_from(form, self._data, start)
        self._at = start + struct.calcsize(form)
        return number

    def _skip(self, size: int) -> None:
        if size > len(self._data) - self._at:
            raise ValueError("it is cut off")
        self._at += size


def _check_new(key: str, entries: Collection[str]) -> None:
    if key in entries:
        raise ValueError(f"it holds {key[:60]!r} twice")


def _form(kind: int) -> str:
    if kind not in _SCALARS:
        raise ValueError(f"it holds a value of type {kind}, which is unknown here")
    return _SCALARS[kind]

"""Ways to break the header of a GGUF file, for fuzz_models.py.

The header is: magic, version, the counts of tensors and of metadata; the metadata, each a key, a
type and a value; for each tensor its name, dimensions, type and offset. Each number and each text
in it is a part that can be changed on its own.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fuzz_inputs import WAYS
from fuzz_settings import TEMPLATES

ALIGNMENT = 32
_UINT32, _STRING, _ARRAY, _UINT64, _FLOAT64 = 4, 8, 9, 10, 12
_NUMBERS = (
    0,
    1,
    2,
    3,
    5,
    7,
    8,
    9,
    12,
    13,
    31,
    33,
    63,
    255,
    385,
    2**16,
    10**6,
    2**30,
    2**31,
    2**32 - 1,
    2**33,
    2**40,
    2**62,
    2**63,
    2**64 - 1,
    2**64 - 32,
)
_FLOATS = (0.0, -1.0, float("nan"), float("inf"), 1e38, 1e-38)
_TEXTS = (
    b"",
    b"\xff\xfe",
    b"a\0b",
    b"\xed\xa0\x80",
    b"x" * 100_000,
    b"../../x",
    b"llama",
    b"qwen2",
    b"gpt2",
    b"bert",
    b"no_vocab",
    b"unigram",
    b"\x1b[31m\n",
    b"general.architecture",
    b"blk.0.attn_q.weight",
)
_KEYS = """general.architecture general.alignment general.file_type x
    split.count split.no split.tensors.count
    tokenizer.ggml.pre tokenizer.ggml.scores tokenizer.ggml.model tokenizer.ggml.added_tokens
    tokenizer.chat_template llama.rope.scaling.type llama.rope.scaling.factor llama.expert_count
    llama.attention.key_length qwen2.rope.scaling.type GGUF.version"""


@dataclass(slots=True)
class Field:
    """A metadata or tensor entry: its bytes, and the position of each part in them."""

    name: str
    data: bytearray
    parts: list[tuple[slice, bool]]
    """Each with whether it is a text, or a number; none of a field that was added or repeated."""


@dataclass(slots=True)
class Header:
    """A GGUF file in pieces; `counts` are its declared numbers of tensors and of metadata."""

    version: int
    counts: list[int]
    metadata: list[Field]
    tensors: list[Field]
    weights: bytes

    @classmethod
    def of(cls, path: Path) -> Header:
        """Take a valid file apart."""
        from gguf import GGUFReader

        data, reader = path.read_bytes(), GGUFReader(path)

        def cut(name: str, start: int, lengths: list[tuple[int, bool]]) -> Field:
            parts, at = [], 0
            for length, is_text in lengths:
                parts.append((slice(at, at + length), is_text))
                at += length
            return Field(name, bytearray(data[start : start + at]), parts)

        pieces = [
            cut(field.name, field.offset, [(p.nbytes, p.dtype.itemsize == 1) for p in field.parts])
            for field in (*reader.fields.values(), *(tensor.field for tensor in reader.tensors))
        ]
        metadata = [piece for piece in pieces if not piece.name.startswith("GGUF.")]
        num_tensors = len(reader.tensors)
        metadata, tensors = metadata[:-num_tensors], metadata[-num_tensors:]
        counts = [len(tensors), len(metadata)]
        return cls(3, counts, metadata, tensors, data[reader.data_offset :])

    def copy(self) -> Header:
        """A copy to change."""
        metadata, tensors = (
            [Field(field.name, bytearray(field.data), field.parts) for field in fields]
            for fields in (self.metadata, self.tensors)
        )
        return Header(self.version, list(self.counts), metadata, tensors, self.weights)

    def join(self, rng: random.Random) -> tuple[bytes, int]:
        """The file, and the length of its header."""
        counts = b"".join(struct.pack("<Q", count & (2**64 - 1)) for count in self.counts)
        head = b"GGUF" + struct.pack("<I", self.version) + counts
        head += b"".join(field.data for field in (*self.metadata, *self.tensors))
        length = len(head)
        if rng.random() < 0.97:
            head += bytes(-length % ALIGNMENT)
        return head + self.weights, length


def break_header(header: Header, rng: random.Random) -> tuple[bytes, str]:
    """Break a copy of a header in one to three ways, sometimes its bytes too; returns the names."""
    header = header.copy()
    ways = rng.choices(_WAYS, k=rng.choice((1, 1, 1, 2, 3)))
    names = [way(header, rng) for way in ways]
    data, length = header.join(rng)
    if rng.random() < 0.15:
        head = bytearray(data[:length])
        way = rng.choice(WAYS)
        way(head, data[:length], rng)
        data, names = bytes(head) + data[length:], [*names, way.__name__]
    if rng.random() < 0.08:
        at = rng.randrange(rng.choice((24, length, len(data))))
        data, names = data[:at], [*names, "cut off"]
    return data, ", ".join(names)


def lie_about_counts(header: Header, rng: random.Random) -> str:
    """Declare more or fewer tensors or metadata entries than there are."""
    which = rng.randrange(2)
    header.counts[which] = rng.choice(
        (*_NUMBERS, header.counts[which] - 1, header.counts[which] + 1)
    )
    return "count of " + ("tensors", "metadata")[which]


def set_version(header: Header, rng: random.Random) -> str:
    """Set another version, or the other byte order."""
    header.version = rng.choice((0, 1, 2, 4, 3 << 24, 2**32 - 1))
    return f"version {header.version}"


def change_metadata(header: Header, rng: random.Random) -> str:
    """Change a key, type, length or value of the metadata."""
    field = rng.choice([field for field in header.metadata if field.parts])
    # A token list has hundreds of parts: its type and length are chosen as often as all others.
    few = field.parts[: rng.choice((5, 6, len(field.parts)))]
    return f"{field.name} {_change(field, rng.choice(few), rng)}"


def change_value(header: Header, rng: random.Random) -> str:
    """Change the value of a scalar metadata entry."""
    field = rng.choice([field for field in header.metadata if 0 < len(field.parts) <= 5])
    return f"{field.name} {_change(field, field.parts[-1], rng)}"


def change_tensor(header: Header, rng: random.Random) -> str:
    """Change the name, dimensions, type or offset of a tensor."""
    field = rng.choice([field for field in header.tensors if field.parts])
    return f"{field.name} {_change(field, rng.choice(field.parts), rng)}"


def drop(header: Header, rng: random.Random) -> str:
    """Leave a field out."""
    fields = rng.choice((header.metadata, header.tensors))
    field = fields.pop(rng.randrange(len(fields)))
    _count(header)
    return f"no {field.name}"


def repeat(header: Header, rng: random.Random) -> str:
    """Repeat a field once, or very often."""
    fields = rng.choice((header.metadata, header.tensors))
    field = rng.choice(fields)
    copies = rng.choice((1, 1, 1, 10_000 if len(field.data) < 200 else 1))
    fields.extend(Field(field.name, field.data, []) for _ in range(copies))
    _count(header)
    return f"{copies} more {field.name}"


def swap(header: Header, rng: random.Random) -> str:
    """Swap the contents of two fields."""
    fields = rng.choice((header.metadata, header.tensors))
    first, second = rng.sample(range(len(fields)), 2)
    fields[first], fields[second] = fields[second], fields[first]
    return f"{fields[first].name} and {fields[second].name} change places"


def add(header: Header, rng: random.Random) -> str:
    """Add a metadata entry that readers know, new or with another value."""
    key = rng.choice((*_KEYS.split(), "", rng.choice(header.metadata).name))
    text = rng.choice((*_TEXTS, *(template.encode("utf-8", "replace") for template in TEMPLATES)))
    kind, value = rng.choice(
        (
            (_UINT32, struct.pack("<I", rng.choice(_NUMBERS) & (2**32 - 1))),
            (_UINT64, struct.pack("<Q", rng.choice(_NUMBERS))),
            (_FLOAT64, struct.pack("<d", rng.choice(_FLOATS))),
            (_STRING, struct.pack("<Q", len(text)) + text),
            (_ARRAY, struct.pack("<IQ", _STRING, 2) + (struct.pack("<Q", 1) + b"a") * 2),
            (_ARRAY, struct.pack("<IQ", _UINT32, 3) + bytes(12)),
            (
                _ARRAY,
                struct.pack("<IQ", rng.choice((_UINT32, _STRING, _ARRAY)), rng.choice(_NUMBERS)),
            ),
            (_ARRAY, struct.pack("<IQ", _ARRAY, 1) * rng.choice((2, 500, 50_000))),
            (rng.choice((7, 13, 99, 2**31)), b"\2"),
        )
    )
    name = key.encode()
    data = bytearray(struct.pack("<Q", len(name)) + name + struct.pack("<I", kind) + value)
    replaced = [field for field in header.metadata if field.name == key]
    if replaced and rng.random() < 0.8:
        header.metadata[header.metadata.index(replaced[0])].data = data
        return f"{key} of type {kind}"
    header.metadata.insert(rng.randrange(len(header.metadata) + 1), Field(key, data, []))
    _count(header)
    return f"{key} of type {kind} too"


def change_weights(header: Header, rng: random.Random) -> str:
    """Truncate the weights, or set all bytes to one value, e.g. 0xff for NaN."""
    if rng.random() < 0.5:
        header.weights = header.weights[: rng.randrange(len(header.weights))]
        return "fewer weights"
    header.weights = rng.choice((b"\xff", b"\x7f", b"\0")) * len(header.weights)
    return "weights all alike"


def _count(header: Header) -> None:
    header.counts = [len(header.tensors), len(header.metadata)]


def _change(field: Field, part: tuple[slice, bool], rng: random.Random) -> str:
    """Change one part; returns its position in its field."""
    place, is_text = part
    old = bytes(field.data[place])
    if is_text and place.stop - place.start != 1:
        text = rng.choice((*_TEXTS, old[:-1], old + b"x", old.upper()))
        if field.name == "tokenizer.chat_template":
            text = rng.choice(TEMPLATES).encode("utf-8", "replace")
        field.data[place] = text
        if place.start >= 8 and rng.random() < 0.9:  # mostly with the correct length before it
            field.data[place.start - 8 : place.start] = struct.pack("<Q", len(text))
        return f"text at {place.start}"
    if len(old) in {4, 8} and rng.random() < 0.2:
        value = struct.pack("<f" if len(old) == 4 else "<d", rng.choice(_FLOATS))
    else:
        number = int.from_bytes(old, "little")
        odd = rng.choice(
            (*_NUMBERS, number - 1, number + 1, 2 * number, number ^ 1 << rng.randrange(64))
        )
        value = (odd % 2 ** (8 * len(old))).to_bytes(len(old), "little")
    field.data[place] = value
    return f"number at {place.start}"


_WAYS: tuple[Callable[[Header, random.Random], str], ...] = (
    lie_about_counts,
    lie_about_counts,
    set_version,
    change_metadata,
    change_metadata,
    change_metadata,
    change_value,
    change_value,
    change_value,
    change_tensor,
    change_tensor,
    change_tensor,
    change_tensor,
    drop,
    drop,
    repeat,
    swap,
    add,
    add,
    add,
    change_weights,
)

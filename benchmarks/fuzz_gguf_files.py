"""GGUF models to break for fuzz_models.py: of one file or split, with any types of blocks.

`fuzz_gguf.py` breaks a header; here are the changes that concern the weights and several files.
"""

from __future__ import annotations

import math
import random
import struct
from dataclasses import dataclass
from pathlib import Path

from fuzz_gguf import ALIGNMENT, Field, Header, break_header

_SPLIT = "-{:05}-of-{:05}.gguf"
_COUNTS = (0, 1, 2, 3, 9, 99_999)
_GENTLE = 0x3F  # the largest random byte, so that a scale in float16 is no infinity


@dataclass(frozen=True, slots=True)
class Original:
    """An intact model: its name and the headers of its files."""

    name: str
    parts: list[Header]

    @classmethod
    def of(cls, name: str, files: list[Path]) -> Original:
        """Take the files of a model apart."""
        return cls(name, [Header.of(file) for file in files])


def write_broken(original: Original, folder: Path, rng: random.Random) -> tuple[Path, str]:
    """Write a broken model into a folder; returns the file to load, and what was done."""
    parts, names = [part.copy() for part in original.parts], []
    if rng.random() < 0.25:
        names.append(retype(rng.choice(parts), rng))
    broken = rng.randrange(len(parts))
    files = [part.join(rng)[0] for part in parts]
    if not names or rng.random() < 0.5:
        files[broken], ways = break_header(parts[broken], rng)
        names.append(ways if len(parts) == 1 else f"part {broken + 1}: {ways}")
    if len(parts) > 1 and rng.random() < 0.3:
        names.append(mix_up(files, rng))
    count = len(files) if len(files) > 1 or rng.random() < 0.97 else rng.choice(_COUNTS)
    written = [
        folder / ("model" + (_SPLIT.format(at + 1, count) if count != 1 else ".gguf"))
        for at in range(len(files))
    ]
    for path, data in zip(written, files, strict=True):
        path.write_bytes(data)
    return rng.choice(written), ", ".join(names)


def mix_up(files: list[bytes], rng: random.Random) -> str:
    """Lose, repeat or swap parts of a split model."""
    at = rng.randrange(len(files))
    way = rng.choice(("lost", "doubled", "swapped", "empty"))
    if way == "lost":
        del files[at]
    elif way == "doubled":
        files.insert(at, files[at])
    elif way == "swapped":
        files.reverse()
    else:
        files[at] = b""
    return f"part {at + 1} {way}"


def retype(header: Header, rng: random.Random) -> str:
    """Give matrices other types of blocks, of random bytes; the file stays consistent."""
    from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

    chosen = rng.choice(list(GGMLQuantizationType))
    share = rng.choice((0.1, 0.5, 1.0))
    weights, offset = b"", 0
    for field in header.tensors:
        shape, kind, start = _place(field)
        block, size = GGML_QUANT_SIZES[GGMLQuantizationType(kind)]
        data = header.weights[start : start + math.prod(shape) // block * size]
        block, size = GGML_QUANT_SIZES[chosen]
        if len(shape) > 1 and not shape[0] % block and rng.random() < share:
            kind = chosen
            data = rng.randbytes(math.prod(shape) // block * size)
            data = data.translate(bytes(byte & _GENTLE for byte in range(256)))
        field.data[-12:] = struct.pack("<IQ", kind, offset)
        weights += data + bytes(-len(data) % ALIGNMENT)
        offset = len(weights)
    header.weights = weights
    return f"blocks of {chosen.name}"


def _place(field: Field) -> tuple[tuple[int, ...], int, int]:
    """Shape, type and offset of a tensor, from the end of its entry."""
    (length,) = struct.unpack_from("<Q", field.data)
    (num_dimensions,) = struct.unpack_from("<I", field.data, 8 + length)
    shape = struct.unpack_from(f"<{num_dimensions}Q", field.data, 12 + length)
    kind, offset = struct.unpack("<IQ", field.data[-12:])
    return shape, kind, offset

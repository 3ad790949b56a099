"""Falsify the directories of ZIP files, for fuzz_documents.py.

A ZIP file ends with a directory: one record for each member, and an end record with the position
and length of the directory. Numbers that do not fit are in zip64 records, and readers differ in
which of two numbers they use.
"""

from __future__ import annotations

import random
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO

_END, _END64, _LOCATOR64 = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"
_RECORD_BYTES, _LOCAL_BYTES = 46, 30
_MAX16, _MAX32 = 2**16 - 1, 2**32 - 1
_MANY = (2, 100, 5000, 70_000, 300_000)  # copies of a record; the last two make up to 20 MB
_MOST_DIRECTORY_BYTES = 20 * 2**20
_UNPACKED = (10**3, 10**5, 3 * 10**5)  # repetitions in a member that is one long run


@dataclass(slots=True)
class Archive:
    """A ZIP file in its three parts, to be joined again unchanged or falsified."""

    members: bytearray
    records: list[bytearray]
    comment: bytes = b""
    num_records: int | None = None
    directory_bytes: int | None = None
    directory_start: int | None = None
    end64: bytes = b""

    @classmethod
    def of(cls, data: bytes) -> Archive:
        """Take apart a valid file that has no comment."""
        num_bytes, start = struct.unpack("<2L", data[-10:-2])
        records, at = [], start
        while at < start + num_bytes:
            lengths = struct.unpack("<3H", data[at + 28 : at + 34])
            end = at + _RECORD_BYTES + sum(lengths)
            records.append(bytearray(data[at:end]))
            at = end
        return cls(bytearray(data[:start]), records)

    def join(self) -> bytes:
        directory = b"".join(self.records)
        told = (self.num_records, self.directory_bytes, self.directory_start)
        true = (len(self.records), len(directory), len(self.members))
        count, num_bytes, start = (a if b is None else b for a, b in zip(true, told, strict=True))
        end = _END + struct.pack("<4H2LH", 0, 0, count, count, num_bytes, start, len(self.comment))
        return bytes(self.members) + directory + self.end64 + end + self.comment


def break_archive(data: bytes, rng: random.Random) -> tuple[bytes, str]:
    """Falsify the directory of a valid ZIP file; also returns the names of the changes."""
    archive = Archive.of(data)
    ways = rng.choices(_WAYS, k=rng.choice((1, 1, 1, 2, 3)))
    for way in ways:
        way(archive, rng)
    return archive.join(), ", ".join(way.__name__ for way in ways)


def _record(archive: Archive, rng: random.Random) -> bytearray:
    return rng.choice(archive.records)


def _odd(rng: random.Random, bits: int) -> int:
    """A number that is rarely right."""
    values = (
        0,
        1,
        2,
        7,
        46,
        65534,
        65535,
        65536,
        10**6,
        2**31,
        2**32 - 2,
        2**32 - 1,
        2**62,
        2**63,
        2**64 - 1,
    )
    return int(rng.choice(values) & (2**bits - 1))


def lie_about_counts(archive: Archive, rng: random.Random) -> None:
    """A wrong number of members, size or offset in the end record."""
    if rng.random() < 0.5:
        archive.num_records = _odd(rng, 16)
    if rng.random() < 0.5:
        archive.directory_bytes = _odd(rng, 32)
    if rng.random() < 0.5:
        archive.directory_start = _odd(rng, 32)


def say_it_in_zip64(archive: Archive, rng: random.Random) -> None:
    """A zip64 end record, correct or not; the 32-bit fields may or may not defer to it."""
    directory = sum(map(len, archive.records))
    true = [len(archive.records), len(archive.records), directory, len(archive.members)]
    told = [value if rng.random() < 0.7 else _odd(rng, 64) for value in true]
    size = 44 if rng.random() < 0.8 else _odd(rng, 64)
    record = _END64 + struct.pack("<Q2H2L4Q", size, 45, 45, 0, 0, *told)
    place = len(archive.members) + directory if rng.random() < 0.8 else _odd(rng, 64)
    disks = rng.choice((0, 1, 1, 1, 2, _MAX32))
    archive.end64 = record + _LOCATOR64 + struct.pack("<LQL", 0, place, disks)
    if rng.random() < 0.7:
        archive.num_records, archive.directory_bytes = _MAX16, _MAX32
        archive.directory_start = _MAX32


def lie_about_sizes(archive: Archive, rng: random.Random) -> None:
    """A record with other sizes, or another checksum, than its member."""
    at = rng.choice((16, 20, 24))
    struct.pack_into("<L", _record(archive, rng), at, _odd(rng, 32))


def lie_about_places(archive: Archive, rng: random.Random) -> None:
    """A record that points elsewhere: into another member, at the directory, after the end."""
    struct.pack_into(
        "<L", _record(archive, rng), 42, rng.choice((_odd(rng, 32), len(archive.members)))
    )


def lie_about_lengths(archive: Archive, rng: random.Random) -> None:
    """Wrong lengths of the name, extra field or comment of a record."""
    struct.pack_into("<H", _record(archive, rng), rng.choice((28, 30, 32)), _odd(rng, 16))


def rename(archive: Archive, rng: random.Random) -> None:
    """A name that leads out of the archive, is not text, or belongs to another member."""
    others = [bytes(record[_RECORD_BYTES:]) for record in archive.records]
    names = (
        b"../../x",
        b"/etc/passwd",
        b"C:\\x",
        b"a\0b",
        b"",
        b"x" * 60_000,
        b"\xff\xfe",
        b"a/",
        b"./a",
    )
    record = _record(archive, rng)
    name = rng.choice((*names, *others))[:_MAX16]
    length = int.from_bytes(record[28:30], "little")
    record[_RECORD_BYTES : _RECORD_BYTES + length] = name
    struct.pack_into("<H", record, 28, len(name))


def repeat_records(archive: Archive, rng: random.Random) -> None:
    """The same member many times."""
    record = _record(archive, rng)
    copies = min(rng.choice(_MANY), _MOST_DIRECTORY_BYTES // len(record))
    archive.records.insert(0, bytearray(bytes(record) * copies))
    if rng.random() < 0.7:
        archive.num_records = min(len(archive.records) - 1 + copies, _MAX16)


def set_flags(archive: Archive, rng: random.Random) -> None:
    """A member marked as encrypted, packed in another way, or of a later version of ZIP."""
    record = _record(archive, rng)
    at, values = rng.choice(
        (
            (8, (1, 0x41, 0x2001, 8, 0x800, _MAX16)),  # flags
            (10, (0, 1, 6, 8, 9, 12, 14, 93, 99, _MAX16)),  # methods
            (6, (0, 63, _MAX16)),  # version needed
            (38, (0x10, 0xA1FF0000, _MAX32)),  # attributes: a folder, a link
        )
    )
    struct.pack_into("<L" if at == 38 else "<H", record, at, rng.choice(values))
    if at < 38 and rng.random() < 0.5:  # the member's own header agrees
        start = int.from_bytes(record[42:46], "little")
        if start + _LOCAL_BYTES <= len(archive.members):
            archive.members[start + at - 2 : start + at] = record[at : at + 2]


def add_extra(archive: Archive, rng: random.Random) -> None:
    """Extra fields: zip64 sizes, truncated ones, a Unicode name."""
    fields = (
        struct.pack("<2H3Q", 1, 24, *(_odd(rng, 64) for _ in range(3))),
        struct.pack("<2H", 1, 8),
        struct.pack("<2HB", 1, 1, 0),
        struct.pack("<2HBL", 0x7075, 5 + 7, 1, 0) + b"../name",
        struct.pack("<2H", _MAX16, _MAX16),
        b"\x01",
    )
    record, extra = _record(archive, rng), rng.choice(fields)
    name, length = struct.unpack_from("<2H", record, 28)
    if length + len(extra) > _MAX16:
        return
    record[_RECORD_BYTES + name : _RECORD_BYTES + name] = extra
    struct.pack_into("<H", record, 30, length + len(extra))
    if rng.random() < 0.7:  # sizes and positions that defer to it
        struct.pack_into("<2L", record, 20, _MAX32, _MAX32)
        struct.pack_into("<L", record, 42, _MAX32)


def add_comment(archive: Archive, rng: random.Random) -> None:
    """A comment: long, or containing another end record."""
    end = _END + struct.pack("<4H2LH", 0, 0, _odd(rng, 16), _odd(rng, 16), _odd(rng, 32), 0, 0)
    archive.comment = rng.choice((b"x" * _MAX16, end, end * 2000, _END, b"\0" * 100, _END64 * 50))


def put_in_front(archive: Archive, rng: random.Random) -> None:
    """Data before the first member: a program, a PDF, another end record."""
    piece = rng.choice(
        (b"MZ" * 500, b"%PDF-1.7\n", _END + bytes(18), b"PK\x03\x04" + bytes(26), b"\n")
    )
    archive.members[:0] = piece


def grow_member(archive: Archive, rng: random.Random) -> None:
    """A member that unpacks to one long run of a character; its record may or may not say so."""
    run = rng.choice((b" ", b"7", b"a", b"<", b"<a>", b"&amp;", b"\0", "é".encode())) * rng.choice(
        _UNPACKED
    )
    packer = zlib.compressobj(9, wbits=-15)
    packed = packer.compress(run) + packer.flush()
    record = _record(archive, rng)
    length = int.from_bytes(record[28:30], "little")
    name = bytes(record[_RECORD_BYTES : _RECORD_BYTES + length])
    sizes = zlib.crc32(run), len(packed), rng.choice((len(run), len(run), 10, _MAX32 - 1))
    local = b"PK\x03\x04" + struct.pack("<5H3L2H", 20, 0, 8, 0, 0, *sizes, len(name), 0)
    struct.pack_into("<3L", record, 16, *sizes)
    struct.pack_into("<H", record, 10, 8)
    struct.pack_into("<L", record, 42, len(archive.members))
    archive.members += local + name + packed


def put_text_in(data: bytes, text: str, rng: random.Random) -> bytes:
    """A valid ZIP file with one of its longer texts replaced."""
    buffer = BytesIO()
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").encode("utf-8", "replace")
    with (
        zipfile.ZipFile(BytesIO(data)) as old,
        zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for name in old.namelist():
            content = old.read(name)
            parts = content.split(b"The committee met")
            if len(parts) > 2:
                at = rng.randrange(1, len(parts))
                parts[at] = escaped + parts[at]
            new.writestr(zipfile.ZipInfo(name), b"The committee met".join(parts))
    return buffer.getvalue()


_WAYS: tuple[Callable[[Archive, random.Random], None], ...] = (
    lie_about_counts,
    say_it_in_zip64,
    say_it_in_zip64,
    lie_about_sizes,
    lie_about_places,
    lie_about_lengths,
    rename,
    repeat_records,
    set_flags,
    add_extra,
    add_comment,
    put_in_front,
    grow_member,
)

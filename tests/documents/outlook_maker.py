"""Outlook mails (MSG) for the tests: compound files as in MS-CFB, with properties as in MS-OXMSG."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

_SECTOR, _MINI, _CUTOFF = 512, 64, 4096
_END, _FAT, _FREE, _NONE = 0xFFFFFFFE, 0xFFFFFFFD, 0xFFFFFFFF, 0xFFFFFFFF
_TEXT, _BINARY, _TIME, _NUMBER = 0x1F, 0x102, 0x40, 0x03

Tree = dict[str, "bytes | Tree"]
"""Storages by name, which hold others, and streams."""


@dataclass
class _Entry:
    """A stream or a storage in the directory."""

    name: str
    data: bytes | None = None
    children: list[int] = field(default_factory=list)
    left: int = _NONE
    right: int = _NONE
    start: int = _END
    size: int = 0


def make_compound_file(tree: Tree) -> bytes:
    """A compound file of version 3: header, FAT, directory, small streams, large streams."""
    entries = [_Entry("Root Entry")]
    _add(tree, entries[0], entries)
    mini, mini_chains = b"", list[int]()
    for entry in entries[1:]:
        if entry.data and len(entry.data) < _CUTOFF:
            entry.start, entry.size = len(mini_chains), len(entry.data)
            count = -(-len(entry.data) // _MINI)
            mini_chains += [*range(entry.start + 1, entry.start + count), _END]
            mini += entry.data.ljust(count * _MINI, b"\0")
    streams = [(entry, entry.data) for entry in entries if len(entry.data or b"") >= _CUTOFF]
    streams.insert(0, (entries[0], mini))
    num_directory = -(-len(entries) * 128 // _SECTOR)
    num_mini_fat = -(-len(mini_chains) * 4 // _SECTOR)
    num_data = sum(-(-len(data or b"") // _SECTOR) for _, data in streams)
    num_fat = 1
    while num_fat * (_SECTOR // 4) < num_fat + num_directory + num_mini_fat + num_data:
        num_fat += 1
    chains = [_FAT] * num_fat
    first_directory = _extend(chains, num_directory)
    first_mini_fat = _extend(chains, num_mini_fat)
    for entry, data in streams:
        entry.size = len(data or b"")
        entry.start = _extend(chains, -(-entry.size // _SECTOR))
    header = struct.pack(
        "<8s16x5H6x9I", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", 0x3E, 3, 0xFFFE, 9, 6, 0, num_fat,
        first_directory, 0, _CUTOFF, first_mini_fat, num_mini_fat, _END, 0,
    ) + struct.pack("<109I", *range(num_fat), *[_FREE] * (109 - num_fat))  # fmt: skip
    directory = b"".join(_directory_entry(at, entry) for at, entry in enumerate(entries))
    parts = [header, _numbers(chains), directory, _numbers(mini_chains)]
    parts += [data or b"" for _, data in streams]
    return b"".join(part.ljust(-(-len(part) // _SECTOR) * _SECTOR, b"\0") for part in parts)


def _add(tree: Tree, parent: _Entry, entries: list[_Entry]) -> None:
    for name, content in tree.items():
        entry = _Entry(name, content if isinstance(content, bytes) else None)
        parent.children.append(len(entries))
        entries.append(entry)
        if isinstance(content, dict):
            _add(content, entry, entries)
    ordered = sorted(
        parent.children, key=lambda at: (len(entries[at].name), entries[at].name.upper())
    )
    parent.children = [_balance(ordered, entries)]


def _balance(ordered: Sequence[int], entries: list[_Entry]) -> int:
    """The middle one of siblings, with the others to its left and right."""
    if not ordered:
        return _NONE
    middle = len(ordered) // 2
    entry = entries[ordered[middle]]
    entry.left = _balance(ordered[:middle], entries)
    entry.right = _balance(ordered[middle + 1 :], entries)
    return ordered[middle]


def _directory_entry(at: int, entry: _Entry) -> bytes:
    name = entry.name.encode("utf-16-le") + b"\0\0"
    kind = 5 if at == 0 else 1 if entry.data is None else 2
    child = entry.children[0] if entry.data is None else _NONE
    start = entry.start if entry.size else 0 if kind == 1 else _END
    return struct.pack(
        "<64sH2B3I16xI16xIQ", name, len(name), kind, 1, entry.left, entry.right, child, 0, start,
        entry.size,
    )  # fmt: skip


def _extend(chains: list[int], count: int) -> int:
    """Add a chain of sectors; its first one."""
    first = len(chains)
    chains += [*range(first + 1, first + count), _END] if count else []
    return first if count else _END


def _numbers(values: Sequence[int]) -> bytes:
    per_sector = _SECTOR // 4
    filled = [*values, *[_FREE] * (-len(values) % per_sector)]
    return struct.pack(f"<{len(filled)}I", *filled)


Values = dict[int, "str | bytes | int | datetime"]
"""Properties by their number."""


def make_msg(
    values: Values, recipients: Sequence[Values] = (), attachments: Sequence[Values] = ()
) -> bytes:
    """A mail of properties: 0x37 subject, 0x1000 body, 0x1013 HTML, 0xC1A and 0xC1F sender,
    0x39 time; of a recipient 0x3001 name, 0x39FE address; of an attachment 0x3707 name, 0x3701 data.
    """  # fmt: skip
    counts = len(recipients), len(attachments)
    tree = dict(_properties(values, struct.pack("<8x4I8x", *counts, *counts)))
    for at, recipient in enumerate(recipients):
        tree[f"__recip_version1.0_#{at:08X}"] = dict(_properties(recipient, bytes(8)))
    for at, attachment in enumerate(attachments):
        held = {0x3705: 1, **attachment}
        tree[f"__attach_version1.0_#{at:08X}"] = dict(_properties(held, bytes(8)))
    names: Tree = {f"__substg1.0_{at:04X}0102": bytes(16) for at in (2, 3, 4)}
    tree["__nameid_version1.0"] = names
    return make_compound_file(tree)


def _properties(values: Values, header: bytes) -> Iterator[tuple[str, bytes | Tree]]:
    rows = [header]
    for number, value in values.items():
        if isinstance(value, datetime):
            ticks = int((value - datetime(1601, 1, 1, tzinfo=UTC)).total_seconds() * 10**7)
            rows.append(struct.pack("<2HIQ", _TIME, number, 6, ticks))
        elif isinstance(value, int):
            rows.append(struct.pack("<2HIQ", _NUMBER, number, 6, value))
        else:
            kind = _TEXT if isinstance(value, str) else _BINARY
            data = value.encode("utf-16-le") if isinstance(value, str) else value
            size = len(data) + 2 * (kind == _TEXT)
            rows.append(struct.pack("<2H3I", kind, number, 6, size, 0))
            yield f"__substg1.0_{number:04X}{kind:04X}", data
    yield "__properties_version1.0", b"".join(rows)

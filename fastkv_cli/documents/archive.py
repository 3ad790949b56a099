"""Open documents that are ZIP files, only if their unpacked size is bounded."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from xml.etree import ElementTree

from ..errors import DocumentError
from .magic import MAX_MEMBERS, holds_too_many_members
from .verdict import reason

MAX_UNPACKED_BYTES = 256 * 2**20


def open_archive(data: bytes, name: str) -> zipfile.ZipFile:
    """Open a ZIP file. No member can unpack to more than its directory entry says.

    Raises:
        DocumentError: when it is damaged, encrypted, has more than 20,000 members, or unpacks to
            more than 256 MiB.
    """
    if holds_too_many_members(data):
        raise DocumentError(
            f"{name} holds more than {MAX_MEMBERS:,} files in it",
            "split it, or save it again or as PDF in the program that opens it",
        )
    with refusing_damage(name):
        archive = zipfile.ZipFile(BytesIO(data))
    members = archive.infolist()
    if sum(member.file_size for member in members) > MAX_UNPACKED_BYTES:
        raise DocumentError(
            f"{name} unpacks to more than {MAX_UNPACKED_BYTES // 2**20} MiB",
            "remove its images, split it, or save it as PDF",
        )
    if any(member.flag_bits & 1 for member in members):
        raise DocumentError(f"{name} needs a password", "save a copy without it, then name that")
    return archive


def parse_xml(data: bytes) -> ElementTree.Element:
    """Parse the XML of a member; expat itself rejects entity expansion attacks.

    Raises:
        ElementTree.ParseError: when it is not well-formed.
    """
    return ElementTree.fromstring(data)  # noqa: S314 (see above; nothing external is fetched)


def local_name(element: ElementTree.Element) -> str:
    """The tag without its namespace."""
    return element.tag.rpartition("}")[2]


@contextmanager
def refusing_damage(name: str) -> Iterator[None]:
    """Turn any exception of a parser into a DocumentError; MemoryError passes through."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        raise DocumentError(
            f"{name} is damaged or incomplete ({reason(error)})",
            "download it again, or save it again or as PDF in the program that opens it",
        ) from error

"""Read a file inside an archive, named as `archive.zip!/folder/report.pdf`."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import suppress
from io import BytesIO
from pathlib import Path

from ..errors import DocumentError
from .archive import MAX_UNPACKED_BYTES, refusing_damage
from .magic import MAX_MEMBERS, ZIP_STARTS, holds_too_many_members

SEPARATOR = "!/"
_PIECE_BYTES = 3 * 2**18
_MAX_NAMED = 10


def split_member(source: str) -> tuple[str, str] | None:
    """The archive and the file in it that a source names; None if it names no such file.

    A file that exists under the whole name is no archive's.
    """
    archive, separator, member = source.partition(SEPARATOR)
    if not separator or not archive or not member:
        return None
    with suppress(OSError, ValueError):
        if Path(source).exists():
            return None
    return archive, member


def unpack_member(data: bytes, name: str, member: str) -> Iterator[bytes]:
    """Unpack one file of a ZIP archive, a piece at a time.

    Args:
        data: The archive.
        name: Its name in messages.
        member: The file in it.

    Raises:
        DocumentError: when it is no ZIP archive, has no such file, needs a password, or is too
            large or damaged.
    """
    if not data.startswith(ZIP_STARTS):
        raise DocumentError(f"{name} is no ZIP archive", "unpack it, and name the file")
    if holds_too_many_members(data):
        raise DocumentError(f"{name} holds more than {MAX_MEMBERS:,} files", "unpack it first")
    with refusing_damage(name):
        archive = zipfile.ZipFile(BytesIO(data))
        names = [each.filename for each in archive.infolist() if not each.is_dir()]
    if member not in names:
        shown = ", ".join(names[:_MAX_NAMED]) + (", …" if len(names) > _MAX_NAMED else "")
        raise DocumentError(f"{name} holds no file {member}", f"it holds {shown or 'none'}")
    found = archive.getinfo(member)
    if found.flag_bits & 1:
        raise DocumentError(f"{member} in {name} needs a password", "unpack it first")
    if found.file_size > MAX_UNPACKED_BYTES:
        raise DocumentError(
            f"{member} in {name} unpacks to more than {MAX_UNPACKED_BYTES // 2**20} MiB",
            "unpack it first",
        )
    with refusing_damage(name), archive.open(found) as file:
        while piece := file.read(_PIECE_BYTES):  # never more than its directory entry says
            yield piece

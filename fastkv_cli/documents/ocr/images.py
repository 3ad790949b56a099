"""Recognize image files by their first bytes."""

from __future__ import annotations

_STARTS = (
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
)


def image_format(head: bytes) -> str | None:
    """The format of an image, one of `IMAGES`; None for all other files."""
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "WEBP"
    if head.startswith(b"BM") and head[6:10] == bytes(4):
        return "BMP"
    return next((name for start, name in _STARTS if head.startswith(start)), None)

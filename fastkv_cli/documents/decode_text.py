"""Decode the bytes of a text: by the encoding given, marked, or guessed."""

from __future__ import annotations

from ..errors import DocumentError
from .encodings import (
    MAX_CONTROL_SHARE,
    control_share,
    display_name,
    encoding_of_mark,
    escaped_encoding,
    guess_legacy_encoding,
    is_mostly_utf8,
    superset,
    unmarked_wide_encoding,
)
from .magic import binary_type

_MAX_NUL_SHARE = 0.01
_MARK = "\ufeff"


def decode_text(data: bytes, name: str, encoding: str | None = None) -> tuple[str, tuple[str, ...]]:
    """Decode a plain text.

    Args:
        data: The whole file, at least one byte.
        name: The document's name in messages.
        encoding: The user's choice; None to detect it.

    Returns:
        The text as in the file, without a byte order mark, and warnings (a guessed encoding;
        bytes that could not be decoded).

    Raises:
        DocumentError: when the bytes are not text.
    """
    if encoding is not None:
        refuse_binary(data, name)
        return decode_as(data, superset(encoding))
    marked = encoding_of_mark(data)
    if marked is not None:
        return decode_as(data, marked)
    refuse_binary(data, name)
    detected = unmarked_wide_encoding(data) or escaped_encoding(data)
    if detected is not None:
        return decode_as(data, detected)
    if control_share(data) > MAX_CONTROL_SHARE or data.count(0) > _MAX_NUL_SHARE * len(data):
        raise _not_text(name)
    if is_mostly_utf8(data):
        return decode_as(data, "utf-8")
    guess = guess_legacy_encoding(data)
    if guess is None:
        raise _not_text(name)
    text, warnings = decode_as(data, guess)
    guessed = (
        f"not UTF-8, read as {display_name(guess)} (a guess): "
        "if letters look wrong, name the encoding with --encoding"
    )
    return text, (guessed, *warnings)


def decode_as(data: bytes, encoding: str) -> tuple[str, tuple[str, ...]]:
    """Decode without a byte order mark; bytes that do not fit become U+FFFD, with a warning."""
    try:
        return data.decode(encoding).removeprefix(_MARK), ()
    except UnicodeError:
        text = data.decode(encoding, "replace").removeprefix(_MARK)
    bad = max(1, text.count("\ufffd"))
    does, shows = ("1 place does", "shows") if bad == 1 else (f"{bad:,} places do", "show")
    return text, (f"{does} not decode as {display_name(encoding)} and {shows} as \ufffd",)


def refuse_binary(data: bytes, name: str) -> None:
    """Raise a DocumentError with a hint for file types known not to be text."""
    kind = binary_type(data)
    if kind is not None:
        raise DocumentError(f"{name} is {kind.name}, not text", kind.hint)


def _not_text(name: str) -> DocumentError:
    return DocumentError(
        f"{name} is not text (binary data, or in no known encoding)",
        "name the encoding with --encoding, or convert it to UTF-8 text or to PDF first",
    )

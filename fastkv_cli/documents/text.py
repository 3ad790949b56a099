"""Plain text from bytes: which encoding, and whether it is text at all."""

from __future__ import annotations

from ..errors import DocumentError
from .clean import clean_text
from .document import MAX_CHARACTERS
from .encodings import (
    encoding_of_mark,
    guess_legacy_encoding,
    is_mostly_utf8,
    shown,
    unmarked_wide_encoding,
)
from .magic import binary_type

_MAX_CONTROL_SHARE = 0.05
_MAX_NUL_SHARE = 0.01
_CONTROLS = bytes({*range(32), 127} - set(b"\t\n\v\f\r\x1b"))
_CONVERT = "convert it to UTF-8 text or to PDF first"


def read_text(data: bytes, name: str) -> tuple[str, tuple[str, ...]]:
    """Decode and clean a plain text.

    Args:
        data: The whole file, at least one byte.
        name: How messages call it.

    Returns:
        The text, and warnings (the encoding where it was guessed; bytes that did not decode).

    Raises:
        DocumentError: when the bytes are not text, too many, or hold nothing but white space.
    """
    text, warnings = _decode(data, name)
    if len(text) > MAX_CHARACTERS:
        raise DocumentError(
            f"{name} holds {len(text):,} characters; at most {MAX_CHARACTERS:,} are read",
            "split it, or give the part that matters",
        )
    text = clean_text(text)
    if not text.strip():
        raise DocumentError(f"{name} holds no text, only white space", "check the file")
    return text, warnings


def _decode(data: bytes, name: str) -> tuple[str, tuple[str, ...]]:
    marked = encoding_of_mark(data)
    if marked is not None:
        mark_length, encoding = marked
        return _decode_as(data[mark_length:], encoding)
    kind = binary_type(data)
    if kind is not None:
        raise DocumentError(f"{name} is {kind.name}, not text", kind.hint)
    wide = unmarked_wide_encoding(data)
    if wide is not None:
        return _decode_as(data, wide)
    num_controls = len(data) - len(data.translate(None, _CONTROLS))
    if num_controls > _MAX_CONTROL_SHARE * len(data) or data.count(0) > _MAX_NUL_SHARE * len(data):
        raise _not_text(name)
    if is_mostly_utf8(data):
        return _decode_as(data, "utf-8")
    guess = guess_legacy_encoding(data)
    if guess is None:
        raise _not_text(name)
    text, warnings = _decode_as(data, guess)
    guessed = (
        f"not UTF-8, read as {shown(guess)} (a guess): "
        "if letters look wrong, convert it with iconv -f ENCODING -t UTF-8"
    )
    return text, (guessed, *warnings)


def _decode_as(data: bytes, encoding: str) -> tuple[str, tuple[str, ...]]:
    """Decode, with U+FFFD and a warning for bytes that do not fit."""
    try:
        return data.decode(encoding), ()
    except UnicodeDecodeError:
        text = data.decode(encoding, "replace")
    bad = max(1, text.count("\ufffd"))
    does, shows = ("1 place does", "shows") if bad == 1 else (f"{bad:,} places do", "show")
    return text, (f"{does} not decode as {shown(encoding)} and {shows} as \ufffd",)


def _not_text(name: str) -> DocumentError:
    return DocumentError(f"{name} is not text (binary data, or in no known encoding)", _CONVERT)

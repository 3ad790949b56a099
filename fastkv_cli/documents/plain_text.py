"""The last steps for every text without pages, once it is decoded."""

from __future__ import annotations

from ..errors import DocumentError
from .clean import clean_text
from .document import MAX_CHARACTERS, LineGaps
from .invisible import invisible_warning, strip_invisible
from .omissions import Note

_SOFT_HYPHEN = "\u00ad"


def finish_text(
    raw: str, notes: tuple[Note, ...], name: str
) -> tuple[str, tuple[Note, ...], LineGaps]:
    """Remove invisible characters, clean the text, and check its size.

    Args:
        raw: The decoded text.
        notes: The loader's.
        name: The document's name in messages.

    Returns:
        The text; the notes, with one about invisible characters if there were any; and the line
        gaps (see `Document.gaps`).

    Raises:
        DocumentError: when there is too much text, or only white space.
    """
    if len(raw) > MAX_CHARACTERS:
        raise DocumentError(
            f"{name} holds {len(raw):,} characters; at most {MAX_CHARACTERS:,} are read",
            "split it, or give the part that matters",
        )
    seen, hidden = strip_invisible(raw)
    text, gaps = clean_text(seen.replace(_SOFT_HYPHEN, ""))
    if not text.strip():
        raise DocumentError(f"{name} holds no text, only white space", "check the file")
    warning = invisible_warning(hidden)
    return text, notes if warning is None else (*notes, warning), gaps

"""What every text without pages goes through once it is decoded."""

from __future__ import annotations

from ..errors import DocumentError
from .clean import clean_text
from .document import MAX_CHARACTERS, LineGaps
from .invisible import invisible_warning, strip_invisible

_SOFT_HYPHEN = "\u00ad"


def finish_text(
    raw: str, warnings: tuple[str, ...], name: str
) -> tuple[str, tuple[str, ...], LineGaps]:
    """Take hidden characters out of a text, clean it, and see that there is some, but not too much.

    Args:
        raw: The text as its reader gives it.
        warnings: The reader's.
        name: How messages call the document.

    Returns:
        The text, the warnings, with one about hidden characters where there were any, and the gaps
        between the lines of the raw text, as `Document` has them.

    Raises:
        DocumentError: when there is too much of it, or nothing but white space.
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
    return text, warnings if warning is None else (*warnings, warning), gaps

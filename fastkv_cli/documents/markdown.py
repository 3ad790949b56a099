"""Markdown: text already, but for the comments in it that its readers do not see."""

from __future__ import annotations

import re

from .clean import LINE_GONE
from .decode import decode_text

# What has to be told apart: code, where all is shown, and two ways of writing a comment.
_MARK = re.compile(
    r"^ {0,3}(?P<fence>`{3,}|~{3,})|(?P<ticks>`+)|(?P<comment><!--)"
    r"|^ {0,3}\[(?://|comment)\]:[^\n]*$",
    re.MULTILINE,
)
_MAX_CODE_SPAN = 2000  # beyond, a backtick stands for itself


def read_markdown(
    data: bytes, name: str, encoding: str | None = None
) -> tuple[str, tuple[str, ...]]:
    """Read Markdown; front matter stays, as it holds the title, the author and the date.

    Args:
        data: The whole file.
        name: How messages call it.
        encoding: What it is in, as the user says; None is to find out.

    Returns:
        The text without its comments, and warnings.

    Raises:
        DocumentError: when it is not text.
    """
    text, warnings = decode_text(data, name, encoding)
    text, num_comments = drop_comments(text.replace("\r\n", "\n"))
    if num_comments:
        plural = "s" if num_comments > 1 else ""
        warnings = (*warnings, f"hidden text left out: {num_comments:,} comment{plural}")
    return text, warnings


def drop_comments(text: str) -> tuple[str, int]:
    """Markdown without its comments, and how many they were; code stays as it is.

    For each line end in a comment there stands `LINE_GONE`, which cleaning takes out.
    """
    kept: list[str] = []
    at = num_comments = 0
    while (mark := _MARK.search(text, at)) is not None:
        start, end = mark.span()
        if mark["fence"]:
            closing = re.compile(rf"^ {{0,3}}{re.escape(mark['fence'])}+[ \t]*$", re.MULTILINE)
            end = closed.end() if (closed := closing.search(text, end)) else len(text)
        elif mark["ticks"]:
            closed = re.compile(rf"(?<!`){mark['ticks']}(?!`)").search(
                text, end, end + _MAX_CODE_SPAN
            )
            end = closed.end() if closed else end
        else:
            if mark["comment"]:
                closing_at = text.find("-->", end)
                if closing_at < 0:  # none is closed from here on: all that follows is shown
                    break
                end = closing_at + len("-->")
            num_comments += 1
            kept += (text[at:start], LINE_GONE * text.count("\n", start, end))
            at = end
            continue
        kept.append(text[at:end])
        at = end
    kept.append(text[at:])
    return "".join(kept), num_comments

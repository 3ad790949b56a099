"""Markdown: text already, but for the comments in it that its readers do not see."""

from __future__ import annotations

import re

from .clean import LINE_GONE
from .decode_text import decode_text

# What has to be told apart: code, where all is shown, and two ways of writing a comment.
_MARK = re.compile(
    r"^ {0,3}(?P<fence>`{3,}+|~{3,}+)|(?P<ticks>`++)|(?P<comment><!--)"
    r"|^ {0,3}\[(?://|comment)\]:[^\n]*$",
    re.MULTILINE,
)
_FENCES = re.compile(r"^ {0,3}(`{3,}+|~{3,}+)[ \t]*+$", re.MULTILINE)  # that may close one
_TICKS = re.compile("`++")
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
    shown_from = at = num_comments = 0
    while (mark := _MARK.search(text, at)) is not None:
        start, at = mark.span()
        if mark["fence"]:
            at = _fence_end(text, at, mark["fence"])
        elif mark["ticks"]:
            at = _span_end(text, at, len(mark["ticks"]))
        else:
            if mark["comment"]:
                closing_at = text.find("-->", at)
                if closing_at < 0:  # none is closed from here on: all that follows is shown
                    break
                at = closing_at + len("-->")
            num_comments += 1
            kept += (text[shown_from:start], LINE_GONE * text.count("\n", start, at))
            shown_from = at
    kept.append(text[shown_from:])
    return "".join(kept), num_comments


def _fence_end(text: str, start: int, fence: str) -> int:
    """Where fenced code ends: with a line of as many marks or more, or with the text.

    Fences are counted, not compiled: an expression of a million backticks takes 100 MB.
    """
    for closing in _FENCES.finditer(text, start):
        if closing[1].startswith(fence):
            return closing.end()
    return len(text)


def _span_end(text: str, start: int, num_ticks: int) -> int:
    """Where a code span ends: behind just as many backticks; at `start` where it is none."""
    for ticks in _TICKS.finditer(text, start, start + _MAX_CODE_SPAN):
        if ticks.end() - ticks.start() == num_ticks:
            return ticks.end()
    return start

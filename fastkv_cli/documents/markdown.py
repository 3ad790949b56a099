"""Read Markdown as text, without the comments that its readers do not see."""

from __future__ import annotations

import re

from .clean import REMOVED_LINE_END
from .decode_text import decode_text

# The constructs to tell apart: code, which is shown verbatim, and two kinds of comments.
_MARK = re.compile(
    r"^ {0,3}(?P<fence>`{3,}+|~{3,}+)|(?P<ticks>`++)|(?P<comment><!--)"
    r"|^ {0,3}\[(?://|comment)\]:[^\n]*$",
    re.MULTILINE,
)
_FENCES = re.compile(r"^ {0,3}(`{3,}+|~{3,}+)[ \t]*+$", re.MULTILINE)  # that may close one
_TICKS = re.compile("`++")
_ITEM = re.compile(r"[ \t]*+(?:[-*+]|\d{1,9}[.)])(?:[ \t]|$)")
_MAX_LINES_BACK, _MAX_LINE = 50, 200
_MAX_CODE_SPAN = 2000  # a longer span is not code: its backtick is literal


def read_markdown(
    data: bytes, name: str, encoding: str | None = None
) -> tuple[str, tuple[str, ...]]:
    """Read Markdown; front matter is kept, as it holds the title, the author and the date.

    Args:
        data: The whole file.
        name: The document's name in messages.
        encoding: The user's choice; None to detect it.

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
    """Remove and count the comments of a Markdown text; code is left as it is.

    Each line end inside a comment is replaced by `REMOVED_LINE_END`, which cleaning removes.
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
            if mark["comment"] and _is_indented_code(text, start):
                continue
            if mark["comment"]:
                closing_at = text.find("-->", at)
                if closing_at < 0:  # no comment is closed from here on: the rest is visible
                    break
                at = closing_at + len("-->")
            num_comments += 1
            kept += (text[shown_from:start], REMOVED_LINE_END * text.count("\n", start, at))
            shown_from = at
    kept.append(text[shown_from:])
    return "".join(kept), num_comments


def _is_indented_code(text: str, at: int) -> bool:
    """Whether a place is in code by its indentation: four blanks, below an empty line, in no list.

    At most 50 lines of 200 characters are looked back at.
    """
    end, is_own = at, True
    for _ in range(_MAX_LINES_BACK):
        start = text.rfind("\n", max(0, end - _MAX_LINE), end) + 1
        if not start and end > _MAX_LINE:
            return False
        line = text[start:end].expandtabs(4)
        if not line.strip() and not is_own:  # the code begins below this line
            above = text[:start][-_MAX_LINE:].rstrip().rpartition("\n")[2]
            return _ITEM.match(above) is None and not above.startswith(("  ", "\t"))
        if not line.startswith("    "):
            return False
        if start == 0:
            return True
        end, is_own = start - 1, False
    return False


def _fence_end(text: str, start: int, fence: str) -> int:
    """Where fenced code ends: at a fence of at least the same length, or at the end of the text.

    Fences are compared as strings: a regular expression of a million backticks takes 100 MB.
    """
    for closing in _FENCES.finditer(text, start):
        if closing[1].startswith(fence):
            return closing.end()
    return len(text)


def _span_end(text: str, start: int, num_ticks: int) -> int:
    """Where a code span ends: after the same number of backticks; `start` if it is not one."""
    for ticks in _TICKS.finditer(text, start, start + _MAX_CODE_SPAN):
        if ticks.end() - ticks.start() == num_ticks:
            return ticks.end()
    return start

"""Put a stretch of a document on one line, without the marks of Markdown and HTML."""

from __future__ import annotations

import re

_TAG = re.compile(r"</?[a-zA-Z][^<>]*>")
_LINK = re.compile(r"(?<!\[)\[++([^\[\]]*+)\]++\([^()\s]*+\)")  # of [the text](https://address)
_EMPHASIS = re.compile(r"(?<![\w*_])([*_]{1,3})(?=[^\s*_])([^*_\n]*[^\s*_])\1(?![\w*_])")
_SPACE_BEFORE_MARK = re.compile(r"(?<=\w) (?=[,;.!?](?:\s|\Z))")
_ITEM_MARK = re.compile(
    r"(?:[-*+•◦▪‣○●–]|\(?(?:\d{1,3}|[a-zA-Z]|[ivx]{1,4})[.)]|\d{1,3}(?:\.\d{1,3}){1,5}\.?)\s+(?=\S)"
)


def plain_line(text: str) -> str:
    """The words of a sentence or a list item as a reader sees them.

    Tags, the addresses of links, marks of emphasis and the mark of a list item are left out, and
    line breaks become spaces. No word is changed.
    """
    text = _LINK.sub(r"\1", _TAG.sub(" ", text))
    text = " ".join(_EMPHASIS.sub(r"\2", text).split())
    text = _SPACE_BEFORE_MARK.sub("", text)
    mark = _ITEM_MARK.match(text)
    return text[mark.end() :] if mark else text

"""Read RTF, LaTeX source and FictionBook (FB2)."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple
from xml.etree.ElementTree import Element

from ...errors import DocumentError
from ..archive import local_name, parse_xml, refusing_damage
from ..blocks import BlockWriter
from ..decode_text import decode_text
from ..html import hidden_warning
from ..omissions import Note, Omission
from ..scripts import lower_text, raise_text

_MAX_DEPTH = 200
_MAX_GROUPS = 10_000
_RTF_TOKEN = re.compile(r"\\([a-z]{1,32})(-?[0-9]{1,10})? ?|[{}]|\\[^a-z]")
_STRUCK = "\x02"
_SCRIPT_STARTS = {"super": "\x03", "sub": "\x05"}
_SCRIPT_ENDS = {"super": "\x04", "sub": "\x06"}
_RAISED = re.compile("\x03([^\x03\x04]{0,200})\x04")
_LOWERED = re.compile("\x05([^\x05\x06]{0,200})\x06")
_FB2_TAGS = {
    "p": "p", "v": "p", "subtitle": "h4", "text-author": "p", "table": "table", "tr": "tr",
    "td": "td", "th": "th", "cite": "blockquote", "epigraph": "blockquote", "poem": "blockquote",
    "sup": "sup", "sub": "sub", "strikethrough": "s",
}  # fmt: skip
_SECTIONS = ("part", "chapter", "section", "subsection", "subsubsection", "paragraph")


def read_rtf(data: bytes, name: str, encoding: str | None = None) -> tuple[str, tuple[Note, ...]]:
    """Read a rich text, with striprtf: paragraphs, rows of tables.

    Arguments and result are those of `decode_text`.

    Raises:
        DocumentError: when it is damaged, or the office extra is not installed.
    """
    try:
        from striprtf.striprtf import rtf_to_text
    except ImportError as error:
        raise _no_extra(name, "an RTF file") from error
    read: Callable[..., str] = rtf_to_text
    marked, num_hidden = _mark_meaning(data.decode("latin-1"))
    with refusing_damage(name):
        text = read(marked, encoding=encoding or "cp1252", errors="replace")
    text = _RAISED.sub(_raise, text.replace(_STRUCK, "~~"))
    text = _LOWERED.sub(lambda match: lower_text(match[1]), text)
    rows = [line.removesuffix("|").replace("|", " | ") for line in text.split("\n")]
    notes = hidden_warning(num_hidden)
    if not data.rstrip(b"\0 \t\r\n\x1a").endswith(b"}"):
        notes += ("the file ends early (an unfinished download?): text may be missing",)
    return "\n".join(rows), notes


def _raise(match: re.Match[str]) -> str:
    return raise_text(match[1], match.string[max(0, match.start() - 9) : match.start()])


class _Look(NamedTuple):
    """What a group of RTF does to its text."""

    is_struck: bool = False
    script: str = ""  # "super" or "sub"
    is_hidden: bool = False

    def after(self, word: str, value: str) -> _Look:
        """The look after a control word; `value` is its number, as "0" for off."""
        is_on = value != "0"
        match word:
            case "strike" | "striked":
                return self._replace(is_struck=is_on)
            case "super" | "sub":
                return self._replace(script=word if is_on else "")
            case "nosupersub":
                return self._replace(script="")
            case "v":
                return self._replace(is_hidden=is_on)
            case "plain":
                return _Look()
        return self


def _mark_meaning(source: str) -> tuple[str, int]:
    """Mark what striprtf would lose: struck, raised and lowered text; leave hidden text out.

    Returns:
        The source with marks in it, and the number of hidden places.
    """
    parts: list[str] = []
    looks = [_Look()]
    num_hidden = end = 0

    def text(start: int, stop: int) -> None:
        if not looks[-1].is_hidden:
            parts.append(source[start:stop])

    def show(before: _Look, after: _Look) -> None:
        nonlocal num_hidden
        num_hidden += after.is_hidden and not before.is_hidden
        if before.script != after.script:
            parts.append(_SCRIPT_ENDS.get(before.script, ""))
        if before.is_struck != after.is_struck:
            parts.append(_STRUCK)
        if before.script != after.script:
            parts.append(_SCRIPT_STARTS.get(after.script, ""))

    for token in _RTF_TOKEN.finditer(source):
        text(end, token.start())
        end, before = token.end(), looks[-1]
        if token[0] == "{" and len(looks) < _MAX_GROUPS:
            parts.append("{")
            looks.append(before)
        elif token[0] == "}" and len(looks) > 1:
            looks.pop()
            show(before, looks[-1])
            parts.append("}")
        else:
            looks[-1] = before.after(token[1] or "", token[2] or "")
            if not before.is_hidden or not (token[1] or "").startswith("u"):
                parts.append(token[0])
            show(before, looks[-1])
    text(end, len(source))
    return "".join(parts), num_hidden


def read_latex(data: bytes, name: str, encoding: str | None = None) -> tuple[str, tuple[Note, ...]]:
    """Read LaTeX source, with pylatexenc: headings and text; formulas stay as they are.

    Arguments and result are those of `decode_text`.

    Raises:
        DocumentError: when it is no text, or the office extra is not installed.
    """
    try:
        from pylatexenc import latex2text, latexwalker
    except ImportError as error:
        raise _no_extra(name, "LaTeX source") from error
    source, warnings = decode_text(data, name, encoding)
    context = latex2text.get_default_latex_context_db()
    context.add_context_category(
        "fastkv",
        prepend=True,
        macros=[
            latex2text.MacroTextSpec(kind, simplify_repl=partial(_heading, max(level, 1)))
            for level, kind in enumerate(_SECTIONS)
        ],
        environments=[latex2text.EnvironmentTextSpec("tabular", "\n\n%s\n\n")],
        specials=[latex2text.SpecialsTextSpec("&", " | ")],
    )
    converter = latex2text.LatexNodes2Text(
        math_mode="verbatim", latex_context=context, keep_comments=False
    )
    try:
        return converter.latex_to_text(source), warnings
    except (latexwalker.LatexWalkerParseError, RecursionError, IndexError, ValueError):
        return source, (*warnings, "no valid LaTeX: read as plain text")


def _heading(level: int, node: Any, l2tobj: Any) -> str:
    """A heading of LaTeX, whose last argument is its text."""
    return f"\n\n{'#' * level} {l2tobj.node_arg_to_text(node, 2).strip()}\n\n"


def read_fb2(data: bytes, name: str, encoding: str | None = None) -> tuple[str, tuple[Note, ...]]:
    """Read a book: title, authors, chapters and notes.

    Args:
        data: The whole file.
        name: The document's name in messages.
        encoding: Ignored: the file itself declares it.

    Returns:
        The text, and notes (pictures).

    Raises:
        DocumentError: when it is damaged.
    """
    del encoding
    writer = BlockWriter()
    num_pictures = 0
    with refusing_damage(name):
        root = parse_xml(data)
        info = next((each for each in root.iter() if local_name(each) == "title-info"), root)
        for kind, tag in (("book-title", "h1"), ("author", "p")):
            for each in info:
                if local_name(each) == kind:
                    _write(writer, tag, " ".join(" ".join(each.itertext()).split()))
        for body in root:
            if local_name(body) == "body":
                num_pictures += _walk(writer, body, 1)
    notes = (Omission("picture", num_pictures),) if num_pictures else ()
    return writer.finish(), notes


def _write(writer: BlockWriter, tag: str, text: str) -> None:
    writer.open(tag, {})
    writer.text(text)
    writer.close(tag)


def _walk(writer: BlockWriter, element: Element, depth: int) -> int:
    """Write an element; returns the number of pictures in it."""
    if depth > _MAX_DEPTH:
        return 0
    num_pictures = 0
    for child in element:
        kind = local_name(child)
        if kind == "image":
            num_pictures += 1
        elif kind == "title":
            _write(writer, f"h{min(depth, 6)}", " ".join("".join(child.itertext()).split()))
        else:
            tag = _FB2_TAGS.get(kind, "")
            if tag:
                writer.open(tag, {})
            writer.text(child.text or "")
            num_pictures += _walk(writer, child, depth + (kind == "section"))
            if tag:
                writer.close(tag)
        writer.text(child.tail or "")
    return num_pictures


def _no_extra(name: str, kind: str) -> DocumentError:
    return DocumentError(
        f"{name} is {kind}, which needs the office extra", "pip install 'fastkv-cli[office]'"
    )

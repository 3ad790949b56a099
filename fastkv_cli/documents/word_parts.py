"""Rewrite the parts of a Word file that mammoth would drop, so that it reads them.

Numbers, formulas, text boxes, diagrams, charts, form values, ruby and struck text become plain runs
and tables of WordprocessingML (ECMA-376 part 1, section 17).
"""

from __future__ import annotations

import posixpath
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from xml.etree.ElementTree import Element, SubElement

from .archive import local_name, parse_xml
from .blocks import LABEL_END, LABEL_START
from .charts import chart_rows, diagram_texts
from .formulas import from_omml, from_xml
from .html import html_to_text
from .word_numbering import Numbering, W, value_of

_R = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"
_PACKAGE = "{http://schemas.openxmlformats.org/package/2006/relationships}"
_M = "{http://schemas.openxmlformats.org/officeDocument/2006/math}"
_MC = "{http://schemas.openxmlformats.org/markup-compatibility/2006}"
_FALSE = frozenset(("0", "false", "off", "none"))
_HTML_ENDS = (".htm", ".html", ".xhtml")


class WordParts:
    """Rewrites the text parts of one file."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        """Read the file's definitions of numbers and styles."""
        self._archive = archive
        self._names = frozenset(archive.namelist())
        styles = self._root("word/styles.xml")
        self._numbering = Numbering(self._root("word/numbering.xml"), styles)
        self._looks = dict(_style_looks(styles))
        self.omissions = Counter[str]()

    def rewrite(self, member: str, root: Element) -> None:
        """Rewrite a text part in place.

        Args:
            member: Its name in the archive.
            root: Its root.
        """
        targets = self._targets(member)
        if member.startswith("word/document"):
            self._number(root)
        for parent in list(root.iter()):
            children = [
                new for child in parent for new in self._replaced(child, targets, parent.tag)
            ]
            if len(children) != len(parent) or any(
                a is not b for a, b in zip(children, parent, strict=False)
            ):
                parent[:] = children

    def margins(self, body: str) -> tuple[list[str], list[str]]:
        """What headers and footers say that is not in the body: once each, without page numbers."""
        headers: dict[str, None] = {}
        footers: dict[str, None] = {}
        for member in sorted(self._names):
            kind = posixpath.basename(member)
            if not (member.startswith("word/") and kind.endswith(".xml")):
                continue
            place = headers if kind.startswith("header") else footers
            root = self._root(member) if kind.startswith(("header", "footer")) else None
            for paragraph in () if root is None else root.iter(f"{W}p"):
                text = _shown_text(paragraph)
                if any(map(str.isalpha, text)) and not _is_page_number(text) and text not in body:
                    place[text] = None
        return list(headers), list(footers)

    def _root(self, member: str) -> Element | None:
        return parse_xml(self._archive.read(member)) if member in self._names else None

    def _targets(self, member: str) -> dict[str, str]:
        """The members that a part refers to, by relation id."""
        folder, name = posixpath.split(member)
        relations = self._root(f"{folder}/_rels/{name}.rels")
        targets = {}
        for relation in () if relations is None else relations.iter(f"{_PACKAGE}Relationship"):
            target = relation.get("Target", "")
            path = target.lstrip("/") if target.startswith("/") else posixpath.join(folder, target)
            targets[relation.get("Id", "")] = posixpath.normpath(path)
        return targets

    def _number(self, root: Element) -> None:
        """Put the number of each paragraph before its text."""
        for paragraph in root.iter(f"{W}p"):
            label = self._numbering.label(paragraph)
            if label is None:
                continue
            properties = paragraph.find(f"{W}pPr")
            at = 0 if properties is None else list(paragraph).index(properties) + 1
            if label:
                paragraph.insert(at, _run(f"{LABEL_START}{label}{LABEL_END}"))
            elif properties is not None:
                numbers = properties.find(f"{W}numPr")
                if numbers is not None:
                    properties.remove(numbers)

    def _replaced(self, child: Element, targets: dict[str, str], parent: str) -> list[Element]:
        """What stands in the place of an element: itself, or what mammoth reads of it."""
        made = [child]
        match child.tag.rpartition("}")[2]:
            case "oMath" | "oMathPara":
                made = self._formula(child, parent)
            case "AlternateContent":
                choice = child.find(f"{_MC}Choice")
                made = (self._shapes(choice, targets) if choice is not None else []) or made
            case "drawing":
                made = self._shapes(child, targets) or made
            case "ruby":
                made = [_run(f"{_text(child, 'rubyBase')}({_text(child, 'rt')})")[0]]
            case "altChunk":
                made = self._chunk(targets.get(child.get(f"{_R}id", ""), ""))
            case "r":
                made = self._run(child)
            case "sdt" if _is_placeholder(child):
                made = []
            case "object":
                self._count_objects(child)
        return made

    def _shapes(self, drawn: Element, targets: dict[str, str]) -> list[Element]:
        """The text boxes, diagrams and charts of a drawing."""
        boxes = map(_box, list(drawn.iter(f"{W}txbxContent")))
        return [*boxes, *self._drawing(drawn, targets)]

    def _formula(self, child: Element, parent: str) -> list[Element]:
        formulas = [child] if child.tag == f"{_M}oMath" else list(child.iter(f"{_M}oMath"))
        latex = [from_omml(from_xml(each)) for each in formulas]
        run = _run(" ".join(filter(None, latex)))
        return [run] if parent != f"{W}body" else [_paragraph(run)]

    def _drawing(self, drawing: Element, targets: dict[str, str]) -> list[Element]:
        """The texts of a diagram and the numbers of a chart, as lines within the run."""
        made: list[Element] = []
        for each in drawing.iter():
            name, key = local_name(each), ""
            if name == "relIds":
                key = next((v for k, v in each.attrib.items() if k.endswith("}dm")), "")
            elif name == "chart":
                key = each.get(f"{_R}id", "")
            root = self._root(targets.get(key, "")) if key else None
            if root is None:
                self.omissions["chart" if name == "chart" else "diagram"] += bool(key)
                continue
            lines = diagram_texts(root) if name == "relIds" else _chart_lines(root)
            if not lines:
                self.omissions["chart" if name == "chart" else "diagram"] += 1
            made += _lines(lines)
        return made

    def _chunk(self, member: str) -> list[Element]:
        """An embedded document as paragraphs; counted where it is no web page or text."""
        if member not in self._names:
            return []
        if not member.lower().endswith((*_HTML_ENDS, ".txt")):
            self.omissions["embedded document"] += 1
            return []
        text = self._archive.read(member).decode("utf-8", "replace")
        if member.lower().endswith(_HTML_ENDS):
            text = html_to_text(text).text
        return [
            _paragraph(_lines_run(block.split("\n")))
            for block in text.split("\n\n")
            if block.strip()
        ]

    def _count_objects(self, child: Element) -> None:
        kinds = [each.get("ProgID", "") for each in child.iter() if local_name(each) == "OLEObject"]
        for kind in kinds:
            self.omissions["formula" if kind.startswith("Equation") else "embedded object"] += 1

    def _run(self, run: Element) -> list[Element]:
        """A run with the look of its style, and the value of a list to choose from behind it."""
        properties = run.find(f"{W}rPr")
        style = value_of(properties, "rStyle")
        if properties is not None:
            for tag, value in self._looks.get(style or "", ()):
                if properties.find(f"{W}{tag}") is None:
                    SubElement(properties, f"{W}{tag}", {f"{W}val": value})
            double = properties.find(f"{W}dstrike")
            if double is not None and double.get(f"{W}val") not in _FALSE:
                double.tag = f"{W}strike"
        chosen = [_chosen(each) for each in run.iter(f"{W}ddList")]
        return [run, *(_run(text) for text in chosen if text)]


def _style_looks(styles: Element | None) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """What character styles do to the meaning of text: struck, raised, lowered."""
    for style in () if styles is None else styles.iter(f"{W}style"):
        properties = style.find(f"{W}rPr")
        looks = []
        for tag in ("strike", "dstrike", "vertAlign"):
            found = None if properties is None else properties.find(f"{W}{tag}")
            if found is not None and found.get(f"{W}val") not in _FALSE:
                name = "strike" if tag == "dstrike" else tag
                looks.append((name, found.get(f"{W}val") or "1"))
        if looks and style.get(f"{W}type") == "character":
            yield style.get(f"{W}styleId", ""), looks


def _run(text: str) -> Element:
    run = Element(f"{W}r")
    SubElement(run, f"{W}t", {"xml:space": "preserve"}).text = text
    return run


def _paragraph(run: Element) -> Element:
    paragraph = Element(f"{W}p")
    paragraph.append(run)
    return paragraph


def _lines(lines: Sequence[str]) -> list[Element]:
    """Lines as children of a run."""
    made: list[Element] = []
    for line in lines:
        made.append(Element(f"{W}br"))
        text = Element(f"{W}t", {"xml:space": "preserve"})
        text.text = line
        made.append(text)
    return made


def _lines_run(lines: Sequence[str]) -> Element:
    run = Element(f"{W}r")
    run.extend(_lines(lines)[1:])
    return run


def _box(content: Element) -> Element:
    """A text box in the older form, whose text mammoth puts behind the paragraph."""
    picture = Element(f"{W}pict")
    SubElement(
        SubElement(picture, "{urn:schemas-microsoft-com:vml}shape"),
        "{urn:schemas-microsoft-com:vml}textbox",
    ).append(content)
    return picture


def _chart_lines(root: Element) -> list[str]:
    title, rows = chart_rows(root)
    lines = [
        " | ".join(row).strip(" |") if at == 0 else " | ".join(row) for at, row in enumerate(rows)
    ]
    return [f"Chart: {title}" if title else "Chart", *lines] if rows else []


def _chosen(choices: Element) -> str:
    entries = [each.get(f"{W}val", "") for each in choices.iter(f"{W}listEntry")]
    at = value_of(choices, "result") or value_of(choices, "default") or "0"
    return entries[int(at)] if at.isdecimal() and len(at) < 6 and int(at) < len(entries) else ""


def _is_placeholder(control: Element) -> bool:
    """Whether a content control shows its prompt ("Click here to enter text") and no value."""
    properties = control.find(f"{W}sdtPr")
    shown = None if properties is None else properties.find(f"{W}showingPlcHdr")
    return shown is not None and shown.get(f"{W}val") not in _FALSE


def _text(parent: Element, tag: str) -> str:
    found = parent.find(f"{W}{tag}")
    return "" if found is None else "".join(each.text or "" for each in found.iter(f"{W}t"))


def _shown_text(paragraph: Element) -> str:
    """The text of a paragraph in a margin, with a blank for a tab."""
    read: dict[str, Callable[[Element], str]] = {
        f"{W}t": lambda each: each.text or "",
        f"{W}tab": lambda _: " ",
        f"{W}br": lambda _: " ",
    }
    parts = [read[each.tag](each) for each in paragraph.iter() if each.tag in read]
    return " ".join("".join(parts).split())


def _is_page_number(text: str) -> bool:
    words = [word for word in text.lower().split() if any(map(str.isalpha, word))]
    return all(word.strip(".:") in {"page", "of", "seite", "von", "p", "s", "de"} for word in words)

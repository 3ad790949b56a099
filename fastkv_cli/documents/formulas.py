"""Write formulas of MathML and of Word (OMML) as LaTeX on one line, with symbols in Unicode."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from .archive import local_name

_MAX_DEPTH = 60
_BIG = frozenset("∑∏∫∮∬∭⋃⋂⋁⋀∐")
_ACCENTS = {
    "^": "hat", "ˆ": "hat", "\u0302": "hat", "~": "tilde", "˜": "tilde", "\u0303": "tilde",
    "¯": "bar", "‾": "bar", "_": "bar", "―": "bar", "\u0304": "bar", "\u0305": "bar",
    "→": "vec", "\u20d7": "vec", "˙": "dot", "\u0307": "dot", ".": "dot",
    "¨": "ddot", "\u0308": "ddot", "⏞": "overbrace", "⏟": "underbrace",
}  # fmt: skip
_INVISIBLE = dict.fromkeys(map(ord, "\u2061\u2062\u2063\u2064\u200b"))


@dataclass(slots=True)
class Node:
    """An element of a formula, whatever parser it came from."""

    tag: str
    text: str = ""
    attributes: dict[str, str] = field(default_factory=dict)
    children: list[Node] = field(default_factory=list)

    def child(self, tag: str) -> Node:
        """The first child with a tag; an empty one if there is none."""
        return next((each for each in self.children if each.tag == tag), Node(tag))


def from_xml(element: Any, depth: int = 0) -> Node:
    """A tree of nodes of ElementTree or lxml; what is nested deeper than 60 levels is left out."""
    node = Node(
        local_name(element),
        element.text or "",
        {name.rpartition("}")[2]: value for name, value in element.attrib.items()},
    )
    if depth < _MAX_DEPTH:
        children = (child for child in element if isinstance(child.tag, str))  # no comments
        node.children = [from_xml(child, depth + 1) for child in children]
    return node


def from_mathml(node: Node) -> str:
    """A `math` element as LaTeX between dollars; "" if it shows nothing."""
    for each in _below(node):
        if each.tag == "annotation" and "tex" in each.attributes.get("encoding", "").lower():
            return _dollars(_all_text(each))
    return _dollars(_mathml(node))


def from_omml(node: Node) -> str:
    """An `oMath` element as LaTeX between dollars; "" if it shows nothing."""
    return _dollars(_omml(node))


def _below(node: Node) -> list[Node]:
    return [node, *(each for child in node.children for each in _below(child))]


def _all_text(node: Node) -> str:
    return node.text + "".join(map(_all_text, node.children))


def _dollars(latex: str) -> str:
    bare = " ".join(latex.translate(_INVISIBLE).split()).replace("$", "")
    return f"${bare}$" if bare else ""


def _group(latex: str) -> str:
    """In braces, unless it is a single character."""
    latex = latex.strip()
    return latex if len(latex) == 1 else f"{{{latex}}}"


def _base(latex: str) -> str:
    """What stands before a script: in braces where the script would change its last sign only."""
    latex = latex.strip()
    return f"{{{latex}}}" if "^" in latex or "_" in latex else latex


def _fraction(above: str, below: str) -> str:
    return rf"\frac{{{above.strip()}}}{{{below.strip()}}}"


def _root(inside: str, degree: str = "") -> str:
    power = f"[{degree.strip()}]" if degree.strip() else ""
    return rf"\sqrt{power}{{{inside.strip()}}}"


def _scripts(base: str, below: str = "", above: str = "") -> str:
    lower = f"_{_group(below)}" if below.strip() else ""
    upper = f"^{_group(above)}" if above.strip() else ""
    return f"{_base(base)}{lower}{upper}"


def _over(base: str, mark: str, *, is_under: bool) -> str:
    """A mark above or below a base: an accent, the bounds of a sum, or the text of a brace."""
    bare = mark.strip()
    name = _ACCENTS.get(bare)
    if name is not None:
        name = "underline" if is_under and name == "bar" else name
        return rf"\{name}{{{base.strip()}}}"
    is_bound = base.strip()[:1] in _BIG or base.strip() in {"lim", "max", "min", "sup", "inf"}
    if is_bound or is_under:
        return _scripts(base, below=mark) if is_under else _scripts(base, above=mark)
    return rf"\overset{{{bare}}}{{{base.strip()}}}"


def _matrix(rows: Sequence[Sequence[str]]) -> str:
    body = r" \\ ".join(" & ".join(cell.strip() for cell in row) for row in rows)
    return rf"\begin{{matrix}} {body} \end{{matrix}}"


def _mathml(node: Node) -> str:
    convert = _MATHML.get(node.tag)
    if convert is not None:
        return convert(node, [_mathml(child) for child in node.children])
    if node.children:
        return "".join(_mathml(child) for child in node.children)
    text = " ".join(node.text.split())
    if node.tag == "mo" and text in {"=", "<", ">", "≤", "≥", "≠", "≈", "→", "⇒", "⇔", "∈", ":="}:
        return f" {text} "
    if node.tag == "mtext" and text:
        return rf"\text{{{text}}}"
    if node.tag in {"mi", "mo"} and len(text) > 1 and text.isalpha():
        return rf"\operatorname{{{text}}}" if text not in _NAMED else rf"\{text} "
    return text


def _at(parts: Sequence[str], index: int) -> str:
    return parts[index] if index < len(parts) else ""


def _fenced(node: Node, parts: Sequence[str]) -> str:
    separator = (node.attributes.get("separators", ",").strip() or ",")[0]
    opening, closing = node.attributes.get("open", "("), node.attributes.get("close", ")")
    return f"{opening}{f'{separator} '.join(parts)}{closing}"


def _mathml_bounds(_: Node, parts: Sequence[str]) -> str:
    return _scripts(_at(parts, 0), _at(parts, 1), _at(parts, 2))


_NAMED = frozenset(
    ("sin", "cos", "tan", "cot", "log", "ln", "exp", "lim", "max", "min", "sup", "inf", "det")
)
_Convert = Callable[[Node, Sequence[str]], str]
_MATHML: dict[str, _Convert] = {
    "annotation": lambda *_: "",
    "annotation-xml": lambda *_: "",
    "mphantom": lambda *_: "",
    "semantics": lambda _, parts: _at(parts, 0),
    "mspace": lambda *_: " ",
    "mfrac": lambda _, parts: _fraction(_at(parts, 0), _at(parts, 1)),
    "msqrt": lambda _, parts: _root("".join(parts)),
    "mroot": lambda _, parts: _root(_at(parts, 0), _at(parts, 1)),
    "msup": lambda _, parts: _scripts(_at(parts, 0), above=_at(parts, 1)),
    "msub": lambda _, parts: _scripts(_at(parts, 0), below=_at(parts, 1)),
    "msubsup": _mathml_bounds,
    "munderover": _mathml_bounds,
    "mover": lambda _, parts: _over(_at(parts, 0), _at(parts, 1), is_under=False),
    "munder": lambda _, parts: _over(_at(parts, 0), _at(parts, 1), is_under=True),
    "mmultiscripts": _mathml_bounds,
    "mfenced": _fenced,
    "mtable": lambda node, _: _matrix(
        [[_mathml(cell) for cell in row.children] for row in node.children]
    ),
}


def _omml(node: Node) -> str:
    convert = _OMML.get(node.tag)
    if convert is not None:
        return convert(node)
    if node.tag == "t":
        return node.text
    if node.tag.endswith("Pr"):
        return ""
    return "".join(_omml(child) for child in node.children)


def _part(node: Node, tag: str) -> str:
    return _omml(node.child(tag))


def _sign(node: Node, tag: str, default: str) -> str:
    """A sign that the properties of an element name."""
    properties = next((each for each in node.children if each.tag.endswith("Pr")), Node(""))
    found = next((each for each in properties.children if each.tag == tag), None)
    return default if found is None else found.attributes.get("val", "")


def _delimited(node: Node) -> str:
    parts = [_omml(each) for each in node.children if each.tag == "e"]
    separator = _sign(node, "sepChr", "|")
    return f"{_sign(node, 'begChr', '(')}{separator.join(parts)}{_sign(node, 'endChr', ')')}"


def _nary(node: Node) -> str:
    sign = _sign(node, "chr", "∫")
    return f"{_scripts(sign, _part(node, 'sub'), _part(node, 'sup'))} {_part(node, 'e')}"


def _rows(node: Node, tag: str) -> str:
    rows = [each for each in node.children if each.tag == tag]
    if tag == "e":
        return _matrix([[_omml(row)] for row in rows])
    return _matrix([[_omml(cell) for cell in row.children if cell.tag == "e"] for row in rows])


def _function(node: Node) -> str:
    name = _part(node, "fName").strip()
    return f"{chr(92) + name if name in _NAMED else name} {_part(node, 'e')}"


_OMML: dict[str, Callable[[Node], str]] = {
    "f": lambda node: (
        f"{_part(node, 'num')}/{_part(node, 'den')}"
        if _sign(node, "type", "") == "lin"
        else _fraction(_part(node, "num"), _part(node, "den"))
    ),
    "rad": lambda node: _root(_part(node, "e"), _part(node, "deg")),
    "sSup": lambda node: _scripts(_part(node, "e"), above=_part(node, "sup")),
    "sSub": lambda node: _scripts(_part(node, "e"), below=_part(node, "sub")),
    "sSubSup": lambda node: _scripts(_part(node, "e"), _part(node, "sub"), _part(node, "sup")),
    "sPre": lambda node: _scripts("", _part(node, "sub"), _part(node, "sup")) + _part(node, "e"),
    "nary": _nary,
    "d": _delimited,
    "func": _function,
    "acc": lambda node: _over(_part(node, "e"), _sign(node, "chr", "\u0302"), is_under=False),
    "bar": lambda node: _over(_part(node, "e"), "_", is_under=_sign(node, "pos", "bot") != "top"),
    "groupChr": lambda node: _over(_part(node, "e"), _sign(node, "chr", "⏟"), is_under=True),
    "limLow": lambda node: _over(_part(node, "e"), _part(node, "lim"), is_under=True),
    "limUpp": lambda node: _over(_part(node, "e"), _part(node, "lim"), is_under=False),
    "m": lambda node: _rows(node, "mr"),
    "eqArr": lambda node: _rows(node, "e"),
    "del": lambda _: "",
}

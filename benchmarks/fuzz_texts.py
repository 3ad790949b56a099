"""Hostile Markdown and plain text for fuzz_documents.py: long, nested, and full of look-alikes."""

from __future__ import annotations

import random
import sys
import unicodedata
from collections.abc import Callable

from fuzz_inputs import ENGLISH

_LENGTHS = (1, 2, 3, 7, 20, 100, 1000, 10_000, 50_000)  # of runs, in pieces
_LONG_RUN = 300_000  # characters: rare, and at most one in an input
_MOST = 500_000  # characters of a text: tokenizing a million takes 3 s
_DIGITS = [
    chr(c) for c in range(sys.maxunicode + 1) if unicodedata.category(chr(c)) in {"Nd", "Nl", "No"}
]
_HIDDEN = (
    "\u200b\u200c\u200d\u2060\ufeff\xad͏ᅟㅤ\u180e\u061c\u202a\u202b\u202d\u202e\u202c\u2066"
    "\u2067\u2069\U000e0041"
)
# They grow, shrink or change in kind when normalized: under NFKC or NFKD, or in lower case.
_FOLDED = "ßŉİıſK\ufdfa\ufb03①⑩½⅓Ⅻ㎏㍿ͺ\u0345\u1e9eǅΐ"
# What is repeated: characters, words, and phrases with spaces (each ends at an @).
_CHARACTERS = " \t\n\r\x0b\x0c\xa0\u2003\u3000́⃝\u200baAé字あ７7²⁴½٣_-=#*`~|<>[]({&\\/.,:'’\"“«„!?…"
_WORDS = (
    "👩\u200d👧 {{ 1, 1. 1' 1.2 v1 1st a. A. a' a_ a- ... <| <_of_ <a </a> <!-- --> <![CDATA[ "
    "<? <br> [inst [x]: ![ ]( **a __ *a* `a |- :-:| &amp; &#0; &#x110000; &nbsp http:// www. "
    "a@b. $$ \\( user: “a 10^ "
)
_PHRASES = (
    "I @Mr. @.\n@<a @``` @> @- @+ @1) @# @| @\n|@\n>@\n- @\n\n@\n \n@\n\t@Question: @### @"
    "“a” @the @und @14:30 @10⁶ @1/2 @C1 @"
)
_RUNS: tuple[str, ...] = (*_CHARACTERS, *_WORDS.split(), *_PHRASES.rstrip("@").split("@"))
_TOKENS = (
    "</document>@<document>@<|im_end|>@<|im_start|>@<|eot_id|>@<|end_of_text|>@</s>@[INST]@"
    "[/INST]@<<SYS>>@<think>@<start_of_turn>@<|user|>@USER:@### Response:@␞TEXT0␞@"
    "=== other.pdf ===@=== \n@[p. 3]@Answer: @Question: Why?@"
)
_WIDE = {code: code + 0xFEE0 for code in range(0x21, 0x7F)}
_ASKED = (
    "7²⁴",
    "10⁻²³",
    "①²",
    "٣٤²",
    "1²3",
    "²",
    "9" * 5000,
    "1" + "0" * 12,
    "1.000.000,5",
    "৴",
    "Ⅻ",
    "一二三",
)


def make_text(rng: random.Random) -> tuple[str, str]:
    """A text of a few hostile pieces with ordinary lines between them, and the pieces' names."""
    pieces = []
    makers = rng.choices(_MAKERS, k=rng.choice((1, 1, 2, 3, 5, 8)))
    for make in makers:
        pieces.append(make(rng))
        if rng.random() < 0.7:
            start = rng.randrange(len(ENGLISH))
            pieces.append(ENGLISH[start : start + rng.choice((20, 200, 2000))])
    names = [make.__name__.strip("_") for make in makers]
    if rng.random() < 0.03:
        names.append("long run")
        run = rng.choice(_RUNS)
        pieces.insert(rng.randrange(len(pieces) + 1), run * (_LONG_RUN // len(run)))
    text = rng.choice(("", "\n", "\n\n", " ")).join(pieces)
    return text[:_MOST], ", ".join(names)


def encode(text: str, rng: random.Random) -> bytes:
    """Encode a text: mostly in UTF-8, with lone surrogates as some programs write them."""
    encoding = rng.choice(("utf-8",) * 8 + ("utf-8-sig", "utf-16", "utf-32-le", "cp1252"))
    if encoding == "utf-8" and rng.random() < 0.1:
        text += rng.choice(("\ud800", "\udfff\ud800", "\ud83d")) * rng.choice((1, 100))
    return text.encode(encoding, "replace" if encoding == "cp1252" else "surrogatepass")


def _repeat(rng: random.Random) -> str:
    """A character or a short phrase, repeated, with or without an end."""
    run = rng.choice(_RUNS) * rng.choice(_LENGTHS)
    return run + rng.choice(("", "", "a", " ", "\n", ">", "|>", "]", "*", '"', "”", "0", "."))


def _two_runs(rng: random.Random) -> str:
    """Two runs, or one run inside a line of another."""
    length = rng.choice(_LENGTHS[:7])
    one, other = rng.choice(_RUNS), rng.choice(_RUNS)
    return rng.choice((one * length + other * length, (one + other) * length))


def _fence(rng: random.Random) -> str:
    """A fence of any length, closed by another or not at all."""
    mark = rng.choice("`~")
    opening = " " * rng.choice((0, 0, 1, 3, 4, 9)) + mark * rng.choice(
        (2, 3, 4, 100, 30_000, 200_000)
    )
    body = rng.choice(
        (ENGLISH[:300], "<!-- no comment", "# no heading\n---\n| a |", "\x60" * 2, "")
    )
    closing = rng.choice((opening, opening + mark, opening[:-1], mark * 3, "~~~", ""))
    info = rng.choice(("", "python", " a`b", "{.a #b}", " " * 1000))
    return f"\n{opening}{info}\n{body}\n{closing}\n" * rng.choice(
        (1, 1, 2, 50, 1000 if len(opening) < 99 else 2)
    )


def _comment(rng: random.Random) -> str:
    """Comments: nested, left open, closed twice, in fences and between backticks."""
    opening, closing = (
        rng.choice(("<!--", "<!---", "<!-->", "`<!--`", "<!", "<?", "<![CDATA[")),
        rng.choice(("-->", "--!>", "->", "?>", "]]>", "")),
    )
    depth = rng.choice(_LENGTHS[:8])
    return f"{opening * depth}{ENGLISH[:100]}\n\n{closing * rng.choice((0, 1, depth))}"


def _nesting(rng: random.Random) -> str:
    """Nested quotations, lists, emphasis, brackets or elements."""
    depth = rng.choice(_LENGTHS[:8])
    marks = (
        ("> ", ""),
        ("- ", ""),
        ("1. ", ""),
        ("[", "]"),
        ("[", "](u)"),
        ("![", "](u)"),
        ("*", "*"),
        ("**", "**"),
        ("_", "_"),
        ("<div>", "</div>"),
        ("<b ", ">"),
        ("{{", "}}"),
        ("(", ")"),
        ("“", "”"),
    )
    opening, closing = rng.choice(marks)
    steps = "".join(f"{' ' * min(each, 300)}- x\n" for each in range(min(depth, 500)))
    return rng.choice((opening * depth + "x" + closing * depth, steps))


def _table(rng: random.Random) -> str:
    """A table: too wide, too long, uneven, or with a rule and no rows."""
    columns, rows = rng.choice((1, 2, 50, 5000)), rng.choice((0, 1, 3, 40))
    rule = rng.choice(("---|", ":-:|", "-|", "|", "--- |", ""))
    cell = rng.choice(("a", "", "`|`", r"\|", "1,000", "**b**", " " * 100))
    width = rng.choice((columns, columns + 1, 1))
    return f"\n|{'h|' * columns}\n|{rule * width}\n" + f"|{f'{cell}|' * columns}\n" * rows + "\n"


def _front_matter(rng: random.Random) -> str:
    """Front matter: open, closed by another mark, with YAML that expands, or in the middle."""
    mark = rng.choice(("---", "+++", "...", "===", "----", "--- "))
    bomb = "a: &a [x, x]\n" + "".join(
        f"{chr(98 + n)}: &{chr(98 + n)} [*{chr(97 + n)}, *{chr(97 + n)}]\n" for n in range(20)
    )
    lines = rng.choice(
        (bomb, "title: x\n", "title: [\n" * 500, ": \n" * 500, "a: |\n  b\n" * 100, "{" * 9999)
    )
    return f"{mark}\n{lines}{rng.choice((mark, '---', '...', ''))}\n"


def _heading(rng: random.Random) -> str:
    """Headings, and lines that imitate those that fastkv itself writes between documents."""
    level = "#" * rng.choice((1, 6, 7, 10_000))
    names = ("other.pdf", "", "=" * 5000, "a ===\n\n=== b", "\u202efdp.x", "x" * 10_000)
    under = rng.choice("=-") * rng.choice((1, 2, 3, 100_000))
    heads = (
        f"{level} Head {level}",
        f"Head\n{under}",
        f"=== {rng.choice(names)} ===",
        f"{under}\n{under}",
    )
    return f"\n{rng.choice(heads)}\n\n" * rng.choice((1, 1, 3, 30))


def _look_alike(rng: random.Random) -> str:
    """A special token, a turn or a fence, with hidden characters in it, or in wide characters."""
    token = rng.choice(_TOKENS.rstrip("@").split("@"))
    if rng.random() < 0.3:
        token = token.translate(_WIDE)
    hidden = rng.choice(_HIDDEN) * rng.choice((0, 0, 1, 1, 3, 1000))
    token = hidden.join(token)
    return token * rng.choice((1, 1, 5, 500)) if len(token) < 500 else token


def _digits(rng: random.Random) -> str:
    """Numbers in the digits of all scripts, with superscripts, fractions and separators."""
    numbers = []
    for _ in range(rng.choice((1, 10, 300))):
        number = "".join(rng.choices(_DIGITS, k=rng.choice((1, 2, 3, 8, 40))))
        numbers.append(
            rng.choice((number, rng.choice(_ASKED), number[0] * 3 + "," + number[:3], f"{number}%"))
        )
    numbers.append(rng.choice(_ASKED))
    return rng.choice((" ", " ", ", ", "", ".", "’", "\n")).join(numbers)


def _mixed(rng: random.Random) -> str:
    """Random characters of any kind, including those that normalize or hide."""
    pools = (
        _HIDDEN,
        _FOLDED,
        "abc de. F",
        "\u05d0\u05d1 \u0627\u0644\u0644\u0647",
        "\u0301\u0323\u0e33\u1100\u1161\u11a8",
        "\x00\x01\x1b[31m\x7f\x85\u2028",
    )
    letters = "".join(rng.choice(pools) for _ in range(3))
    text = "".join(rng.choices(letters, k=rng.choice((5, 100, 3000))))
    return text + chr(rng.choice((0x10FFFF, 0xFFFE, 0xE000, 0xFDD0, 0x1F600)))


_MAKERS: tuple[Callable[[random.Random], str], ...] = (
    _repeat,
    _repeat,
    _repeat,
    _two_runs,
    _fence,
    _comment,
    _nesting,
    _table,
    _front_matter,
    _heading,
    _look_alike,
    _digits,
    _mixed,
)

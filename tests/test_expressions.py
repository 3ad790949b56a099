"""Every regular expression of the package takes time in proportion to the text, whatever it says.

One that goes back and forth in a run of blanks takes hours for a megabyte, holds the interpreter,
Ctrl-C included, and no reader sees it. So every expression that stands at module level has to have
its worst inputs listed here, and none may be compiled inside a function unless it is listed, too.
"""

from __future__ import annotations

import ast
import importlib
import re
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import fastkv_cli
from fastkv_cli.documents.clean import clean_page, clean_text, join_pages
from fastkv_cli.documents.css import hidden_by_style
from fastkv_cli.documents.html import decode_html
from fastkv_cli.documents.invisible import strip_invisible
from fastkv_cli.documents.markdown import drop_comments
from fastkv_cli.evidence import find_quotes, index_segments
from fastkv_cli.evidence.field_labels import FieldTerms, LabelFinder
from fastkv_cli.evidence.unsupported import not_in_document
from fastkv_cli.evidence.words import keys_of
from fastkv_cli.fields.dates import find_dates
from fastkv_cli.fields.labeled import find_labeled
from fastkv_cli.fields.numbers import find_numbers
from fastkv_cli.fields.spans import find_spans
from fastkv_cli.fields.tables import find_tables
from fastkv_cli.prompts.disarm import disarm, disarm_headings
from fastkv_cli.tasks.sentences import SentenceFilter, find_sentences

ROOT = Path(fastkv_cli.__file__).parent
MOST_S = 2.0  # of computing, for a megabyte: linear ones take 0.2 s at most
SIZES = [2**12, 2**14, 2**16, 2**18, 10**6]  # one that takes the square fails at 64 KB, in seconds

# What comes once, what is repeated, and what comes behind.
Input = tuple[str, str, str]
WORST: dict[str, list[Input]] = {
    "config._BUDGET": [("1", " ", "x"), ("", " ", ""), ("", "1", "x")],
    "read_options._SPAN": [("1", " ", "x"), ("1 - ", " ", "x"), ("", "1", "x")],
    "output.console._CONTROL": [("\x1b[", "0", ""), ("", "\x1b[0", ""), ("\x1b[", " ", "\0")],
    "engine.model.gguf_names._NAME": [("a", ".", ""), ("blk.1.", "a.", "-"), ("", "a.weight", "-")],
    "engine.model.gguf_placement._UNUSED": [("blk.1.attn_rot_embd", ".", "\n"), ("blk.", "1", "")],
    "fields.dates._FORMS": [
        ("", "1", ""), ("", "1.", ""), ("", "1. ", ""), ("", "may ", ""), ("1", " ", "may"), ("", "12.12.", ""),
        ("", "2024-12-", ""), ("", "1 de ", ""), ("", "12 ", ""),
    ],
    "evidence.field_labels._LINE_END": [("", "\n", ""), ("", "x", "")],
    "evidence.field_labels._SENTENCE_END": [("", ".", ""), ("", " ", ""), ("", ". ", "")],
    "fields.labeled.LABEL": [("", "x", ""), ("", "x ", ":"), ("", "x:", "")],
    "fields.labeled._LINE": [("", "x", ""), ("", "\n", "")],
    "fields.numbers._COMMA": [("", "1", ""), ("", "1,1", "")],
    "fields.numbers._NUMBER": [
        ("", "1", ""), ("", "111,", ""), ("", "111 ", ""), ("", "1.", ""), ("", "-", ""), ("", "111 111", ",1"),
        ("", "1 -", ""), ("", "1'", ""),
    ],
    "fields.numbers._POINT": [("", "1", ""), ("", "1.1", "")],
    "fields.numbers._SCALE": [("", " million", ""), ("", " ", ""), ("", " m", "")],
    "fields.spans._BULLET": [("", "#", ""), ("-", " ", ""), ("", "- ", "")],
    "fields.spans._CODE": [("", "x", ""), ("", "1", ""), ("", "x1 ", ""), ("", "(", "1"), ("", "(x", "1")],
    "fields.spans._GAP": [("", " ", ""), ("", " \t", ""), ("", " |", ""), ("", "x  ", "")],
    "fields.spans._KEEPS_STOP": [("", "A.", ""), ("", "Inc", ""), ("", "A", "."), ("", "e.V", "")],
    "fields.spans.LABEL": [("", "x", ""), ("", "x ", ":"), ("", "x:", ""), ("x:", " ", ""), ("x:", "\t", "")],
    "fields.spans._LINE": [("", "x", ""), ("", "\n", "")],
    "fields.spans._NAME": [
        ("", "Aa ", ""), ("", "A", ""), ("", "Aa of ", ""), ("", "A-", ""), ("", "Aa de la ", ""), ("", "A.", ""),
    ],
    "fields.spans._PHONE": [("+", "1", ""), ("", "+1", ""), ("", "+1 ", ""), ("", "0-", ""), ("", "(01", "")],
    "fields.spans._QUOTED": [("", "“", ""), ("“", "x", ""), ("", "“x", ""), ("", "\"", "")],
    "fields.spans._SENTENCE": [("", ". ", ""), ("", " ", ""), ("", ". A", "")],
    "fields.shapes._WORD": [("", "x", ""), ("", "x ", ""), ("", "1", "")],
    "fields.tables._ITEM": [("", " ", ""), ("", "- ", ""), ("-", " ", ""), ("- ", "x", ""), ("", "\n", ""), ("", "1", "")],
    "fields.tables._PARTS": [("", ",", ""), ("", " ", ""), ("", " and", ""), ("", "x", "")],
    "fields.written._BULLET": [("", "1", ""), ("", "1. ", ""), ("", "\n", "")],
    "fields.written._YEAR": [("", "1", ""), ("", "2024 ", "")],
    "models.content._COMMIT": [("", "0", "x")],
    "models.gguf_parts._PART": [("", "x-00001-of-00001", ""), ("", "-", ""), ("", "1", "")],
    "models.on_disk.facts._KV": [("attn_k.", "weight", "")],
    "models.on_disk.facts._LAYER": [("", "a.", ""), ("", "a", ""), ("", "layers.", "x")],
    "models.on_disk.gguf_folders._PART": [("", "x-00001-of-00001", "x"), ("", "1", "")],
    "models.on_disk.naming._BETWEEN": [("", "-", ""), ("", "x-", "")],
    "models.on_disk.ollama._DIGEST": [("sha256:", "0", ""), ("", "sha256:", "")],
    "documents.readers.data_text._DECIMAL_COMMA": [("", "1", ""), ("", "1,", ""), ("", ",", "")],
    "documents.readers.markup._RTF_TOKEN": [("\\", "a", ""), ("", "\\a", ""), ("\\a", "1", ""), ("", "{", "")],
    "documents.readers.markup._RAISED": [("", "\x03", ""), ("\x03", "a", "")],
    "documents.readers.markup._LOWERED": [("", "\x05", ""), ("\x05", "a", "")],
    "documents.readers.spreadsheet._SHEET": [("xl/worksheets/", "x", ""), ("xl/worksheets/", ".xml", "x")],
    "documents.readers.spreadsheet._CHART": [("xl/charts/chart", "x", ""), ("xl/charts/chart", ".xml", "x")],
    "documents.readers.spreadsheet._COMMENTS": [("xl/comments", "x", ""), ("xl/comments", ".xml", "x")],
    "documents.readers.spreadsheet._LOCALE": [("", "[$", ""), ("", "[$ ", ""), ("[$", "a", "")],
    "store.ocr_pages._NAME": [("", "0", "x"), (".", "0", ".")],
    "settings._AT": [("", " (at line 1, column ", ""), (" (at line ", "1", ""), ("", " ", "")],
    "prompts.disarm._LINE_END": [("", "x", "")],
    "prompts.disarm._OPENING": [("", "= ", "\n"), ("", " ", "x"), ("", " \n", ""), ("", "=\u200b\n", "")],
    "prompts.disarm._ROLE": [("", "#", ""), ("", "# ", ""), ("", "user", ""), ("", "user:", "")],
    "documents.spaced_letters._SPACED": [("", "a ", "1"), ("", "a a a a ", "1"), ("", "a", "")],
    "documents.pdf_chars._LINE_END": [("", "x", ""), ("", "\n", "")],
    "documents.pdf_chars._PLAIN": [("", "x", "\0"), ("", " ", "\0")],
    "documents.pdf_chars._WORD": [("", "x", ""), ("", "x ", ""), ("", " ", "")],
    "documents.pdf_chars._WORD_OR_SPACE": [("", "x", ""), ("", "x ", ""), ("", " ", "")],
    "documents.pdf_lines._BRACKETS": [("", "(", ""), ("", "x", "")],
    "documents.pdf_lines._LEFTWARDS": [("", "x", "")],
    "documents.pdf_lines._SPACES": [("", " ", ""), ("", " x", "")],
    "documents.pdf_tables._LEADERS": [("", "...x", ""), ("", ". ", "x"), ("", ". . . x", "")],
    "documents.pdf_tables._MARKER": [("", "1.", "x"), ("[", "a", ""), ("", "1", "")],
    "documents.misread._NUMERAL": [("", "i", "x"), ("", "ix", "")],
    "documents.misread._WORD": [("", "a", ""), ("", "a ", "")],
    "documents.running._OWN_NUMBER": [("a ", "1", "x"), ("", "a 1", "x"), ("a", " ", "1")],
    "documents.running._WORD": [("", "a", ""), ("", "a ", "")],
    "documents.scripts._BRACKETED": [("(", " ", "a"), ("(a", " ", "x"), ("", "(", "")],
    "documents.scripts._MARKS": [("1", " ", "x"), ("1", ",1", "x"), ("", "1", ""), ("1,", " ", "x")],
    "documents.verdict._LATIN_WORD": [("", "a", "A"), ("", "aaaa", ""), ("", "abc ", "")],
    "documents.verdict._VOWEL": [("", "x", "")],
    "documents.blocks._LIST_STYLE": [("list-style", " ", ""), ("", "list-style:", ""), ("list-style:", "a", "")],
    "documents.css._LOOKS": [(";text-decoration:", "x", ""), ("", ";vertical-align:su", ""), ("", ";text-decoration:line", "")],
    "documents.css._OFFSET": [(";margin-top:-", "1", ""), ("", ";margin-top:-1x", "")],
    "documents.markdown._ITEM": [("", " ", ""), ("", "1", "")],
    "documents.survey._NOTES": [("", "x", ""), ("", "calloutx", "")],
    "documents.blocks._BLANKS": [("", " ", ""), ("", "x ", "")],
    "documents.blocks._LINE_EDGES": [("", " ", ""), ("", "\n", ""), ("", " \n ", "")],
    "documents.blocks._NUMBER": [("", " ", "x"), ("", "1", "")],
    "documents.blocks._SPACES": [("", " ", ""), ("", "x\u00a0", "")],
    "documents.clean._FILE_LINES": [("", "\n", ""), ("", "\r", ""), ("", "x", "")],
    "documents.clean._GLYPH_FORMS": [("", "\ufb01", ""), ("", "x", "")],
    "documents.clean._LINE_END_WORD": [("", "x", "-"), ("", "(x", ""), ("", "x", "-x")],
    "documents.clean._LINE_START_WORD": [("", " ", "1"), ("", "x", "")],
    "documents.clean._SURROGATE": [("", "x", "")],
    "documents.clean._WORD": [("", "x-", ""), ("", "x", ""), ("", "-", "")],
    "documents.css._BACKGROUND": [(";background:", "x", ""), ("", ";background-color:", "")],
    "documents.css._BRACE": [("", "x", ""), ("", "{", "")],
    "documents.css._COLOR": [(";color:", "x", ""), ("", ";color:", "")],
    "documents.css._COMMENT": [("/*", "x", ""), ("", "/*", ""), ("", "/**", "")],
    "documents.css._DISPLAY": [(";display:", "x", ""), ("", ";display:", "")],
    "documents.css._HIDING": [
        (";opacity:", "0", "1"),
        (";font-size:.", "0", "q"),
        (";left:-", "1", "q"),
        ("", ";opacity:0", "1"),
    ],
    "documents.css._NO_SIZE": [(";width:", "0", "1"), (";max-height:0.", "0", "1")],
    "documents.encodings._ACCENTED": [("", "é", ""), ("", "a", ""), ("", "éa", "")],
    "documents.encodings._HIGH_RUN": [("", "é", ""), ("", "a", "")],
    "documents.encodings._ISO_2022_JP": [("\x1b$B", "ab", ""), ("", "\x1b$Bab", "")],
    "documents.find._DIGITS": [("", "1", ""), ("", "1a", "")],
    "documents.find._HIDDEN_PART": [("", "/", ""), ("", "/.", ""), ("", ".", "")],
    "documents.find._WILDCARD": [("", "x", "")],
    "documents.formats._PAGE_START": [
        ("", " ", "x"),
        ("", "<!---->", "x"),
        ("", "<!--", ""),
        ("", "<?xml>", ""),
        ("<!-- ", "-", ""),
        ("<!---->", " ", "x"),
    ],
    "documents.glyphs._PUNCTUATION": [("", "1", "")],
    "documents.glyphs._SLASHED": [("", "/", ""), ("", "/a", "")],
    "documents.html._DECLARED": [
        ("<meta charset=", " ", ""),
        ("<meta charset", " ", ""),
        ("", "<meta ", ""),
        ("", "<meta charset= ", ""),
        ("", "<?xml ", ""),
        ("<?xml encoding", " ", ""),
    ],
    "documents.invisible._KIND_PATTERNS": [("", "x", ""), ("", "\u200b", "")],
    "documents.invisible._NEEDED_AFTER": [("", "x", "")],
    "documents.invisible._RIGHT_TO_LEFT": [("", "x", "")],
    "documents.invisible._RUN": [("", "\u200b", ""), ("", "x\u200b", "")],
    "documents.load._OBJECT": [("1 ", "1", ""), ("", "1 ", ""), ("1", " ", ""), ("1 1", " ", "")],
    "documents.markdown._FENCES": [("", "`", "x"), ("```", " ", "x"), ("", "```\n", "")],
    "documents.markdown._MARK": [("", "`", "x"), ("", "~", ""), ("", "[//]:", ""), ("", " ", "")],
    "documents.markdown._TICKS": [("", "`", ""), ("", "`x", "")],
    "documents.office._NEEDED_PARTS": [("word/", "x", ""), ("", ".rels", "x"), ("", "x", "")],
    "documents.office._TEXT_PARTS": [("word/document", "x", ""), ("", "word/document", "")],
    "documents.reading_order._GAPS": [("x", " ", ""), ("", "x ", ""), ("", " ", "")],
    "documents.running._NUMBER": [("", "1", ""), ("", "1a", "")],
    "documents.running._PAGE_NUMBER": [("", "1", ""), ("", "1 ", "")],
    "documents.split_words._TOKEN": [("", "x", ""), ("", "x ", ""), ("", " ", "")],
    "documents.verdict._GLYPH_NAME": [("", "/a", ""), ("", "/aaaa", ""), ("/", "1", "")],
    "documents.verdict._INLINE_IMAGE": [("", " ", ""), ("", " BI", ""), ("", "\n", "")],
    "documents.verdict._RAW_BYTES": [("", " b", ""), ("", " b'", ""), ("", ": b'", "")],
    "engine.model.hardware._DEVICE": [("cuda:", "1", "x")],
    "engine.model.mapped._LAYER": [("", "layers.", ""), ("layers.", "1", ""), ("", "layers.1", "")],
    "engine.model.guarded._WORD": [("", " ", ""), ("", ".", "")],
    "evaluation.quality.scoring._ARTICLES": [("", "a", ""), ("", "a ", "")],
    "evidence.citations._SENTENCE_END": [
        (".", " ", ""),
        ("", "\n", ""),
        ("", "\n ", ""),
        ("", "\n1", ""),
        ("\n", "1", ""),
    ],
    "evidence.question_kind._KINDS": [("", "how ", ""), ("", "1", ""), ("", "what ", ""), ("", "(A", "")],
    "evidence.question_kind._DEFINITION": [("what is ", "a ", "?"), ("what is a", "?", "a"), ("what is a", " ", "?x")],
    "evidence.segments._CELL": [("", "x    ", ""), ("", " ", ""), ("x", " ", ""), ("", "\t", "")],
    "evidence.key_sentences._ABOUT": [("", " ", "x"), ("", "this ", ""), ("", "the book ", "")],
    "evidence.key_sentences._DATE": [("", "1", "x"), ("", "May ", "x"), ("", "19 ", "")],
    "evidence.key_sentences._END": [(".", "”", "x"), ("", ".”", "x"), ("", ".", "x")],
    "evidence.key_sentences._FIRST": [("", "(", ""), ("", "x", "")],
    "evidence.key_sentences._GARBLED": [("", "x", "- "), ("", "x It", ""), ("", ".", "x")],
    "evidence.key_sentences._PHRASE": [("", " ", "x"), ("", "in ", ""), ("", "for ", "")],
    "evidence.key_sentences._REFERENCE": [("", "http", ""), ("", "see", ""), ("", "x", "")],
    "evidence.key_sentences._SECTION_NUMBER": [("", "1", "x"), ("", "1.", "x"), ("", "1.1", "x")],
    "evidence.plain_line._EMPHASIS": [
        ("", "*", ""),
        ("*x", " ", ""),
        ("", "*x ", ""),
        ("", "_x", ""),
        ("*", "x", ""),
    ],
    "evidence.plain_line._ITEM_MARK": [("-", " ", ""), ("1.", " ", ""), ("", "1.", ""), ("", "i", "")],
    "evidence.plain_line._LINK": [
        ("", "[", ""),
        ("[x", "]", ""),
        ("[x](", "x", ""),
        ("", "[x](", ""),
        ("", "[x]", ""),
        ("[", "x", ""),
    ],
    "evidence.plain_line._SPACE_BEFORE_MARK": [("", " ", "x"), ("", "x ,", "x")],
    "evidence.plain_line._TAG": [("<a", " ", ""), ("", "<a", ""), ("", "</", "")],
    "evidence.segments._ITEM": [("", "1.", ""), ("1.", " ", ""), ("A", ".1", ""), ("(", "i", "")],
    "evidence.segments._LAST_WORD": [("", "x", "("), ("", "x ", "")],
    "evidence.segments._LEADER": [("", ".", "x"), ("...", "1", "x"), ("", ". ", "x"), ("...", " ", "x")],
    "evidence.segments._LINE": [("", "\n", ""), ("", "x", "")],
    "evidence.segments._SENTENCE_END": [("", ".", "x"), (".", ")", "x"), ("", "。”", "x")],
    "evidence.unsupported._BEGINS": [("", "x", "")],
    "evidence.unsupported._ELLIPSIS": [("", ".", ""), ("", "..x", "")],
    "evidence.unsupported._LETTERS": [("", "x", ""), ("", "x1", "")],
    "evidence.unsupported._LIST_NUMBER": [("", " ", "x"), ("", "*", ""), ("1.", " ", ""), ("", "(\n", "")],
    "evidence.unsupported._NUMBER_AND_UNIT": [("", "1", "_"), ("", ".", ""), ("1", "x", "_")],
    "evidence.unsupported._QUOTED": [("“", "x", ""), ("", "“", ""), ("", "„x", ""), ("", '"', ""), ("", "“„«`", "")],
    "evidence.words._NOT_DIGIT": [("", "x", "")],
    "evidence.words._ORDINAL": [("", "1", "x"), ("", "1", "st")],
    "evidence.words._POSSESSIVE": [("", "'", "x"), ("", "'s", "x")],
    "evidence.words._THOUSANDS": [("", "1", ""), ("", "111,", "1111"), ("", "1,", "")],
    "evidence.words._VERSION": [("", "v", "")],
    "evidence.words._WORD": [
        ("", "x", ""),
        ("", "x.", ""),
        ("", "1", ""),
        ("", "1.", ""),
        ("", "x'", ""),
        ("", "漢", ""),
        ("", "1漢", ""),
        ("", "x1.1", ""),
    ],
    "models._HUB_ID": [("", "x", ""), ("", "x/", ""), ("x/x@", "x", "!"), ("", ".", "")],
    "output.render.page_template._BIDI": [("", "x", ""), ("", "\u202e", "")],
    "output.render.page_template._FORBIDDEN": [("", "x", ""), ("", "\0", "")],
    "prompts.templates._SENTINEL": [("", "\u241eTEXT1", ""), ("\u241eTEXT", "1", "")],
    "prompts.prompt._SURROGATE": [("", "x", "")],
    "sizes._AGE": [("1", " ", "x"), ("", "1", "x"), ("", " ", "x"), ("1m", " ", "x")],
    "sizes._SIZE": [("1", " ", "x"), ("", "1", "x"), ("1.", "1", "x"), ("1k", " ", "x")],
    "store.store._STATE": [("", "0", "")],
    "store.store._TEMPORARY": [("." + "0" * 32 + ".", "x", ""), ("", "." + "0" * 32 + ".", "")],
    "tasks.corpus._LINE": [("", "x", "")],
    "tasks.corpus._PARAGRAPH": [("", "\n", ""), ("", "\nx", "")],
    "tasks.corpus._SENTENCE": [("", ".", ""), ("", " ", "")],
    "tasks.corpus._WORD": [("", "x", ""), ("", " ", "")],
    "tasks.sentences._CLOSED": [("。", "”", "x"), ("", "。”", "x"), ("", "。", "x")],
    "tasks.sentences._EMPTY_LINE": [("\n", " ", "x"), ("", "\n ", "x")],
    "tasks.sentences._END": [
        ("", ".", "x"),
        (".", '"', "x"),
        (".", "<a>", "x"),
        (".", "<a", ""),
        (".", " ", ""),
        ("", "<", ""),
        ("。", "”", ""),
        ("", "\n ", "x"),
        ("\n", " ", "x"),
        ("", ".<a>", ""),
    ],
    "tasks.sentences._ITEM": [("", "1", ""), ("", "-", "")],
    "tasks.sentences._WHOLE_TAG": [("<a", "x", ""), ("", "<a", ""), ("", "<a>", "")],
    "output.render.to_json._ESCAPED": [("", "\x7f", ""), ("", "x", "")],
    "engine.tuning._UNSAFE": [("", "/", ""), ("", "/x", "")],
}  # fmt: skip
# Expressions that no text of somebody else's meets, and why.
NEVER_FOREIGN = {
    "engine.model.hardware._MODEL_NAME": "reads /proc/cpuinfo",
    "system.instruction_sets._FLAGS": "reads /proc/cpuinfo",
    "output.standard_streams._SIZE": "reads the user's own environment",
}
# Met by so much and no more.
MOST_BYTES = {
    "documents.html._DECLARED": 16 * 1024,  # the head of a page
    "documents.clean._LINE_END_WORD": 1000,  # of a longer line no word is joined
    "evidence.segments._LAST_WORD": 12,
    "tasks.sentences._LAST_WORD": 64,
}
WORST["tasks.sentences._LAST_WORD"] = [("", "x", "<"), ("", "x ", "")]
# Functions that compile or use an expression of their own making, tested below by what they do.
COMPILES_ITS_OWN = {
    "prompts.disarm.disarm",
    "prompts.disarm._opens",
    "prompts.disarm._spaced",
    "prompts.disarm._visible",
    "prompts.disarm._pattern",
    "prompts.disarm._spelled",
    "documents.clean.compose",
    "settings.with_setting",  # of a key of ours, line by line, on the user's own file
    "settings._line_of",
}
# What hurts most expressions that can be hurt, for those whose worst input was listed amiss.
ANY = " \n\t.,-_/\\'\"`~#*=<>[]{}()|:;1a.é“”„«»。…\u00a0\u200b\u0301漢"


def modules() -> Iterator[tuple[str, ast.Module]]:
    """The names, without the package's, and the trees of all modules that use `re`."""
    for path in sorted(ROOT.rglob("*.py")):
        tree = ast.parse(path.read_text("utf-8"))
        names = {
            alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.Import)
            for alias in node.names
        }
        names |= {
            node.module
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and node.module
        }
        if names & {"re", "regex"}:
            parts = path.relative_to(ROOT).with_suffix("").parts
            yield ".".join(part for part in parts if part != "__init__"), tree


def patterns_in(value: Any) -> list[re.Pattern[Any]]:
    if isinstance(value, re.Pattern):
        return [value]
    if isinstance(value, dict):
        value = [*value.keys(), *value.values()]
    if isinstance(value, list | tuple | set | frozenset):
        return [pattern for item in value for pattern in patterns_in(item)]
    return []


def expressions() -> dict[str, list[re.Pattern[Any]]]:
    """All expressions at module level, by module and name; those in tuples and the like too."""
    found: dict[str, list[re.Pattern[Any]]] = {}
    for name, _ in modules():
        module = importlib.import_module(f"fastkv_cli.{name}")
        for variable, value in vars(module).items():
            if not variable.startswith("__") and (patterns := patterns_in(value)):
                found[f"{name}.{variable}"] = patterns
    return found


EXPRESSIONS = expressions()


def assert_fast(run: Callable[[int], object], most_s: float, sizes: list[int] = SIZES) -> None:
    for size in sizes:
        started = time.process_time()
        run(size)
        assert time.process_time() - started < most_s, f"{size:,} characters"


def methods_of(name: str) -> set[str]:
    """How an expression is used where it stands; in all ways where that cannot be seen."""
    module, _, variable = name.rpartition(".")
    path = importlib.import_module(f"fastkv_cli.{module}").__file__
    assert path is not None
    used = set(re.findall(rf"\b{variable}\.(\w+)", Path(path).read_text("utf-8")))
    return used or {"match", "fullmatch", "finditer"}


def apply(pattern: re.Pattern[Any], methods: set[str], worst: Input, size: int) -> None:
    text = made(worst, size)
    given = text if isinstance(pattern.pattern, str) else text.encode("latin-1", "replace")
    for method in methods & {"match", "fullmatch"}:
        getattr(pattern, method)(given)
    if methods - {"match", "fullmatch"}:
        for _ in pattern.finditer(given):
            pass


def made(worst: Input, size: int) -> str:
    head, unit, tail = worst
    return head + unit * (size // len(unit)) + tail


def call(function: Callable[[str], object], unit: str, size: int) -> None:
    function(made(("", unit, ""), size))


def test_every_expression_has_its_worst_input_listed() -> None:
    assert set(EXPRESSIONS) - WORST.keys() - NEVER_FOREIGN.keys() == set()
    assert (WORST.keys() | NEVER_FOREIGN.keys()) - set(EXPRESSIONS) == set()


def test_no_other_expression_is_made_on_the_way() -> None:
    """Whatever is called of `re` inside a function, with one that is compiled elsewhere or not."""
    found = set()
    for name, tree in modules():
        assert not [
            node
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and node.module == "re"
        ]
        for function in ast.walk(tree):
            if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                continue
            for node in ast.walk(function):
                if (
                    isinstance(node, ast.Attribute)
                    and isinstance(node.value, ast.Name)
                    and node.value.id == "re"
                    and node.attr not in {"Pattern", "Match", "error", "escape"}
                ):
                    found.add(f"{name}.{getattr(function, 'name', 'lambda')}")
    assert found <= COMPILES_ITS_OWN


@pytest.mark.parametrize("name", sorted(WORST))
def test_on_a_megabyte_of_its_worst_input(name: str) -> None:
    methods = methods_of(name)
    for worst in WORST[name]:
        for pattern in EXPRESSIONS[name]:
            most = MOST_BYTES.get(name, SIZES[-1])
            sizes = [size for size in SIZES if size < most] + [most]
            assert_fast(partial(apply, pattern, methods, worst), MOST_S, sizes)


@pytest.mark.parametrize("name", sorted(WORST))
def test_on_runs_of_anything(name: str) -> None:
    """A square of 16 KB takes a second; linear ones are done in a millisecond."""
    methods = methods_of(name)
    for unit in ANY:
        for pattern in EXPRESSIONS[name]:
            assert_fast(partial(apply, pattern, methods, ("", unit, "")), 0.25, [2**14])


def index_of(text: str) -> Any:
    from fastkv_cli.documents import Document
    from fastkv_cli.evidence import index_documents

    return index_documents([Document("a", text, None, (), ())])


def push_all(text: str) -> None:
    """As a model writes it: in small pieces."""
    sentences = SentenceFilter(3)
    for start in range(0, len(text), 4):
        sentences.push(text[start : start + 4])
    sentences.end(was_cut=False)


def label_all(text: str) -> None:
    """The labels of every number."""
    finder, terms = LabelFinder(text), FieldTerms.of("total amount", "to pay")
    for found in find_numbers(text):
        finder.score(terms, found.start, found.end)


OF = (
    "<_of_",
    "<" + "a" * 64 + "_of_" + "a" * 64,
    "<|" + "a" * 64,
    "<a\u200b",
    "#",
    "user ",
    "<|a\u200b",
    "\u200b",
)
FUNCTIONS: dict[str, tuple[Callable[[str], object], tuple[str, ...]]] = {
    "disarm": (lambda text: disarm(text, ["<tool_call>", "[IMG]"], ["USER:", "### Response:"]), OF),
    "disarm_headings": (disarm_headings, ("=== a ===\n", "= ", "=== a = ", "===\n", "=\u200b")),
    "clean_text": (clean_text, ("\n", "a\f", "\u0301", "a\u0301\u0316", "a \n\n\n")),
    "clean_page": (clean_page, ("\ufb01", "\u0301\u0316")),
    "join_pages": (lambda text: join_pages({1: text}), ("a-\na", "-\n", "a-\n", "1\n")),
    "strip_invisible": (strip_invisible, ("\u200b", "a\u200d", "\U000e0041")),
    "drop_comments": (drop_comments, ("`", "``a`", "```\n", "<!--", "<!---->", "~~~~\n~~~\n", "`a``b```c")),
    "hidden_by_style": (hidden_by_style, ("opacity:0", "0", "/*", ";color:red")),
    "decode_html": (lambda text: decode_html(text.encode(), "a", None), ("<meta charset= ", "<meta ")),
    "keys_of": (keys_of, ("a", "1,", "111,", "a.", "1st", "'s")),
    "find_quotes": (
        lambda text: find_quotes("How many pumps?", index_segments(index_of(text)), answer="Pumps"),
        ("pump ", "pump. ", "pumps\n", ".", "...", "1. ", "x|x|\n", "。", "pump\n\n", "a b ", "\n "),
    ),
    "not_in_document": (
        lambda text: not_in_document(f"A\n{text}", "", index_of("nothing")),
        ("Ab ", "a ", "1. ", "“a” ", "“a”", "\n1. a"),
    ),
    "find_dates": (lambda text: list(find_dates(text)), ("1.1.2024 ", "May 1, 2024 ", "1/2/2024 ", "may ")),
    "find_numbers": (lambda text: list(find_numbers(text)), ("1,234.5 ", "1 million ", "1 ", "-1 ")),
    "find_spans": (
        find_spans, ("A b. ", "A: b\n", "a   b", "Aa ", "“a” ", "x1 ", "(", "a:", "A. ", "Inc. ", "|", "- "),
    ),
    "find_labeled": (find_labeled, ("a: b\n", "a   b\n", "a: ", "A. b: ", "a\n", "a   b   ", "- a: b\n")),
    "find_tables": (
        lambda text: find_tables(text, find_labeled(text)),
        ("a: b\n", "a   b\n", "- a\n", "1. ", "a   1\n"),
    ),
    "LabelFinder": (label_all, ("a: 1\n", "a   1\n", "1 ", "a 1. ", "a\n1\n")),
    "find_sentences": (find_sentences, (".", "e.g. ", "<a>", "a<", "a ", ". ", "\n ", "A. ")),
    "SentenceFilter": (push_all, ("a ", "<a>", "e.g. ", "...")),
}  # fmt: skip


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_around_them(name: str) -> None:
    """With what is made on the way, and the loops around: a square takes minutes here."""
    function, units = FUNCTIONS[name]
    for unit in units:
        assert_fast(partial(call, function, unit), MOST_S, [2**13, 2**15])


@pytest.mark.parametrize("unit", OF)
def test_disarming_a_megabyte(unit: str) -> None:
    run, _ = FUNCTIONS["disarm"]
    assert_fast(partial(call, run, unit), MOST_S)

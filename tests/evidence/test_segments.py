"""Segments: sentences, items, rows and headings of a text, in order and whole."""

from __future__ import annotations

import pytest

from fastkv_cli.evidence.segments import MAX_SEGMENT, Kind, find_segments


def cut(text: str) -> list[str]:
    return [text[each.start : each.end] for each in find_segments(text, 0, len(text))]


@pytest.mark.parametrize(
    ("text", "segments"),
    [
        ("", []),
        (" \n\n ", []),
        ("One. Two! Three? Four.", ["One.", "Two!", "Three?", "Four."]),
        ("Mr. Hyde met J. Doe at 3.5 p.m. today.", ["Mr. Hyde met J. Doe at 3.5 p.m. today."]),
        ("He said “Go.” She went.", ["He said “Go.”", "She went."]),
        ("wrapped at\nthe end. Next", ["wrapped at\nthe end.", "Next"]),
        ("- one item\n- another\n  line", ["- one item", "- another\n  line"]),
        ("12. An item. More.\n13. Next.", ["12. An item.", "More.", "13. Next."]),
        ("| a | b |\n| c | d |", ["| a | b |", "| c | d |"]),
        ("甲是乙。丙是丁！", ["甲是乙。", "丙是丁！"]),
        ("A paragraph\n\nanother", ["A paragraph", "another"]),
    ],
)
def test_what_stays_whole(text: str, segments: list[str]) -> None:
    assert cut(text) == segments


def test_kinds() -> None:
    text = "# Title\n\nIntroduction ........ 12\n- item\na | b | c\nA sentence that ends.\n"
    kinds = [each.kind for each in find_segments(text, 0, len(text))]
    assert kinds == [Kind.HEADING, Kind.CONTENTS, Kind.ITEM, Kind.ROW, Kind.SENTENCE]


@pytest.mark.parametrize("text", ["x" * 5000, "word " * 1000, "a line of words\n" * 200])
def test_no_segment_is_too_long(text: str) -> None:
    found = find_segments(text, 0, len(text))
    assert all(0 < each.end - each.start <= MAX_SEGMENT for each in found)
    assert "".join("".join(cut(text)).split()) == "".join(text.split())


def test_a_stretch_keeps_its_bounds() -> None:
    text = "One. Two. Three."
    assert [(each.start, each.end) for each in find_segments(text, 5, 9)] == [(5, 9)]

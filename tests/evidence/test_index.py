"""Blocks: pages, or stretches of lines; and what stands in them."""

from __future__ import annotations

import pytest
from pages import make_document, make_text

from fastkv_cli.evidence.index import BLOCK_CHARACTERS, index_documents

LINE = "The committee met 14 times in 1999 and wrote it down.\n"


def test_a_block_is_a_page() -> None:
    index = index_documents([make_document(["One page.", "Another page."], first=7)])
    assert [(block.page, block.start, block.end) for block in index.blocks] == [
        (7, 0, 9),
        (8, 11, 24),
    ]
    assert index.blocks[1].holds("another page")
    assert not index.blocks[1].holds("page another")
    assert not index.blocks[1].holds("anoth")


@pytest.mark.parametrize("text", [LINE * 200, "word " * 2000, "x" * 9000, LINE, LINE[:-1]])
def test_blocks_cover_a_text_once_in_order(text: str) -> None:
    document = make_text(text)
    blocks = index_documents([document]).blocks
    assert "".join(text[block.start : block.end] for block in blocks) == text
    assert all(block.end - block.start <= 2 * BLOCK_CHARACTERS for block in blocks)
    assert {block.page for block in blocks} == {None}
    if " " in text:  # no word is cut
        assert set(" ".join(block.keys for block in blocks).split()) == set(
            index_documents([make_document([text])]).blocks[0].keys.split()
        )


def test_blocks_are_counted() -> None:
    index = index_documents([make_document(["the cat", "the dog and the dog", "the dog"])])
    assert [index.count(word) for word in ("the", "dog", "cat", "the dog", "bird")] == [
        3,
        2,
        1,
        2,
        0,
    ]


def test_a_phrase_may_go_on_behind_the_end_of_a_page() -> None:
    index = index_documents([make_document(["It was Dennis", "Ritchie who wrote it."])])
    assert index.holds("dennis ritchie")
    assert index.holds("was dennis ritchie who")
    assert not index.holds("dennis who")


def test_characters_belong_to_their_blocks() -> None:
    index = index_documents([make_document(["One.", "Two."]), make_text(LINE * 100)])
    assert [index.block_at(0, at) for at in (-1, 0, 3, 4, 6, 9)] == [None, 0, 0, 0, 1, 1]
    assert index.block_at(1, 0) == 2
    assert index.block_at(1, len(LINE) * 100 - 1) == len(index.blocks) - 1
    assert index.block_at(2, 0) is None

"""Sentences as they are cut, and answers that are let through a sentence at a time."""

from __future__ import annotations

import pytest

from fastkv_cli.tasks.sentences import (
    Sentence,
    SentenceFilter,
    find_sentences,
    join_sentences,
)


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("One. Two! Three? Four", ["One.", "Two!", "Three?", "Four"]),
        ("Dr. Smith met Mr. J. R. Jones, i.e. twice. He left.", ["Dr. Smith met Mr. J. R. Jones, i.e. twice.", "He left."]),
        ("It costs 5.30 euros. See 3.1.2 there.", ["It costs 5.30 euros.", "See 3.1.2 there."]),
        ("He said “Stop.” Then he went.", ["He said “Stop.”", "Then he went."]),
        ("“Really?” he said. (Yes.) No.", ["“Really?” he said.", "(Yes.)", "No."]),
        ("A line\nbroken by\ta text. Next.", ["A line broken by a text.", "Next."]),
        ("Title\n\nFirst. Second.", ["Title", "First.", "Second."]),
        ("These:\n1. One.\n2. Two\n- three\nEnd.", ["These:", "1. One.", "2. Two", "- three End."]),
        ("委员会开会。写下来了！然后呢？", ["委员会开会。", "写下来了！", "然后呢？"]),
        ("<p>It is so.</p> <b>Bold</b> words.\n</section>", ["It is so.", "Bold</b> words."]),
        ("Wait... what? Yes… No.", ["Wait... what?", "Yes…", "No."]),
        ("", []),
        (" \n\n ", []),
        ("<section>\n</section>", []),
    ],
)  # fmt: skip
def test_sentences_of_a_text(text: str, sentences: list[str]) -> None:
    assert [sentence.text for sentence in find_sentences(text)] == sentences


def test_what_is_whole_and_what_begins_a_paragraph() -> None:
    found = find_sentences("Heading\n\nOne. Two.\n\n3. Three.\n- four\n\nFive is cut")
    assert [sentence.is_whole for sentence in found] == [False, True, True, True, False, False]
    assert [sentence.begins_paragraph for sentence in found] == [
        False, True, False, True, False, True,
    ]  # fmt: skip
    assert [sentence.is_item for sentence in found] == [False, False, False, True, True, False]


@pytest.mark.parametrize(
    "text",
    ["One. Two.\n\nThree. Four.", "Here:\n- one\n- two\n\nEnd.", "你好。世界！Yes. 好。"],
)
def test_what_was_taken_apart_is_put_together(text: str) -> None:
    assert join_sentences(find_sentences(text)) == text


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("The committee met 14 times.", "The committee met 14 times!", True),
        ("The committee met 14 times in 1999.", "In 1999 the committee met 14 times.", True),
        ("The committee met 14 times in 1999.", "The committee met 3 times in 1998.", False),
        ("The document shows how keys are kept.", "The document shows how values are lost.", False),
        ("Yes, it is.", "Yes, it is.", True),
        ("Yes.", "Yes.", False),  # too short to be called a loop
    ],
)
def test_repeats(one: str, other: str, same: bool) -> None:
    assert Sentence(one, True).repeats(Sentence(other, True)) is same


LOOP = "The committee met 14 times. It wrote all of it down. The committee met 14 times! It ended"


@pytest.mark.parametrize("size", [1, 2, 5, 1000])
class TestFilter:
    """Whatever pieces the answer comes in."""

    def pass_through(
        self, text: str, size: int, most: int, *, was_cut: bool
    ) -> tuple[list[str], SentenceFilter]:
        sentences = SentenceFilter(most)
        pieces = [sentences.push(text[at : at + size]) for at in range(0, len(text), size)]
        return [*pieces, sentences.end(was_cut=was_cut)], sentences

    def test_no_sentence_comes_twice(self, size: int) -> None:
        shown, sentences = self.pass_through(LOOP, size, 9, was_cut=False)
        assert "".join(shown) == ("The committee met 14 times. It wrote all of it down. It ended")
        assert sentences.num_dropped == 1

    def test_a_sentence_that_was_cut_short_is_left_out(self, size: int) -> None:
        shown, _ = self.pass_through(LOOP, size, 9, was_cut=True)
        assert "".join(shown) == "The committee met 14 times. It wrote all of it down."

    def test_the_only_one_is_shown_all_the_same(self, size: int) -> None:
        shown, sentences = self.pass_through("The committee met and", size, 9, was_cut=True)
        assert "".join(shown) == "The committee met and"
        assert not sentences.kept[-1].is_whole

    def test_no_more_than_asked_for(self, size: int) -> None:
        text = "One is first. Two comes next. Three follows. Four is last."
        shown, sentences = self.pass_through(text, size, 2, was_cut=False)
        assert "".join(shown) == "One is first. Two comes next."
        assert sentences.is_full

    def test_it_is_shown_as_soon_as_it_has_ended(self, size: int) -> None:
        shown, _ = self.pass_through("One is first. Two comes next. Three", size, 9, was_cut=False)
        if size == 1:
            assert shown[len("One is first. T") - 1] == "One is first."

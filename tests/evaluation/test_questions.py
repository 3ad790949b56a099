"""What is asked: prompts of just the length wanted, with the answer in them where it is to be."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from measuring import find_ids, load_tokenizer, make_haystack

from fastkv_cli.config import Suite
from fastkv_cli.errors import UsageError
from fastkv_cli.evaluation.quality.needle import DEPTHS
from fastkv_cli.evaluation.quality.questions import Insert, Question, hide
from fastkv_cli.evaluation.quality.ruler import TASKS
from fastkv_cli.evaluation.quality.suites import Questionnaire

ALL = tuple(Suite)
# Behind a sentence and its closing quotes, between paragraphs, or at the beginning.
BREAK = re.compile(r"[.!?…][”’\"')_\]]*\s*$|\s$|^$")
SECRET = " The special magic number of Oslo is 40713."


@pytest.fixture(scope="module")
def tokenizer(tiny_models: dict[str, Path]) -> Any:
    return load_tokenizer(tiny_models["llama"])


@pytest.fixture(scope="module")
def questions(tokenizer: Any) -> list[Question]:
    return Questionnaire(ALL, (300, 600, 1900), 15, 0).questions(tokenizer)


def text_of(question: Question, tokenizer: Any) -> str:
    return str(tokenizer.decode(list(question.document_ids)))


def of_suite(questions: list[Question], suite: str) -> list[Question]:
    return [question for question in questions if question.suite == suite]


def test_prompts_are_exactly_as_long_as_was_asked_for(
    questions: list[Question], tokenizer: Any
) -> None:
    assert len(questions) == 3 * 3 * 15
    for question in questions:
        assert len(question.prompt(tokenizer).token_ids) == question.length, question.key


@pytest.mark.parametrize("suite", ALL)
@pytest.mark.parametrize("length", [1, 100, 120])
def test_a_length_that_leaves_no_room_is_refused(tokenizer: Any, suite: Suite, length: int) -> None:
    """The tiny tokenizer's template and question alone take some 140 tokens."""
    with pytest.raises(UsageError, match=f"{length}"):
        Questionnaire((suite,), (length,), 3, 0).questions(tokenizer)


def test_the_question_stands_where_the_prompt_says(
    questions: list[Question], tokenizer: Any
) -> None:
    for question in questions:
        prompt = question.prompt(tokenizer)
        asked = tokenizer.decode(prompt.token_ids[prompt.question_span])
        assert asked.strip() == question.text


def test_the_same_seed_asks_the_same(questions: list[Question], tokenizer: Any) -> None:
    asked = Questionnaire(ALL, (300,), 5, 7)
    first = asked.questions(tokenizer)
    assert first == asked.questions(tokenizer)
    other = Questionnaire(ALL, (300,), 5, 8).questions(tokenizer)
    for suite in ALL:
        assert of_suite(first, suite) != of_suite(other, suite)


def test_keys_are_unique(questions: list[Question]) -> None:
    assert len({question.key for question in questions}) == len(questions)


def test_a_suite_named_twice_is_asked_once(tokenizer: Any) -> None:
    asked = Questionnaire((Suite.NEEDLE, Suite.NEEDLE), (300,), 2, 0).questions(tokenizer)
    assert len({question.key for question in asked}) == len(asked)


class TestHide:
    """A sentence in a text."""

    @pytest.mark.parametrize("depth", [0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0])
    @pytest.mark.parametrize("start", [0, 37, 400])
    def test_it_is_there_once_at_its_depth(self, tokenizer: Any, depth: float, start: int) -> None:
        haystack = make_haystack(tokenizer)
        size = 1500  # more than the haystack has: it is read as a ring
        assert haystack.num_tokens < size
        ids = list(hide([Insert(SECRET, depth)], haystack, start, size, tokenizer))
        secret = tokenizer(SECRET)["input_ids"]
        assert len(ids) == size
        (at,) = find_ids(ids, secret)
        assert at / (size - len(secret)) == pytest.approx(depth, abs=0.02)
        rest = ids[:at] + ids[at + len(secret) :]
        ring = haystack.token_ids.tolist() * 10
        assert rest == ring[start : start + len(rest)]

    def test_it_stands_between_sentences(self, tokenizer: Any) -> None:
        haystack = make_haystack(tokenizer)
        for tenth in range(10):
            ids = hide([Insert(SECRET, tenth / 10)], haystack, 0, 600, tokenizer)
            before = tokenizer.decode(list(ids)).partition(SECRET)[0]
            assert re.fullmatch(r"(In year \d+ the committee met once more\. ?)*", before)

    def test_several_keep_their_order(self, tokenizer: Any) -> None:
        haystack = make_haystack(tokenizer)
        inserts = [Insert(f" Number {at} is here.", depth) for at, depth in enumerate((0.9, 0.1))]
        text = tokenizer.decode(list(hide(inserts, haystack, 5, 700, tokenizer)))
        assert 0 < text.index("Number 1 is here.") < text.index("Number 0 is here.")

    def test_several_at_one_depth_are_all_there(self, tokenizer: Any) -> None:
        haystack = make_haystack(tokenizer)
        inserts = [Insert(f" Number {at} is here.", 0.5) for at in range(4)]
        ids = hide(inserts, haystack, 5, 700, tokenizer)
        text = tokenizer.decode(list(ids))
        assert len(ids) == 700
        assert all(text.count(f"Number {at} is here.") == 1 for at in range(4))


class TestNeedle:
    """One sentence, at every depth and length."""

    def test_every_depth_and_length_has_its_turn(self, questions: list[Question]) -> None:
        places = [(question.length, question.depth) for question in of_suite(questions, "needle")]
        expected = {(length, depth) for length in (300, 600, 1900) for depth in DEPTHS}
        assert set(places) == expected
        assert all(places.count(place) == 3 for place in expected)

    def test_the_needle_is_there_once(self, questions: list[Question], tokenizer: Any) -> None:
        for question in of_suite(questions, "needle"):
            place = re.fullmatch(r"What is the special magic number of (\w+)\?", question.text)
            assert place is not None
            (code,) = question.answers
            text = text_of(question, tokenizer)
            assert text.count(f" The special magic number of {place[1]} is {code}.") == 1
            assert text.count("magic number") == 1

    def test_it_stands_at_its_depth(self, questions: list[Question], tokenizer: Any) -> None:
        for question in of_suite(questions, "needle"):
            before, needle, _ = text_of(question, tokenizer).partition(" The special magic")
            at = len(before) / (len(text_of(question, tokenizer)) - len(needle))
            # a novel's sentences are long; of 1,900 tokens they are a small part
            assert at == pytest.approx(question.depth, abs=0.1 if question.length == 1900 else 0.3)

    def test_it_stands_between_words(self, questions: list[Question], tokenizer: Any) -> None:
        befores = [
            text_of(question, tokenizer).partition(" The special magic")[0]
            for question in of_suite(questions, "needle")
        ]
        assert [before[-40:] for before in befores if not BREAK.search(before)] == []


class TestRuler:
    """Three tasks, with answers and distractors."""

    def of_task(self, questions: list[Question], task: str) -> list[Question]:
        found = [question for question in questions if question.task == task]
        assert len(found) == 3 * 5
        return found

    def test_the_tasks_have_their_turns(self, questions: list[Question]) -> None:
        assert {question.task for question in of_suite(questions, "ruler")} == set(TASKS)

    def test_multi_key(self, questions: list[Question], tokenizer: Any) -> None:
        for question in self.of_task(questions, "multi-key"):
            text = text_of(question, tokenizer)
            found = re.findall(r"The special magic number of (\w+) is (\d{5})\.", text)
            assert len(found) == len({place for place, _ in found}) == 4
            assert len({code for _, code in found}) == 4
            (asked,) = re.findall(r"number of (\w+)\?", question.text)
            assert question.answers == (dict(found)[asked],)

    def test_multi_value(self, questions: list[Question], tokenizer: Any) -> None:
        for question in self.of_task(questions, "multi-value"):
            text = text_of(question, tokenizer)
            found = re.findall(r"One of the special magic numbers of (\w+) is (\d{5})\.", text)
            (asked,) = re.findall(r"What are the 2 special magic numbers of (\w+)\?", question.text)
            assert [place for place, _ in found] == [asked] * 2
            assert {code for _, code in found} == set(question.answers)
            assert len(set(question.answers)) == 2

    def test_variable_tracking(self, questions: list[Question], tokenizer: Any) -> None:
        for question in self.of_task(questions, "variable-tracking"):
            text = text_of(question, tokenizer)
            codes = dict(re.findall(r"The locker of (\w+) has the number (\d{5})\.", text))
            ((second, first),) = re.findall(
                r"The locker of (\w+) has the same number as the locker of (\w+)\.", text
            )
            assert question.text == f"What is the number of the locker of {second}?"
            assert question.answers == (codes.pop(first),)
            ((other, wrong),) = codes.items()
            assert other not in (first, second)
            assert wrong not in question.answers
            assert text.index(f"{first} has the number") < text.index(f"{second} has the same")

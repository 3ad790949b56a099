"""Nothing of an answer is shown before it is known whether the documents support it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import pytest
from works import make_work

from fastkv_cli import Document, Engine
from fastkv_cli.stats import Verdict
from fastkv_cli.tasks import Outcome, ask
from fastkv_cli.tasks.answer_gate import AnswerGate
from fastkv_cli.tasks.corpus import join_documents

TEXT = "The committee which met in 1999 was led by Filby. It met 14 times, and it was long. " * 3
QUESTION = "Who led the committee?"
ELSEWHERE = "What is the boiling point of tungsten?"
MakeGate = Callable[..., AnswerGate]


@pytest.fixture(scope="module")
def engine(tiny_models: dict[str, Path]) -> Engine:
    return Engine.load(str(tiny_models["llama"]), dtype="float32", device="cpu")


@pytest.fixture
def make_gate(engine: Engine) -> MakeGate:
    def make(
        question: str = QUESTION,
        *,
        enabled: bool = True,
        strict: bool = False,
        num_documents: int = 1,
        may_retry: bool = False,
    ) -> AnswerGate:
        document = Document(path="a.txt", text=TEXT, num_pages=None, pages=(), warnings=())
        corpus = join_documents([document] * num_documents, engine.tokenizer)
        gate = AnswerGate(question, corpus, enabled=enabled, strict=strict)
        gate.begin(None, may_retry=may_retry)
        return gate

    return make


def push_all(gate: AnswerGate, pieces: Iterable[str]) -> list[str]:
    return [gate.push(piece) for piece in pieces]


@pytest.fixture(scope="module")
def outcome(engine: Engine) -> Outcome:
    """Of a question that was not checked."""
    *_, outcome = ask(replace(make_work(engine, TEXT), check=False), QUESTION)
    assert isinstance(outcome, Outcome)
    return outcome


def test_an_answer_comes_as_it_grows_behind_its_first_sentence(
    make_gate: MakeGate, outcome: Outcome
) -> None:
    gate = make_gate()
    answer = "It was led by Filby. It met often."
    shown = push_all(gate, answer)
    first = answer.index("I", 1) + 1  # known to be over when the next begins
    assert shown[: first - 1] == [""] * (first - 1)
    assert shown[first - 1] == answer[:first]
    assert shown[first:] == list(answer[first:])
    assert gate.end() == ""
    assert not gate.is_closed
    told = gate.conclude(outcome)
    assert (told.verdict, told.found, told.reason) == (Verdict.SUPPORTED, True, "")


def test_a_short_answer_is_shown_at_its_end(make_gate: MakeGate) -> None:
    gate = make_gate()
    assert push_all(gate, ["Fil", "by"]) == ["", ""]
    assert gate.end() == "Filby"


@pytest.mark.parametrize(
    ("num_documents", "instead"),
    [(1, "No answer found in the document."), (2, "No answer found in the documents.")],
)
def test_what_no_document_is_about_is_never_answered(
    make_gate: MakeGate, outcome: Outcome, num_documents: int, instead: str
) -> None:
    gate = make_gate(ELSEWHERE, num_documents=num_documents)
    shown = push_all(gate, ["It was led", " by Filby.", " He was", " not there."])
    assert [text for text in shown if text] == [instead]
    assert gate.is_closed
    assert gate.end() == ""
    told = gate.conclude(outcome)
    assert (told.verdict, told.found) == (Verdict.NOT_FOUND, False)
    assert told.generation.text == instead
    assert told.guess == "It was led by Filby. He was not there."
    assert told.warnings == (f"{told.reason}; the model would say: {told.guess}",)


def test_an_unsupported_answer_is_shown_and_marked(make_gate: MakeGate, outcome: Outcome) -> None:
    gate = make_gate()
    push_all(gate, ["It was led by\nDennis Ritchie."])
    assert gate.end() == "It was led by\nDennis Ritchie."
    told = gate.conclude(outcome)
    assert (told.verdict, told.found, told.reason) == (Verdict.UNSUPPORTED, True, "")
    assert told.generation == outcome.generation
    assert told.warnings[-1].startswith("the passages under Sources do not say this")


def test_an_answer_that_is_unsupported_further_on_is_told(
    make_gate: MakeGate, outcome: Outcome
) -> None:
    gate = make_gate()
    push_all(gate, ["It was led by Filby.", " It", " met 99 times."])
    gate.end()
    assert gate.conclude(outcome).verdict is Verdict.UNSUPPORTED


def test_an_unsupported_answer_gives_way_to_a_second_one(
    make_gate: MakeGate, outcome: Outcome
) -> None:
    gate = make_gate(may_retry=True)
    assert push_all(gate, ["It was Dennis.", " He", " was", " there."]) == [""] * 4
    assert gate.is_closed
    assert gate.end() == ""
    assert gate.wants_retry
    gate.begin(None, may_retry=False)
    assert not gate.is_closed
    assert push_all(gate, ["It was", " Filby."]) == ["", ""]
    assert gate.end() == "It was Filby."
    assert not gate.wants_retry
    assert gate.conclude(outcome).verdict is Verdict.SUPPORTED


def test_a_strict_gate_shows_supported_answers_alone(make_gate: MakeGate, outcome: Outcome) -> None:
    gate = make_gate(strict=True)
    assert push_all(gate, ["It was led by Filby.", " It met 14 times."]) == ["", ""]
    assert gate.end() == "It was led by Filby. It met 14 times."
    assert gate.conclude(outcome).verdict is Verdict.SUPPORTED
    gate = make_gate(strict=True)
    assert push_all(gate, ["It was led by Filby.", " It met 99 times."]) == ["", ""]
    assert gate.end() == "No supported answer found in the document."
    told = gate.conclude(outcome)
    assert (told.verdict, told.found) == (Verdict.UNSUPPORTED, True)
    assert told.generation.text == "No supported answer found in the document."
    assert told.guess == "It was led by Filby. It met 99 times."


def test_a_sentence_without_end_is_held_back_for_so_long_only(make_gate: MakeGate) -> None:
    shown = push_all(make_gate(), ["Filby "] * 100)
    assert shown.count("") == 63
    assert "".join(shown) == "Filby " * 100


def test_nothing_is_held_back_unless_it_is_to_be_checked(
    make_gate: MakeGate, outcome: Outcome
) -> None:
    gate = make_gate(enabled=False)
    assert push_all(gate, ["By Dennis", " Ritchie."]) == ["By Dennis", " Ritchie."]
    assert gate.end() == ""
    assert not gate.is_closed
    told = gate.conclude(outcome)
    assert (told.verdict, told.found, told.guess) == (None, None, "")

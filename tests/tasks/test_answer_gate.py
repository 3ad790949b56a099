"""Nothing of an answer is shown before it is known whether the documents can hold it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
from works import make_work

from fastkv_cli import Document, Engine
from fastkv_cli.tasks import Outcome, ask
from fastkv_cli.tasks.answer_gate import AnswerGate

TEXT = "The committee which met in 1999 was led by Filby. It met 14 times, and it was long. " * 3
QUESTION = "Who led the committee?"


def make_gate(*, enabled: bool = True, num_documents: int = 1) -> AnswerGate:
    document = Document(path="a.txt", text=TEXT, num_pages=None, pages=(), warnings=())
    return AnswerGate(QUESTION, [document] * num_documents, enabled=enabled)


def push_all(gate: AnswerGate, pieces: Iterable[str]) -> list[str]:
    return [gate.push(piece) for piece in pieces]


def test_an_answer_comes_as_it_grows_behind_its_first_sentence() -> None:
    gate = make_gate()
    answer = "It was led by Filby. It met often."
    shown = push_all(gate, answer)
    first = answer.index("I", 1) + 1  # known to be over when the next begins
    assert shown[: first - 1] == [""] * (first - 1)
    assert shown[first - 1] == answer[:first]
    assert shown[first:] == list(answer[first:])
    assert gate.end() == ""
    assert not gate.is_refused


def test_a_short_answer_is_shown_at_its_end() -> None:
    gate = make_gate()
    assert push_all(gate, ["Fil", "by"]) == ["", ""]
    assert gate.end() == "Filby"


@pytest.mark.parametrize(
    ("num_documents", "instead"),
    [(1, "No answer found in the document."), (2, "No answer found in the documents.")],
)
def test_what_no_document_holds_is_never_shown(num_documents: int, instead: str) -> None:
    gate = make_gate(num_documents=num_documents)
    shown = push_all(gate, ["It was led", " by Dennis", " Ritchie.", " He was", " not there."])
    assert [text for text in shown if text] == [instead]
    assert gate.is_refused
    assert gate.end() == ""


def test_a_sentence_without_end_is_held_back_for_so_long_only() -> None:
    shown = push_all(make_gate(), ["Filby "] * 100)
    assert shown.count("") == 63
    assert "".join(shown) == "Filby " * 100


def test_nothing_is_held_back_unless_it_is_to_be_checked() -> None:
    gate = make_gate(enabled=False)
    assert push_all(gate, ["By Dennis", " Ritchie."]) == ["By Dennis", " Ritchie."]
    assert gate.end() == ""
    assert not gate.is_refused


@pytest.fixture(scope="module")
def outcome(tiny_models: dict[str, Path]) -> Outcome:
    """Of a question that was not checked."""
    engine = Engine.load(str(tiny_models["llama"]), dtype="float32", device="cpu")
    *_, outcome = ask(replace(make_work(engine, TEXT), check=False), QUESTION)
    assert isinstance(outcome, Outcome)
    return outcome


def test_the_outcome_tells_what_became_of_the_answer(outcome: Outcome) -> None:
    assert (outcome.found, outcome.question, outcome.guess) == (None, QUESTION, "")
    refused = make_gate()
    push_all(refused, ["It was led by\nDennis Ritchie."])
    assert refused.end() == "No answer found in the document."
    told = refused.conclude(outcome)
    assert told.generation.text == "No answer found in the document."
    assert (told.found, told.guess) == (False, "It was led by Dennis Ritchie.")
    assert told.reason == "not in the document: Dennis Ritchie"
    assert told.warnings == (
        "not in the document: Dennis Ritchie; the model would say: It was led by Dennis Ritchie.",
    )
    shown = make_gate()
    push_all(shown, ["Filby"])
    shown.end()
    assert shown.conclude(outcome).found is True
    assert shown.conclude(outcome).generation == outcome.generation

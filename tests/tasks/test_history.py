"""Questions of a conversation: earlier turns are read too, as far as the window holds them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from works import listen_to, make_work

from fastkv_cli import Engine
from fastkv_cli.prompts.prompt import Turn, ask_task
from fastkv_cli.tasks import Outcome, Work, ask

QUESTION = "How often did the committee meet?"
SHORT = "The committee met 14 times in 1999, and 3 times in 1998.\n"
LONG = "".join(f"Entry {at:04}: the committee met and wrote it down.\n\n" for at in range(200))
HISTORY = [Turn(f"What of entry {at}?", f"Entry {at} says so. " * 8) for at in range(40)]


@pytest.fixture(scope="module")
def engine(tiny_models: dict[str, Path]) -> Engine:
    return Engine.load(str(tiny_models["llama"]), dtype="float32", device="cpu")


@pytest.fixture
def prompts(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    return listen_to(engine, monkeypatch)


def outcome_of(work: Work, history: Sequence[Turn]) -> Outcome:
    *_, outcome = ask(work, QUESTION, history)
    assert isinstance(outcome, Outcome)
    return outcome


@pytest.mark.parametrize("text", [SHORT, LONG], ids=["short", "long"])
def test_turns_stand_between_the_document_and_the_question(
    engine: Engine, prompts: list[str], text: str
) -> None:
    outcome = outcome_of(make_work(engine, text), HISTORY[:2])
    (prompt,) = prompts
    places = [prompt.index(words) for turn in HISTORY[:2] for words in (turn.question, turn.answer)]
    assert prompt.index("committee met") < places[0]
    assert places == sorted(places)
    assert prompt.index(QUESTION) > places[-1]
    assert outcome.turns_left_out == 0
    assert not [warning for warning in outcome.warnings if "left out" in warning]
    assert outcome.question == QUESTION


@pytest.mark.parametrize("text", [SHORT, LONG], ids=["short", "long"])
def test_the_oldest_turns_go_first(engine: Engine, prompts: list[str], text: str) -> None:
    work = make_work(engine, text)
    outcome = outcome_of(work, HISTORY)
    (prompt,) = prompts
    left_out = outcome.turns_left_out
    assert 0 < left_out < len(HISTORY)
    assert [turn.question in prompt for turn in HISTORY] == [
        at >= left_out for at in range(len(HISTORY))
    ]
    warning = f"the oldest {left_out} turns no longer fit the window and are left out"
    assert outcome.warnings[0] == warning
    # as many as fit, and the document is whole or its passages as many as without a history
    used = outcome.reading.tokens_used
    assert used == outcome_of(work, []).reading.tokens_used
    kept = work.window.keep_turns(ask_task(QUESTION), HISTORY[left_out - 1 :], used)
    # the marks between passages take room too
    assert len(kept) - (len(HISTORY) - left_out) in ((0,) if text == SHORT else (0, 1))


def test_passages_are_chosen_by_the_question_alone(engine: Engine, prompts: list[str]) -> None:
    work = make_work(engine, LONG)
    scored = outcome_of(work, []), outcome_of(work, HISTORY[:3])
    assert scored[0].reading.tokens_used == scored[1].reading.tokens_used
    alone, behind = prompts
    document = alone[: alone.index("</document>")]
    assert behind.startswith(document)


def test_one_turn_is_told_as_one(engine: Engine) -> None:
    turns = [Turn("Why?", "Because. " * 800), Turn("When?", "In 1999.")]
    outcome = outcome_of(make_work(engine, SHORT), turns)
    assert outcome.turns_left_out == 1
    assert outcome.warnings[0] == "the oldest turn no longer fits the window and is left out"

"""Summaries in one go and in parts, by a tiny model with a window of 2,048 tokens."""

from __future__ import annotations

from pathlib import Path

import pytest
from works import make_work

from fastkv_cli import Engine
from fastkv_cli.config import Length
from fastkv_cli.engine.generation import Piece
from fastkv_cli.errors import ContextError
from fastkv_cli.tasks import Outcome, Work, summarize

PARAGRAPH = "The committee met 14 times in 1999, and wrote a long document about it.\n\n"


@pytest.fixture(scope="module")
def engine(tiny_models: dict[str, Path]) -> Engine:
    return Engine.load(str(tiny_models["llama"]), dtype="float32", device="cpu")


def run(work: Work, length: Length = Length.MEDIUM) -> tuple[str, Outcome]:
    """The answer as it came, and the outcome, which is the last event."""
    *pieces, outcome = summarize(work, length)
    assert isinstance(outcome, Outcome)
    assert all(isinstance(piece, Piece) for piece in pieces)
    return "".join(piece.text for piece in pieces if isinstance(piece, Piece)), outcome


@pytest.mark.parametrize("length", Length)
def test_a_short_text_is_read_in_one_go(engine: Engine, length: Length) -> None:
    work = make_work(engine, PARAGRAPH * 3)
    answer, outcome = run(work, length)
    assert answer == outcome.generation.text
    assert outcome.reading.parts == 1
    assert outcome.reading.parts_s is None
    assert outcome.reading.tokens_read == work.corpus.num_tokens
    assert outcome.reading.tokens_left_out == 0
    assert outcome.generation.stats.prompt_tokens > work.corpus.num_tokens


def test_a_long_text_is_read_in_parts_and_all_of_it(engine: Engine) -> None:
    told: list[tuple[str, int, int]] = []
    work = make_work(engine, PARAGRAPH * 150, told=lambda *now: told.append(now))
    assert work.corpus.num_tokens > 2 * 2048
    answer, outcome = run(work)
    assert answer == outcome.generation.text
    reading = outcome.reading
    assert reading.parts >= 3
    assert reading.tokens_read == reading.tokens_used == work.corpus.num_tokens
    assert reading.tokens_left_out == 0
    assert reading.parts_s is not None
    assert reading.parts_s > 0
    labels = list(dict.fromkeys(label for label, _, _ in told))
    parts = [f"part {number} of {reading.parts}" for number in range(1, reading.parts + 1)]
    assert labels[: reading.parts] == parts
    done = [done for label, done, _ in told if label in parts]
    assert done == sorted(done)
    assert done[-1] == work.corpus.num_tokens
    assert all(total == work.corpus.num_tokens for label, _, total in told if label in parts)


def test_the_end_of_the_answer_is_explained(engine: Engine) -> None:
    _, outcome = run(make_work(engine, PARAGRAPH, max_tokens=2))
    assert outcome.generation.finish_reason == "length"
    assert outcome.warnings == ("the answer stops at 2 tokens: allow more with --max-tokens",)


@pytest.mark.parametrize("paragraphs", [2, 150])
def test_an_answer_that_fills_the_window_leaves_no_room(engine: Engine, paragraphs: int) -> None:
    with pytest.raises(ContextError, match=r"no room for text.*2,048.*smaller --max-tokens"):
        run(make_work(engine, PARAGRAPH * paragraphs, max_tokens=2000))


def test_notes_that_do_not_fit_are_summarized_in_turn_or_refused(engine: Engine) -> None:
    """Never an endless loop, and never a prompt beyond the window."""
    work = make_work(engine, PARAGRAPH * 12, max_tokens=1700)
    try:
        _, outcome = run(work)
    except ContextError as error:
        assert "notes" in str(error)  # noqa: PT017 (either end is right)
    else:
        assert outcome.generation.stats.prompt_tokens < 2048

"""Summaries in one go and in parts, by a tiny model with a window of 2,048 tokens."""

from __future__ import annotations

from pathlib import Path

import pytest
from works import listen_to, make_work

from fastkv_cli import Engine
from fastkv_cli.config import SUMMARY_SENTENCES, Length
from fastkv_cli.engine.generation import Piece
from fastkv_cli.errors import ContextError
from fastkv_cli.summary_style import Style
from fastkv_cli.tasks import Outcome, Work, summarize
from fastkv_cli.tasks.sentences import find_sentences

PLACES = "Aldra Belma Corin Dovre Elsin Farum Gotla Halden Ivrea Jarna".split()  # noqa: SIM905
PARAGRAPH = "".join(
    f"The {what} of {place} was built in {1900 + 7 * at} for {3 * at + 40} families.\n\n"
    for at, (place, what) in enumerate(
        (place, what) for what in ("bridge", "harbour", "library") for place in PLACES
    )
)


@pytest.fixture(scope="module")
def engine(tiny_models: dict[str, Path]) -> Engine:
    return Engine.load(str(tiny_models["llama"]), dtype="float32", device="cpu")


def run(
    work: Work, length: Length = Length.MEDIUM, style: Style | None = None, language: str = ""
) -> tuple[str, Outcome]:
    """The answer as it came, and the outcome, which is the last event."""
    *pieces, outcome = summarize(work, length, style, language)
    assert isinstance(outcome, Outcome)
    assert all(isinstance(piece, Piece) for piece in pieces)
    return "".join(piece.text for piece in pieces if isinstance(piece, Piece)), outcome


@pytest.mark.parametrize("style", Style)
@pytest.mark.parametrize("length", Length)
def test_a_short_text_is_read_in_one_go(engine: Engine, length: Length, style: Style) -> None:
    work = make_work(engine, PARAGRAPH, max_tokens=400)
    answer, outcome = run(work, length, style)
    assert answer == outcome.generation.text
    assert outcome.reading.parts == 1
    assert outcome.reading.tokens_read == work.corpus.num_tokens
    assert outcome.reading.tokens_left_out == 0
    assert (outcome.reading.parts_s is None) is (style is Style.EXTRACTIVE)
    assert outcome.generation.stats.prompt_tokens > 0
    assert outcome.kv.full_bytes > 0


@pytest.mark.parametrize("length", Length)
def test_quoted_sentences_are_those_of_the_text(engine: Engine, length: Length) -> None:
    """Also where a random model rewrites them: nothing that it says holds."""
    work = make_work(engine, PARAGRAPH, max_tokens=400)
    quoted, outcome = run(work, length, Style.EXTRACTIVE)
    sentences = find_sentences(quoted)
    assert all(sentence.text in PARAGRAPH for sentence in sentences)
    assert len(sentences) <= SUMMARY_SENTENCES[length][1]
    assert any(each.begins_paragraph for each in sentences[1:]) is (length is Length.LONG)
    assert outcome.generation.token_ids == []
    assert outcome.generation.stats.output_tokens == 0
    assert outcome.kv.kept_bytes == 0
    assert 0 < outcome.kv.compute_ratio < 1
    assert run(work, length, Style.PROSE)[0] == quoted
    listed, _ = run(work, length, Style.BULLETS)
    assert listed == "\n".join(f"- {sentence.text}" for sentence in sentences)


def test_the_default_is_prose_for_models_that_can(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = listen_to(engine, monkeypatch)
    run(make_work(engine, PARAGRAPH))
    assert len(seen) == 1
    run(make_work(engine, PARAGRAPH), style=Style.EXTRACTIVE)
    assert len(seen) == 1


def test_a_language_is_asked_for_and_doubted(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = listen_to(engine, monkeypatch)
    _, outcome = run(make_work(engine, PARAGRAPH), language="German")
    assert "Write in German." in seen[0]
    assert outcome.warnings[0].endswith("is not known to write German: check the summary")


def test_a_long_text_is_read_in_parts_and_all_of_it(engine: Engine) -> None:
    told: list[tuple[str, int, int]] = []
    work = make_work(engine, PARAGRAPH * 8, told=lambda *now: told.append(now))
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


def test_a_text_without_sentences_is_summarized(engine: Engine) -> None:
    answer, _ = run(make_work(engine, "name | age\nAda | 36\n"))
    assert answer
    answer, outcome = run(make_work(engine, "…"))
    assert answer == outcome.generation.text


@pytest.mark.parametrize("times", [1, 8])
def test_an_answer_that_fills_the_window_leaves_no_room(engine: Engine, times: int) -> None:
    with pytest.raises(ContextError, match=r"no room for text.*2,048.*smaller --max-tokens"):
        run(make_work(engine, PARAGRAPH * times, max_tokens=2000))

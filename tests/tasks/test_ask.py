"""Questions on texts within and beyond the window of 2,048 tokens."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from works import listen_to, make_work

from fastkv_cli import Engine
from fastkv_cli.engine.generation import Piece
from fastkv_cli.errors import ContextError, ExitCode
from fastkv_cli.prompts.prompt import ask_task, build_prompt
from fastkv_cli.stats import Verdict
from fastkv_cli.tasks import Outcome, Work, ask, extract

QUESTION = "How often did the committee meet?"


@pytest.fixture(scope="module")
def engine(tiny_models: dict[str, Path]) -> Engine:
    return Engine.load(str(tiny_models["llama"]), dtype="float32", device="cpu")


def numbered(count: int) -> str:
    """A text whose paragraphs can be told apart."""
    return "".join(
        f"Entry {at:04}: the committee met and wrote it down.\n\n" for at in range(count)
    )


def run(work: Work, question: str = QUESTION) -> tuple[str, Outcome]:
    *pieces, outcome = ask(work, question)
    assert isinstance(outcome, Outcome)
    return "".join(piece.text for piece in pieces if isinstance(piece, Piece)), outcome


@pytest.fixture
def prompts(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    return listen_to(engine, monkeypatch)


def test_a_short_text_is_answered_from_whole(engine: Engine, prompts: list[str]) -> None:
    work = make_work(engine, numbered(20))
    answer, outcome = run(work)
    assert answer == outcome.generation.text
    assert outcome.reading.parts == 1
    assert outcome.reading.tokens_left_out == 0
    assert outcome.reading.tokens_used == outcome.reading.tokens_read == work.corpus.num_tokens
    assert len(prompts) == 1
    assert numbered(20) in prompts[0]
    assert prompts[0].index(QUESTION) > prompts[0].index("Entry 0019")


def test_a_long_text_is_answered_from_its_best_passages(engine: Engine, prompts: list[str]) -> None:
    told: list[tuple[str, int, int]] = []
    work = make_work(engine, numbered(300), told=lambda *now: told.append(now))
    assert work.corpus.num_tokens > 3 * 2048
    answer, outcome = run(work)
    reading = outcome.reading
    assert answer == outcome.generation.text
    assert reading.parts > 3
    assert reading.parts_s is not None
    assert reading.tokens_read == work.corpus.num_tokens
    assert reading.tokens_left_out > 0
    assert reading.tokens_used + reading.tokens_left_out == reading.tokens_read
    assert 100 < reading.tokens_used < outcome.generation.stats.prompt_tokens < 2048
    assert outcome.kv.layers[-1].tokens_seen == outcome.generation.stats.prompt_tokens
    assert outcome.kv.layers[0].tokens_seen > reading.tokens_read
    assert outcome.kv.note == "the best passages are kept in full"
    # in the order of the text, each once
    assert len(prompts) == 1
    entries = [int(number) for number in re.findall(r"Entry (\d{4})", prompts[0])]
    assert 10 < len(entries) < 300
    assert entries == sorted(set(entries))
    assert prompts[0].index(QUESTION) > prompts[0].rindex("Entry")
    assert "[…]" not in prompts[0]
    done = [done for label, done, _ in told if "scoring" in label]
    assert done == sorted(done)
    assert len(done) >= reading.parts


def test_attended_tokens_are_of_the_text(engine: Engine) -> None:
    work = make_work(engine, numbered(20))
    _, outcome = run(work)
    assert outcome.generation.token_scores is not None
    tokens = [token for token, _ in outcome.attended]
    scores = [score for _, score in outcome.attended]
    assert len(set(tokens)) == len(tokens) == 50
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= token < work.corpus.num_tokens for token in tokens)
    assert set(scores) <= set(outcome.generation.token_scores)
    # the whole text stands in the prompt: the same token, at its place
    best = max(range(work.corpus.num_tokens), key=lambda at: in_text(outcome, work)[at])
    assert in_text(outcome, work)[tokens[0]] == in_text(outcome, work)[best] == scores[0]


def in_text(outcome: Outcome, work: Work) -> list[float]:
    """The scores of the text's tokens, where the prompt holds it all."""
    start = build_prompt(work.tokenizer, [], ask_task(QUESTION)).document_span.start
    return (outcome.generation.token_scores or [])[start : start + work.corpus.num_tokens]


def test_the_question_decides_what_is_read(engine: Engine, prompts: list[str]) -> None:
    for question in (QUESTION, "Entry 0042 0043 0044 entry entry?"):
        run(make_work(engine, numbered(300)), question)
    first, second = (set(re.findall(r"Entry (\d{4})", prompt)) for prompt in prompts)
    assert first != second


@pytest.mark.parametrize("count", [20, 300])
def test_no_room_for_text(engine: Engine, count: int) -> None:
    with pytest.raises(ContextError, match="no room for text") as caught:
        run(make_work(engine, numbered(count), max_tokens=1990))
    assert caught.value.exit_code == ExitCode.CONTEXT
    with pytest.raises(ContextError, match="shorten the question"):
        run(make_work(engine, numbered(count)), QUESTION * 300)


def test_a_question_is_data(engine: Engine, prompts: list[str]) -> None:
    question = "{question} <|im_end|> {0} %s?"
    run(make_work(engine, numbered(5)), question)
    assert question.replace("<|", "‹|") in prompts[0]


@pytest.mark.parametrize("count", [20, 300])
def test_an_unsupported_answer_is_asked_for_once_more(
    engine: Engine, prompts: list[str], count: int
) -> None:
    work = make_work(engine, numbered(count), check=True)
    answer, outcome = run(work, "In which entry was it that the committee met?")
    first, second = prompts
    assert first != second
    assert second.count("Entry") < 100
    assert outcome.reading.looks == 2
    assert outcome.reading.parts_s is not None
    assert answer == outcome.generation.text  # of the second look alone
    assert outcome.verdict is Verdict.UNSUPPORTED


def test_a_text_that_is_too_long_to_answer_from_is_answered_from_passages(
    engine: Engine, prompts: list[str]
) -> None:
    work = replace(make_work(engine, numbered(60)), whole_below=100, passages=(1, 2))
    _, outcome = run(work)
    assert (outcome.reading.parts, outcome.reading.looks) == (1, 1)
    assert outcome.reading.tokens_used < 300 < work.corpus.num_tokens
    assert len(prompts) == 1


def test_what_the_text_is_not_about_is_refused_by_its_words(engine: Engine) -> None:
    work = make_work(engine, numbered(20), check=True)
    answer, outcome = run(work, "At which temperature does tungsten melt?")
    assert answer == outcome.generation.text == "No answer found in the document."
    assert (outcome.verdict, outcome.found) == (Verdict.NOT_FOUND, False)
    assert outcome.guess


def test_the_best_passage_alone(engine: Engine, prompts: list[str]) -> None:
    work = make_work(engine, numbered(300), check=True)
    *pieces, outcome = extract(work, "What does entry 0123 say?")
    assert isinstance(outcome, Outcome)
    text = "".join(piece.text for piece in pieces if isinstance(piece, Piece))
    assert "Entry 0123: the committee met and wrote it down." in text
    assert text in " ".join(numbered(300).split())
    assert prompts == []
    assert outcome.generation.text == text
    assert (outcome.verdict, outcome.found) == (Verdict.SUPPORTED, True)
    *_, refused = extract(work, "At which temperature does tungsten melt?")
    assert isinstance(refused, Outcome)
    assert refused.generation.text == "No answer found in the document."
    assert refused.verdict is Verdict.NOT_FOUND

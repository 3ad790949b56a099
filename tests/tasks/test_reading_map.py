"""The map of what was read: it covers the text, and says what reached the answer's prompt."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from works import make_work

from fastkv_cli import Document, Engine, FastKV
from fastkv_cli.config import Length
from fastkv_cli.stats import ReadingStats
from fastkv_cli.tasks import Outcome, Work, ask, summarize
from fastkv_cli.tasks.corpus import join_documents
from fastkv_cli.tasks.reading_map import DocumentMap, MapRecorder, ReadingMap

SENTENCES = [
    f"On day {number} the committee met {number % 9 + 2} times in hall {number * 7 % 31}."
    for number in range(240)
]


@pytest.fixture(scope="module")
def engine(tiny_models: dict[str, Path]) -> Engine:
    return Engine.load(str(tiny_models["llama"]), dtype="float32", device="cpu")


def record(work: Work, *, summary: bool = False) -> tuple[Outcome, ReadingMap]:
    recorder = MapRecorder(work.corpus)
    work = replace(work, recorder=recorder, method=FastKV(tsp_layer=1, tsp_rate=0.3))
    events = summarize(work, Length.SHORT) if summary else ask(work, "How often did it meet?")
    *_, outcome = events
    assert isinstance(outcome, Outcome)
    return outcome, recorder.build(outcome.attention)


def check_order(made: DocumentMap, *, is_whole: bool = True) -> None:
    """Blocks follow each other, none is empty, and shares lie between 0 and 1."""
    text = made.document.text
    assert all(block.start < block.end <= len(text) for block in made.blocks)
    assert all(one.end <= other.start for one, other in pairwise(made.blocks))
    if is_whole:
        assert made.blocks[0].start == 0
        assert made.blocks[-1].end == len(text)
        assert all(one.end == other.start for one, other in pairwise(made.blocks))
    shares = (
        getattr(block, name) for block in made.blocks for name in ("score", "propagated", "kept")
    )
    assert all(share is None or 0 <= share <= 1 for share in shares)


def test_sentences_of_a_text_that_fits(engine: Engine) -> None:
    text = " ".join(SENTENCES[:40])
    outcome, made = record(make_work(engine, text))
    (only,) = made.documents
    check_order(only)
    assert [text[block.start : block.end].strip() for block in only.blocks] == SENTENCES[:40]
    assert max(block.score or 0.0 for block in only.blocks) == 1.0
    # what the map says in shares is what the statistics say in numbers
    num_tokens = sum(block.num_tokens for block in only.blocks)
    kept = sum((block.kept or 0.0) * block.num_tokens for block in only.blocks) / num_tokens
    assert kept == pytest.approx(outcome.kv.kept_ratio, abs=0.05)
    passed = sum((block.propagated or 0.0) * block.num_tokens for block in only.blocks) / num_tokens
    assert passed == pytest.approx(0.3, abs=0.05)


def test_passages_of_a_long_text(engine: Engine) -> None:
    outcome, made = record(make_work(engine, " ".join(SENTENCES)))
    assert outcome.reading.parts > 1
    (only,) = made.documents
    check_order(only)
    assert all(block.score is not None for block in only.blocks)
    used = [block for block in only.blocks if block.kept]
    num_kept = sum((block.kept or 0.0) * block.num_tokens for block in used)
    assert num_kept == pytest.approx(outcome.reading.tokens_used, rel=0.02)
    # passages are kept in full, and of the rest nothing is
    partly = [block for block in used if (block.kept or 0.0) < 0.9]  # the space behind is not
    assert len(partly) <= 1 < len(used)  # the last passage may be cut to fit


@pytest.mark.parametrize("num_sentences", [40, 100])
def test_summaries_read_every_part(engine: Engine, num_sentences: int) -> None:
    work = make_work(engine, " ".join(SENTENCES[:num_sentences]))
    plain = [*summarize(work, Length.SHORT)][-1]
    outcome, made = record(work, summary=True)
    assert isinstance(plain, Outcome)
    assert outcome.attended == plain.attended == ()
    check_order(made.documents[0])
    assert all(block.score is not None for block in made.documents[0].blocks)
    assert len(made.documents[0].blocks) >= num_sentences


def test_headings_between_documents_are_in_no_block(engine: Engine) -> None:
    texts = [" ".join(SENTENCES[:12]), " ".join(SENTENCES[20:30]) + "\n"]
    documents = [Document(f"{at}.txt", text, None, (), ()) for at, text in enumerate(texts)]
    work = make_work(engine, "")
    work = replace(work, corpus=join_documents(documents, engine.tokenizer))
    _, made = record(work)
    assert [each.document.text for each in made.documents] == texts
    for each in made.documents:
        check_order(each)


def test_what_was_not_recorded_is_none(engine: Engine) -> None:
    work = make_work(engine, " ".join(SENTENCES[:40]))
    (only,) = MapRecorder(work.corpus).build().documents
    assert {(block.score, block.propagated, block.kept) for block in only.blocks} == {
        (None, None, None)
    }


def test_second_look_replaces_what_the_first_kept(engine: Engine) -> None:
    """The answer is made from the second; the scores of the first stay, they cover the text."""
    work = make_work(engine, " ".join(SENTENCES[:40]))
    recorder = MapRecorder(work.corpus)
    work = replace(work, recorder=recorder, method=FastKV(tsp_layer=1, tsp_rate=0.3))
    stats = ReadingStats(1, 0, 0)
    whole = range(work.corpus.num_tokens)
    list(work.answer(work.corpus.token_ids, "What?", "", stats, sources=whole))
    (first,) = recorder.build().documents
    list(work.answer(work.corpus.token_ids[:50], "What?", "", stats, sources=range(50)))
    (second,) = recorder.build().documents
    assert all(block.score is not None for block in second.blocks)
    assert any(block.kept for block in first.blocks[5:])
    assert not any(block.kept for block in second.blocks[5:])
    assert any(block.kept for block in second.blocks[:2])

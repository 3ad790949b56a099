"""Questions behind those before, on one session, with the embedded model and a tiny one."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from fastkv_cli.cli.chat.transcript import render_markdown
from fastkv_cli.cli.shown import Shown
from fastkv_cli.config import EMBEDDED_MODEL, DType, MethodSettings, ReadOptions
from fastkv_cli.engine.generation import Piece
from fastkv_cli.errors import ContextError
from fastkv_cli.output.console import Messages, stderr_console
from fastkv_cli.output.progress import ProgressBars
from fastkv_cli.prompts.prompt import Turn
from fastkv_cli.session.conversation import Conversation
from fastkv_cli.session.request import Request
from fastkv_cli.session.session import Session, open_session

TEXT = (
    "The expedition left the harbour of Bergen in May 1911.\n\n"
    "The cook of the expedition was called Anton Lindqvist. He baked bread every morning.\n"
)
COOK = "What was the cook of the expedition called?"
PAINTER = "Who painted the Mona Lisa?"


class Listening(Shown):
    """What is seen of an answer, and somebody who ends it after so many pieces."""

    def piece(self, piece: Piece) -> None:
        super().piece(piece)
        if 0 < self.max_tokens == len(self.pieces):
            raise KeyboardInterrupt


def seen(*, ended_after: int = 0) -> Shown:
    console = stderr_console()
    bars, messages = ProgressBars(console, enabled=False), Messages(console, quiet=True)
    return Listening(bars, messages, None, ended_after, cites=False)


@pytest.fixture
def begin(tmp_path: Path) -> Callable[..., Session]:
    def make(model: str, text: str, *, check: bool, max_tokens: int) -> Session:
        page = tmp_path / "a.txt"
        page.write_text(text)
        request = Request(
            (str(page),), ReadOptions(), model, MethodSettings(), dtype=DType.FLOAT32, check=check
        )
        return open_session("chat", request, max_tokens, seen())

    return make


@pytest.fixture
def session(begin: Callable[..., Session], embedded_dir: Path) -> Session:
    return begin(EMBEDDED_MODEL, TEXT, check=True, max_tokens=24)


@pytest.fixture
def tiny(begin: Callable[..., Session], tiny_models: dict[str, Path]) -> Session:
    return begin(str(tiny_models["llama"]), TEXT, check=False, max_tokens=12)


def test_each_question_stands_behind_those_before(session: Session) -> None:
    conversation = Conversation(session, seen())
    first = conversation.ask(COOK)
    assert first.command == "chat"
    assert "Anton Lindqvist" in first.answer
    assert first.load_s > 0
    assert conversation.history == (Turn(COOK, first.answer),)
    second = conversation.ask("And what is the name of the harbour?")
    assert second.load_s == 0
    assert second.generation.prompt_tokens > first.generation.prompt_tokens + 20
    assert conversation.last_report is second
    # with nothing before it, a question is answered as the first one was
    conversation.clear()
    assert conversation.exchanges == []
    assert conversation.last_report is None
    again = conversation.ask(COOK)
    assert again.answer == first.answer
    assert again.generation.prompt_tokens == first.generation.prompt_tokens


def test_what_the_documents_do_not_hold_is_no_turn(session: Session) -> None:
    conversation = Conversation(session, seen())
    refused = conversation.ask(PAINTER)
    assert refused.evidence.found is False
    assert conversation.history == ()
    assert [exchange.answer for exchange in conversation.exchanges] == [refused.answer]
    assert "Anton Lindqvist" in conversation.ask(COOK).answer


def test_what_there_is_of_an_interrupted_answer_counts(tiny: Session) -> None:
    shown = seen(ended_after=3)
    conversation = Conversation(tiny, shown)
    with pytest.raises(KeyboardInterrupt):
        conversation.ask(COOK)
    (exchange,) = conversation.exchanges
    assert exchange.report is None
    assert conversation.last_report is None
    assert conversation.history == (Turn(COOK, exchange.answer),)
    whole = Conversation(tiny, seen()).ask(COOK).answer
    assert whole.startswith(exchange.answer)
    assert len(exchange.answer) < len(whole)


def test_a_question_that_fails_leaves_all_as_it_was(tiny: Session) -> None:
    conversation = Conversation(tiny, seen())
    answer = conversation.ask(COOK).answer
    with pytest.raises(ContextError):
        conversation.ask("Why? " * 3000)
    assert conversation.history == (Turn(COOK, answer),)
    assert conversation.last_report is not None


def test_turns_that_no_longer_fit_are_forgotten_and_told_once(tiny: Session) -> None:
    conversation = Conversation(tiny, seen())
    long = " The committee met 14 times in 1999." * 25
    warned = []
    for number in range(8):
        report = conversation.ask(f"{number}?{long}")
        warned += [text for text in report.warnings if "no longer fit" in text]
    assert warned
    assert sum(1 if "turn no" in text else int(re.sub(r"\D", "", text)) for text in warned) == (
        8 - len(conversation.history)
    )
    assert len(conversation.exchanges) == 8
    left = len(conversation.history)
    short = conversation.ask("Who?")
    assert not [text for text in short.warnings if "no longer fit" in text]
    assert len(conversation.history) == left + 1


def test_markdown_of_a_conversation(session: Session) -> None:
    conversation = Conversation(session, seen())
    conversation.ask(f"{COOK}\n\nSay it.")
    unchecked = replace(session, work=replace(session.work, check=False))  # shown as it comes
    interrupted = Conversation(unchecked, seen(ended_after=2))
    with pytest.raises(KeyboardInterrupt):
        interrupted.ask(COOK)
    exchanges = [*conversation.exchanges, *interrupted.exchanges]
    text = render_markdown(conversation.documents, exchanges)
    assert text == (
        f"# {session.work.corpus.documents[0].path}\n\n"
        f"> {COOK}\n>\n> Say it.\n\n{exchanges[0].answer.strip()}\n\n*Carried by line 3.*\n\n"
        f"> {COOK}\n\n{exchanges[1].answer.strip()}\n\n*(interrupted)*\n"
    )

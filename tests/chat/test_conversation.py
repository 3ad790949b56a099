"""Questions behind those before, on one session, with the embedded model and a tiny one."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import fastkv_cli as fastkv
from fastkv_cli.cli.chat.transcript import render_markdown
from fastkv_cli.config import EMBEDDED_MODEL
from fastkv_cli.errors import ContextError
from fastkv_cli.prompts.prompt import Turn
from fastkv_cli.session.conversation import Exchange

TEXT = (
    "The expedition left the harbour of Bergen in May 1911.\n\n"
    "The cook of the expedition was called Anton Lindqvist. He baked bread every morning.\n"
)
COOK = "What was the cook of the expedition called?"
PAINTER = "Who painted the Mona Lisa?"


class Ending(fastkv.Observer):
    """Ends an answer after so many pieces, as Ctrl-C does; 0 does not."""

    def __init__(self) -> None:
        self.after = 0

    def piece(self, text: str) -> None:
        self.after -= 1
        if self.after == 0:
            raise KeyboardInterrupt


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Callable[..., fastkv.Session]]:
    opened: list[fastkv.Session] = []

    def make(model: str, **options: Any) -> fastkv.Session:
        page = tmp_path / "a.txt"
        page.write_text(TEXT)
        opened.append(fastkv.open(page, observer=Ending(), model=model, dtype="float32", **options))
        return opened[-1]

    yield make
    for session in opened:
        session.close()


@pytest.fixture
def session(begin: Callable[..., fastkv.Session], embedded_dir: Path) -> fastkv.Session:
    return begin(EMBEDDED_MODEL, max_tokens=24)


@pytest.fixture
def tiny(begin: Callable[..., fastkv.Session], tiny_models: dict[str, Path]) -> fastkv.Session:
    return begin(str(tiny_models["llama"]), check=False, max_tokens=12)


def interrupt(chat: fastkv.Chat, *, after: int) -> Exchange:
    """Ask, and end the answer after so many pieces."""
    assert isinstance(chat.session.observer, Ending)
    chat.session.observer.after = after
    with pytest.raises(KeyboardInterrupt):
        chat.ask(COOK)
    return chat.exchanges[-1]


def test_each_question_stands_behind_those_before(session: fastkv.Session) -> None:
    chat = session.chat()
    first = chat.ask(COOK)
    assert first.report.command == "chat"
    assert "Anton Lindqvist" in first.text
    assert first.report.load_s > 0
    assert chat.history == (Turn(COOK, first.text),)
    second = chat.ask("And what is the name of the harbour?")
    assert second.report.load_s == 0
    assert second.stats.prompt_tokens > first.stats.prompt_tokens + 20
    assert chat.last is second
    # with nothing before it, a question is answered as the first one was
    chat.clear()
    assert chat.exchanges == []
    assert chat.last is None
    again = chat.ask(COOK)
    assert again.text == first.text
    assert again.stats.prompt_tokens == first.stats.prompt_tokens


def test_what_the_documents_do_not_hold_is_no_turn(session: fastkv.Session) -> None:
    chat = session.chat()
    refused = chat.ask(PAINTER)
    assert refused.found is False
    assert chat.history == ()
    assert [exchange.answer for exchange in chat.exchanges] == [refused]
    assert "Anton Lindqvist" in chat.ask(COOK).text


def test_what_there_is_of_an_interrupted_answer_counts(tiny: fastkv.Session) -> None:
    chat = tiny.chat()
    exchange = interrupt(chat, after=3)
    assert exchange.answer is None
    assert chat.last is None
    assert chat.history == (Turn(COOK, exchange.text),)
    whole = tiny.chat().ask(COOK).text
    assert whole.startswith(exchange.text)
    assert len(exchange.text) < len(whole)


def test_a_question_that_fails_leaves_all_as_it_was(tiny: fastkv.Session) -> None:
    chat = tiny.chat()
    answer = chat.ask(COOK).text
    with pytest.raises(ContextError):
        chat.ask("Why? " * 3000)
    assert chat.history == (Turn(COOK, answer),)
    assert chat.last is not None


def test_turns_that_no_longer_fit_are_forgotten_and_told_once(tiny: fastkv.Session) -> None:
    chat = tiny.chat()
    long = " The committee met 14 times in 1999." * 25
    warned = []
    for number in range(8):
        report = chat.ask(f"{number}?{long}")
        warned += [text for text in report.warnings if "no longer fit" in text]
    assert warned
    assert sum(1 if "turn no" in text else int(re.sub(r"\D", "", text)) for text in warned) == (
        8 - len(chat.history)
    )
    assert len(chat.exchanges) == 8
    left = len(chat.history)
    short = chat.ask("Who?")
    assert not [text for text in short.warnings if "no longer fit" in text]
    assert len(chat.history) == left + 1


def test_markdown_of_a_conversation(tiny: fastkv.Session) -> None:
    chat = tiny.chat()
    chat.ask(f"{COOK}\n\nSay it.")
    interrupt(chat, after=2)
    first, second = chat.exchanges
    assert first.answer is not None
    places = ["*Sources: line 3*\n\n"] if first.answer.citations else []
    assert render_markdown(tiny.document_stats, chat.exchanges) == (
        f"# {tiny.paths[0]}\n\n> {COOK}\n>\n> Say it.\n\n{first.text.strip()}\n\n{''.join(places)}"
        f"> {COOK}\n\n{second.text.strip()}\n\n*(interrupted)*\n"
    )


def test_markdown_names_what_carried_an_answer(session: fastkv.Session) -> None:
    chat = session.chat()
    answer = chat.ask(COOK)
    assert render_markdown(session.document_stats, chat.exchanges) == (
        f"# {session.paths[0]}\n\n> {COOK}\n\n{answer.text.strip()}\n\n*Sources: line 3*\n"
    )

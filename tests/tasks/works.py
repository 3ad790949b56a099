"""Work for tasks on a text, with a tiny model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from fastkv_cli import Document, Engine, FastKV
from fastkv_cli.config import GREEDY
from fastkv_cli.engine.methods import Full, build_scoring_method
from fastkv_cli.engine.tuning import Tuning
from fastkv_cli.tasks import PartStore, Work
from fastkv_cli.tasks.corpus import join_documents


def listen_to(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The prompts that are answered from, as text; the engine does its work as ever."""
    seen: list[str] = []
    stream = engine.stream

    def listen(prompt_ids: Sequence[int] | str, *others: Any, **settings: Any) -> Any:
        seen.append(engine.tokenizer.decode(prompt_ids))
        return stream(prompt_ids, *others, **settings)

    monkeypatch.setattr(engine, "stream", listen)
    return seen


def make_work(
    engine: Engine,
    text: str,
    max_tokens: int = 8,
    told: Any = None,
    parts: PartStore | None = None,
    *,
    check: bool = False,
) -> Work:
    """The work of a task; unchecked, as whatever a tiny model says is unsupported."""
    document = Document(path="a.txt", text=text, num_pages=None, pages=(), warnings=())
    return Work(
        engine=engine,
        corpus=join_documents([document], engine.tokenizer),
        method=FastKV(),
        scoring_method=lambda window: build_scoring_method(Tuning("tiny"), window),
        excerpt_method=Full(),
        max_tokens=max_tokens,
        sampling=GREEDY,
        on_progress=told or (lambda label, done, total: None),
        parts=parts or PartStore(enabled=False),
        check=check,
    )

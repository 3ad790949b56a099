"""Renders a conversation as Markdown. Pure: nothing is written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ...documents.source import label
from ...evidence.places import name_places
from ...session.conversation import Exchange
from ...stats import DocumentStats

INTERRUPTED = "interrupted"


def render_markdown(documents: Sequence[DocumentStats], exchanges: Sequence[Exchange]) -> str:
    """The questions as quotations, each with its answer and the sources of that.

    Args:
        documents: the documents of the conversation.
        exchanges: its questions and answers, in order.
    """
    return "\n\n".join(_blocks(documents, exchanges)) + "\n"


def _blocks(documents: Sequence[DocumentStats], exchanges: Sequence[Exchange]) -> Iterator[str]:
    yield f"# {', '.join(label(document.path) for document in documents)}"
    for exchange in exchanges:
        yield "\n".join(f"> {line}".rstrip() for line in exchange.question.split("\n"))
        yield exchange.text.strip()
        if exchange.answer is None:
            yield f"*({INTERRUPTED})*"
            continue
        report = exchange.answer.report
        citations = report.evidence.citations
        if citations:
            places = name_places(citations, paths=report.paths)
            yield f"*Sources: {label(places)}*"

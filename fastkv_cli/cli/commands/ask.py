"""`fastkv ask`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ...config import DEFAULT_ANSWER_TOKENS
from ...errors import UsageError
from ..option_sets import RunOptions
from .sources import check_any

if TYPE_CHECKING:
    from ...forecasts import ReadingForecast
    from ...tasks.context_window import Window
    from ...tasks.corpus import Corpus

ArgumentsArg = Annotated[
    list[str] | None,
    typer.Argument(
        metavar='PATH… "QUESTION"',
        show_default=False,
        help="Documents, folders or patterns (- is stdin), then the question.",
    ),
]
QuestionOpt = Annotated[
    list[str] | None,
    typer.Option(
        "--question",
        metavar="TEXT",
        show_default=False,
        help="Ask this question; may be repeated. Each answer is one line of JSON, and all "
        "arguments are documents.",
    ),
]
QuestionsOpt = Annotated[
    str | None,
    typer.Option(
        "--questions",
        metavar="FILE",
        show_default=False,
        help="Ask the questions in a file (- is stdin), one per line, in the same way; empty lines "
        "and lines that begin with # are skipped. --dry-run is for the longest one.",
    ),
]

SchemaOpt = Annotated[
    str | None,
    typer.Option(
        "--schema",
        metavar="FIELDS|FILE",
        show_default=False,
        help="Fill in these fields as one JSON object, in place of a question: 'vendor, total "
        "float, date: day of issue', a JSON Schema, or a file with either.",
    ),
]
MultiOpt = Annotated[
    bool,
    typer.Option("--schema-multi", help="Fill in --schema for every row of a list, as an array."),
]

_EXAMPLE = 'as in: fastkv ask report.pdf "Who wrote it?"'
_NO_DOCUMENT = f"name one before the question, {_EXAMPLE}"


def ask(
    arguments: ArgumentsArg = None,
    question: QuestionOpt = None,
    questions: QuestionsOpt = None,
    schema: SchemaOpt = None,
    *,
    schema_multi: MultiOpt = False,
    options: RunOptions,
) -> None:
    """Answer a question, or several, or fill in fields, from documents of any length."""
    if schema is not None or schema_multi:
        from ..field_command import run_schema

        if question or questions is not None:
            raise UsageError("--schema and questions exclude each other", "give one of them")
        run_schema(arguments or [], schema, options, multi=schema_multi)
        return
    if question or questions is not None:
        _ask_several(arguments or [], question or [], questions, options)
        return
    from ...documents import names_documents

    *paths, last = arguments or [""]
    if not last.strip() or last == "-" or names_documents(last):
        raise UsageError("the question is missing", f"put it last, {_EXAMPLE}")
    check_any(paths, _NO_DOCUMENT)
    sources = paths or ["-"]
    if options.dry_run:
        forecast(sources, options, [last])
        return
    options.check_all()
    from ..run import answer_once

    max_tokens = options.max_tokens or DEFAULT_ANSWER_TOKENS
    answer_once("ask", sources, options, max_tokens, lambda session: session.stream(last))


def _ask_several(paths: list[str], asked: list[str], file: str | None, options: RunOptions) -> None:
    """Answer the questions of --question and --questions."""
    if file != "-":
        check_any(paths, _NO_DOCUMENT)
    options.check_all()
    sources = paths or ["-"]
    from .. import question_batch

    wanted = question_batch.read_questions(asked, file, sources)
    if options.dry_run:
        forecast(sources, options, wanted)
        return
    question_batch.run(sources, options, wanted)


def forecast(sources: list[str], options: RunOptions, questions: list[str]) -> None:
    """Print the dry run."""
    options.check_all()
    from ...tasks import forecast_ask
    from .. import preview

    def predict(corpus: Corpus, window: Window, passages: int) -> ReadingForecast:
        return forecast_ask(
            corpus, window, questions, passages=passages, extractive=options.extractive
        )

    max_tokens = options.max_tokens or DEFAULT_ANSWER_TOKENS
    preview.forecast("ask", sources, options, predict, max_tokens)

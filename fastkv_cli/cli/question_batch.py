"""Several questions in one run: where they come from, and a line of JSON for each."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import (
    ClosedPipeError,
    FastKVError,
    InterruptedRunError,
    OutputError,
    PartlyFailedError,
    UsageError,
    as_failure,
)
from ..output.console import AnswerWriter, Messages, stderr_console
from ..output.progress import ProgressBars
from ..output.render.answer_tables import render_failure, render_json
from ..output.render.question_tables import render_tables
from ..session.request import Display, Request
from ..session.session import Session, answer, open_session
from ..tasks import NOTHING_TO_RESUME, PartStore, ask
from .shown import Shown

if TYPE_CHECKING:
    from ..stats import RunReport

STDIN = "-"
_MAX_BYTES = 2**23  # of a file of questions: more than anybody asks, less than memory
_COMMENT = "#"


def read_questions(asked: Sequence[str], file: str | None, sources: Sequence[str]) -> list[str]:
    """The questions of a run, those of options first.

    Args:
        asked: questions that were given one by one.
        file: the path of a file with one a line, or "-" for stdin; empty lines and those that
            begin with # are none.
        sources: the documents, as the user named them.

    Raises:
        UsageError: when the file cannot be read, or there is no question.
    """
    questions = [question for question in asked if question.strip()]
    if len(questions) < len(asked):
        raise UsageError("a --question is empty", "say what is to be answered")
    if file is not None:
        if file == STDIN and STDIN in sources:
            raise UsageError(
                "standard input cannot be both the document and the questions",
                "name a file for one of them",
            )
        questions += _lines_of(file)
    return questions


def _lines_of(file: str) -> list[str]:
    """The questions in a file."""
    try:
        if file == STDIN:
            if sys.stdin is None:
                raise UsageError("standard input is closed", "name a file of questions")
            data = sys.stdin.buffer.read(_MAX_BYTES + 1)
        else:
            with Path(file).open("rb") as opened:
                data = opened.read(_MAX_BYTES + 1)
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise UsageError(f"--questions {file}: line {line} is not UTF-8", "convert it") from None
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or error
        raise UsageError(f"--questions {file} cannot be read ({reason})", "check it") from error
    if len(data) > _MAX_BYTES:
        raise UsageError(f"--questions {file} is too large", f"{_MAX_BYTES:,} bytes are read")
    lines = [line.strip() for line in text.split("\n")]
    questions = [line for line in lines if line and not line.startswith(_COMMENT)]
    if not questions:
        raise UsageError(f"--questions {file} holds no question", "write one on each line")
    return questions


def run(request: Request, questions: Sequence[str], max_tokens: int, display: Display) -> None:
    """Answer questions one after the other, each with a line of JSON as soon as it is answered.

    Args:
        request: what is to be done.
        questions: one or more.
        max_tokens: the most tokens to answer each with.
        display: how to show it; the answers are JSON in any case.

    Raises:
        FastKVError: whatever went wrong, with its exit code; what goes wrong with one question
            costs no other, and is raised at the end.
    """
    console = stderr_console()
    messages = Messages(console, quiet=display.quiet)
    writer = AnswerWriter(display.output, force=display.force)
    bars = ProgressBars(console, enabled=not display.quiet)
    opening = Shown(bars, messages, None, max_tokens, display.cite, display.debug)
    results: list[RunReport | FastKVError] = []
    try:
        with bars:
            session = open_session("ask", request, max_tokens, opening, asks_again=True)
            for result, line in _answer_all(session, request, questions, opening):
                bars.close()
                results.append(result)
                writer.write(f"{line}\n")
        writer.finish()
    except Exception:  # as where the disk filled up meanwhile
        writer.give_up()
        raise
    except KeyboardInterrupt:
        writer.give_up()
        unwritten = f"; {display.output} was not written" if display.output else ""
        done = f"{len(results)} of {len(questions)} questions are answered{unwritten}"
        raise InterruptedRunError("interrupted", done) from None
    messages.show(render_tables(questions, results, display.stats_level))
    failed = [result for result in results if isinstance(result, FastKVError)]
    if failed:
        raise PartlyFailedError(failed, len(questions))


def _answer_all(
    session: Session, request: Request, questions: Sequence[str], opening: Shown
) -> Iterator[tuple[RunReport | FastKVError, str]]:
    """For each question, its report or what went wrong, and a line for programs."""
    needs_resuming = request.resume
    for number, question in enumerate(questions, start=1):
        shown = opening.afresh(f"{number}/{len(questions)} ")
        parts = PartStore(enabled=True, resume=request.resume, warn=shown.warn, note=opening.note)
        try:
            with parts:
                report = answer(session, partial(ask, question=question), shown, parts)
                parts.finish()
            line = render_json(report, indent=None)
        except (ClosedPipeError, OutputError):
            raise
        except Exception as error:  # noqa: BLE001 (the other questions are to be answered)
            shown.warn_of(error, f"question {number}")
            failure = as_failure(error)
            yield failure, render_failure("ask", question, failure)
        else:
            session = session.again()
            yield report, line
        needs_resuming &= not parts.is_open
    if needs_resuming:
        opening.note(NOTHING_TO_RESUME)

"""Several questions in one run: read them, and answer each with a line of JSON."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ..config import DEFAULT_ANSWER_TOKENS
from ..errors import (
    ClosedPipeError,
    FastKVError,
    NotSupportedError,
    OutputError,
    PartlyFailedError,
    UsageError,
    as_failure,
)
from ..output.console_observer import ConsoleObserver
from ..output.render.question_tables import render_tables
from ..output.render.report_json import render_failure, render_json
from ..session.answer import Answer, render_answer_page
from ..session.session import Session
from ..tasks import NOTHING_TO_RESUME
from ..thinking_mode import Thinking
from .run import Run

if TYPE_CHECKING:
    from .option_sets import RunOptions

STDIN = "-"
_MAX_BYTES = 2**23  # of a file of questions: more than anybody asks, far below the memory
_COMMENT = "#"


def read_questions(asked: Sequence[str], file: str | None, sources: Sequence[str]) -> list[str]:
    """The questions of a run, those given by --question first.

    Args:
        asked: the values of --question.
        file: the path of a file with one question per line, or "-" for stdin; empty lines and lines
            that begin with # are skipped.
        sources: the documents, as the user named them.

    Raises:
        UsageError: when the file cannot be read, or there is no question.
    """
    questions = [question for question in asked if question.strip()]
    if len(questions) < len(asked):
        raise UsageError("a --question is empty", "give a question")
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
        raise UsageError(
            f"--questions {file}: line {line} is not UTF-8", "convert the file"
        ) from None
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or error
        raise UsageError(
            f"--questions {file} cannot be read ({reason})", "check the path"
        ) from error
    if len(data) > _MAX_BYTES:
        raise UsageError(f"--questions {file} is larger than {_MAX_BYTES:,} bytes", "split it")
    lines = [line.strip() for line in text.split("\n")]
    questions = [line for line in lines if line and not line.startswith(_COMMENT)]
    if not questions:
        raise UsageError(f"--questions {file} holds no question", "write one per line")
    return questions


def run(sources: list[str], options: RunOptions, questions: Sequence[str]) -> None:
    """Answer questions in order, and write each answer as a line of JSON once it is complete.

    Args:
        sources: the documents.
        options: the command's options; answers are JSON even without --json.
        questions: one or more.

    Raises:
        PartlyFailedError: when some questions failed; raised after all others are answered.
        FastKVError: on any other failure, with its exit code.
    """
    results: list[Answer | FastKVError] = []
    with Run(
        quiet=options.quiet,
        debug=options.debug,
        output=options.output,
        force=options.force,
        max_tokens=options.max_tokens or DEFAULT_ANSWER_TOKENS,
        report=options.report,
        shows_thinking=options.thinking is Thinking.SHOW,
    ) as running:
        answered = f"of {len(questions)} questions are answered"
        running.what_is_left = lambda: "; ".join(
            filter(None, (f"{len(results)} {answered}", running.unwritten))
        )
        session = Session(
            sources,
            options,
            running.observer,
            command="ask",
            resume=options.resume,
            maps=options.report is not None,
        )
        with session:
            for result, line in _answer_all(session, questions, running.observer):
                running.bars.close()
                results.append(result)
                running.writer.write(f"{line}\n")
                session.drop_parts()
            running.writer.finish()
            asked = list(zip(questions, results, strict=True))
            running.write_report(partial(render_answer_page, asked))
    reports = [result.report if isinstance(result, Answer) else result for result in results]
    running.messages.show(render_tables(questions, reports, options.stats_level))
    failed = [result for result in results if isinstance(result, FastKVError)]
    if failed:
        raise PartlyFailedError(failed, len(questions))
    answers = [each for each in results if isinstance(each, Answer)]
    refused = [each for each in answers if each.report.evidence.is_refused]
    if options.strict and refused:
        raise NotSupportedError(len(refused), len(questions))


def _answer_all(
    session: Session, questions: Sequence[str], observer: ConsoleObserver
) -> Iterator[tuple[Answer | FastKVError, str]]:
    """Yield for each question its answer or error, and its line of JSON."""
    needs_resuming = session.resumes
    for number, question in enumerate(questions, start=1):
        observer.begin(f"{number}/{len(questions)} ")
        try:
            answer = session.ask(question)
            line = render_json(answer.report, indent=None)
        except (ClosedPipeError, OutputError):
            raise
        except Exception as error:  # noqa: BLE001 (the other questions are still answered)
            failure = as_failure(error)
            observer.failure(error, f"question {number}: {failure}")
            yield failure, render_failure("ask", question, failure)
        else:
            yield answer, line
        needs_resuming &= not session.read_in_parts
    if needs_resuming:
        observer.note(NOTHING_TO_RESUME)

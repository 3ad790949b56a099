"""From a request to a report: read, load, answer, show. The one road that commands take."""

from __future__ import annotations

from pathlib import Path

from ..errors import InterruptedRunError
from ..output.console import AnswerWriter, Messages, stderr_console
from ..output.progress import ProgressBars
from ..output.render.answer_tables import render_json
from ..output.render.stats_table import render_tables
from ..session.request import Display, Request
from ..session.session import Task, answer, open_session
from ..tasks import NOTHING_TO_RESUME, PartStore
from .shown import Shown


def run(command: str, request: Request, task: Task, max_tokens: int, display: Display) -> None:
    """Do one run and show it.

    Args:
        command: the command's name, for the report.
        request: what is to be done.
        task: what to do with the text, once all is loaded.
        max_tokens: the most tokens to answer with.
        display: how to show it.

    Raises:
        FastKVError: whatever went wrong, with its exit code.
    """
    console = stderr_console()
    messages = Messages(console, quiet=display.quiet)
    writer = AnswerWriter(display.output, force=display.force)
    bars = ProgressBars(console, enabled=not display.quiet)
    writes = None if display.json else writer
    opening = Shown(bars, messages, writes, max_tokens, display.cite, display.debug)
    shown = opening.afresh()
    # Whether anything is kept of a run is decided here, and nowhere else.
    with PartStore(enabled=True, resume=request.resume, warn=shown.warn, note=shown.note) as parts:
        try:
            with bars:
                session = open_session(command, request, max_tokens, opening)
                report = answer(session, task, shown, parts)
                if request.resume and not parts.is_open:
                    shown.note(NOTHING_TO_RESUME)
            if display.json:
                writer.write(render_json(report))
            writer.finish()
        except Exception:  # as where the disk filled up meanwhile
            writer.give_up()
            raise
        except KeyboardInterrupt:
            writer.give_up()
            raise _interrupted(display.output, parts) from None
        parts.finish()
    messages.show(render_tables(report, display.stats_level))


def _interrupted(output: Path | None, parts: PartStore) -> InterruptedRunError:
    """What became of a run that Ctrl-C ended."""
    unwritten = f"{output} was not written" if output else ""
    kept = f"{parts.kept}, run again with --resume" if parts.kept else ""
    return InterruptedRunError("interrupted", "; ".join(filter(None, (unwritten, kept))))

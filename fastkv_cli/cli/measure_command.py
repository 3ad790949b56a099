"""Shared driver of eval, bench, calibrate and profile-heads: console, files and the model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import OutputError, UsageError
from ..output.output_file import check_writable, write_file
from .option_sets import MeasureOptions

if TYPE_CHECKING:
    from ..evaluation.measure_context import MeasureContext
    from ..session.observer import Observer


class Measurement:
    """A measuring command at work.

    Attributes:
        observer: shows the measurement on the console.
        result: the text for stdout or the output file.
        render_page: gives the report page, if there is one.
    """

    def __init__(self, options: MeasureOptions, observer: Observer) -> None:
        """Load no model yet."""
        self.observer = observer
        self.result = ""
        self.render_page: Callable[[], str] = str
        self._options = options
        self._context: MeasureContext | None = None

    def load(self, model: str) -> MeasureContext:
        """Load a model by its name.

        Raises:
            FastKVError: when it cannot be loaded.
        """
        from ..evaluation.measure_context import load_context

        self._context = load_context(model, self._options, self.observer)
        return self._context

    def save_tuning(self, kind: str, measured: Mapping[str, Any]) -> str:
        """Save a measurement of the loaded model where `load_tuning` finds it; gives its JSON.

        Args:
            kind: "calibration" or "heads".
            measured: the JSON values to save.

        Raises:
            OutputError: when the file cannot be written.
        """
        from ..engine.tuning import loaded_content, tuning_json, tuning_path

        assert self._context is not None
        loaded = self._context.engine.loaded
        content = loaded_content(loaded)
        path = tuning_path(kind, content)
        text = tuning_json(loaded.name, content, measured)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(
                f"cannot write {path} ({error.strerror})", "free some space"
            ) from error
        write_file(path, text.encode())
        self.observer.note(f"saved for {loaded.name} in {path}")
        return text

    def finish(self) -> None:
        """Remove the results that were kept for a run that continues this one."""
        if self._context is not None:
            self._context.discard_journals()


@contextmanager
def measuring(
    options: MeasureOptions, hint: str = "", report: Path | None = None
) -> Iterator[Measurement]:
    """Set up console, bars and output file; write the result when the block ends without an error.

    Args:
        options: of the command.
        hint: for the error at Ctrl-C: what becomes of the results so far.
        report: a file for the report page; None writes none.

    Raises:
        OutputError: when the result cannot be written; the results so far are kept.
        InterruptedRunError: at Ctrl-C.
    """
    from .run import Run

    with Run(
        quiet=options.quiet,
        debug=options.debug,
        output=options.output,
        force=options.force,
        report=report,
    ) as run:
        run.what_is_left = lambda: hint
        measurement = Measurement(options, run.observer)
        yield measurement
    run.writer.write(measurement.result)
    run.writer.finish()
    run.write_report(measurement.render_page)
    measurement.finish()


def check_picture(path: Path | None, options: MeasureOptions) -> None:
    """Check that a picture can be drawn and written, before any work; imports nothing heavy.

    Args:
        path: the file to write; None where no picture is asked for.
        options: of the command.

    Raises:
        UsageError: when matplotlib, which the extra `plots` installs, is missing.
        OutputError: when the file cannot be written, or exists already and --force is not given.
    """
    if path is None:
        return
    if find_spec("matplotlib") is None:
        raise UsageError("a picture needs matplotlib", "pip install 'fastkv-cli[plots]'")
    check_writable(path, force=options.force)

"""The road of the commands that measure a model: load it, measure, write what came of it."""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..engine.tuning import Tuning, load_tuning
from ..output.console import Messages
from ..output.output_file import check_writable
from ..output.progress import ProgressBars
from ..output.render.report_json import describe_weights
from ..session.loading import load_engine
from ..system.trust import cache_warning
from ..version import __version__
from .option_sets import MeasureOptions
from .run import Run

if TYPE_CHECKING:
    from ..engine.generate import Engine


@dataclass(frozen=True, slots=True)
class MeasureContext:
    """A loaded model, what is known of it, and where to tell how far things are.

    What is in `when_written` is called once the result is where it belongs.
    """

    engine: Engine
    tuning: Tuning
    bars: ProgressBars
    messages: Messages
    when_written: list[Callable[[], None]] = field(default_factory=list)

    def fitting(self, lengths: Sequence[int], answer_tokens: int) -> tuple[int, ...]:
        """Those of some prompt lengths that fit the window; where none does, what fits."""
        room = self.engine.decoder.max_context - answer_tokens
        return tuple(length for length in lengths if length <= room) or (room,)

    @property
    def stamp(self) -> dict[str, Any]:
        """What the figures were measured with."""
        loaded = self.engine.loaded
        return {
            "fastkv": __version__,
            "torch": version("torch"),
            "transformers": version("transformers"),
            "model": loaded.name,
            "revision": loaded.revision,
            "dtype": loaded.dtype_name,
            "device": str(loaded.device),
            "attention": str(self.engine.kernel),
            "decode_weights": describe_weights(self.engine.decode_weights),
        }

    @property
    def machine(self) -> dict[str, Any]:
        """When and on what the figures were measured: for those that depend on it."""
        from ..engine.model.hardware import describe_hardware

        return {
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "python": platform.python_version(),
            "system": platform.platform(),
            **describe_hardware(self.engine.decoder.device),
        }


def check_picture(path: Path | None, options: MeasureOptions) -> None:
    """Find out whether a picture could be written, before any work is done.

    Raises:
        OutputError: when it could not, or when it exists already and --force is not given.
    """
    if path is not None:
        check_writable(path, force=options.force)


# Measures, and gives what goes to stdout or the output file.
Measure = Callable[[MeasureContext], str]
# Reads what is to be measured with, before the model is loaded, so that mistakes cost little.
Prepare = Callable[[ProgressBars, Messages], Measure]


def run(model: str, options: MeasureOptions, measure: Measure, hint: str = "") -> None:
    """Load the model, measure, and write the result.

    Args and errors are those of `run_prepared`; there is nothing to prepare.
    """
    run_prepared(model, options, lambda *_: measure, hint)


def run_prepared(model: str, options: MeasureOptions, prepare: Prepare, hint: str = "") -> None:
    """Prepare, load the model, measure, and write the result.

    Args:
        model: the model's name.
        options: of the command.
        prepare: what to do first; it gives what to do with the model.
        hint: what becomes of a run that is interrupted.

    Raises:
        FastKVError: whatever went wrong, with its exit code.
    """
    with Run(
        quiet=options.quiet, debug=options.debug, output=options.output, force=options.force
    ) as running:
        running.what_is_left = lambda: hint
        bars, messages = running.bars, running.messages
        measure = prepare(bars, messages)
        bars.update("starting")
        if warning := cache_warning():
            messages.warn(warning)
        engine = load_engine(model, options, running.observer)
        tuning = load_tuning(engine.loaded.name, engine.loaded.revision)
        bench = MeasureContext(engine, tuning, bars, messages)
        result = measure(bench)
    running.writer.write(result)
    running.writer.finish()
    for call in bench.when_written:
        call()


def render(*renderables: Any, columns: int = 100) -> str:
    """Tables as plain text."""
    from rich.console import Console

    console = Console(width=columns, no_color=True, highlight=False, emoji=False)
    with console.capture() as captured:
        for renderable in renderables:
            console.print(renderable, markup=not isinstance(renderable, str))
    return captured.get()

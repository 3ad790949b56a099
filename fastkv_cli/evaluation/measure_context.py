"""The loaded model that a measurement runs on, and whom to tell how far it is."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from ..engine.tuning import Tuning, loaded_content, tuning_of
from ..output.render.report_json import describe_weights
from ..session.loading import load_engine
from ..session.observer import SILENT, Observer
from ..session.options import DeviceOptions
from ..store.journal import Journal
from ..system.trust import cache_warning
from ..version import __version__

if TYPE_CHECKING:
    from ..engine.generate import Engine

_JOURNALS = "evaluations"  # their folder in the cache
_MAX_AGE_S = 30 * 24 * 3600.0  # of a journal that no run continues

# Called with a label, the number of results so far, and their final number.
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class MeasureContext:
    """A loaded model, its tuning, and the observer of the measurement.

    Attributes:
        engine: the model.
        tuning: its presets and head scores.
        observer: is told the progress, warnings and notes.
        journals: opened so far; they hold the results until `discard_journals`.
    """

    engine: Engine
    tuning: Tuning
    observer: Observer = SILENT
    journals: list[Journal] = field(default_factory=list)

    def lengths_that_fit(self, lengths: Sequence[int], answer_tokens: int) -> tuple[int, ...]:
        """The prompt lengths, in tokens, that fit the window with an answer.

        If none does, the longest prompt that fits.
        """
        room = self.engine.decoder.max_context - answer_tokens
        return tuple(length for length in lengths if length <= room) or (room,)

    def report_progress(self, unit: str) -> Progress:
        """A callback that tells the observer the number of results, in a unit."""
        return lambda label, done, total: self.observer.progress(label, done, total, unit)

    def open_journal(self, settings: Mapping[str, Any]) -> Journal:
        """The journal of a measurement, so that the same one resumes after an interruption.

        Args:
            settings: what the results depend on, beside the versions and the model.
        """
        content = loaded_content(self.engine.loaded)
        journal = Journal(_JOURNALS, {**self.stamp, "content": content, **settings})
        journal.prune(_MAX_AGE_S)
        self.journals.append(journal)
        return journal

    def discard_journals(self) -> None:
        """Remove the journals; call it once the report is written."""
        for journal in self.journals:
            journal.finish()

    @property
    def stamp(self) -> dict[str, Any]:
        """The versions and the model that the figures were measured with."""
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
        """The date and the hardware, for figures that depend on it."""
        from ..engine.model.hardware import describe_hardware

        return {
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "python": platform.python_version(),
            "system": platform.platform(),
            **describe_hardware(self.engine.decoder.device),
        }


def load_context(
    model: str, options: DeviceOptions | None = None, observer: Observer = SILENT
) -> MeasureContext:
    """Load a model and its tuning.

    Args:
        model: the model's name.
        options: where and how it runs; by default as a session decides.
        observer: of the measurement.

    Raises:
        FastKVError: when the model cannot be loaded, or its tuning cannot be read.
    """
    observer.progress("starting")
    if warning := cache_warning():
        observer.warning(warning)
    engine = load_engine(model, options or DeviceOptions(), observer)
    return MeasureContext(engine, tuning_of(engine.loaded), observer)

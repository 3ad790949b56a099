"""Save the results of the parts of a long text during a run, so that it can be resumed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from importlib.metadata import version
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from ..errors import OutputError, UsageError
from ..store.fingerprint import fingerprint_tokens
from ..store.journal import Journal
from ..version import __version__

if TYPE_CHECKING:
    from ..engine.methods import Method
    from .work import Work

KIND = "parts"  # the kind of their journals
MAX_AGE_S = 30 * 24 * 3600.0
NOTHING_KEPT = (
    "no parts are kept from an earlier run with this text and these settings: starting over"
)
NOTHING_TO_RESUME = "the text was read in one go: there was nothing to resume"
Report = Callable[[str], None]


class PartStore:
    """Saves a result for each part until the run has finished.

    A disk error is reported once and does not end the run, which then continues without saving.
    Use as a context manager.

    Attributes:
        num_resumed: parts taken from an earlier run.
        has_parts: whether the text was long enough for parts.
    """

    def __init__(
        self,
        *,
        enabled: bool,
        resume: bool = False,
        warn: Report = lambda _: None,
        note: Report = lambda _: None,
    ) -> None:
        """Set up; nothing is read or written before `open`.

        Args:
            enabled: whether anything is saved at all.
            resume: whether to use the results of an earlier run.
            warn: called with a problem, as one line.
            note: called with other information for the user, as one line.
        """
        self._enabled, self._resume = enabled, resume
        self._warn, self._note = warn, note
        self._stack = ExitStack()
        self._journal: Journal | None = None
        self._keys: Sequence[str] = ()
        self._earlier: Mapping[str, dict[str, Any]] = {}
        self.num_resumed = 0
        self.has_parts = False

    def open(self, settings: Mapping[str, Any], keys: Sequence[str]) -> None:
        """Load the results of an earlier run, if there are any.

        Args:
            settings: everything that the results depend on, as JSON values.
            keys: of the parts of the text.
        """
        self.has_parts, self._keys = True, keys
        if not self._enabled:
            return
        try:
            journal = self._stack.enter_context(Journal(KIND, settings))
        except UsageError:
            self._warn(
                "another process is working on the same text and task: this run saves no parts"
            )
            return
        except OutputError as error:
            self._stop(error)
            return
        self._journal = journal
        journal.prune(MAX_AGE_S)
        kept = self._num_kept
        if self._resume:
            self._earlier = dict(journal.results)
            if journal.num_damaged:
                self._warn("some saved parts are damaged: they are processed again")
            elif not kept:
                self._note(NOTHING_KEPT)
        elif kept:
            self._note(f"{kept} of {len(keys)} parts are kept from an earlier run: see --resume")

    def once(self, key: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Return the saved result of an earlier run, else compute and save it.

        Args:
            key: of a part, or of another step of the task.
            make: computes the result, as JSON values.
        """
        if key in self._earlier:
            self.num_resumed += key in self._keys
            return self._earlier[key]
        result = make()
        if self._journal is not None and self._enabled:
            try:
                self._journal.add(key, result)
            except OutputError as error:
                self._stop(error)
        return result

    def finish(self) -> None:
        """Remove the saved results, as the run has finished."""
        if self._journal is not None:
            with suppress(OSError):  # the folder may no longer be writable
                self._journal.finish()

    @property
    def kept(self) -> str:
        """What a next run could resume from, as `12 of 40 parts are kept`; empty if nothing."""
        number = self._num_kept
        return f"{number} of {len(self._keys)} parts are kept" if number else ""

    @property
    def _num_kept(self) -> int:
        results = self._journal.results if self._journal is not None else {}
        return sum(key in results for key in self._keys)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def _stop(self, error: OutputError) -> None:
        """Stop saving; results on disk are left there."""
        self._warn(f"the run cannot be resumed from here on: {error.message}")
        self._enabled = False


def open_parts(
    work: Work, task: str, parts: Sequence[slice], method: Method, frame_ids: Sequence[int]
) -> list[str]:
    """Open the work's store for a text in parts; returns the keys of the parts.

    Args:
        work: its store, model, text and sampling.
        task: a name for the result of a part.
        parts: the tokens of each part.
        method: the compression method for a part's prompt.
        frame_ids: the tokens of the prompt around a part.
    """
    keys = [f"{part.start}-{part.stop}" for part in parts]
    loaded, weights = work.engine.loaded, work.engine.decode_weights
    settings = {
        "task": task,
        "fastkv": __version__,
        "torch": version("torch"),
        "model": loaded.name,
        "revision": loaded.revision,
        "files": loaded.stamp_files(),
        "dtype": str(loaded.dtype),
        "device": str(loaded.device),
        "attention": str(work.engine.kernel),
        "decode_weights": [weights.dtype, *weights.bits, weights.head_bits],
        "prefill_weights": str(work.engine.prefill_models.wanted),
        "kv_dtype": str(work.engine.kv_dtype),
        "method": repr(method),
        "sampling": repr(work.sampling),
        "frame": fingerprint_tokens(frame_ids),
        "text": fingerprint_tokens(work.corpus.token_ids),
        "parts": keys,
    }
    work.parts.open(settings, keys)
    return keys

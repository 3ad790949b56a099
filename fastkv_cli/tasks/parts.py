"""What was made of the parts of a long text, kept while a run is at work, so that it can go on."""

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

KIND = "parts"  # of their journals
MAX_AGE_S = 30 * 24 * 3600.0
NOTHING_KEPT = "nothing is kept of an earlier run with this text and these settings: a fresh start"
NOTHING_TO_RESUME = "the text was read in one go: there was nothing to resume"
Tell = Callable[[str], None]


class PartStore:
    """Keeps a result for each part until the run has ended well.

    Trouble with the disk is told once and costs no answer: the run then goes on without keeping.
    Use as a context manager.

    Attributes:
        num_resumed: parts that were taken from an earlier run.
        is_open: whether the text was long enough for parts.
    """

    def __init__(
        self,
        *,
        enabled: bool,
        resume: bool = False,
        warn: Tell = lambda _: None,
        note: Tell = lambda _: None,
    ) -> None:
        """Set up; nothing is read or written before `open`.

        Args:
            enabled: whether anything is kept at all.
            resume: whether to go on from what an earlier run kept.
            warn: told what went wrong, on one line.
            note: told what a user may want to know, on one line.
        """
        self._enabled, self._resume = enabled, resume
        self._warn, self._note = warn, note
        self._stack = ExitStack()
        self._journal: Journal | None = None
        self._keys: Sequence[str] = ()
        self._earlier: Mapping[str, dict[str, Any]] = {}
        self.num_resumed = 0
        self.is_open = False

    def open(self, settings: Mapping[str, Any], keys: Sequence[str]) -> None:
        """Find what an earlier run kept.

        Args:
            settings: all that the results depend on, as JSON can hold it.
            keys: of the parts that the text was cut into.
        """
        self.is_open, self._keys = True, keys
        if not self._enabled:
            return
        try:
            journal = self._stack.enter_context(Journal(KIND, settings))
        except UsageError:
            self._warn("another process is at the same text and task: this one keeps no parts")
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
                self._warn("some of what was kept is damaged: those parts are read again")
            elif not kept:
                self._note(NOTHING_KEPT)
        elif kept:
            self._note(f"{kept} of {len(keys)} parts are kept from an earlier run: see --resume")

    def once(self, key: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """What an earlier run kept under a key, else what `make` makes, which is kept.

        Args:
            key: of a part, or of another step of the task.
            make: gives what JSON can hold.
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
        """The run has ended well and needs nothing of it any more."""
        if self._journal is not None:
            with suppress(OSError):  # a folder that can no longer be written
                self._journal.finish()

    @property
    def kept(self) -> str:
        """What the next run could go on from, as `12 of 40 parts are kept`; or nothing."""
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
        """Go on without keeping anything more; what is on disk stays there."""
        self._warn(f"the run cannot be resumed from here on: {error.message}")
        self._enabled = False


def open_parts(
    work: Work, task: str, parts: Sequence[slice], method: Method, frame_ids: Sequence[int]
) -> list[str]:
    """Open the work's store for a text in parts; gives their keys.

    Args:
        work: its store, model, text and sampling.
        task: a name for what is made of a part.
        parts: the tokens of each.
        method: how a part's prompt is compressed.
        frame_ids: the prompt around a part.
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
        "method": repr(method),
        "sampling": repr(work.sampling),
        "frame": fingerprint_tokens(frame_ids),
        "text": fingerprint_tokens(work.corpus.token_ids),
        "parts": keys,
    }
    work.parts.open(settings, keys)
    return keys

"""A tokenizer that came with a model: what breaks down in it becomes an error of the model.

Tokenizers are written in Rust, which panics on some of what a tokenizer.json may say: a panic is a
BaseException, and is written to the descriptor of stderr by Rust itself. A regular expression that
backtracks for ever panics too, after 10,000,000 steps (Oniguruma's limit on a match).
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import tempfile
import threading
from collections.abc import Iterator
from functools import cache
from typing import IO, Any

from ...errors import FastKVError, ModelError

_HINT = "fetch the model again, or try another one"
_STDERR = 2
_MAX_REASON = 200
_MAX_GROWTH = 1024  # the supported families' replace a blank by one character
_WORD = re.compile(r"\w")
_lock = threading.RLock()  # there is one stderr


class GuardedTokenizer:
    """A fast tokenizer of transformers, whose calls raise nothing but errors that are explained.

    It has the attributes of the one it guards.
    """

    def __init__(self, tokenizer: Any, name: str, vocab_size: int) -> None:
        """Guard a tokenizer.

        Args:
            tokenizer: what to guard.
            name: of the model.
            vocab_size: of the model; it has no embeddings for other ids.
        """
        self._tokenizer = tokenizer
        self._name = name
        self._vocab_size = vocab_size

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tokenizer, name)

    def __call__(self, text: str, **settings: Any) -> Any:
        """Encode a text.

        Raises:
            ModelError: when that fails, gives nothing, or a token is none of the model's.
        """
        with explained_panics(self._name):
            encoded = self._tokenizer(text, **settings)
        ids = encoded["input_ids"]
        if not ids and _WORD.search(text):
            raise ModelError(f"the tokenizer of {self._name} gives no tokens for a text", _HINT)
        largest = max(ids, default=0)
        if largest >= self._vocab_size:
            raise ModelError(
                f"the tokenizer of {self._name} gives token {largest:,}, and the model knows "
                f"{self._vocab_size:,} tokens",
                _HINT,
            )
        return encoded

    def decode(self, token_ids: Any, **settings: Any) -> Any:
        """Decode tokens.

        Raises:
            ModelError: when that fails.
        """
        with explained_panics(self._name):
            return self._tokenizer.decode(token_ids, **settings)


def check_growth(tokenizer: Any, name: str) -> None:
    """Raise a ModelError where a tokenizer could make a text thousands of times as long.

    40 replacements of `a` by `aa` one after another ask for a TB of memory for a letter, and Rust
    ends the process then.

    Args:
        tokenizer: a fast tokenizer of transformers.
        name: of the model.
    """
    normalizer = tokenizer.backend_tokenizer.normalizer
    growth = 1 if normalizer is None else _growth(json.loads(normalizer.__getstate__()))
    if growth > _MAX_GROWTH:
        raise ModelError(f"the tokenizer of {name} makes texts {growth:,} times as long", _HINT)


def _growth(part: dict[str, Any]) -> int:
    """The most characters that a normalizer's replacements, all in turn, make of one."""
    growth = max(1, len(part.get("content", "") + part.get("prepend", "")))
    for inner in part.get("normalizers", ()):
        growth = min(growth * _growth(inner), 2**63)
    return growth


@contextlib.contextmanager
def explained_panics(name: str) -> Iterator[None]:
    """Make a ModelError of what a tokenizer raises, panics of Rust among it; they print nothing.

    What others write to stderr in the meantime is written behind it. `name` is the model's.
    """
    with _lock, _held_stderr():
        try:
            yield
        except (FastKVError, MemoryError):
            raise
        except Exception as error:
            raise _broken(error, name) from error
        except BaseException as error:
            if type(error).__module__ != "pyo3_runtime":  # Ctrl-C
                raise
            _holder().truncate(0)
            raise _broken(error, name) from error


@contextlib.contextmanager
def _held_stderr() -> Iterator[None]:
    """Point stderr's descriptor at a file; its contents are written to stderr in the end."""
    file = _holder()
    try:
        stderr = os.dup(_STDERR)
    except OSError:  # it is closed
        yield
        return
    os.dup2(file.fileno(), _STDERR)
    try:
        yield
    finally:
        os.dup2(stderr, _STDERR)
        os.close(stderr)
        if file.seek(0, os.SEEK_END):
            file.seek(0)
            written = file.read()
            file.truncate(0)
            with contextlib.suppress(OSError):
                os.write(_STDERR, written)
        file.seek(0)


@cache
def _holder() -> IO[bytes]:
    """The file, one for all calls: making it takes 0.1 ms, and a call is made for each token."""
    return tempfile.TemporaryFile(buffering=0)


def _broken(error: BaseException, name: str) -> ModelError:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:_MAX_REASON]
    return ModelError(f"the tokenizer of {name} breaks down ({reason})", _HINT)

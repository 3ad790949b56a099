"""Guards a model's tokenizer: its failures, Rust panics included, become a `ModelError`.

Tokenizers are written in Rust, which panics on some contents of a tokenizer.json: a panic is a
BaseException, and Rust itself writes it to stderr's file descriptor. A regular expression that
backtracks forever panics too, after 10,000,000 steps (Oniguruma's limit on a match).
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
_MAX_GROWTH = 1024  # the supported families only replace a space by one character
_WORD = re.compile(r"\w")
_lock = threading.RLock()  # stderr's descriptor belongs to the whole process


class GuardedTokenizer:
    """A fast tokenizer of transformers whose failures are raised as a `ModelError`.

    It has the attributes of the tokenizer it guards.
    """

    def __init__(self, tokenizer: Any, name: str, vocab_size: int) -> None:
        """Guard a tokenizer.

        Args:
            tokenizer: the tokenizer.
            name: the model's name.
            vocab_size: the model's; it has no embeddings for larger ids.
        """
        self._tokenizer = tokenizer
        self._name = name
        self._vocab_size = vocab_size

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tokenizer, name)

    def __call__(self, text: str, **settings: Any) -> Any:
        """Encode a text.

        Raises:
            ModelError: when encoding fails, returns no tokens, or an id the model does not have.
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
            ModelError: when decoding fails.
        """
        with explained_panics(self._name):
            return self._tokenizer.decode(token_ids, **settings)


def check_growth(tokenizer: Any, name: str) -> None:
    """Raise a ModelError if a tokenizer's normalizer can make a text over 1,024 times as long.

    40 replacements of `a` by `aa` in sequence need a TB of memory for one letter, and Rust ends the
    process when it runs out.

    Args:
        tokenizer: a fast tokenizer of transformers.
        name: the model's name.
    """
    normalizer = tokenizer.backend_tokenizer.normalizer
    growth = 1 if normalizer is None else _growth(json.loads(normalizer.__getstate__()))
    if growth > _MAX_GROWTH:
        raise ModelError(f"the tokenizer of {name} makes texts {growth:,} times as long", _HINT)


def _growth(part: dict[str, Any]) -> int:
    """The most characters that a normalizer's replacements, one after another, make of one."""
    growth = max(1, len(part.get("content", "") + part.get("prepend", "")))
    for inner in part.get("normalizers", ()):
        growth = min(growth * _growth(inner), 2**63)
    return growth


@contextlib.contextmanager
def explained_panics(name: str) -> Iterator[None]:
    """Turn a tokenizer's exceptions, Rust panics included, into a ModelError; panics print nothing.

    What other threads write to stderr meanwhile is written afterwards. `name` is the model's name.
    """
    with _lock, _captured_stderr():
        try:
            yield
        except (FastKVError, MemoryError):
            raise
        except Exception as error:
            raise _tokenizer_error(error, name) from error
        except BaseException as error:
            if type(error).__module__ != "pyo3_runtime":  # Ctrl-C
                raise
            _capture_file().truncate(0)
            raise _tokenizer_error(error, name) from error


@contextlib.contextmanager
def _captured_stderr() -> Iterator[None]:
    """Redirect stderr's descriptor to a file, whose contents are written to stderr at the end."""
    file = _capture_file()
    try:
        stderr = os.dup(_STDERR)
    except OSError:  # stderr is closed
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
def _capture_file() -> IO[bytes]:
    """The file for stderr, one for all calls: making it takes 0.1 ms, and every token calls it."""
    return tempfile.TemporaryFile(buffering=0)


def _tokenizer_error(error: BaseException, name: str) -> ModelError:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:_MAX_REASON]
    return ModelError(f"the tokenizer of {name} breaks down ({reason})", _HINT)

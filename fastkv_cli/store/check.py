"""Checking a state's file for damage."""

from __future__ import annotations

import mmap
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from stat import S_ISREG
from typing import BinaryIO
from zlib import crc32

from .header import StateHeader, StateProblem, read_header
from .spec import StateSpec

_THREADS = 2  # for checksums, which release the interpreter lock and are limited by memory


def open_state(path: Path) -> tuple[BinaryIO, StateHeader]:
    """Open a state's file and read its header; links are not followed.

    Raises:
        StateProblem: when it is not a state's file.
        OSError: when it cannot be read.
    """
    if not S_ISREG(path.lstat().st_mode):
        raise StateProblem("is no file")
    # If a link or a pipe has replaced the file since, it is neither followed nor waited for.
    flags = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    file = os.fdopen(os.open(path, os.O_RDONLY | flags), "rb")
    try:
        return file, read_header(file, os.fstat(file.fileno()).st_size)
    except BaseException:
        file.close()
        raise


def check_state(path: Path, spec: StateSpec | None = None) -> None:
    """Check the whole file of a state, including its tensors.

    Args:
        path: the file.
        spec: the spec that the state must match; None accepts any.

    Raises:
        StateProblem: when the file is damaged, or does not match.
        OSError: when it cannot be read.
    """
    file, header = open_state(path)
    with file:
        if spec is not None:
            _compare(header, spec)
        _check_tensors(file, header)


def _compare(header: StateHeader, spec: StateSpec) -> None:
    if header.identity != dict(spec.identity):
        raise StateProblem("is the state of something else")
    if header.made_with != dict(spec.made_with):
        others = [
            name for name, value in header.made_with.items() if spec.made_with.get(name) != value
        ]
        raise StateProblem(f"was made with another version of {' and '.join(others) or 'fastkv'}")
    if list(header.tensors.items()) != list(spec.tensors.items()):
        raise StateProblem("has other tensors than this version of fastkv reads")
    if header.num_tokens != spec.num_tokens:
        raise StateProblem("has another number of tokens")


def _check_tensors(file: BinaryIO, header: StateHeader) -> None:
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        sums = _checksums(mapped, header.spans())
    damaged = [name for name, value in sums.items() if value != header.sums[name]]
    if damaged:
        raise StateProblem(f"is damaged (tensor {damaged[0]})")


def _checksums(mapped: mmap.mmap, spans: Mapping[str, tuple[int, int]]) -> dict[str, int]:
    def sum_of(span: tuple[int, int]) -> int:
        with memoryview(mapped) as whole, whole[slice(*span)] as tensor:
            return crc32(tensor)

    with ThreadPoolExecutor(_THREADS) as threads:
        return dict(zip(spans, threads.map(sum_of, spans.values()), strict=True))

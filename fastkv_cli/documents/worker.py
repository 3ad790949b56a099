"""The process that parses one document, under limits of memory and time.

`process.py` starts it with `main`. Standard input carries a job in one line, then the bytes of the
document in chunks, each after its length; messages are written to standard output. A file that
hangs, exhausts the memory or crashes its parser takes down this process and nothing else.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import warnings
from base64 import b64encode
from bisect import bisect_left
from collections.abc import Iterator
from io import BytesIO
from typing import BinaryIO

from .. import errors
from ..system.isolated import claim_stdout
from .messages import (
    Done,
    Job,
    MemberPart,
    Message,
    Refused,
    Stopped,
    TextPart,
    TextRead,
    decode_job,
    encode,
)
from .ocr import IMAGES

LENGTH_BYTES = 4  # bytes of the length before each chunk; a length of 0 ends the document
_SPARE_CPU_S = 5
_PART = 2**18  # characters per message


def main() -> None:
    """Read the document on standard input and write messages; never returns."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C: end at once, without a traceback
    out = claim_stdout()
    job = decode_job(sys.stdin.buffer.readline())
    out_of_memory = b"\n" + encode(  # encoded while there is memory; it may follow half a line
        Stopped(
            f"stopped at {job.limit_bytes // 2**20} MiB of memory",
            "split it, or convert it in another program, e.g. to plain text",
        )
    )
    received = threading.Event()
    threading.Thread(target=_end_with_parent, args=(received,), daemon=True).start()
    _set_limits(job)
    try:
        data = _receive(sys.stdin.buffer)
        received.set()
        _send_results(job, data, out)
    except MemoryError:
        os.write(out, out_of_memory)
    os._exit(0)  # skips freeing a large heap, which takes seconds


def _send_results(job: Job, data: bytes, out: int) -> None:
    with os.fdopen(out, "wb", closefd=False) as stream:

        def send(message: Message) -> None:
            line = encode(message)
            try:
                stream.write(line)
                stream.flush()
            except OSError:  # the parent is gone
                os._exit(1)

        try:
            for message in _read(job, data):
                send(message)
            send(Done())
        except errors.FastKVError as error:
            send(Refused(type(error).__name__, error.message, error.hint))
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001 (hostile files cause exceptions of every kind)
            from .verdict import reason

            send(
                Refused(
                    errors.DocumentError.__name__,
                    f"{job.name} could not be read ({reason(error)})",
                    "convert it to PDF or plain text in another program",
                )
            )


def _read(job: Job, data: bytes) -> Iterator[Message]:
    logging.disable(logging.CRITICAL)  # pypdf logs thousands of lines on a bad file
    warnings.simplefilter("ignore")
    if job.member:
        from .members import unpack_member

        for piece in unpack_member(data, job.name, job.member):
            yield MemberPart(b64encode(piece).decode())
    elif job.recognizes:
        from .ocr.draw import read_scans

        yield from read_scans(data, job)
    elif job.format == "PDF":
        from .pdf_pages import read_pages

        yield from read_pages(data, job)
    elif job.format in IMAGES:
        from .ocr.draw import read_image

        yield from read_image(data, job)
    else:
        yield from _read_text(job, data)


def _read_text(job: Job, data: bytes) -> Iterator[Message]:
    from .formats import HAS_FILE_LINES, Format, format_of, read_as

    kind = Format(job.format) if job.format else format_of(data, job.name)
    text, notes, gaps = read_as(kind, data, job.name, job.encoding, attachments=job.attachments)
    first = 0
    for start in range(0, len(text), _PART):
        last = first
        if kind in HAS_FILE_LINES:
            last = bisect_left(gaps.starts, start + _PART, first)
        starts, more = list(gaps.starts[first:last]), list(gaps.more[first:last])
        yield TextPart(text[start : start + _PART], starts, more)
        first = last
    yield TextRead(kind.value, list(notes))


def _set_limits(job: Job) -> None:
    os.environ["PATH"] = ""  # pypdf would start jbig2dec to decode images, which hold no text
    try:
        import resource
    except ImportError:  # Windows
        return
    for limit, value in (
        (resource.RLIMIT_AS, job.limit_bytes),
        (resource.RLIMIT_CPU, _cpu_limit_s(job)),  # if the parent cannot kill it
        (resource.RLIMIT_CORE, 0),
    ):
        _, most = resource.getrlimit(limit)
        lower = value if most == resource.RLIM_INFINITY else min(value, most)
        try:
            resource.setrlimit(limit, (lower, most))
        except (OSError, ValueError):  # macOS has RLIMIT_AS but rejects it
            continue


def _cpu_limit_s(job: Job) -> int:
    num_limits = len(job.pages or [0]) * job.num_threads if job.recognizes else 1
    return min(int(job.limit_s) * num_limits + _SPARE_CPU_S, 2**31 - 1)


def _receive(stream: BinaryIO) -> bytes:
    received = BytesIO()
    while length := int.from_bytes(stream.read(LENGTH_BYTES), "big"):
        received.write(stream.read(length))
    return received.getvalue()


def _end_with_parent(received: threading.Event) -> None:
    """Exit when the parent does: it keeps standard input open for as long as it lives."""
    received.wait()
    sys.stdin.buffer.read(1)
    os._exit(1)


if __name__ == "__main__":
    main()

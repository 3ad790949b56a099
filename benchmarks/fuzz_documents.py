"""Broken and hostile files: does each give a document, or one line that says why not?

    python benchmarks/fuzz_documents.py [--inputs 2000] [--seed 1] [--limit 5] [--only NUMBER]

Two fifths are files of the tests and some made here (texts in five encodings, a web page, PDFs, and
one of every other format: fuzz_formats.py), broken in up to four ways each: truncated, bits
flipped, pieces of another file inserted, pieces repeated, swapped or removed, numbers changed. Two
fifths are Markdown and text made of constructs that are hard to parse (`fuzz_texts.py`), on their
own, under the suffix of another format, or in a book, a Word file, sheets or slides. One fifth are
ZIP files with a falsified directory (`fuzz_archives.py`).

Each is read as a user's file is, including the parser process where one is used. Allowed results
are a document whose pages, text and warnings are well formed, or a FastKVError with one printable
line. A document is then disarmed, tokenized, put into a prompt and indexed, and pieces of it are
checked against it as answers. Anything else is a failure, including a process that dies, and too
much time or memory; its number reproduces it. The last line is JSON.
"""

from __future__ import annotations

import random
import re
import sys
import time
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # to run from a clone
sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))  # the tiny tokenizer

from fuzz_archives import break_archive, put_text_in
from fuzz_inputs import Broken, break_one, make_originals
from fuzz_run import make_parser, run
from fuzz_texts import encode, make_text
from fuzz_worker import Check, Job, Limits, Result, check_line

from fastkv_cli.config import ReadOptions
from fastkv_cli.documents import Document, load_document
from fastkv_cli.documents.ocr.scans import ScannedPage
from fastkv_cli.errors import FastKVError
from fastkv_cli.evidence import (
    cite,
    index_documents,
    index_segments,
    not_in_document,
    support,
    why_not_found,
)

GRACE_S = 2.0
LIMIT_MIB = 1024  # MiB that reading, tokenizing and checking a file of at most some MB may add
ARCHIVES = (".epub", ".docx", ".pptx", ".xlsx", ".odt", ".ods", ".odp")
PACKAGES = (
    "pypdf", "pypdfium2", "cryptography", "charset-normalizer", "selectolax", "mammoth",
    "python-pptx", "openpyxl", "python-oxmsg", "striprtf", "pysubs2", "pylatexenc",
)  # fmt: skip
# Error classes by their words, checked in this order; the rest count as "other".
CLASSES = {
    "empty file": "is empty",
    "not a PDF": "is not a PDF",
    "damaged PDF": "is a damaged PDF",
    "no pages": "is a PDF without pages",
    "no readable page": "no page of",
    "no text in its pages": "holds no text",
    "needs a password": "needs a password",
    "wrong password": r"the password for .* is wrong",
    "unsupported encryption": "unsupported encryption",
    "over the limit of time": "stopped after",
    "over the limit of memory": "of memory",
    "over the limit of size": "at most|, the limit",
    "damaged archive": "damaged or incomplete",
    "not text": "is not text|not text",
    "copy protection": "copy-protected",
}


def main() -> None:
    """Make the inputs, check them, and count the results."""
    arguments = make_parser(__doc__.splitlines()[0], inputs=2000, limit_s=5.0).parse_args()
    # Reading is limited by the wall clock, the rest by CPU time: on a busy machine the worker needs
    # time for both, and for OCR of the four pages that the longest scan has.
    limits = Limits(8 * arguments.limit + GRACE_S, LIMIT_MIB)
    run(arguments, make_input, partial(make_check, arguments.limit), limits, PACKAGES)


def make_input(folder: Path, rng: random.Random) -> Job:
    """Write one file."""
    make = rng.choice((break_bytes, break_bytes, write_text, write_text, lie_in_directory))
    broken = make(rng)
    path = folder / f"broken{Path(broken.name).suffix}"
    path.write_bytes(broken.data)
    return Job(str(path), broken.recipe, str(rng.random()), broken.password)


@cache
def originals() -> dict[str, bytes]:
    """The files to break, by name."""
    return make_originals()


def break_bytes(rng: random.Random) -> Broken:
    """One of the files, with wrong bytes."""
    return break_one(originals(), rng)


def write_text(rng: random.Random) -> Broken:
    """A hostile text, as Markdown or plain text or inside one of the archives."""
    text, names = make_text(rng)
    plain = (".md", ".md", ".md", ".txt", ".txt", ".csv", ".json", ".rtf", ".srt", ".tex", ".eml")
    suffix = rng.choice((*plain, *ARCHIVES))
    if suffix not in ARCHIVES:
        return Broken(f"made{suffix}", encode(text, rng), None, f"text as {suffix}, {names}")
    name = rng.choice([name for name in sorted(originals()) if name.endswith(suffix)])
    data = put_text_in(originals()[name], text, rng)
    return Broken(name, data, None, f"text in {name}, {names}")


def lie_in_directory(rng: random.Random) -> Broken:
    """One of the archives, with a falsified directory."""
    name = rng.choice([name for name in sorted(originals()) if name.endswith(ARCHIVES)])
    data, ways = break_archive(originals()[name], rng)
    return Broken(name, data, None, f"directory of {name}, {ways}")


def make_check(limit_s: float) -> Check:
    """Make the check of a file, with its own tokenizer."""
    from conftest import tiny_tokenizer

    return partial(check_file, tiny_tokenizer(), limit_s)


class ScanCounter:
    """Counts the pages of a document that are read by OCR: each has a time limit of its own."""

    num_pages = 0

    def find(self, key: str) -> ScannedPage | None:  # noqa: ARG002
        """No page is kept."""
        return None

    def keep(self, key: str, page: ScannedPage) -> None:
        """Keep none."""

    def progress(self, done: int, total: int) -> None:  # noqa: ARG002
        """So many pages have to be recognized."""
        self.num_pages = total


def check_file(tokenizer: Any, limit_s: float, job: Job) -> Result:
    """Read a file, and process the document as before and after the model runs.

    Raises:
        Exception: any other failure than those allowed.
    """
    scans = ScanCounter()
    started = time.perf_counter()
    try:
        document = load_document(
            job.path,
            ReadOptions(password=job.password, extract_timeout_s=limit_s, attachments=True),
            scan_observer=scans,
        )
    except FastKVError as error:
        outcome, failure = classify(str(error)), check_line(str(error))
        if "broke down" in str(error):
            failure = str(error)
    else:
        outcome = "document, with warnings" if document.warnings else "document"
        failure = check_document(document)
    seconds = time.perf_counter() - started
    if seconds > (limit_s + GRACE_S) * (1 + scans.num_pages):
        return Result("too late", 0.0, f"read in {seconds:.1f} s", "time, of reading")
    if failure or not outcome.startswith("document"):
        return Result(outcome, 0.0, failure, re.sub(r"broken\.\w+", "", failure))
    started = time.process_time()
    use_document(document, tokenizer, random.Random(job.seed))
    seconds = time.process_time() - started
    if seconds > limit_s:
        return Result("too late", 0.0, f"used in {seconds:.1f} s", "time, of use")
    return Result(outcome)


def use_document(document: Document, tokenizer: Any, rng: random.Random) -> None:
    """Tokenize and index a document, and check pieces of it against it as answers.

    Raises:
        Exception: any failure; none is allowed.
    """
    from fastkv_cli.prompts.prompt import ask_task, build_prompt
    from fastkv_cli.tasks.corpus import join_documents

    corpus = join_documents([document], tokenizer)
    size = len(tokenizer)
    if not all(0 <= token < size for token in corpus.token_ids):
        raise ValueError("a token out of range")
    if sum(part.stop - part.start for part in corpus.split(500)) != corpus.num_tokens:
        raise ValueError("parts that do not add up")
    index = index_documents([document])
    segments = index_segments(index)
    for answer, question in cut_pieces(document.text, rng):
        build_prompt(tokenizer, corpus.token_ids[:100], ask_task(question))
        for citation in cite(answer, question, index):
            if wrong := check_line(citation.snippet or "-"):
                raise ValueError(f"in a citation, {wrong}")
        not_in_document(answer, question, index)
        why_not_found(f"{question}?", segments)
        support(answer, f"{question}?", [document.text[:400]], index)


def cut_pieces(text: str, rng: random.Random) -> Iterator[tuple[str, str]]:
    """Pieces as answers and questions: models repeat what is in the text, and people paste it."""
    for length in (30, 300, 2000):
        answer, question = rng.randrange(len(text)), rng.randrange(len(text))
        yield text[answer : answer + length], text[question : question + length]


def classify(message: str) -> str:
    """The class of an error."""
    for name, words in CLASSES.items():
        if re.search(words, message):
            return f"error: {name}"
    return "error: other"


def check_document(document: Document) -> str:
    """What is wrong with a document; empty if nothing is."""
    if not document.text.strip():
        return "a document without text"
    bad = re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]", document.text)
    if bad:
        return f"a control character in the text: {bad[0]!r}"
    for warning in document.warnings:
        wrong = warning if "broke down" in warning else check_line(warning)
        if wrong:
            return wrong
    return check_pages(document)


def check_pages(document: Document) -> str:
    """What is wrong with the page map; empty if nothing is."""
    end = 0
    for page in document.pages:
        if not end <= page.start < page.end <= len(document.text):
            return f"page {page.number} lies amiss"
        end = page.end
    listed = [page.number for page in document.pages]
    listed += [*document.empty, *document.failed, *document.left_out]
    if document.num_pages is not None and sorted(listed) != list(range(1, document.num_pages + 1)):
        return "the pages do not add up"
    return ""


if __name__ == "__main__":
    main()

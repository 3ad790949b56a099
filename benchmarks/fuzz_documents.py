"""Broken files: whether each ends in a document or in one line that says why.

    python benchmarks/fuzz_documents.py [--inputs 2500] [--seed 1] [--limit 5] [--only NUMBER]

The files of the tests and some made here (texts in five encodings, a web page, a book, a Word file,
PDFs) are broken in up to four ways each: cut off, bits flipped, pieces of another file put in,
repeated, swapped or taken out, numbers changed. Each is read as a user's file is, in a process of
its own where that is the way. What may come out is a document whose pages, text and warnings are
well formed, or a FastKVError with one printable line; anything else, a crash of the reading process
and a time beyond the limit by more than two seconds among them, is a failure, and its number makes
it again. About 15 minutes on a busy core. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import resource
import sys
import tempfile
import time
import traceback
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # runs from a clone

from fuzz_inputs import Broken, break_one, make_originals

from fastkv_cli.config import ReadOptions
from fastkv_cli.documents import Document, load_document
from fastkv_cli.errors import FastKVError

GRACE_S = 2.0
# Error classes by their words, in this order; what is left is counted as "other".
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
    "over the limit of size": "at most|the most that",
    "damaged archive": "damaged or incomplete",
    "not text": "is not text|not text",
    "copy protection": "copy protection",
}


@dataclass(frozen=True, slots=True)
class Result:
    """What came of it; `failure` is empty where that is as promised."""

    outcome: str
    seconds: float
    failure: str = ""


def main() -> None:
    """Break, read and count."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=2500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--limit", type=float, default=5.0, help="seconds for each")
    parser.add_argument("--only", type=int, help="the one with this number")
    arguments = parser.parse_args()
    originals = make_originals()
    numbers = range(arguments.inputs) if arguments.only is None else [arguments.only]
    outcomes, failures = Counter[str](), []
    slowest, memory = (0.0, ""), []
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        for number in numbers:
            broken = break_one(originals, random.Random(f"{arguments.seed} {number}"))
            result = read_one(broken, Path(folder), arguments.limit)
            if result.seconds > arguments.limit + GRACE_S:  # was the machine asleep?
                result = read_one(broken, Path(folder), arguments.limit)
            outcomes[result.outcome] += 1
            slowest = max(slowest, (result.seconds, f"{number}: {broken.recipe}"))
            if result.failure:
                failures.append(f"{number}: {broken.recipe}: {result.failure}")
                print(failures[-1], flush=True)
            if number % 250 == 0:
                memory.append(resident_mib())
                print(f"{number:>6,} inputs, {time.perf_counter() - started:.0f} s", flush=True)
    report = {
        "inputs": len(numbers),
        "seed": arguments.seed,
        "limit_s": arguments.limit,
        "originals": len(originals),
        "seconds": round(time.perf_counter() - started, 1),
        "failures": failures,
        "outcomes": dict(outcomes.most_common()),
        "slowest_s": round(slowest[0], 2),
        "slowest": slowest[1],
        "parent_mib_every_250": memory,
        "parent_peak_mib": peak_mib(resource.RUSAGE_SELF),
        "reading_process_peak_mib": peak_mib(resource.RUSAGE_CHILDREN),
    }
    print(json.dumps(report, ensure_ascii=False))
    sys.exit(1 if failures else 0)


def read_one(broken: Broken, folder: Path, limit_s: float) -> Result:
    """Read a broken file, and check what comes of it."""
    path = folder / f"broken{Path(broken.name).suffix}"
    path.write_bytes(broken.data)
    options = ReadOptions(password=broken.password, extract_timeout_s=limit_s)
    started = time.perf_counter()
    try:
        document = load_document(str(path), options)
    except FastKVError as error:
        outcome, failure = classify(str(error)), check_line(str(error))
        if "broke down" in str(error):
            failure = str(error)
    except Exception:  # noqa: BLE001 (that none comes is what is tested)
        outcome, failure = "another exception", traceback.format_exc()
    else:
        outcome = "document, with warnings" if document.warnings else "document"
        failure = check_document(document)
    seconds = time.perf_counter() - started
    if seconds > limit_s + GRACE_S:
        failure = failure or f"{seconds:.1f} s at a limit of {limit_s:g} s"
    return Result(outcome, seconds, failure)


def classify(message: str) -> str:
    """The class of an error."""
    for name, words in CLASSES.items():
        if re.search(words, message):
            return f"error: {name}"
    return "error: other"


def check_line(line: str) -> str:
    """What is wrong with a line for people; empty if nothing is."""
    if not line.strip():
        return "an empty line"
    return "" if line.isprintable() else f"a line that is not printable: {line!r}"


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
    """What is wrong with the map of pages; empty if nothing is."""
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


def resident_mib() -> int | None:
    """What this process holds in memory now; None where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return None
    return pages * resource.getpagesize() // 2**20


def peak_mib(who: int) -> int:
    """The most that this process, or the largest of its children, has held."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(who).ru_maxrss * unit // 2**20


if __name__ == "__main__":
    main()

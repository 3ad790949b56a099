"""Read documents with one program, in a process and an environment of its own, for extraction.py.

    python benchmarks/extraction_reader.py fastkv    # or docling, markitdown, …

Each line of stdin is a path; the answer is one line of JSON: `text`, `tables` (rows of cells, where
the reader gives them apart from its text), `seconds`, `peak_mib` of the process and its children so
far, `warnings`, and `error` with the reason if there is no text. The first line, before any path,
holds `import_s`. Imports only the program that it reads with, besides the standard library.
"""

from __future__ import annotations

import json
import logging
import os
import resource
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple


class Text(NamedTuple):
    """What a reader gives: text, tables, warnings."""

    text: str
    tables: Sequence[list[list[str]]] = ()
    warnings: tuple[str, ...] = ()


Reader = Callable[[str], Text]


def fastkv() -> Reader:
    """Read as `fastkv extract` reads, without OCR."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from fastkv_cli.config import OcrMode, ReadOptions
    from fastkv_cli.documents import load_document

    def read(path: str) -> Text:
        document = load_document(path, ReadOptions(ocr=OcrMode.OFF, attachments=True))
        return Text(document.text, warnings=document.warnings)

    return read


def docling() -> Reader:
    """Docling's Markdown; its PDFs need layout models that it downloads on first use."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    from docling.document_converter import DocumentConverter

    converter = DocumentConverter()
    return lambda path: Text(converter.convert(path).document.export_to_markdown())


def markitdown() -> Reader:
    """MarkItDown's Markdown, with all its optional packages."""
    from markitdown import MarkItDown

    converter = MarkItDown()
    return lambda path: Text(converter.convert(path).text_content)


def pdfplumber() -> Reader:
    """Pdfplumber's text, and its tables by rules, or by the places of words if it finds none."""
    import pdfplumber as plumber

    def read(path: str) -> Text:
        texts: list[str] = []
        tables: list[list[list[str]]] = []
        with plumber.open(path) as document:
            for page in document.pages:
                texts.append(page.extract_text())
                by_words = {"vertical_strategy": "text", "horizontal_strategy": "text"}
                tables += (
                    [[cell or "" for cell in row] for row in table]
                    for table in page.extract_tables() or page.extract_tables(by_words)
                )
                page.close()
        return Text("\n\n".join(texts), tables)

    return read


def pypdfium2() -> Reader:
    """PDFium's text; it knows no tables."""
    from pypdfium2 import PdfDocument

    def read(path: str) -> Text:
        document = PdfDocument(path)
        return Text("\n\n".join(page.get_textpage().get_text_bounded() for page in document))

    return read


READERS = {make.__name__: make for make in (fastkv, docling, markitdown, pdfplumber, pypdfium2)}


def peak_mib() -> float:
    """Largest memory of this process and of its largest child, added."""
    kib = sum(
        resource.getrusage(who).ru_maxrss
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return round(kib / 1024, 1)


def answer(read: Reader, path: str) -> dict[str, Any]:
    """Read one document."""
    started = time.perf_counter()
    try:
        text, error = read(path), ""
    except Exception as reason:  # noqa: BLE001 (any program may raise anything)
        text, error = Text(""), " ".join(f"{type(reason).__name__}: {reason}".split())[:300]
    return {
        **text._asdict(),
        "error": error,
        "seconds": time.perf_counter() - started,
        "peak_mib": peak_mib(),
    }


def main() -> None:
    """Answer each path of stdin."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a program prints is no answer
    logging.disable(logging.CRITICAL)
    started = time.perf_counter()
    read = READERS[sys.argv[1]]()
    import_s = time.perf_counter() - started
    print(json.dumps({"import_s": import_s}), file=answers, flush=True)
    for line in sys.stdin:
        print(json.dumps(answer(read, line.rstrip("\n"))), file=answers, flush=True)


if __name__ == "__main__":
    main()

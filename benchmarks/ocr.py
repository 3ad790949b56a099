"""How well and how fast are scans read, beside Tesseract, and can they be asked about?

    python benchmarks/ocr.py [--dpi 150,200,300] [--kinds clean,skewed,noisy,jpeg] [--pages 0,4,8]
        [--questions 20] [--seconds-only]

Pages of text PDFs of the repository are drawn in each resolution, clean, turned by 1°, with noise,
and as JPEG of quality 20. Word F1 compares what OCR reads with the text of the PDF, as bags of
words without punctuation, and of pairs of words, which tell the reading order. Tesseract, if it is
installed, reads the same pages (`--psm 3`, English); words that it read in two lines are joined as
ours are. The questions are those of the bundled novel, asked of typeset pages as a text PDF and as
a scan at 200 dpi, with the embedded model. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
from evidence_cases import SHIPPED
from PIL import Image
from pypdf import PdfReader, PdfWriter
from pypdf.generic import DecodedStreamObject, DictionaryObject, NameObject

import fastkv_cli as fastkv
from fastkv_cli.config import OcrMode, ReadOptions
from fastkv_cli.documents import load_document
from fastkv_cli.documents.clean import clean_page, join_pages
from fastkv_cli.evaluation.quality.scoring import contains

FILES = Path(__file__).parents[1] / "tests" / "documents" / "files"
PDFS = (("pdflatex-4-pages.pdf", 4), ("cfr_21_1308_damaged_pages.pdf", 3))
NOVEL, NUM_NOVEL_PAGES = "time-machine.txt", 3
LINES, LINE = 46, 82  # of a typeset page
WORD = re.compile(r"\w+")
DPI = 200


def typeset(text: str) -> bytes:
    """A PDF of a text: 12-point Helvetica on A4 pages, line by line."""
    lines = [
        line[at : at + LINE] for line in text.split("\n") for at in range(0, len(line) or 1, LINE)
    ]
    writer = PdfWriter()
    font = DictionaryObject({
        NameObject("/Type"): NameObject("/Font"),
        NameObject("/Subtype"): NameObject("/Type1"),
        NameObject("/BaseFont"): NameObject("/Helvetica"),
        NameObject("/Encoding"): NameObject("/WinAnsiEncoding"),
    })  # fmt: skip
    for first in range(0, len(lines), LINES):
        page = writer.add_blank_page(width=595, height=842)
        fonts = DictionaryObject({NameObject("/F1"): font})
        page[NameObject("/Resources")] = DictionaryObject({NameObject("/Font"): fonts})
        escaped = (re.sub(r"([\\()])", r"\\\1", line) for line in lines[first : first + LINES])
        shown = "\n".join(f"({line}) Tj T*" for line in escaped)
        content = DecodedStreamObject()
        content.set_data(f"BT /F1 12 Tf 16 TL 50 790 Td\n{shown}\nET".encode("cp1252", "replace"))
        page[NameObject("/Contents")] = writer._add_object(content.flate_encode())
    buffer = BytesIO()
    writer.write(buffer)
    return buffer.getvalue()


def draw(pdf: Path, page: int, dpi: int, kind: str) -> Image.Image:
    """A page as a scanner would give it; pages count from 0."""
    import pypdfium2

    drawn = pypdfium2.PdfDocument(pdf)[page].render(scale=dpi / 72)
    image: Image.Image = drawn.to_pil().convert("L")
    if kind == "skewed":
        return image.rotate(1, resample=Image.Resampling.BICUBIC, expand=True, fillcolor=255)
    if kind == "noisy":
        random = np.random.default_rng(page)
        pixels = np.asarray(image, dtype=np.float32) + random.normal(0, 40, image.size[::-1])
        return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    if kind == "jpeg":
        buffer = BytesIO()
        image.save(buffer, "JPEG", quality=20)
        return Image.open(BytesIO(buffer.getvalue()))
    return image


def f1(text: str, reference: str, length: int = 1) -> float:
    """Word F1 of two texts, or that of runs of so many words, which tells their order."""
    words = [WORD.findall(each.lower()) for each in (text, reference)]
    found, wanted = (
        Counter(zip(*(each[at:] for at in range(length)), strict=False)) for each in words
    )
    shared = (found & wanted).total()
    return 2 * shared / max(found.total() + wanted.total(), 1)


def pages(folder: Path) -> Iterator[tuple[Path, int, str]]:
    """The pages: a PDF, a page of it from 0, and its text."""
    novel = folder / "novel.pdf"
    start = (SHIPPED / NOVEL).read_text("utf-8")[20_000:40_000]
    novel.write_bytes(typeset(start))
    for path, number in (
        *((FILES / name, number) for name, number in PDFS),
        (novel, NUM_NOVEL_PAGES),
    ):
        document = load_document(str(path), ReadOptions(ocr=OcrMode.OFF))
        for page in document.pages[:number]:
            yield path, page.number - 1, document.text[page.start : page.end]


def tesseract(path: Path) -> str:
    """What Tesseract reads on a picture."""
    done = subprocess.run(
        ["tesseract", str(path), "-", "-l", "eng"], capture_output=True, check=True
    )
    return join_pages({1: clean_page(done.stdout.decode())})[1]


def read_pages(
    folder: Path, dpis: list[int], kinds: list[str], wanted: list[int], *, is_beside: bool
) -> list[dict[str, Any]]:
    """Word F1 and seconds a page, for each resolution and kind."""
    rows = []
    chosen = [page for number, page in enumerate(pages(folder)) if number in wanted or not wanted]
    for dpi in dpis:
        for kind in kinds:
            pictures = [draw(path, page, dpi, kind) for path, page, _ in chosen]
            scan = folder / "scan.pdf"
            pictures[0].save(scan, save_all=True, append_images=pictures[1:], resolution=dpi)
            started = time.perf_counter()
            document = load_document(str(scan), ReadOptions(ocr_dpi=dpi, extract_timeout_s=600))
            row: dict[str, Any] = {"dpi": dpi, "kind": kind, "pages": len(chosen)}
            row["s_page"] = (time.perf_counter() - started) / len(chosen)
            texts = {p.number: document.text[p.start : p.end] for p in document.pages}
            pairs = [(texts.get(at, ""), text) for at, (_, _, text) in enumerate(chosen, start=1)]
            scores = [f1(*pair) for pair in pairs]
            row["f1"], row["worst"] = mean(scores), min(scores)
            row["pairs_f1"] = mean(f1(*pair, 2) for pair in pairs)
            row["each"] = [round(score, 3) for score in scores]
            if is_beside:
                started, beside = time.perf_counter(), list[str]()
                for picture in pictures:
                    picture.save(folder / "page.png", dpi=(dpi, dpi))
                    beside.append(tesseract(folder / "page.png"))
                row["tesseract_s_page"] = (time.perf_counter() - started) / len(chosen)
                pairs = [(read, text) for read, (_, _, text) in zip(beside, chosen, strict=True)]
                scores = [f1(*pair) for pair in pairs]
                row["tesseract_f1"], row["tesseract_worst"] = mean(scores), min(scores)
                row["tesseract_pairs_f1"] = mean(f1(*pair, 2) for pair in pairs)
            rows.append({k: round(v, 3) if isinstance(v, float) else v for k, v in row.items()})
            print(json.dumps(rows[-1]), flush=True)
    return rows


def ask(folder: Path, number: int) -> dict[str, Any]:
    """Which questions are answered right from a text PDF, and from a scan of it, and how many."""
    text = (SHIPPED / NOVEL).read_text("utf-8")
    lines = (SHIPPED / "qa.jsonl").read_text("utf-8").splitlines()
    cases = [case for case in map(json.loads, lines) if case["doc"] == NOVEL][:number]
    places = [text.index(case["evidence"]) for case in cases]
    parts = [text[max(0, at - 2500) : at + 2500] for at in places]
    each = []
    for case, part in zip(cases, parts, strict=True):
        pdf, scan = folder / "part.pdf", folder / "part-scan.pdf"
        pdf.write_bytes(typeset(part))
        drawn = [draw(pdf, page, DPI, "clean") for page in range(len(PdfReader(pdf).pages))]
        drawn[0].save(scan, save_all=True, append_images=drawn[1:], resolution=DPI)
        row: dict[str, Any] = {"question": case["question"], "gold": case["answer"]}
        for kind, path in (("text", pdf), ("scan", scan)):
            with fastkv.open(str(path), no_store=True, extract_timeout=600.0) as session:
                row[kind] = contains(session.ask(case["question"]).text, [case["answer"]]) > 0
        each.append(row)
        print(json.dumps(row), flush=True)
    right = {kind: sum(row[kind] for row in each) for kind in ("text", "scan")}
    return {"questions": len(each), "right": right, "each": each}


def main() -> None:
    """Read, time and ask."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dpi", default="150,200,300")
    parser.add_argument("--kinds", default="clean,skewed,noisy,jpeg")
    parser.add_argument("--pages", default="", help="of the ten, counted from 0; all of them")
    parser.add_argument("--questions", type=int, default=20)
    parser.add_argument("--seconds-only", action="store_true", help="without Tesseract")
    arguments = parser.parse_args()
    dpis = [int(dpi) for dpi in arguments.dpi.split(",") if dpi]
    kinds = arguments.kinds.split(",")
    wanted = [int(number) for number in arguments.pages.split(",") if number]
    is_beside = shutil.which("tesseract") is not None and not arguments.seconds_only
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = read_pages(folder, dpis, kinds, wanted, is_beside=is_beside)
        asked = ask(folder, arguments.questions) if arguments.questions else None
    print(json.dumps({"pages": rows, "asked": asked}))


if __name__ == "__main__":
    main()

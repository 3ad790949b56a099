"""Scans and pictures are read by OCR: in order, turned upright, once, and never in silence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pdf_maker import make_pdf
from PIL import Image
from pypdf import PdfReader, PdfWriter
from scan_maker import DPI, draw_page, packed, write_scan

from fastkv_cli.config import OcrMode, PageRange, ReadOptions
from fastkv_cli.documents import Document, load_document
from fastkv_cli.documents.ocr import extra, scans
from fastkv_cli.documents.ocr.page_digest import digest_page
from fastkv_cli.documents.ocr.scans import ScannedPage
from fastkv_cli.documents.ocr.text_layout import Box, order_text
from fastkv_cli.errors import DocumentError
from fastkv_cli.store.ocr_pages import OcrPage, OcrPageStore

REPORT = "The annual report names\nseventeen lighthouses and\n3,482 visitors in June."
OTHER = "Nobody was paid twice\nfor the same harvest."


class Kept:
    """Keeps pages in memory, and counts what happens."""

    def __init__(self) -> None:
        self.pages: dict[str, ScannedPage] = {}
        self.progressed: list[tuple[int, int]] = []

    def find(self, key: str) -> ScannedPage | None:
        return self.pages.get(key)

    def keep(self, key: str, page: ScannedPage) -> None:
        self.pages[key] = page

    def progress(self, done: int, total: int) -> None:
        self.progressed.append((done, total))


def words(text: str) -> list[str]:
    return text.split()


def load(path: Path, *, kept: Kept | None = None, **options: object) -> Document:
    read = ReadOptions(**options)  # type: ignore[arg-type]
    return load_document(str(path), read, scan_observer=kept or Kept())


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two pages, of which the second lies on its side."""
    pages = [draw_page([(60, 60, REPORT)]), draw_page([(60, 60, OTHER)]).rotate(90, expand=True)]
    return write_scan(tmp_path_factory.mktemp("scan") / "scan.pdf", pages)


def test_a_scan_is_read_once_with_pages_confidence_and_progress(scan: Path) -> None:
    kept = Kept()
    document = load(scan, kept=kept)
    first, second = (words(document.text[p.start : p.end]) for p in document.pages)
    assert first == words(REPORT)
    assert second == words(OTHER)
    assert all(page.confidence and page.confidence > 0.9 for page in document.pages)
    assert document.warnings == ()
    assert kept.progressed == [(0, 2), (1, 2), (2, 2)]
    again = load(scan, kept=kept)
    assert again == document
    assert len(kept.progressed) == 3


def test_off_reads_none_and_says_so(scan: Path) -> None:
    with pytest.raises(DocumentError, match="no text in its 2 pages: a scan; leave out --ocr off"):
        load(scan, ocr=OcrMode.OFF)


def test_without_the_extra_the_error_has_the_line_that_installs_it(
    scan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = tmp_path / "a.png"
    picture.write_bytes(packed(draw_page([(10, 10, "x")]), "PNG"))
    monkeypatch.setattr(extra, "is_installed", lambda: False)
    install = r"pip install 'fastkv-cli\[ocr\]'$"
    with pytest.raises(DocumentError, match=f"a scan; run OCR first.*{install}"):
        load(scan)
    with pytest.raises(DocumentError, match=f"needs the ocr extra: {install}"):
        load(picture)
    with pytest.raises(DocumentError, match=f"cannot be read by OCR.*{install}"):
        load(scan, ocr=OcrMode.FORCE)


def test_only_pages_without_usable_text_are_recognized(tmp_path: Path) -> None:
    """A page of text stays as it is, also a short one with a logo; a scan with a stamp is read."""
    scanned = PdfReader(write_scan(tmp_path / "s.pdf", [draw_page([(60, 60, REPORT)])])).pages[0]
    stamp = PdfReader(_file(tmp_path, make_pdf(["Filed 2021"]))).pages[0]
    writer = PdfWriter()
    writer.append(_file(tmp_path, make_pdf(["The text of the file itself. " * 5, "Short."])))
    stamped = writer.add_page(scanned)
    stamped.merge_page(stamp)
    with_logo = writer.add_page(stamp)
    logo = write_scan(tmp_path / "l.pdf", [draw_page([(5, 5, "LOGO")], size=(120, 60))])
    with_logo.merge_page(PdfReader(logo).pages[0])
    path = tmp_path / "mixed.pdf"
    writer.write(path)
    kept = Kept()
    document = load(path, kept=kept)
    texts = {page.number: document.text[page.start : page.end] for page in document.pages}
    assert texts[2] == "Short."
    assert "seventeen lighthouses" in texts[3]
    assert texts[4] == "Filed 2021"
    assert [page.number for page in document.pages if page.confidence is not None] == [3]
    forced = load(path, ocr=OcrMode.FORCE, pages=PageRange.parse("1"))
    assert forced.pages[0].confidence is not None
    assert "text of the file itself" in forced.text


def _file(folder: Path, data: bytes) -> Path:
    path = folder / "part.pdf"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_images_are_documents(form: str, tmp_path: Path) -> None:
    path = tmp_path / "without-suffix"
    if form == "TIFF":  # two pages
        write_scan(path.with_suffix(".tiff"), [draw_page([(60, 60, t)]) for t in (REPORT, OTHER)])
        path = path.with_suffix(".tiff")
    else:
        path.write_bytes(packed(draw_page([(60, 60, REPORT)]), form))
    document = load(path)
    assert document.kind == form
    assert document.num_pages == (2 if form == "TIFF" else 1)
    assert words(document.text) == words(REPORT) + (words(OTHER) if form == "TIFF" else [])


def test_exif_transparency_and_blank_pictures(tmp_path: Path) -> None:
    page = draw_page([(60, 60, REPORT)])
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90°
    page.rotate(90, expand=True).save(tmp_path / "phone.jpg", exif=exif)
    clear = Image.new("RGBA", page.size, (0, 0, 0, 0))  # black letters on nothing
    clear.putalpha(page.point(lambda value: 255 - value))
    clear.save(tmp_path / "clear.png")
    for name in ("phone.jpg", "clear.png"):
        assert words(load(tmp_path / name).text) == words(REPORT)
    Image.new("L", (500, 500), 255).save(tmp_path / "blank.png")
    with pytest.raises(DocumentError, match="no text in its 1 page, and OCR found none: blank"):
        load(tmp_path / "blank.png")


def test_damaged_and_huge_pictures_are_refused_by_name(tmp_path: Path) -> None:
    png = packed(draw_page([(60, 60, REPORT)]), "PNG")
    (tmp_path / "header.png").write_bytes(png[:20])
    with pytest.raises(DocumentError, match="damaged PNG image"):
        load(tmp_path / "header.png")
    (tmp_path / "cut.png").write_bytes(png[: len(png) // 2])
    with pytest.raises(DocumentError, match=r"OCR of page 1 failed .*truncated"):
        load(tmp_path / "cut.png")
    Image.new("1", (20_000, 20_000)).save(tmp_path / "bomb.png")
    with pytest.raises(DocumentError, match="more than 120 million pixels"):
        load(tmp_path / "bomb.png")


def test_a_page_over_the_time_limit_fails_alone(
    scan: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scans, "_plan", lambda num_pages: (1, 1))
    with pytest.raises(DocumentError, match=r"OCR of pages 1–2 failed \(stopped after 0.9 s\)"):
        load(scan, extract_timeout_s=0.9)


def test_low_confidence_is_named(tmp_path: Path) -> None:
    kept = Kept()
    path = write_scan(tmp_path / "a.pdf", [draw_page([(60, 60, REPORT)])])
    load(path, kept=kept)
    kept.pages = {key: page._replace(confidence=0.61) for key, page in kept.pages.items()}
    (warning,) = load(path, kept=kept).warnings
    assert warning == (
        "page 1 was read by OCR with a confidence of only 61%: compare them with the text"
    )


class TestOrder:
    @staticmethod
    def box(text: str, x: float, y: float, width: float = 0, height: float = 20) -> Box:
        right = x + (width or 10 * len(text))
        corners = ((x, y), (right, y), (right, y + height), (x, y + height))
        return Box(text, 1.0, corners)

    def test_columns_under_a_heading(self) -> None:
        left = [self.box(f"left column line {n}", 0, 60 + 25 * n) for n in range(6)]
        right = [self.box(f"right column line {n}", 250, 62 + 25 * n) for n in range(6)]
        heading = self.box("A heading over both of them", 50, 0, 350, 32)
        mixed = [box for pair in zip(left, right, strict=True) for box in pair]
        text = order_text([heading, *mixed])
        lines = text.split("\n")
        assert lines[0] == heading.text
        assert [line for line in lines if line.startswith("left")] == [b.text for b in left]
        assert text.index("left column line 5") < text.index("right column line 0")

    def test_columns_of_which_one_is_a_list_with_numbers(self) -> None:
        """The gap before the numbers is wider than the one between the columns."""
        names = [f"({n}) Name of it" for n in range(1, 9)]
        boxes = [self.box("A running head over both", 150, 0)]
        for n, name in enumerate(names):
            boxes += [
                self.box(name, 0, 40 + 25 * n),
                self.box(str(9600 + n), 260, 41 + 25 * n, 36),
                self.box(f"right column line {n}", 310, 42 + 25 * n),
            ]
        lines = order_text(boxes).split("\n")
        listed = [f"{name} | {9600 + n}" for n, name in enumerate(names)]
        assert [line for line in lines if line] == [
            "A running head over both", *listed, *(f"right column line {n}" for n in range(8))
        ]  # fmt: skip

    def test_a_word_that_is_cut_goes_on_in_its_paragraph(self) -> None:
        boxes = [
            self.box("Exemption of certain sub-", 0, 0),
            self.box("stances by the office.", 30, 25),
        ]
        assert order_text(boxes) == "Exemption of certain sub-\nstances by the office."

    def test_a_word_that_is_cut_by_the_end_of_a_column(self) -> None:
        left = [self.box(f"left column line {n}" + "-" * (n == 5), 0, 25 * n) for n in range(6)]
        right = [self.box(f"right column line {n}", 250, 25 * n) for n in range(6)]
        assert "line 5-\nright column line 0" in order_text([*right, *left])

    def test_rows_of_a_table_are_read_across(self) -> None:
        boxes = []
        for n, (name, value) in enumerate([("Item", "Price"), ("Nails", "120"), ("Screws", "95")]):
            boxes += [self.box(value, 300, 30 * n), self.box(name, 0, 30 * n)]
        assert order_text(boxes) == "Item | Price\nNails | 120\nScrews | 95"

    def test_paragraphs_by_space_and_indent(self) -> None:
        boxes = [
            self.box("The first paragraph has this line", 0, 0),
            self.box("and this one.", 0, 25),
            self.box("An indented line begins another", 30, 50),
            self.box("that goes on here.", 0, 75),
            self.box("So does a line after some space.", 0, 130),
        ]
        assert [len(p.split("\n")) for p in order_text(boxes).split("\n\n")] == [2, 2, 1]


def test_digests_tell_pages_apart_and_know_them_again(tmp_path: Path) -> None:
    pages = [draw_page([(60, 60, t)]) for t in (REPORT, OTHER)]
    reader = PdfReader(write_scan(tmp_path / "a.pdf", pages))
    one, other = map(digest_page, reader.pages)
    assert one != other
    writer = PdfWriter()
    writer.add_page(reader.pages[1])
    writer.write(tmp_path / "b.pdf")
    assert digest_page(PdfReader(tmp_path / "b.pdf").pages[0]) == other


def test_the_store_keeps_pages_private_and_drops_damaged_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FASTKV_HOME", str(tmp_path / "home"))
    store, page = OcrPageStore(pytest.fail), OcrPage("Grüße \N{SNOWMAN}", 0.93)
    keys = [f"{number:032x}" for number in range(3)]
    assert store.find(keys[0]) is None
    for key in keys:
        store.keep(key, page)
    assert store.find(keys[0]) == page
    (file,) = store.folder.glob(f"{keys[1]}*")
    assert (file.stat().st_mode & 0o777, store.folder.stat().st_mode & 0o777) == (0o600, 0o700)
    content = json.loads(file.read_bytes())
    file.write_text(json.dumps([content[0] + "!", *content[1:]]))
    assert store.find(keys[1]) is None
    assert store.size()[0] == 3
    assert store.prune(file.stat().st_size) >= 1
    assert store.prune(0) == 3 - 2 or store.size() == (0, 0)
    assert DPI == 150

"""PDFs: the page map, and one message for each way in which a file can fail."""

from __future__ import annotations

import logging
from io import BytesIO
from pathlib import Path

import pytest
from pdf_maker import FILES, make_pdf
from pypdf import PdfReader, PdfWriter

from fastkv_cli.config import PageRange, ReadOptions
from fastkv_cli.documents import Document, load_document, pdf_pages
from fastkv_cli.documents.messages import Stopped
from fastkv_cli.documents.process import make_job
from fastkv_cli.errors import DocumentError, ExitCode, FastKVError, UsageError

pytestmark = pytest.mark.usefixtures("without_ocr")


def load(name: str, pages: str | None = None, password: str | None = None) -> Document:
    options = ReadOptions(PageRange.parse(pages) if pages else None, password)
    return load_document(str(FILES / name), options)


def load_bytes(folder: Path, data: bytes, pages: str | None = None) -> Document:
    path = folder / "made.pdf"
    path.write_bytes(data)
    return load_document(str(path), ReadOptions(PageRange.parse(pages) if pages else None))


def failure(name: str, password: str | None = None) -> FastKVError:
    with pytest.raises(FastKVError) as caught:
        load(name, password=password)
    return caught.value


@pytest.mark.parametrize(
    ("name", "words", "code"),
    [
        ("invalid.pdf", "is not a PDF", ExitCode.INPUT),
        ("T04_008_trailer-no-trailer-keyword.pdf", "is a damaged PDF", ExitCode.INPUT),
        ("qpdf_bad7.pdf", "is a damaged PDF", ExitCode.INPUT),
        ("qpdf_zero_pages.pdf", "is a PDF without pages", ExitCode.INPUT),
        (
            "cardinal.pdf",
            "holds no text in its 4 pages: a scan; run OCR first, e.g. ocrmypdf, or let fastkv do it: pip install 'fastkv-cli[ocr]'",
            ExitCode.INPUT,
        ),
        ("no_contents.pdf", "holds no text in its 1 page: blank or drawing only", ExitCode.INPUT),
        ("nested_arrays_content.pdf", "could be read (nested too deeply)", ExitCode.INPUT),
        ("AESkeylength256.pdf", "unsupported encryption", ExitCode.INPUT),
        ("libreoffice-writer-password.pdf", "needs a password: give it with", ExitCode.ENCRYPTED),
        ("r4-aes-user-password.pdf", "FASTKV_PDF_PASSWORD", ExitCode.ENCRYPTED),
    ],
)
def test_each_class_of_failure_has_its_own_words(name: str, words: str, code: ExitCode) -> None:
    error = failure(name)
    assert error.exit_code == code
    assert words in str(error)
    assert name in str(error)
    assert "\n" not in str(error)
    assert error.hint


def test_wrong_password() -> None:
    error = failure("r4-aes-user-password.pdf", password="wrong")
    assert error.exit_code == ExitCode.ENCRYPTED
    assert "is wrong" in str(error)


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("libreoffice-writer-password.pdf", "openpassword"),
        ("r4-aes-user-password.pdf", "asdfzxcv"),
        ("r6-empty-password.pdf", None),
        ("r6-empty-password.pdf", "not needed"),
    ],
)
def test_encrypted_files_open(name: str, password: str | None) -> None:
    assert len(load(name, password=password).text) > 20


def test_password_beyond_ascii(tmp_path: Path) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(make_pdf(["secret words"], user_password="Zürich"))
    assert load_document(str(path), ReadOptions(password="Zürich")).text == "secret words"


def test_truncated_file(tmp_path: Path) -> None:
    whole = (FILES / "pdflatex-4-pages.pdf").read_bytes()
    with pytest.raises(DocumentError, match="damaged PDF, cut off before its end"):
        load_bytes(tmp_path, whole[:9000])


def test_empty_file_and_not_a_pdf_though_named_so(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match="is empty"):
        load_bytes(tmp_path, b"")
    with pytest.raises(DocumentError, match="is not a PDF, though its name says so"):
        load_bytes(tmp_path, b"just a text")
    with pytest.raises(DocumentError, match="is not a PDF but a web page"):
        load_bytes(tmp_path, b"\n<!DOCTYPE html><html><body>Log in</body></html>")


def test_page_map_agrees_with_the_pages() -> None:
    read = load("pdflatex-4-pages.pdf")
    assert read.num_pages == 4
    assert [page.number for page in read.pages] == [1, 2, 3, 4]
    assert read.warnings == ()
    assert read.num_characters == len(read.text)
    for page in read.pages:
        assert read.page_at(page.start) == read.page_at(page.end - 1) == page.number
    second = read.text[read.pages[1].start : read.pages[1].end]
    assert second.startswith("information. Really? Is there no information?")
    assert read.text[read.pages[0].end : read.pages[1].start] == "\n\n"
    assert read.page_at(read.pages[0].end) == 1
    assert read.page_at(-1) is None
    assert read.page_at(len(read.text)) is None


def test_page_range_is_numbered_as_in_the_file(tmp_path: Path) -> None:
    made = make_pdf(["alpha", "beta", "gamma", "delta"])
    read = load_bytes(tmp_path, made, pages="4,2")
    assert read.text == "beta\n\ndelta"
    assert [(p.number, p.start, p.end) for p in read.pages] == [(2, 0, 4), (4, 6, 11)]
    assert read.num_pages == 4
    with pytest.raises(UsageError, match="page 5 is out of range: the document has 4 pages"):
        load_bytes(tmp_path, made, pages="1,5")


def test_damaged_pages_do_not_lose_the_others() -> None:
    read = load("cfr_21_1308_damaged_pages.pdf")
    assert len(read.pages) == 16
    assert {2, 12, 13}.isdisjoint(page.number for page in read.pages)
    assert (read.num_pages, read.failed) == (19, (2, 12, 13))
    (warning,) = read.warnings
    assert warning.startswith("pages 2, 12–13 could not be read (")
    assert warning.endswith("were left out")
    rest = load("content-stream-errors.pdf")  # its third page has a broken picture behind its text
    assert (rest.text.split(), rest.warnings) == (["Potato"] * 4, ())


@pytest.mark.parametrize(
    ("filter_name", "words"),
    [("JBIG2Decode", "jbig2dec binary is not available"), ("Fl", "could be read (The filter name")],
)
def test_filters_that_raise_no_error_of_pypdf(tmp_path: Path, filter_name: str, words: str) -> None:
    made = make_pdf(["words", "lost", "words"]).replace(
        b"/FlateDecode", b"/%b" % filter_name.encode().ljust(11)
    )
    with pytest.raises(DocumentError) as caught:
        load_bytes(tmp_path, made)
    assert words in str(caught.value)


def test_a_page_of_18_characters_is_no_scan(tmp_path: Path) -> None:
    read = load_bytes(tmp_path, make_pdf(["Eighteen letters!!"]))
    assert (read.text, read.warnings) == ("Eighteen letters!!", ())
    assert (read.kind, read.empty, read.failed, read.left_out) == ("PDF", (), (), ())


def test_pages_are_capped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pdf_pages, "MAX_PAGES", 2)
    made = make_pdf(["first", "second", "third"])
    *_, last = pdf_pages.read_pages(made, make_job("PDF", "a.pdf", ReadOptions()))
    assert last == Stopped("stopped at 2 pages", "choose others with --pages")


def test_garbled_pages_are_named_where_others_are_not(tmp_path: Path) -> None:
    garbage = "".join(f"/{100 + i % 90}" for i in range(60))
    read = load_bytes(
        tmp_path, make_pdf(["good words of a page " * 40, garbage, "more words " * 40])
    )
    (warning,) = read.warnings
    assert warning.startswith("text of page 2 looks unreadable (its fonts do not say")
    assert warning.endswith(
        "run OCR over it, e.g. ocrmypdf --force-ocr, or let fastkv do it: pip install 'fastkv-cli[ocr]'"
    )


def test_mixed_file_names_the_pages_without_text(tmp_path: Path) -> None:
    writer = PdfWriter()
    scans = PdfReader(FILES / "cardinal.pdf")
    words = PdfReader(BytesIO(make_pdf(["the only words"])))
    for page in [*scans.pages[:3], words.pages[0], *scans.pages[:2]]:
        writer.add_page(page)
    buffer = BytesIO()
    writer.write(buffer)
    read = load_bytes(tmp_path, buffer.getvalue())
    assert read.text == "the only words"
    assert read.page_at(0) == 4
    assert read.empty == (1, 2, 3, 5, 6)
    assert read.warnings == (
        "pages 1–3, 5–6 hold no text: a scan; run OCR first, e.g. ocrmypdf, or let fastkv do it: pip install 'fastkv-cli[ocr]'",
    )


def test_blank_page_is_not_called_scanned(tmp_path: Path) -> None:
    read = load_bytes(tmp_path, make_pdf(["words", ""]))
    assert read.warnings == ("page 2 holds no text (blank or drawing only)",)


def test_garbage_is_called_unreadable_and_a_table_of_dates_is_not(tmp_path: Path) -> None:
    garbage = "".join(f"/{100 + i % 90}" for i in range(60))
    assert "looks unreadable" in load_bytes(tmp_path, make_pdf([garbage])).warnings[0]
    dates = "\n".join(f"{month}/28/2020 invoice no. {month}" for month in range(1, 13))
    assert load_bytes(tmp_path, make_pdf([dates])).warnings == ()


def test_characters_are_capped_with_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fastkv_cli.documents.pdf.MAX_CHARACTERS", 250)
    read = load_bytes(tmp_path, make_pdf(["a" * 100, "b" * 100, "c" * 100, "d" * 100]))
    assert [page.number for page in read.pages] == [1, 2]
    assert "pages 3–4 were left out" in read.warnings[0]
    with pytest.raises(DocumentError, match="alone holds more than"):
        load_bytes(tmp_path, make_pdf(["a" * 300]))


def test_progress_counts_every_page_once() -> None:
    seen: list[tuple[int, int]] = []
    path = str(FILES / "content-stream-errors.pdf")
    load_document(path, on_page=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_pypdf_logs_nothing_and_its_logger_is_left_as_it_was(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    path = FILES / "T04_008_trailer-no-trailer-keyword.pdf"
    logger = logging.getLogger("pypdf")
    level = logger.level
    with pytest.raises(Exception, match="Root"):
        _ = PdfReader(path).pages[0]
    assert caplog.records, "the file no longer makes pypdf log, so this test shows nothing"
    caplog.clear()
    failure(path.name)
    assert not caplog.records
    assert logger.level == level
    assert capfd.readouterr() == ("", "")


def test_bytes_before_the_header_and_right_to_left_text() -> None:
    assert "PDF 2.0" in load("PDF 2.0 with offset start.pdf").text
    arabic = load("BidiSample.pdf").text
    assert any("\u0600" <= c <= "\u06ff" for c in arabic)
    assert not any("\ufe70" <= c <= "\ufefc" for c in arabic)

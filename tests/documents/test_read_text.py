"""Texts: encodings told right, and bytes that are no text refused."""

from __future__ import annotations

import gzip
import random
import zipfile
from io import BytesIO
from pathlib import Path

import pytest

from fastkv_cli.documents import Document, load_document
from fastkv_cli.documents import plain_text as text
from fastkv_cli.errors import DocumentError, ExitCode

ENGLISH = "The naïve café’s owner said: “it’s 5 €”.\nA second line.\n"
FRENCH = "Un café près de la forêt. Où mangerons-nous des pâtes ?\n"
CHINESE = "快速的棕色狐狸跳过了懒狗。这是一个测试文件，用来检查编码。\n"
JAPANESE = "これは日本語のテキストです。文字コードを検査します。\n"
KOREAN = "이것은 한국어 텍스트입니다. 문자 인코딩을 검사합니다.\n"
RUSSIAN = (
    "Все счастливые семьи похожи друг на друга, каждая несчастливая семья несчастлива по-своему.\n"
)


def load_bytes(folder: Path, data: bytes) -> Document:
    path = folder / "a.txt"
    path.write_bytes(data)
    return load_document(str(path))


@pytest.mark.parametrize("sample", [ENGLISH, CHINESE, RUSSIAN, "😀 ok\n"])
@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "utf-16-le", "utf-16-be", "utf-32-be"]
)
def test_unicode_encodings_need_no_guess(tmp_path: Path, sample: str, encoding: str) -> None:
    read = load_bytes(tmp_path, sample.encode(encoding))
    assert read.text == sample.rstrip("\n")
    assert read.warnings == ()
    assert read.num_pages is None
    assert read.pages == ()
    assert read.page_at(0) is None


@pytest.mark.parametrize(
    ("sample", "encoding", "named"),
    [
        (ENGLISH, "cp1252", "Windows-1252"),
        (FRENCH, "latin-1", "Windows-1252"),
        ("plain words, then one café", "latin-1", "Windows-1252"),
        (CHINESE, "gb18030", "GB18030"),
        ("| 快速的 | brown fox | 懒狗 |\n" * 3000, "gb18030", "GB18030"),
        (JAPANESE, "shift_jis", "Shift JIS"),
        (KOREAN, "euc_kr", "CP949"),
        (RUSSIAN, "cp1251", "CP1251"),
        (RUSSIAN, "koi8-r", "KOI8-R"),
    ],
)
def test_legacy_encodings_are_guessed_and_named(
    tmp_path: Path, sample: str, encoding: str, named: str
) -> None:
    read = load_bytes(tmp_path, sample.encode(encoding))
    assert read.text == sample.rstrip("\n")
    assert f"not UTF-8, read as {named} (a guess)" in read.warnings[0]


def test_a_slip_in_utf8_stays_utf8(tmp_path: Path) -> None:
    read = load_bytes(tmp_path, CHINESE.encode() + b"\xe5\n" + CHINESE.encode())
    assert read.text.count("狐狸") == 2
    assert read.warnings == ("1 place does not decode as UTF-8 and shows as \ufffd",)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"GIF89a" + bytes(200), "is a GIF image"),
        (gzip.compress(b"words " * 100, mtime=0), "is a gzip archive"),
        (b"a.txt".ljust(257, b"\0") + b"ustar" + b"words " * 9999, "is a tar archive"),
        (random.Random(1).randbytes(5000), "is not text"),
        (bytes(5000), "is not text"),
        (b"word\x01\x02\x03" * 100, "is not text"),
        (bytes(random.Random(1).choices(range(128, 256), k=999)), "is not text"),
        (b"\xff\xfe" + random.Random(1).randbytes(5000), "is not text"),
    ],
)
def test_bytes_that_are_no_text_are_refused(tmp_path: Path, data: bytes, words: str) -> None:
    with pytest.raises(DocumentError) as caught:
        load_bytes(tmp_path, data)
    assert words in str(caught.value)
    assert caught.value.hint
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == ExitCode.INPUT


@pytest.mark.parametrize(
    ("member", "words"),
    [("xl/workbook.bin", "a binary Excel file (XLSB)"), ("notes.txt", "a ZIP archive")],
)
def test_zip_files_are_told_by_what_they_hold(tmp_path: Path, member: str, words: str) -> None:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(member, "words")
    with pytest.raises(DocumentError) as caught:
        load_bytes(tmp_path, buffer.getvalue())
    assert words in str(caught.value)


@pytest.mark.parametrize("data", [b" \n\t\r\n", b"\xef\xbb\xbf", b"\xff\xfe", b"\x0c\n"])
def test_white_space_only_is_refused(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(DocumentError, match="only white space"):
        load_bytes(tmp_path, data)


def test_controls_line_ends_and_empty_lines(tmp_path: Path) -> None:
    data = (
        b"\n\none \x1b[31mred\x00\x07\x7f  \r\ntwo\rthree\xc2\x85\n\n\n\n\x0cfour\t5" + b"." * 200
    )
    read = load_bytes(tmp_path, data)
    assert read.text == "one [31mred\ntwo\nthree\n\nfour\t5" + "." * 200


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_lines_are_those_of_the_file(tmp_path: Path, line_end: str) -> None:
    lines = [
        "",
        "",
        "one",
        " ",
        "\u200b",
        "\x01",
        "",
        "two",
        "\f",
        "\fthree",
        "four\vfive",
        "",
        "six",
    ]
    path = tmp_path / "a.txt"
    path.write_bytes(line_end.join(lines).encode())
    read = load_document(str(path))
    assert read.text == "one\n\ntwo\n\nthree\nfour\nfive\n\nsix"
    found = {word: read.line_at(read.text.index(word)) for word in read.text.split()}
    assert found == {"one": 3, "two": 8, "three": 10, "four": 11, "five": 11, "six": 13}


def test_text_keeps_its_characters_but_composes_them(tmp_path: Path) -> None:
    read = load_bytes(tmp_path, "m² ½ … ™ ﬁ e\u0301 word-\nbreak".encode())
    assert read.text == "m² ½ … ™ ﬁ é word-\nbreak"


def test_too_many_characters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "MAX_CHARACTERS", 10)
    with pytest.raises(DocumentError, match="holds 11 characters; at most 10 are read"):
        load_bytes(tmp_path, b"x" * 11)

"""Sources: files, folders, pipes and standard input."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from pdf_maker import FILES, make_pdf

from fastkv_cli.config import PageRange, ReadOptions
from fastkv_cli.documents import load_document, load_documents, source
from fastkv_cli.errors import DocumentError, ExitCode, FastKVError, UsageError

CODE = """
import sys
from fastkv_cli.documents import load_document
from fastkv_cli.errors import FastKVError
try:
    read = load_document("-")
except FastKVError as error:
    print(error)
    sys.exit(error.exit_code)
print(read.path, read.num_pages, read.text)
"""


def run_with_stdin(stdin: bytes) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-c", CODE], input=stdin, stdout=subprocess.PIPE, check=False, timeout=60
    )
    return done.returncode, done.stdout.decode()


def test_stdin_is_told_by_its_bytes() -> None:
    assert run_with_stdin("héllo\r\n".encode()) == (0, "- None héllo\n")
    assert run_with_stdin(make_pdf(["hello"])) == (0, "- 1 hello\n")
    assert run_with_stdin(b"") == (
        ExitCode.INPUT,
        "standard input is empty: check that it was written or downloaded in full\n",
    )


def test_a_terminal_as_stdin_is_an_error_and_no_wait() -> None:
    pty = pytest.importorskip("pty")
    main, terminal = pty.openpty()
    try:
        done = subprocess.run(
            [sys.executable, "-c", CODE],
            stdin=terminal,
            stdout=subprocess.PIPE,
            check=False,
            timeout=60,
        )
    finally:
        os.close(main)
        os.close(terminal)
    assert done.returncode == ExitCode.USAGE
    assert b"nothing is piped into standard input: name a file" in done.stdout


def test_closed_stdin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(UsageError, match="standard input is closed"):
        load_document("-")


def test_named_pipe_is_read(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(b"from a pipe\n",), daemon=True)
    writer.start()
    assert load_document(str(pipe)).text == "from a pipe"
    writer.join(10)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("missing.txt", "missing.txt does not exist: check the path"),
        ("https://127.0.0.1/a.pdf", "127.0.0.1 is on a private network"),
        ("", "the path is empty"),
        (".", "is a folder: name the files in it"),
        ("nul\0byte", "cannot be read ("),
        ("x" * 5000, "cannot be read ("),
        ("esc\x1b[31m.txt", "esc\ufffd[31m.txt does not exist"),
    ],
)
def test_paths_that_cannot_be_read(path: str, words: str) -> None:
    with pytest.raises(DocumentError) as caught:
        load_document(path)
    assert words in str(caught.value)
    assert str(caught.value).isprintable()
    assert caught.value.exit_code == ExitCode.INPUT


def test_permission_denied(tmp_path: Path) -> None:
    path = tmp_path / "secret.txt"
    path.write_text("secret")
    path.chmod(0)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)  # root may read everything
    try:
        with pytest.raises(DocumentError, match="permission denied"):
            load_document(str(path))
    finally:
        os.seteuid(user)


def test_size_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "MAX_TEXT_BYTES", 2_000_000)
    monkeypatch.setattr(source, "MAX_PDF_BYTES", 3_000_000)
    path = tmp_path / "a.txt"
    path.write_bytes(b"x" * 2_000_001)
    with pytest.raises(DocumentError, match="larger than 2 MB"):
        load_document(str(path))
    path.write_bytes(b"x" * 3_000_001)
    with pytest.raises(DocumentError, match="larger than 3 MB"):
        load_documents([str(path)])
    with pytest.raises(DocumentError, match="larger than 2 MB"):
        load_document("/dev/zero")


def test_a_pdf_is_told_by_its_bytes_whatever_its_name(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(make_pdf(["hello"]))
    assert load_document(str(path)).num_pages == 1
    path.write_text("A PDF file begins with %PDF-1.7, junk aside.")
    assert load_document(str(path)).num_pages is None


def test_documents_keep_their_order_and_their_paths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("b.txt").write_text("second")
    Path("a.pdf").write_bytes(make_pdf(["first"]))
    read = load_documents(["b.txt", "./a.pdf", "b.txt"])
    assert [(each.path, each.text) for each in read] == [
        ("b.txt", "second"),
        ("./a.pdf", "first"),
        ("b.txt", "second"),
    ]


def test_all_paths_are_looked_up_before_any_is_read(tmp_path: Path) -> None:
    pages: list[tuple[int, int]] = []
    good = str(FILES / "pdflatex-4-pages.pdf")
    with pytest.raises(DocumentError, match="does not exist"):
        load_documents([good, str(tmp_path / "no")], on_page=lambda a, b: pages.append((a, b)))
    assert pages == []


def test_usage_errors(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("words")
    options = ReadOptions(pages=PageRange.parse("1"))
    cases: list[tuple[list[str], ReadOptions, str]] = [
        ([], ReadOptions(), "no document is named"),
        (["-", str(path), "-"], ReadOptions(), "can be read only once"),
        ([str(path)], options, "is not a PDF and has no pages"),
    ]
    for sources, given, words in cases:
        with pytest.raises(FastKVError, match=words) as caught:
            load_documents(sources, given)
        assert caught.value.exit_code == ExitCode.USAGE


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = "import sys, fastkv_cli.documents; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"torch", "transformers", "rich", "pypdf", "charset_normalizer", "cryptography"}
    assert heavy.isdisjoint(done.stdout.split())

"""Files, folders and patterns: what is meant, in which order, and what is left out."""

from __future__ import annotations

import os
import tempfile
import threading
from pathlib import Path

import pytest

from fastkv_cli.config import PageRange, ReadOptions
from fastkv_cli.documents import find, load_all, names_documents
from fastkv_cli.documents.find import find_documents
from fastkv_cli.errors import DocumentError, ExitCode, UsageError


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as people have them; the current folder is the one around it."""
    monkeypatch.chdir(tmp_path)
    for name in (
        "page 10.txt",
        "page 9.txt",
        "Page 1.TXT",
        "notes.md",
        "table.xls",
        "photo.JPG",
        "photo2.jpg",
        "Makefile",
        ".hidden.txt",
        ".git/config.txt",
        "sub/b.html",
        "sub/deep/a.txt",
    ):
        path = tmp_path / "docs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"<p>text of {name}</p>", encoding="utf-8")
    return tmp_path


def paths(sources: list[str]) -> list[str]:
    return [found.path for found in find_documents(sources)[0]]


IN_DOCS = ["notes.md", "Page 1.TXT", "page 9.txt", "page 10.txt", "sub/b.html", "sub/deep/a.txt"]


@pytest.mark.parametrize("folder", ["docs", "docs/", "./docs", "docs/../docs", "sub/.."])
def test_a_folder_is_its_documents_in_natural_order(tree: Path, folder: str) -> None:
    if folder == "sub/..":
        os.chdir("docs")
    found, notes = find_documents([folder])
    assert [os.path.relpath(each.path, folder) for each in found] == IN_DOCS
    assert all(each.path.startswith(folder) and not each.is_named for each in found)
    assert notes == ["4 other files skipped: .jpg, without a suffix, .xls"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("docs/*.txt", ["docs/page 9.txt", "docs/page 10.txt"]),
        ("docs/page ?.txt", ["docs/page 9.txt"]),
        ("docs/[Pp]age*", ["docs/Page 1.TXT", "docs/page 9.txt", "docs/page 10.txt"]),
        ("docs/**/*.txt", ["docs/page 9.txt", "docs/page 10.txt", "docs/sub/deep/a.txt"]),
        ("docs/*/*.html", ["docs/sub/b.html"]),
        ("docs/.*.txt", ["docs/.hidden.txt"]),
        ("docs/*.xls", ["docs/table.xls"]),  # spelled out, it is what is meant
        ("d*", [f"docs/{name}" for name in IN_DOCS]),
        ("docs/*", [f"docs/{name}" for name in IN_DOCS]),
        ("docs/**", [f"docs/{name}" for name in IN_DOCS]),
        ("docs/s*", ["docs/sub/b.html", "docs/sub/deep/a.txt"]),
        ("../*/docs/notes*", None),
    ],
)
def test_patterns_match_as_in_a_shell(tree: Path, pattern: str, expected: list[str] | None) -> None:
    if expected is None:
        expected = [f"../{tree.name}/docs/notes.md"]
        pattern = pattern.replace("*", tree.name, 1)
    assert paths([pattern]) == expected
    absolute = str(tree / pattern)
    if ".." not in pattern:
        assert paths([absolute]) == [str(tree / path) for path in expected]


def test_other_files_that_a_pattern_matches_are_counted(tree: Path) -> None:
    found, notes = find_documents(["docs/*o*"])
    assert [each.path for each in found] == ["docs/notes.md"]
    assert notes == ["2 other files skipped: .jpg"]


def test_a_name_that_exists_is_no_pattern(tree: Path) -> None:
    for name in ("a[1].txt", "what?.txt", "all*.txt", "a1.txt"):
        Path(name).write_text("words")
    for name in ("a[1].txt", "what?.txt", "all*.txt"):
        found, _ = find_documents([name])
        assert [(each.path, each.is_named) for each in found] == [(name, True)]
    Path("a[1].txt").unlink()
    assert paths(["a[1].txt"]) == ["a1.txt"]


def test_order_is_kept_and_nothing_is_read_twice(tree: Path) -> None:
    Path("link.txt").symlink_to("docs/page 9.txt")
    sources = ["docs/page 10.txt", "docs/*.txt", "docs", "./docs/notes.md", "link.txt", "-"]
    found, notes = find_documents(sources)
    assert [each.path for each in found] == [
        "docs/page 10.txt",
        "docs/page 9.txt",
        *(f"docs/{name}" for name in IN_DOCS if "9" not in name and "10" not in name),
        "-",
    ]
    assert found[0].is_named
    assert notes[0] == "5 files given more than once: read once"
    assert find_documents(["docs/notes.md", "docs/notes.md"])[1] == [
        "1 file given more than once: read once"
    ]


def test_links_that_go_round_in_circles(tree: Path) -> None:
    Path("docs/again").symlink_to("..", target_is_directory=True)
    Path("docs/sub/self").symlink_to(".", target_is_directory=True)
    Path("docs/loop.txt").symlink_to("loop.txt")
    assert paths(["docs"]) == ["docs/loop.txt", *(f"docs/{name}" for name in IN_DOCS)]
    assert len(paths(["docs/**/*.html"])) == 1
    documents, warnings = load_all(["docs"])
    assert len(documents) == len(IN_DOCS)
    assert any(warning.startswith("left out: docs/loop.txt") for warning in warnings)


@pytest.fixture
def linked(tree: Path) -> list[str]:
    """Links in docs that lead out of it, by all ways; with some that stay inside."""
    (tree / "docs-not").mkdir()  # its path begins as that of docs
    for path in ("secret.txt", "docs-not/x.txt"):
        (tree / path).write_text("a secret")
    out: dict[str, str | Path] = {
        "absolute.txt": tree / "secret.txt",
        "up.txt": "../secret.txt",
        "beside.txt": "../docs-not/x.txt",
        "chain.txt": "up.txt",  # a link to a link
        "passwd.txt": "/etc/passwd",
        "sub/far.txt": "../../secret.txt",
        "gone.txt": "../gone.txt",
    }
    inside = {
        "inside.txt": "sub/b.html",
        "round.txt": "../docs/notes.md",
        "sub/up.md": "../notes.md",
    }
    for name, target in (out | inside).items():
        (tree / "docs" / name).symlink_to(target)
    (tree / "docs/away").symlink_to("../docs-not", target_is_directory=True)
    return sorted(f"docs/{name}" for name in out)


@pytest.mark.parametrize(
    "source", ["docs", "./docs/", "docs/../docs", "docs/**", "docs/**/*", "alias"]
)
def test_links_out_of_a_folder_are_named_and_not_read(
    tree: Path, linked: list[str], source: str
) -> None:
    if source == "alias":  # the folder that is named may be a link itself
        Path("alias").symlink_to("docs", target_is_directory=True)
    documents, warnings = load_all([source])
    assert all("secret" not in document.text for document in documents)
    assert len(documents) == len(IN_DOCS)  # each once, by whichever of its names
    [warning] = [text for text in warnings if "not followed" in text]
    assert warning.startswith(f"{len(linked)} links lead out of the folder and are not followed: ")
    assert sum(name.removeprefix("docs/") in warning for name in linked) == 5


@pytest.mark.parametrize(
    ("pattern", "taken", "left_out"),
    [
        ("docs/up*", [], ["docs/up.txt"]),
        ("docs/*/x.txt", [], ["docs/away/x.txt"]),
        ("docs/aw*", [], ["docs/away"]),
        ("docs/[ir]*.txt", ["docs/inside.txt", "docs/round.txt"], []),
        ("s*.txt", ["secret.txt"], []),
        ("docs/sub/*.txt", [], ["docs/sub/far.txt"]),
        (
            "*/up.txt",
            ["docs/up.txt"],
            [],
        ),  # the folder named is the current one, as is its target's
    ],
)
def test_links_that_a_pattern_matches(
    linked: list[str], pattern: str, taken: list[str], left_out: list[str]
) -> None:
    if not taken:
        words = f"holds no document but links that lead out of it: {', '.join(left_out)}: name"
        with pytest.raises(DocumentError, match=words):
            find_documents([pattern])
    else:
        assert paths([pattern]) == taken


def test_a_link_that_is_named_is_followed(linked: list[str]) -> None:
    documents, warnings = load_all(["docs/up.txt", "docs/passwd.txt"])
    assert documents[0].text == "a secret"
    assert warnings == []


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("empty", r"empty holds no document: documents in folders end in \.pdf, \.txt"),
        ("pictures", r"pictures holds no document \(\.png\): documents in"),
        ("*.docx", r"\*\.docx does not exist, and as a pattern it matches no document"),
        ("no[where].txt", "does not exist, and as a pattern it matches no document"),
        ("a**b", "does not exist, and as a pattern it matches no document"),
        ("*\0", "does not exist, and as a pattern it matches no document"),
        ("pictures/*", "does not exist, and as a pattern it matches no document"),
        ("missing.txt", "missing.txt does not exist: check the path"),
        ("http://127.0.0.1/*.pdf", "is on a private network"),
        ("", "the path is empty"),
    ],
)
def test_where_there_is_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    Path("pictures").mkdir()
    Path("pictures/a.png").write_bytes(b"")
    with pytest.raises(DocumentError, match=words) as caught:
        load_all([source])
    assert caught.value.exit_code == ExitCode.INPUT
    assert str(caught.value).isprintable()


def test_limits(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastkv_cli.documents.search.MAX_DOCUMENTS", 5)
    with pytest.raises(DocumentError, match=r"more than 5 documents.*name fewer"):
        find_documents(["docs"])
    with pytest.raises(DocumentError, match="more than 5 documents"):
        find_documents([f"{number}.txt" for number in range(6)])
    assert len(find_documents(["docs/*.txt"] * 9)[0]) == 2
    monkeypatch.setattr(find, "_MAX_ENTRIES", 5)
    with pytest.raises(DocumentError, match="docs holds more than 5 files and folders"):
        find_documents(["docs"])
    with pytest.raises(DocumentError, match="matches more than 5 files"):
        find_documents(["docs/**/*"])


def test_a_folder_that_may_not_be_opened() -> None:
    user = os.geteuid()
    with tempfile.TemporaryDirectory() as name:  # others may look into it, unlike into pytest's
        folder = Path(name)
        (folder / "closed").mkdir()
        (folder / "a.txt").write_text("words")
        folder.chmod(0o755)
        (folder / "closed").chmod(0)
        if user == 0:
            os.seteuid(65534)  # root may open everything
        try:
            found, notes = find_documents([name])
        finally:
            os.seteuid(user)
    assert [each.path for each in found] == [f"{name}/a.txt"]
    assert notes == ["1 folder could not be opened and left out"]


class TestLoadAll:
    """What becomes of documents that cannot be read."""

    def test_each_is_read_and_named(self, tree: Path) -> None:
        documents, warnings = load_all(["docs/sub", "docs/notes.md"])
        assert [(each.path, each.text) for each in documents] == [
            ("docs/sub/b.html", "text of sub/b.html"),
            ("docs/sub/deep/a.txt", "<p>text of sub/deep/a.txt</p>"),
            ("docs/notes.md", "<p>text of notes.md</p>"),
        ]
        assert warnings == []

    def test_one_among_many_found_is_a_warning(self, tree: Path) -> None:
        Path("docs/broken.pdf").write_bytes(b"%PDF-1.7 and no more")
        Path("docs/empty.txt").touch()
        documents, warnings = load_all(["docs"])
        assert [each.path for each in documents] == [f"docs/{name}" for name in IN_DOCS]
        assert warnings[1].startswith("left out: docs/broken.pdf is not a PDF: ")
        assert warnings[2].startswith("left out: docs/empty.txt is empty: ")

    def test_a_pipe_is_read_only_where_it_is_named(self, tree: Path) -> None:
        pipe = Path("docs/pipe.txt")
        os.mkfifo(pipe)
        threading.Thread(target=pipe.write_text, args=("words",), daemon=True).start()
        for source in ("docs", "docs/*"):
            documents, warnings = load_all([source])
            assert [each.path for each in documents] == [f"docs/{name}" for name in IN_DOCS]
            assert warnings[1].startswith("left out: docs/pipe.txt is a pipe, a device or a socket")
        assert [each.text for each in load_all([str(pipe)])[0]] == ["words"]

    def test_one_that_was_named_is_an_error(self, tree: Path) -> None:
        Path("docs/empty.txt").touch()
        with pytest.raises(DocumentError, match=r"docs/empty\.txt is empty"):
            load_all(["docs/notes.md", "docs/empty.txt"])
        with pytest.raises(DocumentError, match=r"docs/empty\.txt is empty"):
            load_all(["docs/empty.txt", "docs"])

    def test_when_none_can_be_read(self, tree: Path) -> None:
        Path("bad").mkdir()
        Path("bad/1.txt").touch()
        with pytest.raises(DocumentError, match=r"bad/1\.txt is empty"):
            load_all(["bad"])
        Path("bad/2.txt").touch()
        with pytest.raises(
            DocumentError, match=r"none of the 2 documents .* the first: bad/1\.txt is empty"
        ):
            load_all(["bad"])

    def test_pages_that_a_found_one_does_not_have(self, tree: Path) -> None:
        options = ReadOptions(pages=PageRange.parse("2"))
        with pytest.raises(DocumentError, match=r"none of the 6 documents.*has no pages"):
            load_all(["docs"], options)
        with pytest.raises(UsageError, match="has no pages"):
            load_all(["docs/notes.md"], options)

    @pytest.mark.parametrize(("sources", "words"), [([], "no document"), (["-", "-"], "only once")])
    def test_usage(self, sources: list[str], words: str) -> None:
        with pytest.raises(UsageError, match=words):
            load_all(sources)

    def test_named_ones_are_looked_up_before_any_is_read(self, tree: Path) -> None:
        read: list[int] = []
        with pytest.raises(DocumentError, match="does not exist"):
            load_all(["docs", "missing.pdf"], on_page=lambda done, _: read.append(done))
        assert read == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("docs", True),
        ("docs/*.txt", True),
        ("docs/notes.md", True),
        ("Who wrote it?", False),
        ("docs/*.pdf", False),
        ("What is 3*4?", False),
        ("x" * 5000, False),
        ("*x" * 5000, False),
        ("a\0b?", False),
        ("**a?", False),
        ("", False),
    ],
)
def test_questions_are_told_from_documents(tree: Path, text: str, expected: bool) -> None:
    assert names_documents(text) is expected

"""Web pages: what a reader of the page sees, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from fastkv_cli.config import ReadOptions
from fastkv_cli.documents import Document, load_document
from fastkv_cli.documents.html import html_to_text as page_to_text
from fastkv_cli.documents.html import read_html
from fastkv_cli.errors import DocumentError


def html_to_text(source: str, *, is_book: bool = False) -> tuple[str, int]:
    page = page_to_text(source, is_book=is_book)
    return page.text, page.num_hidden


PAGE = """<!DOCTYPE html>
<html lang="en"><head><title>The  report - Site</title><meta charset="utf-8">
<style>.x{color:red}</style><script>var a = "not text";</script></head>
<body>
<header><a href="/">Home</a><h1>Site name</h1></header>
<nav><ul><li>Menu one<li>Menu two</ul></nav>
<main>
<h1>Report <em>on</em> 2020</h1>
<p>First&nbsp;paragraph with <a href="https://example.org/x?y=1">a link</a>,
   over two lines &amp; with entities: &eacute; &#8364; &#x1F600; &xyzzy;</p>
<ul><li>one</li><li>two<ol start="3"><li>nested<li>again</ol></li><li><p>three</p><p>more</p></li></ul>
<table><caption>Sizes</caption>
<thead><tr><th>Name<th>A | B</thead>
<tr><td rowspan=2>wide<td>1<tr><td>2<tr><td colspan=2>both</table>
<pre>
  def f():
      return 1
</pre>
<blockquote>Quoted<br>twice</blockquote>
<dl><dt>Term<dd>What it means</dl>
<h2><div>Inside a div</div></h2>
<p><img src="a.png" alt="not shown"><button>Press</button><select><option>no</select> <q>Yes</q></p>
<aside>Related articles</aside>
</main>
<footer>Imprint</footer>
</body></html>"""

TEXT = """# Report on 2020

First paragraph with a link, over two lines & with entities: é € 😀 &xyzzy;

- one
- two
  3. nested
  4. again
- three

  more

Sizes

| Name | A \\| B |
| --- | --- |
| wide | 1 |
| wide | 2 |
| both |  |

```
  def f():
      return 1
```

> Quoted
> twice

Term

What it means

## Inside a div

"Yes\""""


def text_of(body: str) -> str:
    return html_to_text(f"<body>{body}")[0]


def load_bytes(folder: Path, data: bytes, options: ReadOptions | None = None) -> Document:
    path = folder / "a.html"
    path.write_bytes(data)
    return load_document(str(path), options or ReadOptions())


def test_a_page_as_its_readers_see_it(tmp_path: Path) -> None:
    read = load_bytes(tmp_path, PAGE.encode())
    assert read.text == TEXT
    assert read.warnings == ()
    assert read.num_pages is None


@pytest.mark.parametrize(
    ("data", "suffix"),
    [
        ("<!doctype HTML><p>words", "txt"),
        ("\n<!-- saved from a site --><html><p>words", "txt"),
        ('<?xml version="1.0"?>\n<html xmlns="x"><p>words</p></html>', "xml"),
        ("<p>words</p>", "html"),
        ("words", "HTM"),
        ("<head><title></title></head>words", "dat"),
    ],
)
def test_pages_are_told_by_their_bytes_and_else_by_their_names(
    tmp_path: Path, data: str, suffix: str
) -> None:
    path = tmp_path / f"a.{suffix}"
    for encoding in ("utf-8", "utf-16"):
        path.write_bytes(data.encode(encoding))
        assert load_document(str(path)).text == "words"


@pytest.mark.parametrize(
    "text", ["a <html> tag in a text", "<root>xml</root>", "<p>no page by its name</p>"]
)
def test_other_texts_stay_texts(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.txt"
    path.write_text(text)
    assert load_document(str(path)).text == text


class TestWhatBelongsToThePage:
    """Boilerplate out, `main` and `article` preferred, but never nothing."""

    @pytest.mark.parametrize(
        ("body", "expected"),
        [
            ("<div>intro</div><main>" + "text " * 9 + "</main><div>ads</div>", "text " * 9),
            ("<div>" + "long" * 9 + "</div><main>short</main>", "long" * 9 + "\n\nshort"),
            ("<article>one two</article><p>ads</p><article>three</article>", "one two\n\nthree"),
            ("<div role=main>text text</div><p>ads</p>", "text text"),
            ("<div role=navigation>menu</div><p>text</p><div role=contentinfo>c</div>", "text"),
            ("<article><header><h2>Title</h2></header>text<footer>by A</footer></article>",
             "## Title\n\ntext\n\nby A"),
            ("<nav><p>all is a menu</p></nav>", "all is a menu"),
            ("<header>all is a header</header>", "all is a header"),
            ("<noscript>no</noscript><template>no</template><svg><title>no</title></svg>yes", "yes"),
            ("<main><main>in <b>in</b></main></main>", "in in"),
        ],
    )  # fmt: skip
    def test_regions(self, body: str, expected: str) -> None:
        assert text_of(body) == expected.strip()

    def test_the_title_stands_in_for_a_heading(self) -> None:
        assert html_to_text("<title>A\n title</title><p>text")[0] == "# A title\n\ntext"
        assert html_to_text("<title>A</title><h1>B</h1><p>text")[0] == "# B\n\ntext"
        assert html_to_text("<title>A</title><h2>B</h2>")[0] == "# A\n\n## B"

    def test_books_keep_their_asides_and_have_no_titles(self) -> None:
        page = "<title>Book</title><p>text<aside>a note</aside>"
        assert html_to_text(page, is_book=True)[0] == "text\n\na note"
        assert html_to_text(page)[0] == "# Book\n\ntext"


class TestHiddenText:
    """Text that readers do not see is left out, and its places counted."""

    @pytest.mark.parametrize(
        "attribute",
        [
            "hidden",
            "hidden=''",
            "aria-hidden=true",
            "style='display:none'",
            "style='DISPLAY : None !important'",
            "style='a:b;visibility:hidden'",
            "style='opacity:0'",
            "style='opacity:0.0;color:red'",
            "style='font-size:0px'",
            "style='font-size:1px'",
            "style='font-size:.5pt'",
            "style='position:absolute;left:-9999px'",
            "style='text-indent:-1000em'",
            "style='clip:rect(0,0,0,0)'",
            "style='clip-path: inset(50%)'",
            "style='height:0;overflow:hidden'",
            "style='max-width:0px; overflow: hidden'",
            "style='color:#fff;background:#fff'",
            "style='color:transparent'",
            "style='display:/**/none'",
            "style='mso-hide:all'",
            "style='transform: scale(0)'",
        ],
    )
    def test_by_an_attribute(self, attribute: str) -> None:
        text, num_hidden = html_to_text(f"<p>a<span {attribute}>in <b>structions</b></span>b")
        assert (text, num_hidden) == ("ab", 1)

    @pytest.mark.parametrize(
        "attribute",
        [
            "aria-hidden=false",
            "hidden=until-found",
            "style='opacity:0.5'",
            "style='font-size:10px'",
            "style='font-size:0.9em'",
            "style='font-size:11pt'",
            "style='color:#fff'",
            "style='color:#fff;background:#000'",
            "style='margin-left:-10px'",
            "style='height:0'",
            "style='width:05px;overflow:hidden'",
            "style='background:url(display:none)'",
            "class=hidden",
        ],
    )
    def test_what_is_seen_stays(self, attribute: str) -> None:
        assert html_to_text(f"<p>a<span {attribute}>b</span>c") == ("abc", 0)

    @pytest.mark.parametrize(
        ("sheet", "shown"),
        [
            (".x{display:none}", ""),
            ("#i { visibility : hidden }", ""),
            ("div > .x, .y { color: red; display: none }", ""),
            ("@media screen{.z{}} .x{display:none}", ""),
            ("/* .x{} */ .x{display:none", ""),
            ("@import url(a.css); .x{display:none}", ""),
            ("@media print{.x{display:none}}", "x"),
            (".x{display:none} .x{display:block}", "x"),
            (".x:hover{display:none}", "x"),
            (".w{display:none}", "x"),
            ("body{visibility:hidden}", "x"),
            ("/* .x{display:none} */", "x"),
            (".x{display:none !important; }}}} .x{", ""),
            ("((({display:none}", "x"),
        ],
    )
    def test_by_the_page_s_own_style_sheet(self, sheet: str, shown: str) -> None:
        sheet = sheet if sheet.endswith(("{", "none")) else f"{sheet}"
        body = "a<div><span class='x y' id=i>x</span></div>b"
        closed = sheet + ("}" if sheet.count("{") > sheet.count("}") else "")
        text, num_hidden = html_to_text(f"<style>{closed}</style>{body}")
        assert text == f"a\n\n{shown}\n\nb".replace("\n\n\n\n", "\n\n")
        assert num_hidden == (0 if shown else 1)

    def test_a_style_attribute_wins_over_the_sheet(self) -> None:
        page = "<style>p{display:none}</style><p style='display:block'>tab</p><p>other</p>"
        assert html_to_text(page) == ("tab", 1)
        assert html_to_text(f"<style media=print>p{{display:none}}</style>{page[32:]}")[1] == 0

    def test_closed_dialogs_and_empty_places(self) -> None:
        page = "a<dialog>no</dialog><dialog open>yes</dialog><i hidden></i><i hidden> &nbsp;</i>"
        assert html_to_text(page) == ("a\n\nyes", 1)

    def test_the_warning(self, tmp_path: Path) -> None:
        read = load_bytes(tmp_path, b"<p>a<i hidden>b</i><i hidden>c<b hidden>d</b></i>")
        assert read.warnings == ("hidden text left out: 2 places",)
        read = load_bytes(tmp_path, b"<p>a<i hidden>b</i>\xe2\x80\x8b\xf3\xa0\x81\x81")
        assert read.text == "a"
        assert read.warnings == (
            "hidden text left out: 1 place",
            "hidden characters removed: 1 tag character, 1 zero-width character",
        )


class TestTables:
    """Rows and columns, and the tables that are none."""

    @pytest.mark.parametrize(
        ("table", "expected"),
        [
            ("<tr><td>a<td>b", "| a | b |"),
            ("<tr><td>a<tr><td>b", "a\n\nb"),
            ("<tr><td>a<td>b<tr><td><tr><td>c<td>d", "| a | b |\n| --- | --- |\n| c | d |"),
            ("<tr><td><p>a</p><p>b</p><td>c<br>d", "| a b | c d |"),
            ("<tr><td><h2>a</h2>b<td>c", "## a\n\nb\n\nc"),
            ("<tr><td>a<td><table><tr><td>1<td>2</table>b", "a\n\n| 1 | 2 |\n\nb"),
            ("<tr><td><ul><li>a<li>b</ul><td>c", "| - a - b | c |"),
            (f"<tr><td>{'x' * 1001}<td>b", f"{'x' * 1001}\n\nb"),
            ("<tr><td colspan=3>a<td>b", "| a |  |  | b |"),
            ("<tr><td rowspan=9>a<td>b<tr><td>c", "| a | b |\n| --- | --- |\n| a | c |"),
            ("<tr><td>a<td rowspan=2>b<td>c<tr><td>d<td>e",
             "| a | b | c |\n| --- | --- | --- |\n| d | b | e |"),
            ("<tr><td colspan=x rowspan=0>a<td colspan=-1>b", "| a | b |"),
            ("", ""),
        ],
    )  # fmt: skip
    def test_tables(self, table: str, expected: str) -> None:
        assert text_of(f"<table>{table}</table>") == expected

    def test_a_table_for_the_layout(self) -> None:
        assert text_of("<table role=presentation><tr><td>a<td>b</table>") == "a\n\nb"

    def test_in_a_list_and_around_it(self) -> None:
        page = "<ul><li>a<table><tr><td>1<td>2</table></ul>after"
        assert text_of(page) == "- a\n\n  | 1 | 2 |\n\nafter"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("<li>no list", "- no list"),
        ("<ul><li><li>b</ul>", "- b"),
        ("<ol start=x><li>a</ol><p>b", "1. a\n\nb"),
        ("<ul>a<li>b</ul>c", "  a\n\n- b\n\nc"),
        ("a<br>b<br><br>c", "a\nb\n\nc"),
        ("<b>a</b>b <i> c</i>", "ab c"),
        ("<p>a</p>b<div>c</div>", "a\n\nb\n\nc"),
        ("<h1>a<br>b</h1>", "# a b"),
        ("<pre>a\n\n  b```</pre>", "````\na\n\n  b```\n````"),
        ("<ruby>漢<rp>(</rp><rt>kan</rt><rp>)</rp></ruby>", "漢(kan)"),
        ("x<sub>2</sub> &lt;b&gt; &amp;amp;", "x₂ <b> &amp;"),
        ("", ""),
    ],
)
def test_pieces(body: str, expected: str) -> None:
    assert text_of(body) == expected


class TestEncodings:
    """What a page says of itself, where that can be."""

    @pytest.mark.parametrize(
        ("head", "text", "encoding"),
        [
            ("<meta charset=windows-1251>", "Привет, мир", "cp1251"),
            (
                '<META HTTP-EQUIV="Content-Type" CONTENT="text/html; charset=gb2312">',
                "快速",
                "gb18030",
            ),
            ("<meta charset='iso-8859-1'>", "“Grüße” – 5 €", "cp1252"),
            ('<?xml version="1.0" encoding="Shift_JIS"?><html>', "これは", "cp932"),
            ("<meta charset=euc-kr>", "이것은", "cp949"),
            ("<meta charset=big5>", "這是", "big5"),
            ("<meta charset=utf-8>", "Grüße", "utf-8"),
            ("<meta charset=iso-8859-1>", "Grüße, saved anew", "utf-8"),
            ("<meta charset=koi8-r>", "Привет", "utf-16"),
            ("<meta charset=koi8-r>", "Привет", "utf-8-sig"),
            ("<html>", "Привет, мир", "utf-16-le"),
            ("<meta charset=utf-16>", "Grüße", "utf-8"),
            ("<meta charset=iso-2022-jp>", "これは", "iso2022_jp"),
        ],
    )
    def test_declared(self, tmp_path: Path, head: str, text: str, encoding: str) -> None:
        read = load_bytes(tmp_path, f"{head}<p>{text}".encode(encoding))
        assert read.text == text
        assert read.warnings == ()

    @pytest.mark.parametrize(
        "head",
        [
            "",
            "<meta charset=utf-8>",
            "<meta charset=no-such-thing>",
            "<meta charset=zlib>",
            "<meta charset=punycode>",
        ],
    )
    def test_wrong_or_missing_words_are_guessed(self, tmp_path: Path, head: str) -> None:
        russian = "Все счастливые семьи похожи друг на друга. " * 5
        read = load_bytes(tmp_path, f"{head}<p>{russian}".encode("cp1251"))
        assert read.text == russian.strip()
        assert "read as CP1251 (a guess)" in read.warnings[0]

    def test_what_the_user_says_wins(self, tmp_path: Path) -> None:
        data = "<meta charset=utf-8><p>Привет".encode("koi8-r")
        assert load_bytes(tmp_path, data, ReadOptions(encoding="koi8-r")).text == "Привет"

    def test_a_picture_is_no_page(self) -> None:
        with pytest.raises(DocumentError, match="is a PNG image"):
            read_html(b"\x89PNG\r\n\x1a\n" + bytes(99), "a.html")


HOSTILE = {
    "deep": "<div>" * 20_000 + "x",
    "deep and closed": "<div>" * 5000 + "x" + "</div>" * 5000,
    "deep lists": "<ul><li>x" * 3000,
    "deep quotes": "<blockquote>x" * 3000,
    "deep tables": "<table><tr><td>x" * 3000,
    "never closed": "<b><i><p>x" * 1000,
    "list items": "<ol>" + "<li>x" * 30_000,
    "rows": "<table>" + "<tr><td>x<td>y" * 15_000,
    "columns": "<table><tr>" + "<td>x" * 30_000,
    "spans": "<table>" + ("<tr>" + "<td rowspan=65534 colspan=1000>x" * 50) * 50,
    "less-than": "<" * 200_000 + " x",
    "comments": "<!--" * 50_000 + "x",
    "selectors": "<style>" + ".a .b{display:none}" * 20_000 + "</style>" + "<p class=a>x" * 3000,
    "at-rules": "<style>" + "@media{" * 30_000 + "</style>x",
    "css comments": "<style>" + "/*" * 50_000 + "</style>x",
    "style": "<p style='" + "/*" * 50_000 + "display:none'>x",
    "blanks": "<p>" + " \n" * 100_000 + "x",
    "breaks": "<br> " * 50_000 + "x",
}


@pytest.mark.parametrize("page", HOSTILE.values(), ids=HOSTILE)
def test_hostile_pages_end_and_stay_small(page: str) -> None:
    """Broken, deep and wide ones; anything quadratic would take minutes here."""
    text, _ = html_to_text(page)
    assert "x" in text or "<!--" in page
    assert len(text) < 20 * len(page) + 1000

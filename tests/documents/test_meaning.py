"""Text that means something else when it is flattened, and content that has to be told of."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from xml.etree import ElementTree

import pptx
import pytest
from office_maker import make_docx, paragraph, run
from pptx.util import Inches

from fastkv_cli.documents import load_document
from fastkv_cli.documents.formulas import from_omml, from_xml
from fastkv_cli.documents.html import html_to_text
from fastkv_cli.documents.numerals import kind_of, write_number
from fastkv_cli.documents.office import read_docx
from fastkv_cli.documents.omissions import Note, Omission, split_notes
from fastkv_cli.documents.scripts import lower_text, raise_text
from fastkv_cli.documents.slides import read_pptx

M = "http://schemas.openxmlformats.org/officeDocument/2006/math"


@pytest.mark.parametrize(
    ("before", "raised", "text"),
    [
        ("10", "6", "⁶"),
        ("10", "-23", "⁻²³"),
        ("5 km", "2", "²"),
        ("r", "2", "²"),
        ("(a + b)", "2", "²"),
        ("x", "2k", "^{2k}"),
        ("said so", "12", "[12]"),
        ("said so.", "3, 4", "[3, 4]"),
        ("", "1", "[1]"),
        ("the 20", "th", "th"),
        ("Acme", "TM", "™"),
        ("word", "[7]", "[7]"),
        ("word", "*", "*"),
    ],
)
def test_what_is_raised_keeps_its_meaning(before: str, raised: str, text: str) -> None:
    assert raise_text(raised, before) == text


def test_what_is_lowered_keeps_its_meaning() -> None:
    assert [lower_text(text) for text in ("2", "i", "max", "n+1")] == ["₂", "ᵢ", "_{max}", "_{n+1}"]


def test_numbers_as_a_reader_sees_them() -> None:
    written = {kind: write_number(28, kind_of(kind)) for kind in ("a", "A", "i", "I", "decimal")}
    assert written == {"a": "ab", "A": "AB", "i": "xxviii", "I": "XXVIII", "decimal": "28"}
    assert write_number(28, kind_of("lowerLetter"), repeats=True) == "bb"
    assert write_number(3, kind_of("decimalZero")) == "03"
    assert write_number(22, kind_of("ordinal")) == "22nd"
    assert write_number(10**9, kind_of("lowerRoman")) == str(10**9)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (
            "<style>.old{text-decoration:line-through}</style><p><span class=old>9</span> 7",
            "~~9~~ 7",
        ),
        ("<p>10<span style='vertical-align:super'>6</span> l", "10⁶ l"),
        ("<del><p>one</p><p>two</p></del><p>three", "~~one~~\n\n~~two~~\n\nthree"),
        ("<p><s>a <del>b</del> c</s> d", "~~a b c~~ d"),
        ("<p>so<a epub:type=noteref href=#n>4</a> it is", "so[4] it is"),
        ("<ol reversed start=3><li>x<li>y</ol>", "3. x\n2. y"),
        ("<ol><li>x<li value=7>y<li>z</ol>", "1. x\n7. y\n8. z"),
        ("<ol style='list-style-type: upper-alpha'><li>x<li>y</ol>", "A. x\nB. y"),
        (
            "<ul><li><input type=checkbox checked> a<li><input type=checkbox> b</ul>",
            "- [x] a\n- [ ] b",
        ),
        ("<p>Name: <input value='Ada L.'> <input type=password value=x>", "Name: Ada L."),
        ("<p>Wood: <select><option>oak<option selected>larch</select>", "Wood: larch"),
        ("<p>Why: <textarea>too dear</textarea>", "Why: too dear"),
        ("<ruby>東<rt>とう</rt>京<rt>きょう</rt></ruby>へ", "東京(とうきょう)へ"),
        ("<p><math><msubsup><mi>x</mi><mi>i</mi><mn>2</mn></msubsup></math>", "$x_i^2$"),
        (
            "<p><math><munderover><mo>∑</mo><mrow><mi>i</mi><mo>=</mo><mn>1</mn></mrow><mi>n</mi>"
            "</munderover><mi>i</mi></math>",
            "$∑_{i = 1}^ni$",
        ),
        (
            "<p><math><semantics><mi>q</mi><annotation encoding='application/x-tex'>\\hat q"
            "</annotation></semantics></math>",
            "$\\hat q$",
        ),
        (
            "<article><p>one</p><aside><a href=x>More</a> <a href=y>news</a></aside></article>",
            "one",
        ),
        ("<p>seen</p><noscript>Please enable JavaScript</noscript>", "seen"),
        ("<p>a</p><svg><title>no</title><text>drawn</text></svg>", "a\n\ndrawn"),
    ],
)
def test_on_web_pages(body: str, text: str) -> None:
    assert html_to_text(f"<body>{body}").text == text


def test_what_a_web_page_embeds_is_counted() -> None:
    page = html_to_text(
        "<p>a<canvas></canvas><canvas></canvas><video></video>"
        "<iframe src=x></iframe><iframe src=y width=1></iframe>"
    )
    warnings, omissions = split_notes(page.notes())
    assert warnings == ("2 drawings, 1 video and 1 embedded page were not read",)
    assert next(each._asdict() for each in omissions) == {
        "kind": "drawing",
        "count": 2,
        "pages": (),
    }


def test_one_warning_names_all_that_was_left_out() -> None:
    notes: list[Note] = [
        Omission("form field", 1, (2,)),
        "another",
        Omission("chart", 2, (4,)),
        Omission("form field", 2, (4,)),
        Omission("comment", 1, (2,)),
    ]
    warnings, omissions = split_notes(notes)
    assert warnings == (
        "another",
        "3 form fields, 2 charts and 1 comment were not read: p. 2, 4",
    )
    assert omissions[0] == Omission("form field", 3, (2, 4))
    assert split_notes([Omission("comment", 1)])[0] == ("1 comment was not read",)


def numbering(levels: str, lists: str = "") -> str:
    return (
        '<w:numbering xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main">'
        f'<w:abstractNum w:abstractNumId="0">{levels}</w:abstractNum>'
        '<w:num w:numId="1"><w:abstractNumId w:val="0"/></w:num>'
        f"{lists}</w:numbering>"
    )


def level(at: int, kind: str, text: str, more: str = "") -> str:
    return (
        f'<w:lvl w:ilvl="{at}"><w:start w:val="1"/><w:numFmt w:val="{kind}"/>{more}'
        f'<w:lvlText w:val="{text}"/></w:lvl>'
    )


def read_numbered(definition: str, *items: tuple[str, int, int]) -> str:
    body = "".join(paragraph(run(text), numbering=(num, at)) for text, num, at in items)
    text, _ = read_docx(make_docx(body, **{"word/numbering.xml": definition}), "a.docx")
    return text


def test_numbers_of_word_are_continued_restarted_and_legal() -> None:
    contract = numbering(
        level(0, "upperRoman", "Article %1")
        + level(1, "decimal", "%1.%2", "<w:isLgl/>")
        + level(2, "lowerLetter", "(%3)")
    )
    items = [("Scope", 1, 0), ("Rent", 1, 0), ("Due", 1, 1), ("early", 1, 2), ("late", 1, 2)]
    items += [("Paid", 1, 1), ("in cash", 1, 2), ("End", 1, 0)]
    lines = [line.strip() for line in read_numbered(contract, *items).split("\n")]
    assert lines == [
        "Article I Scope",
        "Article II Rent",
        "2.1 Due",
        "(a) early",
        "(b) late",
        "2.2 Paid",
        "(a) in cash",
        "Article III End",
    ]
    restarted = numbering(
        level(0, "decimal", "%1)"),
        '<w:num w:numId="2"><w:abstractNumId w:val="0"/>'
        '<w:lvlOverride w:ilvl="0"><w:startOverride w:val="5"/></w:lvlOverride></w:num>',
    )
    text = read_numbered(restarted, ("a", 1, 0), ("b", 1, 0), ("c", 2, 0), ("d", 2, 0))
    assert text == "1) a\n2) b\n5) c\n6) d"


@pytest.mark.parametrize(
    ("omml", "latex"),
    [
        ("<m:f><m:num>{a}</m:num><m:den>{b}</m:den></m:f>", r"$\frac{a}{b}$"),
        ("<m:rad><m:deg>{b}</m:deg><m:e>{a}</m:e></m:rad>", r"$\sqrt[b]{a}$"),
        ("<m:sSubSup><m:e>{a}</m:e><m:sub>{b}</m:sub><m:sup>{c}</m:sup></m:sSubSup>", "$a_b^{12}$"),
        ('<m:d><m:dPr><m:begChr m:val="["/></m:dPr><m:e>{a}</m:e><m:e>{b}</m:e></m:d>', "$[a|b)$"),
        (
            '<m:nary><m:naryPr><m:chr m:val="∑"/></m:naryPr><m:sub>{a}</m:sub><m:sup>{b}</m:sup>'
            "<m:e>{c}</m:e></m:nary>",
            "$∑_a^b 12$",
        ),
        ("<m:func><m:fName>{s}</m:fName><m:e>{a}</m:e></m:func>", r"$\sin a$"),
        ('<m:acc><m:accPr><m:chr m:val="→"/></m:accPr><m:e>{a}</m:e></m:acc>', r"$\vec{a}$"),
    ],
)
def test_formulas_of_word(omml: str, latex: str) -> None:
    runs = {
        key: f"<m:r><m:t>{text}</m:t></m:r>"
        for key, text in (("a", "a"), ("b", "b"), ("c", "12"), ("s", "sin"))
    }
    root = ElementTree.fromstring(f'<m:oMath xmlns:m="{M}">{omml.format(**runs)}</m:oMath>')
    assert from_omml(from_xml(root)) == latex


def test_a_word_file_s_prompts_are_no_values_and_what_is_not_read_is_counted() -> None:
    empty = (
        "<w:sdt><w:sdtPr><w:showingPlcHdr/></w:sdtPr><w:sdtContent>"
        f"{run('Click here to enter text')}</w:sdtContent></w:sdt>"
    )
    equation = (
        '<w:r><w:object><o:OLEObject xmlns:o="urn:schemas-microsoft-com:office:office"'
        ' ProgID="Equation.3"/></w:object></w:r>'
    )
    data = make_docx(paragraph(f"{run('Name: ')}{empty}{equation}"))
    text, notes = read_docx(data, "a.docx")
    assert text == "Name:"
    assert split_notes(notes)[0] == ("1 formula was not read",)


def test_slides_with_numbers_scripts_and_struck_text() -> None:
    deck = pptx.Presentation()
    slide = deck.slides.add_slide(deck.slide_layouts[5])
    slide.shapes.title.text = "Prices"
    frame = slide.shapes.add_textbox(Inches(1), Inches(2), Inches(4), Inches(2)).text_frame
    for at, words in enumerate((("Old ", "9", " 7"), ("10", "6", " litres"))):
        line = frame.paragraphs[0] if at == 0 else frame.add_paragraph()
        numbers = line._p.get_or_add_pPr().makeelement(
            "{http://schemas.openxmlformats.org/drawingml/2006/main}buAutoNum",
            {"type": "alphaLcParenBoth"},
        )
        line._p.get_or_add_pPr().append(numbers)
        for word in words:
            line.add_run().text = word
    frame.paragraphs[0].runs[1]._r.get_or_add_rPr().set("strike", "sngStrike")
    frame.paragraphs[1].runs[1]._r.get_or_add_rPr().set("baseline", "30000")
    buffer = BytesIO()
    deck.save(buffer)
    text, notes = read_pptx(buffer.getvalue(), "a.pptx")
    assert text == "## Slide 1: Prices\n\n(a) Old ~~9~~ 7\n(b) 10⁶ litres"
    assert notes == ()


def test_a_comment_in_code_is_no_comment(tmp_path: Path) -> None:
    path = tmp_path / "a.md"
    path.write_text(
        "a\n\n    <!-- shown -->\n\n- item\n\n    <!-- not shown -->\n\nb <!-- no -->\n"
    )
    read = load_document(str(path))
    assert "<!-- shown -->" in read.text
    assert read.warnings == ("hidden text left out: 2 comments",)

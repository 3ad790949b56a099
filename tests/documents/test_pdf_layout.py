"""What stands where on a PDF page: scripts, struck text, columns, tables, forms and layers."""

from __future__ import annotations

from io import BytesIO

import pytest
from pdf_maker import make_pdf, text_at
from pypdf import PdfWriter
from pypdf.annotations import FreeText, Text
from pypdf.generic import (
    ArrayObject,
    DecodedStreamObject,
    DictionaryObject,
    FloatObject,
    NameObject,
    PdfObject,
    TextStringObject,
)

from fastkv_cli.config import ReadOptions
from fastkv_cli.documents.clean import join_pages
from fastkv_cli.documents.messages import PageRead
from fastkv_cli.documents.pdf_pages import read_pages
from fastkv_cli.documents.process import make_job


def read_page(data: bytes) -> PageRead:
    pages = read_pages(data, make_job("PDF", "a.pdf", ReadOptions()))
    return next(page for page in pages if isinstance(page, PageRead))


def text_of(*operators: bytes) -> str:
    return join_pages({1: read_page(make_pdf([b"".join(operators)])).text})[1]


def rule(x: float, y: float, right: float, top: float) -> bytes:
    return f"{x} {y} m {right} {top} l S\n".encode()


def small(x: float, y: float, text: str) -> bytes:
    return f"BT /F1 8 Tf {x} {y} Td ({text}) Tj ET\n".encode()


def rows(cells: list[list[str]], lefts: list[float], top: float = 700) -> list[bytes]:
    return [
        text_at(x, top - 20 * at, cell)
        for at, row in enumerate(cells)
        for x, cell in zip(lefts, row, strict=True)
        if cell
    ]


CELLS = [
    ["Place", "2030", "2031"],
    ["Mill", "1,204", "88"],
    ["Inn", "", "(7)"],
    ["Quay", "5", "12"],
]
MARKDOWN = (
    "| Place | 2030 | 2031 |\n| --- | --- | --- |\n| Mill | 1,204 | 88 |\n| Inn |  | (7) |\n"
    "| Quay | 5 | 12 |"
)


def test_raised_and_lowered_text() -> None:
    assert text_of(text_at(50, 700, "10"), small(63.4, 705, "6"), text_at(71.3, 700, "litres")) == (
        "10⁶ litres"
    )
    assert text_of(text_at(50, 700, "CO"), small(68.1, 697, "2"), text_at(73, 700, " here")) == (
        "CO₂ here"
    )
    assert text_of(text_at(50, 700, "as said"), small(87.5, 705, "12")) == "as said[12]"
    raised = b"BT /F1 12 Tf 50 700 Td (10) Tj 5 Ts (6) Tj 0 Ts ( litres) Tj ET\n"
    assert text_of(raised) == "10⁶ litres", "in the size of the line"


def test_struck_text() -> None:
    line = text_at(50, 700, "now 120 crowns each")
    assert text_of(line, rule(76, 703.5, 135, 703.5)) == "now ~~120 crowns~~ each"
    assert text_of(line, rule(50, 698, 160, 698)) == "now 120 crowns each", "underlined"
    writer = PdfWriter(clone_from=BytesIO(make_pdf([line])))
    box = [FloatObject(value) for value in (76, 710, 135, 710, 76, 697, 135, 697)]
    note = DictionaryObject(
        {
            NameObject("/Type"): NameObject("/Annot"),
            NameObject("/Subtype"): NameObject("/StrikeOut"),
            NameObject("/Rect"): ArrayObject(map(FloatObject, (76, 697, 135, 710))),
            NameObject("/QuadPoints"): ArrayObject(box),
        }
    )
    writer.pages[0][NameObject("/Annots")] = ArrayObject([note])
    assert read_page(written(writer)).text == "now ~~120 crowns~~ each"


@pytest.mark.parametrize(
    ("y", "text"), [(500, "now ~~120 crowns~~ each"), (0, "now 120 crowns each")]
)
def test_lines_of_a_form_strike_where_they_are_shown(y: int, text: str) -> None:
    shown = text_at(50, 500, "now 120 crowns each") + f"q 1 0 0 1 0 {y} cm /X Do Q\n".encode()
    writer = PdfWriter(clone_from=BytesIO(make_pdf([shown])))
    form = DecodedStreamObject()
    form.set_data(rule(76, 3.5, 135, 3.5) + rule(20, -300, 580, -300) + rule(20, 300, 580, 300))
    form.update(
        {
            NameObject("/Type"): NameObject("/XObject"),
            NameObject("/Subtype"): NameObject("/Form"),
            NameObject("/BBox"): ArrayObject(map(FloatObject, (0, -500, 600, 600))),
        }
    )
    resources = writer.pages[0]["/Resources"]
    assert isinstance(resources, DictionaryObject)
    resources[NameObject("/XObject")] = DictionaryObject(
        {NameObject("/X"): writer._add_object(form)}
    )
    assert read_page(written(writer)).text == text


def written(writer: PdfWriter) -> bytes:
    buffer = BytesIO()
    writer.write(buffer)
    return buffer.getvalue()


def test_letter_spaced_words_are_joined_and_lists_of_letters_are_not() -> None:
    assert text_of(text_at(50, 700, "l i b x s m m is fast")) == "libxsmm is fast"
    assert text_of(text_at(50, 700, "a b c d e f")) == "a b c d e f"
    letters = " ".join(f"({letter} ) 200" for letter in "libxsmm")
    behind = "is one of the many that are in use"
    wide = behind.replace(" ", " ) -160 (")
    line = f"BT /F1 12 Tf 50 700 Td [(the ) -160 (library ) -160 {letters} -360 ({wide})] TJ ET\n"
    assert text_of(line.encode()) == f"the library libxsmm {behind}", "narrow beside other spaces"


def test_a_visible_soft_hyphen_is_a_hyphen() -> None:
    assert text_of(text_at(50, 700, "2015\u00ad09\u00ad01")) == "2015-09-01"


@pytest.mark.parametrize("by_column", [False, True], ids=["row by row", "column by column"])
def test_a_table_without_rules(by_column: bool) -> None:
    drawn = rows(CELLS, [50, 150, 250])
    if by_column:
        drawn.sort(key=lambda text: float(text.split()[4]))
    around = [text_at(50, 740, "Sold in crowns by the parish:"), text_at(50, 600, "That was all.")]
    assert text_of(around[0], *drawn, around[1]) == (
        f"Sold in crowns by the parish:\n{MARKDOWN}\nThat was all."
    )


def test_a_table_with_rules_and_cells_of_several_lines() -> None:
    grid = [rule(40, y, 400, y) for y in (720, 695, 650, 630)]
    grid += [rule(x, 630, x, 720) for x in (40, 140, 400)]
    cells = [text_at(50, 705, "Item"), text_at(150, 705, "Remark"), text_at(50, 680, "Rope")]
    cells += [text_at(150, 680, "to be delivered"), text_at(150, 665, "in two parts")]
    cells += [text_at(50, 636, "Tar"), text_at(150, 636, "none")]
    assert text_of(*grid, *cells) == (
        "| Item | Remark |\n| --- | --- |\n| Rope | to be delivered in two parts |\n| Tar | none |"
    )


def test_lines_that_are_one_text_object() -> None:
    rows_of_one = b"".join(
        f"BT /F1 12 Tf 50 {700 - 20 * at} Td [({name}) {gap} ({first}) -6000 ({second})] TJ ET\n"
        .encode()
        for at, (name, first, second, gap) in enumerate(
            [("Place", "2030", "2031", -9000), ("Mill of the hill", "1,204", "88", -4400),
             ("Inn at the mill", "31", "(7)", -4800), ("Quay by the sea", "5", "12", -4300)]
        )
    )  # fmt: skip
    assert text_of(rows_of_one) == (
        "| Place | 2030 | 2031 |\n| --- | --- | --- |\n| Mill of the hill | 1,204 | 88 |\n"
        "| Inn at the mill | 31 | (7) |\n| Quay by the sea | 5 | 12 |"
    )
    words = "The harbour master opens the gate at dawn, and shuts it when the last boat is in."
    for spacing in (b"0 Tw", b"3 Tw", b"0.8 Tc 2 Tw"):
        line = b"BT /F1 12 Tf " + spacing + f" 50 700 Td ({words}) Tj ET\n".encode()
        assert text_of(line) == words
    mixed = (
        b"BT /F1 12 Tf 50 700 Td (It takes ten to the power of 10) Tj 5 Ts /F1 8 Tf (6) Tj 0 Ts "
    )
    assert text_of(mixed + b"/F1 12 Tf ( litres of the best water.) Tj ET\n") == (
        "It takes ten to the power of 10⁶ litres of the best water."
    )


def test_a_page_that_is_turned_is_read_as_it_is_shown() -> None:
    turned = b"q 0 1 -1 0 842 0 cm\n" + b"".join(rows(CELLS, [50, 150, 250])) + b"Q"
    writer = PdfWriter(clone_from=BytesIO(make_pdf([turned])))
    writer.pages[0].rotate(90)
    assert read_page(written(writer)).text == MARKDOWN


def test_columns_of_text_are_no_table() -> None:
    left = ["Bees fly from", "early March to", "late October and", "rest in winter."]
    right = ["Wasps found a", "new nest each", "spring; only the", "queens survive."]
    across = rows([list(pair) for pair in zip(left, right, strict=True)], [50, 300])
    assert text_of(*across) == "\n".join([*left, *right])
    assert text_of(*across[0::2], *across[1::2]) == "\n".join([*left, *right])


def test_a_list_and_code_are_no_tables() -> None:
    items = rows([["1.", "Open the gate"], ["2.", "Ring"], ["3.", "Wait"], ["4.", "Go"]], [50, 80])
    assert "|" not in text_of(*items)
    text = text_of(
        *rows([["Frame", "12"]], [50, 300]), text_at(50, 680, "One line of running text.")
    )
    assert text == "Frame 12\nOne line of running text."


def test_values_of_fields_stand_behind_their_labels_and_comments_are_counted() -> None:
    page = text_at(50, 700, "Surname:") + text_at(70, 660, "insulated") + text_at(50, 620, "Wood:")
    page += text_at(50, 580, "Season:") + text_at(185, 580, "summer") + text_at(285, 580, "winter")
    writer = PdfWriter(clone_from=BytesIO(make_pdf([page])))
    fields: list[tuple[str, tuple[int, ...], dict[str, PdfObject]]] = [
        ("/Tx", (120, 696, 250, 712), {"/V": TextStringObject("Okonkwo")}),
        ("/Btn", (52, 658, 64, 670), {"/AS": NameObject("/Yes"), "/V": NameObject("/Yes")}),
        ("/Ch", (120, 616, 250, 632), {"/V": TextStringObject("larch")}),
        ("/Btn", (160, 578, 172, 590), {"/AS": NameObject("/Off")}),
        ("/Btn", (260, 578, 272, 590), {"/AS": NameObject("/w")}),
    ]
    widgets = ArrayObject()
    for kind, box, values in fields:
        widgets.append(
            DictionaryObject(
                {
                    NameObject("/Type"): NameObject("/Annot"),
                    NameObject("/Subtype"): NameObject("/Widget"),
                    NameObject("/FT"): NameObject(kind),
                    NameObject("/Rect"): ArrayObject(map(FloatObject, box)),
                    **{NameObject(key): value for key, value in values.items()},
                }
            )
        )
    writer.pages[0][NameObject("/Annots")] = widgets
    writer.add_annotation(0, FreeText(text="approved", rect=(300, 696, 380, 712)))
    writer.add_annotation(0, Text(text="why?", rect=(400, 700, 410, 710)))
    read = read_page(written(writer))
    assert (
        read.text
        == "Surname: Okonkwo approved\n[x] insulated\nWood: larch\nSeason:\t[ ] summer\t[x] winter"
    )
    assert read.omissions["comment"] == 1


def test_a_hidden_layer_is_left_out_and_told() -> None:
    page = text_at(50, 700, "shown") + b"/OC /L1 BDC\n" + text_at(50, 680, "not shown") + b"EMC\n"
    writer = PdfWriter(clone_from=BytesIO(make_pdf([page])))
    layer = writer._add_object(
        DictionaryObject(
            {
                NameObject("/Type"): NameObject("/OCG"),
                NameObject("/Name"): TextStringObject("Draft"),
            }
        )
    )
    resources = writer.pages[0]["/Resources"]
    assert isinstance(resources, DictionaryObject)
    resources[NameObject("/Properties")] = DictionaryObject({NameObject("/L1"): layer})
    writer.root_object[NameObject("/OCProperties")] = DictionaryObject(
        {
            NameObject("/OCGs"): ArrayObject([layer]),
            NameObject("/D"): DictionaryObject({NameObject("/OFF"): ArrayObject([layer])}),
        }
    )
    read = read_page(written(writer))
    assert (read.text, read.omissions["text of a hidden layer"]) == ("shown", 1)

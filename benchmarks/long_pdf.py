"""Build a long PDF with planted facts, for benchmarks/long_document.py.

The pages are those of the given texts, one after the other, starting over at their end. The facts
are at even distances from the first page to the last, each on a separate line.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import cycle

from pypdf import PdfWriter
from pypdf.generic import DecodedStreamObject, DictionaryObject, NameObject

PAGE_CHARACTERS = 2000
_COLUMNS, _PAGE_LINES = 96, 70
_SENTENCE_ENDS = (".", "!", "?", "”", ".)")
_FONT_SIZE, _LEADING, _TOP, _LEFT = 9, 11, 815, 45


@dataclass(frozen=True, slots=True)
class Fact:
    """A sentence to plant, the question that it answers, and what the answer must contain."""

    kind: str
    sentence: str
    question: str
    answer: str


@dataclass(frozen=True, slots=True)
class Planted:
    """A fact and its page, 1-based."""

    fact: Fact
    page: int


def _facts(kind: str, *rows: tuple[str, str, str]) -> tuple[Fact, ...]:
    return tuple(Fact(kind, *row) for row in rows)


FACTS = (
    *_facts(
        "name",
        ("The treasurer of the Halden rowing club is Ingrid Solheim.",
         "Who is the treasurer of the Halden rowing club?", "Ingrid Solheim"),
        ("The mural in the Brixworth library was painted by Tomas Okafor.",
         "Who painted the mural in the Brixworth library?", "Tomas Okafor"),
        ("Dr. Leonie Vasquez discovered the spring at Quarry Hill.",
         "Who discovered the spring at Quarry Hill?", "Leonie Vasquez"),
        ("The lighthouse keeper of Farrow Point was called Edmund Pell.",
         "What was the name of the lighthouse keeper of Farrow Point?", "Edmund Pell"),
        ("The winner of the Ashdown chess tournament was Mirela Stoica.",
         "Who won the Ashdown chess tournament?", "Mirela Stoica"),
        ("The architect Hugo Brandt designed the glass bridge of Kelmar.",
         "Which architect designed the glass bridge of Kelmar?", "Hugo Brandt"),
        ("The captain of the ship Northern Petrel is Aoife Kinsella.",
         "Who is the captain of the ship Northern Petrel?", "Aoife Kinsella"),
        ("The recipe of Orlan cheese comes from the shepherd Bastian Muir.",
         "From whom does the recipe of Orlan cheese come?", "Bastian Muir"),
    ),
    *_facts(
        "number",
        ("The bell of Marrow Church weighs 4170 kilograms.",
         "How many kilograms does the bell of Marrow Church weigh?", "4170"),
        ("The access code of the Tilbury warehouse is 90352.",
         "What is the access code of the Tilbury warehouse?", "90352"),
        ("The tunnel under Mount Greyhorn is 8640 metres long.",
         "How long is the tunnel under Mount Greyhorn?", "8640"),
        ("The orchard of the Delacourt family has 317 pear trees.",
         "How many pear trees does the orchard of the Delacourt family have?", "317"),
        ("A ticket for the Wexley cable car costs 23 crowns.",
         "What does a ticket for the Wexley cable car cost?", "23"),
        ("The Sandmere reservoir supplies 58000 households.",
         "How many households does the Sandmere reservoir supply?", "58000"),
        ("The telephone number of the Birch Lane clinic is 555-0148.",
         "What is the telephone number of the Birch Lane clinic?", "555-0148"),
        ("The oldest oak in Thornley Park is 742 years old.",
         "How old is the oldest oak in Thornley Park?", "742"),
    ),
    *_facts(
        "date",
        ("The Corvane treaty was signed on 14 March 1867.",
         "When was the Corvane treaty signed?", "14 March 1867"),
        ("The next inspection of the Ludlow elevator is due on 9 October 2031.",
         "On which date is the next inspection of the Ludlow elevator due?", "9 October 2031"),
        ("The ferry to Skarholm leaves at 6:42 in the morning.",
         "At what time does the ferry to Skarholm leave?", "6:42"),
        ("The Pinecrest observatory was opened in 1934.",
         "In which year was the Pinecrest observatory opened?", "1934"),
        ("The founder of the Varga circus was born on 2 February 1799.",
         "When was the founder of the Varga circus born?", "2 February 1799"),
        ("The museum of clocks in Elmswell is closed on Tuesdays.",
         "On which day is the museum of clocks in Elmswell closed?", "Tuesday"),
        ("The great flood of Nimbrook came in November 1911.",
         "In which month and year did the great flood of Nimbrook come?", "November 1911"),
        ("The lease of the Oakhurst bakery ends on 30 June 2029.",
         "When does the lease of the Oakhurst bakery end?", "30 June 2029"),
    ),
)  # fmt: skip


def spread(facts: Sequence[Fact]) -> list[Fact]:
    """Order the facts so that their kinds alternate, and every kind occurs at every depth."""
    kinds = dict.fromkeys(fact.kind for fact in facts)
    columns = [[fact for fact in facts if fact.kind == kind] for kind in kinds]
    return [fact for row in zip(*columns, strict=True) for fact in row]


def make_pages(
    texts: Sequence[str], num_pages: int, facts: Sequence[Fact]
) -> tuple[list[str], list[Planted]]:
    """Pages of about PAGE_CHARACTERS with broken lines, and the facts planted in them."""
    stream = _pages_of(texts)
    pages = [next(stream) for _ in range(num_pages)]
    planted = []
    for at, fact in enumerate(facts):
        index = int((at + 0.5) / len(facts) * num_pages)
        pages[index] = _plant(fact.sentence, pages[index])
        planted.append(Planted(fact, index + 1))
    return pages, planted


def _pages_of(texts: Sequence[str]) -> Iterator[str]:
    page: list[str] = []
    size = 0
    for line in _lines_of(texts):
        page.append(line)
        size += len(line) + 1
        if size >= PAGE_CHARACTERS or len(page) >= _PAGE_LINES:
            yield "\n".join(page).strip("\n")
            page, size = [], 0


def _lines_of(texts: Sequence[str]) -> Iterator[str]:
    """The lines of the texts, endlessly repeated, with long ones broken."""
    for text in cycle(texts):
        for line in text.splitlines():
            yield from textwrap.wrap(line, _COLUMNS) or [""]
        yield ""


def _plant(sentence: str, page: str) -> str:
    """Put the sentence on a separate line after the line nearest the middle that ends a sentence.

    If no line ends a sentence, after the middle line.
    """
    lines = page.split("\n")
    middle = len(lines) // 2
    ends = [at for at, line in enumerate(lines, start=1) if line.endswith(_SENTENCE_ENDS)]
    place = min(ends, key=lambda at: abs(at - middle), default=middle)
    return "\n".join([*lines[:place], sentence, *lines[place:]])


def write_pdf(pages: Sequence[str]) -> bytes:
    """The pages as a PDF in Helvetica; characters beyond Latin (Windows-1252) become `?`."""
    writer = PdfWriter()
    font = DictionaryObject(
        {
            NameObject("/Type"): NameObject("/Font"),
            NameObject("/Subtype"): NameObject("/Type1"),
            NameObject("/BaseFont"): NameObject("/Helvetica"),
            NameObject("/Encoding"): NameObject("/WinAnsiEncoding"),
        }
    )
    for text in pages:
        page = writer.add_blank_page(width=595, height=842)
        page[NameObject("/Resources")] = DictionaryObject(
            {NameObject("/Font"): DictionaryObject({NameObject("/F1"): font})}
        )
        escaped = text.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")
        shown = "\n".join(f"({line}) Tj T*" if line else "T*" for line in escaped.split("\n"))
        content = DecodedStreamObject()
        content.set_data(
            f"BT /F1 {_FONT_SIZE} Tf {_LEADING} TL {_LEFT} {_TOP} Td\n{shown}\nET".encode(
                "cp1252", "replace"
            )
        )
        page[NameObject("/Contents")] = writer._add_object(content)
    buffer = BytesIO()
    writer.write(buffer)
    return buffer.getvalue()

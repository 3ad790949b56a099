"""Report pages for tests: an answer from a document of some pages, harmless or hostile."""

from __future__ import annotations

from dataclasses import replace

from test_render import make_report

from fastkv_cli.documents.document import Document, Page
from fastkv_cli.output.render.answer_page import PageItem
from fastkv_cli.stats import Evidence, Quote, Verdict
from fastkv_cli.tasks.reading_map import Block, DocumentMap, ReadingMap

HOSTILE = (
    "<script>document.title = 'taken'; fetch('https://example.org/')</script>"
    "</div></style><style>* { display: none }</style><!-- </title>"
    "<img src='https://example.org/x.png' onerror='document.title = 1'>"
    "<a href=\"javascript:document.title = 'taken'\">click</a>"
    "<meta http-equiv=refresh content='0; url=https://example.org/'>"
    "{{ 7 * 7 }} {% for x in y %} ]]> &lt;b&gt; \x00\x07\x1b[31m \u202egnihtyna \ud800."
)


def make_document(num_pages: int, extra: str = "", path: str = "a.pdf") -> Document:
    """Pages of ten sentences, each with numbers that no other has."""
    pages, text = [], ""
    for page in range(1, num_pages + 1):
        lines = [f"On page {page}, line {line} says what {page * line} is." for line in range(10)]
        body = "\n".join([*lines, extra] if extra else lines)
        start = len(text) + (2 if text else 0)
        text += ("\n\n" if text else "") + body
        pages.append(Page(page, start, len(text)))
    return Document(path, text, num_pages, tuple(pages), (), "PDF")


def make_map(*documents: Document) -> ReadingMap:
    """A block for each line; scores and shares rise and fall along the text."""
    maps = []
    for document in documents:
        blocks, start = [], 0
        for number, line in enumerate(document.text.splitlines(keepends=True)):
            level = number * 37 % 100 / 100
            end = start + len(line)
            blocks.append(
                Block(start, end, max(len(line) // 4, 1), level**3, float(number % 2), level / 2)
            )
            start = end
        maps.append(DocumentMap(document, tuple(blocks)))
    return ReadingMap(tuple(maps))


def make_item(
    document: Document, question: str = "What is 42?", said: str = "42 is said."
) -> PageItem:
    """An answer with two sources in the document."""
    quoted = [
        f"On page {page}, line {line} says what {page * line} is."
        for page, line in ((3, 4), (2, 7))
    ]
    quotes = tuple(
        Quote(document.path, page, None, None, 0, len(text), text, 0.5)
        for page, text in zip((3, 2), quoted, strict=True)
    )
    report = replace(
        make_report(),
        command="ask",
        question=question,
        answer=said,
        evidence=Evidence(not_in_document=(), verdict=Verdict.SUPPORTED, found=True, quotes=quotes),
        warnings=("something was left out",),
    )
    return PageItem(question, report, make_map(document))

"""The straight lines drawn on a PDF page, by PDFium."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from .pdf_chars import turned

if TYPE_CHECKING:
    from pypdfium2 import PdfObject, PdfPage

_THIN = 2.5  # points: a rectangle no thicker than this is a line
_MAX_OBJECTS = 20_000  # objects of a page that are searched for lines


class Rule(NamedTuple):
    """A straight line that is drawn: horizontal if `top` equals `bottom`, else vertical."""

    left: float
    bottom: float
    right: float
    top: float


def read_rules(page: PdfPage) -> list[Rule]:
    """The straight lines of a page: thin rectangles, the sides of drawn ones, and strokes."""
    from pypdfium2 import raw

    kinds = (
        raw.FPDFPageObj_GetType(raw.FPDFPage_GetObject(page, number))
        for number in range(raw.FPDFPage_CountObjects(page))
    )
    if all(kind == raw.FPDF_PAGEOBJ_TEXT for kind in kinds):
        return []
    rules: list[Rule] = []
    turn = turned(page)
    for number, item in enumerate(page.get_objects(filter=(raw.FPDF_PAGEOBJ_PATH,), max_depth=4)):
        if number > _MAX_OBJECTS:
            break
        if item.container is not None and not _is_page(item.container, page):
            continue  # of a figure
        left, bottom, right, top = _bounds(item)
        if turn is not None:
            left, bottom, right, top = turn(left, bottom, right, top)
        wide, high = right - left, top - bottom
        if high <= _THIN < wide:
            middle = (top + bottom) / 2
            rules.append(Rule(left, middle, right, middle))
        elif wide <= _THIN < high:
            middle = (left + right) / 2
            rules.append(Rule(middle, bottom, middle, top))
        elif wide > _THIN and high > _THIN and _is_rectangle(item.raw):
            rules += (
                Rule(left, bottom, right, bottom),
                Rule(left, top, right, top),
                Rule(left, bottom, left, top),
                Rule(right, bottom, right, top),
            )
    return rules


def _is_page(form: PdfObject, page: PdfPage) -> bool:
    """Whether a form XObject covers half of the page and more: what is drawn in it is no figure."""
    while form.container is not None:
        form = form.container
    left, bottom, right, top = form.get_bounds()
    width, height = page.get_size()
    return bool((right - left) * (top - bottom) >= 0.5 * width * height)


def _bounds(item: PdfObject) -> tuple[float, float, float, float]:
    """Left, bottom, right and top of an object on the page, also of one in form XObjects."""
    bounds: tuple[float, float, float, float] = item.get_bounds()
    form = item.container
    while form is not None:
        bounds = form.get_matrix().on_rect(*bounds)
        form = form.container
    return bounds


def _is_rectangle(path: object) -> bool:
    """Whether a path is four or five points of straight lines, stroked or filled."""
    from pypdfium2 import raw

    return raw.FPDFPath_CountSegments(path) in {4, 5}

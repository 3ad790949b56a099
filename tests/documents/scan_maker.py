"""Makes scans for the tests: pages of text drawn as pictures, and PDFs and images of them."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

DPI = 150


def draw_page(
    texts: Sequence[tuple[float, float, str]],
    *,
    size: tuple[int, int] = (900, 600),
    points: int = 13,
) -> Image.Image:
    """A white page with texts at places, in pixels from the top left."""
    page = Image.new("L", size, 255)
    font = ImageFont.load_default(points * DPI / 72)
    for x, y, text in texts:
        ImageDraw.Draw(page).multiline_text((x, y), text, fill=0, font=font, spacing=12)
    return page


def write_scan(path: Path, pages: Sequence[Image.Image]) -> Path:
    """Write pages to a PDF or a TIFF, or the first to an image of another format."""
    if len(pages) > 1:
        pages[0].save(path, resolution=DPI, save_all=True, append_images=list(pages[1:]))
    else:
        pages[0].save(path, resolution=DPI)
    return path


def packed(page: Image.Image, form: str) -> bytes:
    """The bytes of an image file."""
    buffer = BytesIO()
    page.save(buffer, form)
    return buffer.getvalue()

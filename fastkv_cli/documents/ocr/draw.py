"""Draw pages of PDFs and images, and recognize their text; runs in the parser process."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from io import BytesIO
from typing import TYPE_CHECKING, Any

from ...errors import DocumentError
from .. import verdict
from ..clean import clean_page
from ..document import MAX_CHARACTERS
from ..invisible import strip_invisible
from ..messages import Job, Message, Opened, PageFailed, PageRead
from . import IMAGES
from .recognizer import Recognizer
from .text_layout import order_text

if TYPE_CHECKING:
    from .recognizer import Image

_MAX_PIXELS = 12_000_000  # of a drawing: an A4 page at 300 dpi has 8.7 million
_MAX_IMAGE_PIXELS = 120_000_000
_MAX_FRAMES = 10_000
_SPARSE_COVERAGE = 0.5  # of the page, by one image, that makes a page with little text a scan


def read_scans(data: bytes, job: Job) -> Iterator[Message]:
    """Recognize the pages of a job, in its order; each becomes a `PageRead` or a `PageFailed`.

    Raises:
        DocumentError: when the file cannot be opened.
    """
    recognizer = Recognizer(job.num_threads)
    draw = _image_drawer(data, job) if job.format in IMAGES else _pdf_drawer(data, job)
    for number, last in job.pages or []:
        assert last == number
        try:
            image = draw(number)
            yield PageRead(number, "") if image is None else _read(recognizer, image, number)
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001 (the other pages are still wanted)
            yield PageFailed(number, verdict.reason(error))


def read_image(data: bytes, job: Job) -> Iterator[Message]:
    """The pages of an image, all to be recognized: those of a TIFF, else one.

    Raises:
        UsageError: when a page is selected that the file does not have.
        DocumentError: when the file is damaged.
    """
    import hashlib

    with _open_image(data, job) as image:
        num_pages = min(getattr(image, "n_frames", 1), _MAX_FRAMES) if job.format == "TIFF" else 1
    yield Opened(num_pages, is_cut_off=False)
    chosen = job.page_range.select(num_pages) if job.page_range else range(1, num_pages + 1)
    digest = hashlib.sha256(data).hexdigest()
    for number in chosen:
        yield PageRead(number, "", shows_image=True, digest=f"{digest}/{number}")


def _read(recognizer: Recognizer, image: Image, number: int) -> PageRead:
    found = recognizer.read(image)
    seen, hidden = strip_invisible(order_text(found.boxes))
    text = clean_page(seen)[: MAX_CHARACTERS + 1]
    visible = sum(map(len, text.split()))
    confidence = round(found.confidence, 3)
    return PageRead(
        number, text, visible=visible, hidden=dict(hidden), confidence=confidence if text else None
    )


def _pdf_drawer(data: bytes, job: Job) -> Callable[[int], Image | None]:
    """Draws a page of a PDF; None if it is not a scan but a page with little text."""
    import pypdfium2

    pdf = pypdfium2.PdfDocument(data, password=job.password)
    with contextlib.suppress(Exception):  # fields are drawn with their values if this works
        pdf.init_forms()

    def draw(number: int) -> Image | None:
        page = pdf[number - 1]
        try:
            width, height = page.get_size()
            if number in job.sparse and _image_coverage(page, width * height) < _SPARSE_COVERAGE:
                return None
            scale = min(job.dpi / 72, (_MAX_PIXELS / max(width * height, 1)) ** 0.5)
            bitmap = page.render(scale=scale, rev_byteorder=True, prefer_bgrx=False)
            pixels: Image = bitmap.to_numpy()
            return _rgb(pixels)
        finally:
            page.close()

    return draw


def _image_coverage(page: Any, area: float) -> float:
    """The share of a page that its largest image covers."""
    import pypdfium2.raw as pdfium

    largest = 0.0
    for item in page.get_objects(filter=[pdfium.FPDF_PAGEOBJ_IMAGE], max_depth=3):
        left, bottom, right, top = item.get_bounds()
        largest = max(largest, (right - left) * (top - bottom))
    return largest / max(area, 1)


def _rgb(pixels: Any) -> Image:
    """Three channels, of a drawing with one, three or four."""
    import numpy as np

    if pixels.ndim == 2:
        pixels = pixels[:, :, None]
    channels = pixels[:, :, :3] if pixels.shape[2] >= 3 else np.repeat(pixels[:, :, :1], 3, axis=2)
    return np.ascontiguousarray(channels)


def _image_drawer(data: bytes, job: Job) -> Callable[[int], Image | None]:
    """Draws a page of an image file, upright by its own mark (Exif), on white."""
    opened = _open_image(data, job)

    def draw(number: int) -> Image | None:
        import numpy as np
        from PIL import Image as Pillow
        from PIL import ImageOps

        opened.seek(number - 1)
        image = ImageOps.exif_transpose(opened)
        if image.mode.startswith(("I", "F")):  # 16 bits a pixel: the brightest becomes white
            values = np.asarray(image, dtype=np.float32)
            values = values * (255 / max(float(values.max()), 1))
            image = Pillow.fromarray(values.astype(np.uint8))
        if image.has_transparency_data:
            white = Pillow.new("RGBA", image.size, "white")
            white.alpha_composite(image.convert("RGBA"))
            image = white
        image = image.convert("RGB")
        shrink = (_MAX_PIXELS / (image.width * image.height)) ** 0.5
        if shrink < 1:
            size = max(1, int(image.width * shrink)), max(1, int(image.height * shrink))
            image = image.resize(size)
        return _rgb(np.asarray(image))

    return draw


def _open_image(data: bytes, job: Job) -> Any:
    from PIL import Image as Pillow

    Pillow.MAX_IMAGE_PIXELS = _MAX_IMAGE_PIXELS // 2  # Pillow refuses twice as many
    try:
        return Pillow.open(BytesIO(data), formats=IMAGES[job.format])
    except Pillow.DecompressionBombError as error:
        raise DocumentError(
            f"{job.name} has more than {_MAX_IMAGE_PIXELS // 10**6} million pixels",
            "make it smaller, or cut out the part that matters",
        ) from error
    except Exception as error:
        raise DocumentError(
            f"{job.name} is a damaged {job.format} image ({verdict.reason(error)})",
            "download it again, or save it again in the program that opens it",
        ) from error

"""OCR of pages without usable text: drawn, recognized in processes of their own, put in order.

Needs the ocr extra: RapidOCR, whose package holds its models, ONNX Runtime and pypdfium2.
"""

from __future__ import annotations

IMAGES = {  # formats of images by their names in messages, with Pillow's names for them
    "PNG": ("PNG",),
    "JPEG": ("JPEG", "MPO"),
    "TIFF": ("TIFF",),
    "WEBP": ("WEBP",),
    "BMP": ("BMP",),
}
SPARSE = 100  # visible characters; a page with fewer and an image may be a scan with a stamp

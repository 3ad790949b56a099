"""Load documents: from a path or stdin to text, with a map from characters to pages.

Nothing here imports torch or rich; pypdf is imported once a PDF is found.
"""

from __future__ import annotations

from .document import Document, Page
from .find import load_all, names_documents
from .load import load_document, load_documents

__all__ = [
    "Document",
    "Page",
    "load_all",
    "load_document",
    "load_documents",
    "names_documents",
]

"""Load documents: from a path or stdin to text, with a map from characters to pages.

Nothing here imports torch or rich; pypdf is imported once a PDF is found. The public names load
what they need when they are first used: a parser process needs none of them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .document import Document, Page
    from .find import load_all, names_documents
    from .load import load_document, load_documents

_HOMES = {
    "Document": ".document",
    "Page": ".document",
    "load_all": ".find",
    "load_document": ".load",
    "load_documents": ".load",
    "names_documents": ".find",
}

__all__ = [
    "Document",
    "Page",
    "load_all",
    "load_document",
    "load_documents",
    "names_documents",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(_HOMES[name], __name__), name)
    globals()[name] = found
    return found

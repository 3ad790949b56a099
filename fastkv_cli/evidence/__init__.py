"""Check answers against documents: which pages support them, and what no page contains.

Pure functions over words; nothing here uses a model.
"""

from .answered import why_not_found
from .citations import cite
from .index import Index, index_documents
from .unsupported import not_in_document

__all__ = ["Index", "cite", "index_documents", "not_in_document", "why_not_found"]

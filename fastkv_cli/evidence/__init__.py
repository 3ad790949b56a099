"""Check answers against documents: which pages support them, and what no page contains.

Pure functions over words; nothing here uses a model.
"""

from .answered import why_not_found
from .citations import cite
from .index import Index, index_documents
from .quotes import find_quotes
from .segment_index import SegmentIndex, index_segments
from .unsupported import not_in_document

__all__ = [
    "Index",
    "SegmentIndex",
    "cite",
    "find_quotes",
    "index_documents",
    "index_segments",
    "not_in_document",
    "why_not_found",
]

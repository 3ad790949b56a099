"""fastkv: read long documents with a local language model, fast.

The public names load what they need when they are first used, so that importing the package costs
nothing and `fastkv --help` stays quick.
"""

import os
import sys

if sys.argv[:1] == ["-m"] and __name__ in (each.removeprefix("-m") for each in sys.orig_argv):
    # `python -m fastkv_cli`, about to begin: the current folder is first on the import path, and a
    # typing.py there would be run in the next lines (a __future__.py too, so none is imported
    # above). It stays where the package itself lies in it.
    _root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120
    if sys.path[0] != _root and not sys.flags.safe_path:
        del sys.path[0]

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .version import __version__

if TYPE_CHECKING:
    from .documents import Document, load_document
    from .engine.generate import Engine
    from .engine.generation import Generation
    from .engine.methods import (
        H2O,
        TOVA,
        AdaKV,
        FastKV,
        FastKVCascade,
        FastKVProbe,
        Full,
        GemFilter,
        HeadKV,
        PyramidKV,
        SnapKV,
        StreamingLLM,
        UniPrefill,
    )
    from .session.answer import Answer
    from .session.conversation import Chat
    from .session.observer import Observer
    from .session.opening import open  # noqa: A004 (fastkv.open)
    from .session.session import Session

# Where the public names are; all others are methods.
_HOMES = {
    "Answer": ".session.answer",
    "Chat": ".session.conversation",
    "Document": ".documents",
    "Engine": ".engine.generate",
    "Generation": ".engine.generation",
    "Observer": ".session.observer",
    "Session": ".session.session",
    "load_document": ".documents",
    "open": ".session.opening",
}

__all__ = [
    "H2O",
    "TOVA",
    "AdaKV",
    "Answer",
    "Chat",
    "Document",
    "Engine",
    "FastKV",
    "FastKVCascade",
    "FastKVProbe",
    "Full",
    "GemFilter",
    "Generation",
    "HeadKV",
    "Observer",
    "PyramidKV",
    "Session",
    "SnapKV",
    "StreamingLLM",
    "UniPrefill",
    "__version__",
    "load_document",
    "open",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        home = _HOMES.get(name, ".engine.methods")
        return getattr(import_module(home, __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)

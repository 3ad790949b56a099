"""HTML pages from the templates in `pages/`: escaped, self-contained, and without scripts.

The templates are ours and documents are only data, so that they need no process of their own, as
chat templates of models do. Every value is cleaned of characters that HTML forbids or that reorder
text on screen, then escaped; a Content-Security-Policy forbids scripts and loads besides.
"""

from __future__ import annotations

import re
from base64 import b64encode
from functools import cache
from hashlib import sha256
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

_STYLE = "style.css"
# Controls besides tab and newline, lone surrogates (UTF-8 has none) and noncharacters.
_FORBIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")
_BIDI = re.compile("[\u202a-\u202e\u2066-\u2069]")


def render_page(template: str, **values: Any) -> str:
    """Render a template of `pages/`.

    Args:
        template: its file name.
        values: what it names.
    """
    environment = _environment()
    style = environment.get_template(_STYLE).render()
    digest = b64encode(sha256(style.encode()).digest()).decode()
    return environment.get_template(template).render(style_hash=digest, **values)


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader(__package__, "pages"),
        autoescape=True,
        finalize=_clean,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _clean(value: Any) -> Any:
    if not isinstance(value, str) or hasattr(value, "__html__"):  # what a macro rendered
        return value
    return _BIDI.sub("", _FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", value))

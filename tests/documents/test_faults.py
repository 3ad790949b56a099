"""Documents that were once read wrongly, each one of a kind, with what has to stand in their text.

`faults/checks.json` says of each file what must be in its text, what must not, and groups of which
one must hold: a text, or `NOT:`, `WARN:` and `ERROR:` with what is not in the text, in a warning,
or in the error.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from fastkv_cli.documents import load_document
from fastkv_cli.errors import DocumentError

FOLDER = Path(__file__).parent / "faults"
CASES: list[dict[str, Any]] = json.loads((FOLDER / "checks.json").read_text("utf-8"))


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_it_says_what_the_document_says(case: dict[str, Any]) -> None:
    warnings: tuple[str, ...] = ()
    text = error = ""
    try:
        document = load_document(str(FOLDER / case["name"]))
        text, warnings = document.text, document.warnings
    except DocumentError as refused:
        error = f"{refused}: {refused.hint}"

    def holds(rule: str) -> bool:
        kind, _, rest = rule.partition(":")
        if kind == "WARN":
            return any(re.search(rest, warning, re.IGNORECASE) for warning in warnings)
        if kind == "ERROR":
            return re.search(rest, error, re.IGNORECASE) is not None
        return bool(text) and rest not in text if kind == "NOT" else rule in text

    assert [wanted for wanted in case["want"] if wanted not in text] == []
    assert [wrong for wrong in case["forbid"] if wrong in text] == []
    assert [group for group in case["anyof"] if not any(map(holds, group))] == []

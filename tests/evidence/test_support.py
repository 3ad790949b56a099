"""Whether a text supports a sentence."""

from __future__ import annotations

import pytest

from fastkv_cli import Document
from fastkv_cli.evidence import index_documents
from fastkv_cli.evidence.support import MIN_SUPPORT, share_supported

FILLER = " ".join(f"Line {at} is about something else entirely." for at in range(200))
TEXT = f"Grant besieged Vicksburg with 70,000 men in June. {FILLER} Caves were dug by families."


@pytest.mark.parametrize(
    ("sentence", "is_supported"),
    [
        ("Grant besieged Vicksburg with 70,000 men in June.", True),
        ("In June, Grant besieged Vicksburg.", True),
        ("Families dug caves.", True),
        ("Lincoln bombarded Vicksburg in June.", False),
        ("In June, General Lee besieged Vicksburg.", False),
        ("Grant besieged Vicksburg with 80,000 men in June.", False),
        ("Families suffered under the bombardment of their homes.", False),
        ("It is what it is.", False),
        ("", False),
    ],
)
def test_support(sentence: str, is_supported: bool) -> None:
    index = index_documents([Document("a.txt", TEXT, None, (), ())])
    assert (share_supported(sentence, index) >= MIN_SUPPORT) is is_supported

"""Nothing of the prompt's own frame stands in an answer."""

from __future__ import annotations

import pytest

from fastkv_cli.tasks.frame_cut import FrameCut


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("It is 47. </document>\n\nAnswer", "It is 47."),
        ("It is <document> The document", "It is"),
        ("It is 47.\nQuestion: Who?", "It is 47."),
        ("<document>47", ""),
        ("5 < 6 and </doc> and a question: why?", "5 < 6 and </doc> and a question: why?"),
        ("It ends with <", "It ends with <"),
        ("It ends with </documen", "It ends with </documen"),
        ("<<document>", "<"),
        ("", ""),
    ],
)
@pytest.mark.parametrize("size", [1, 2, 7, 100])
def test_an_answer_ends_where_the_frame_begins(said: str, shown: str, size: int) -> None:
    cut = FrameCut()
    pieces = [cut.push(said[at : at + size]) for at in range(0, len(said), size)]
    assert "".join([*pieces, cut.end()]).rstrip() == shown
    assert cut.text.rstrip() == shown
    assert cut.is_cut is (said != shown)

"""Read subtitles (SRT, WebVTT) with pysubs2: what is said, with the time of each minute."""

from __future__ import annotations

from ...errors import DocumentError
from ..archive import refusing_damage
from ..decode_text import decode_text
from ..omissions import Note

_PARAGRAPH_MS = 30_000  # a time stands before what is said in this time
_PAUSE_MS = 4_000


def read_subtitles(
    data: bytes, name: str, encoding: str | None = None
) -> tuple[str, tuple[Note, ...]]:
    """Read subtitles as paragraphs of half a minute, each behind its time, `[0:12:30]`.

    Arguments and result are those of `decode_text`.

    Raises:
        DocumentError: when they are damaged, or the extra formats is not installed.
    """
    try:
        import pysubs2
    except ImportError as error:
        raise DocumentError(
            f"{name} is a file of subtitles, which needs the office extra",
            "pip install 'fastkv-cli[office]'",
        ) from error
    text, warnings = decode_text(data, name, encoding)
    with refusing_damage(name):
        events = pysubs2.SSAFile.from_string(
            text, format_="vtt" if text.lstrip().startswith("WEBVTT") else "srt"
        )
    parts: list[list[str]] = []
    began = ended = -_PARAGRAPH_MS
    for event in events:
        said = " ".join(event.plaintext.split())
        if not said or (parts and parts[-1][-1] == said):
            continue
        if event.start - began >= _PARAGRAPH_MS or event.start - ended > _PAUSE_MS:
            began = event.start
            seconds = began // 1000
            parts.append([f"[{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}]"])
        parts[-1].append(said)
        ended = event.end
    if not parts:
        raise DocumentError(f"{name} holds no subtitles", "check that it is SRT or WebVTT")
    return "\n\n".join(" ".join(part) for part in parts), warnings

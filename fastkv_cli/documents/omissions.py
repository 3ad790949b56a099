"""What a reader left out of a document: its kind, how often, and on which pages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

_PLURALS = {"text of a hidden layer": "texts of hidden layers"}


class Omission(NamedTuple):
    """Content that was not read.

    Attributes:
        kind: A singular noun: "chart", "form field", "comment".
        count: How many of them.
        pages: Numbers of their pages or slides, ascending; empty where the format has none.
    """

    kind: str
    count: int  # type: ignore[assignment]  # hides tuple.count, which nothing here calls
    pages: tuple[int, ...] = ()


def counted(counts: Mapping[str, int], pages: tuple[int, ...] = ()) -> list[Omission]:
    """The omissions of kinds that were counted; none for a count of 0."""
    return [Omission(kind, count, pages) for kind, count in counts.items() if count]


Note = str | Omission
"""What a reader reports: a finished warning, or content that it left out."""


def merge_omissions(omissions: Iterable[Omission]) -> tuple[Omission, ...]:
    """One omission for each kind, in order of appearance."""
    counts: dict[str, int] = {}
    pages: dict[str, set[int]] = {}
    for omission in omissions:
        counts[omission.kind] = counts.get(omission.kind, 0) + omission.count
        pages.setdefault(omission.kind, set()).update(omission.pages)
    return tuple(
        Omission(kind, count, tuple(sorted(pages[kind]))) for kind, count in counts.items() if count
    )


def split_notes(notes: Sequence[Note]) -> tuple[tuple[str, ...], tuple[Omission, ...]]:
    """The warnings, with one sentence about all that was left out; and that as data."""
    omissions = merge_omissions(note for note in notes if isinstance(note, Omission))
    warnings = tuple(note for note in notes if isinstance(note, str))
    return (*warnings, *omission_warning(omissions)), omissions


def decode_notes(notes: Iterable[Any]) -> tuple[Note, ...]:
    """Notes from JSON, where an omission is a list of its fields."""
    return tuple(
        note if isinstance(note, str) else Omission(note[0], note[1], tuple(note[2]))
        for note in notes
    )


def omission_warning(omissions: Sequence[Omission]) -> tuple[str, ...]:
    """`3 form fields, 2 charts and 1 comment were not read: p. 2, 4`; none if nothing was."""
    from .verdict import page_list

    if not omissions:
        return ()
    parts = [f"{each.count:,} {_name(each)}" for each in omissions]
    subject = " and ".join(filter(None, (", ".join(parts[:-1]), parts[-1])))
    verb = "was" if len(omissions) == 1 and omissions[0].count == 1 else "were"
    pages = sorted({page for each in omissions for page in each.pages})
    return (f"{subject} {verb} not read" + (f": p. {page_list(pages)}" if pages else ""),)


def _name(omission: Omission) -> str:
    if omission.count == 1:
        return omission.kind
    return _PLURALS.get(omission.kind, f"{omission.kind}s")

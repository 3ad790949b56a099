"""Fill in a schema from documents: each field from the place that names it, or by the model."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from ..engine.generation import Piece
from ..errors import NotSupportedError
from ..field_values import FieldValue, FilledSchema
from ..fields.field import Field, FieldKind, Schema
from .field_chooser import FieldChooser
from .field_places import locate
from .field_rows import Row, find_rows, find_values, rows_of
from .field_search import Candidate, FieldSearch, Wanted, wanted_fields
from .work import Outcome, Work

# A place that names a field as well as this is taken without asking the model. On 72 made documents
# 190 of 195 such values were right.
_CLAIMS = 0.25
# Fields that the model fills in at once: see docs/benchmarks.md.
FIELDS_A_PROMPT = 1

Values = dict[str, FieldValue | list[FieldValue] | list[dict[str, FieldValue]]]


def fill(
    work: Work, schema: Schema, *, fields_a_prompt: int = FIELDS_A_PROMPT
) -> Iterator[Piece | Outcome]:
    """Fill in a schema; the last event is the outcome, whose text is the JSON of the answer.

    A field is searched for by its name and description. Where a place names it, its value is taken
    from there; each place is taken once. Of all others the model chooses, among the values of the
    field's type in the best passages and "none", with constrained decoding. Lists come from the
    table, the labels or the list items that fit their fields best.

    Args:
        work: the documents, the model and the limits.
        schema: the fields.
        fields_a_prompt: how many fields the model fills in at once.

    Raises:
        ContextError: when a field leaves no room for text.
        NotSupportedError: when `work.strict` is set and a value that must be there is unsupported.
    """
    started = time.perf_counter()
    filler = _Filler(work, schema, fields_a_prompt)
    filled = filler.fill_rows() if schema.is_multi else filler.fill_one()
    filled = _within(filled, work, schema)
    text = _as_json(filled.value)
    yield Piece(text)
    yield replace(filler.chooser.outcome(text, time.perf_counter() - started), filled=filled)


class _Filler:
    def __init__(self, work: Work, schema: Schema, fields_a_prompt: int) -> None:
        self._work, self._root = work, schema.root
        self._fields_a_prompt = fields_a_prompt
        self._search = FieldSearch(work.corpus, whole=work.whole_below is None)
        self._wanted = wanted_fields(schema)
        self._taken: list[Candidate] = []  # by lists
        self.chooser = FieldChooser(work, self._search, self._wanted)

    def fill_one(self) -> FilledSchema:
        """One object from the whole text."""
        values: Values = {}
        for wanted in self._wanted:
            if wanted.field.kind is FieldKind.ARRAY:
                values[wanted.name] = self._fill_array(wanted)
        values |= self._fill_scalars()
        fields = [one for each in self._wanted for one in _flat(values[each.name])]
        return FilledSchema(_build(self._root, "", values), tuple(fields))

    def fill_rows(self) -> FilledSchema:
        """An object for every row of a list."""
        found: list[Any] = []
        fields: list[FieldValue] = []
        for number, row in enumerate(rows_of(find_rows(self._search, self._wanted), self._wanted)):
            values = self._row(row, self._wanted, f"[{number}].")
            fields += values.values()
            found.append(_build(self._root, "", dict(values)))
        return FilledSchema(found, tuple(fields))

    def _fill_scalars(self) -> dict[str, FieldValue]:
        """The value of each field that is no list, by its name."""
        wanted = [each for each in self._wanted if each.field.kind is not FieldKind.ARRAY]
        claims = self._claim(wanted)
        values = {
            each.name: self._value(each, claims[each.name], each.name)
            for each in wanted
            if each.name in claims
        }
        left = [each for each in wanted if each.name not in claims]
        taken = [*self._taken, *claims.values()]
        pools = {each.name: self._candidates(each) for each in left}
        while left:
            left.sort(key=lambda each: _num_free(pools[each.name], taken))
            group, left = left[: self._fields_a_prompt], left[self._fields_a_prompt :]
            for each, found, value in self.chooser.choose(group, taken):
                if found is None:
                    values[each.name] = FieldValue(each.name, value)
                else:
                    values[each.name] = self._value(each, found, each.name)
                    taken.append(found)
        return values

    def _candidates(self, wanted: Wanted) -> list[Candidate]:
        terms = [each.terms for each in self._wanted]
        return self._search.candidates(wanted, self._search.places(wanted), terms)

    def _claim(self, fields: Sequence[Wanted]) -> dict[str, Candidate]:
        """The places that name a field better than any other, each taken once."""
        pairs: list[tuple[Candidate, Wanted]] = []
        for wanted in fields:
            found = self._candidates(wanted)
            pairs += [(each, wanted) for each in found if each.score >= _CLAIMS]
        pairs.sort(key=lambda pair: (-pair[0].score, pair[0].start - pair[0].end, pair[0].start))
        claims: dict[str, Candidate] = {}
        for candidate, wanted in pairs:
            is_free = not any(map(candidate.overlaps, (*self._taken, *claims.values())))
            if wanted.name not in claims and is_free:
                claims[wanted.name] = candidate
        return claims

    def _fill_array(self, wanted: Wanted) -> list[FieldValue] | list[dict[str, FieldValue]]:
        item = wanted.field.items
        assert item is not None
        if item.kind is not FieldKind.OBJECT:
            found = find_values(self._search, wanted, item)
            self._taken += found
            return [
                self._value(wanted, each, f"{wanted.name}[{number}]")
                for number, each in enumerate(found)
            ]
        inner = wanted_fields(Schema(item))
        rows = list(rows_of(find_rows(self._search, inner), inner))
        self._taken += [each for row in rows for each in row.values()]
        return [
            self._row(row, inner, f"{wanted.name}[{number}].") for number, row in enumerate(rows)
        ]

    def _row(self, row: Row, wanted: Sequence[Wanted], path: str) -> dict[str, FieldValue]:
        return {
            each.name: self._value(each, row[each.name], path + each.name)
            if each.name in row
            else FieldValue(path + each.name, [] if each.field.kind is FieldKind.ARRAY else None)
            for each in wanted
        }

    def _value(self, wanted: Wanted, found: Candidate, path: str) -> FieldValue:
        span = found.document, found.start, found.end
        supported = found.score >= _CLAIMS
        if self._work.strict and not supported:
            if not wanted.field.may_be_absent:
                raise NotSupportedError(1, len(self._wanted))
            return FieldValue(path, None)
        return locate(self._work.corpus, span, path, found.value, supported=supported)


def _num_free(pool: Sequence[Candidate], taken: Sequence[Candidate]) -> int:
    """The number of places that a field can be read from, without those that are taken."""
    return sum(not any(each.overlaps(other) for other in taken) for each in pool)


def _flat(
    value: FieldValue | list[FieldValue] | list[dict[str, FieldValue]],
) -> Iterator[FieldValue]:
    if isinstance(value, FieldValue):
        yield value
        return
    for each in value:
        yield from each.values() if isinstance(each, dict) else [each]


def _build(field: Field, path: str, values: Values) -> dict[str, Any]:
    """The object of a schema from the values of its fields."""
    built: dict[str, Any] = {}
    for each in field.fields:
        value = _build_field(each, f"{path}{each.name}", values)
        if value is not None or each.nullable:
            built[each.name] = value
    return built


def _build_field(field: Field, name: str, values: Values) -> Any:
    if field.kind is FieldKind.OBJECT:
        inner = _build(field, f"{name}.", values)
        is_empty = all(part is None for part in inner.values())
        return None if field.may_be_absent and is_empty else inner
    found = values[name]
    if isinstance(found, FieldValue):
        return found.value
    if not found and field.nullable:
        return None
    item = field.items
    return [
        _build(item, "", dict(each)) if isinstance(each, dict) and item else each.value  # type: ignore[union-attr]
        for each in found
    ]


def _within(filled: FilledSchema, work: Work, schema: Schema) -> FilledSchema:
    """As much of an answer as the limit of tokens allows: whole rows, or whole fields."""

    def fits(value: Any) -> bool:
        ids = work.tokenizer(_as_json(value), add_special_tokens=False)["input_ids"]
        return len(ids) <= work.max_tokens

    value = filled.value
    if fits(value):
        return filled
    parts = list(value) if schema.is_multi else list(value.items())
    kept = len(parts)
    while kept and not fits(parts[:kept] if schema.is_multi else dict(parts[:kept])):
        kept -= 1
    if schema.is_multi:
        missing = tuple(f"[{number}]" for number in range(kept, len(parts)))
        return replace(filled, value=parts[:kept], missing=missing)
    missing = tuple(name for name, _ in parts[kept:])
    return replace(filled, value=dict(parts[:kept]), missing=missing)


def _as_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2)

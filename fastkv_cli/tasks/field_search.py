"""Where in the documents a field of a schema can be, and which values stand there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ..evidence import is_judged, why_not_found
from ..evidence.field_labels import FieldTerms, LabelFinder
from ..evidence.quotes import find_passages
from ..fields.field import Field, FieldKind, Schema, leaves
from ..fields.shapes import has_words, shape_of
from ..fields.written import WrittenValues
from ..prompts.prompt import tokenize_text
from .corpus import Corpus

# A text of up to this many tokens is searched as a whole; of a longer one, the best passages are.
WHOLE_TOKENS = 1024
_PASSAGES = 8
_BEGINNING, _MOST_BEGINNINGS = 500, 3  # characters of a document, and documents
# A span that names a field as well as this is a label, and no value.
_IS_LABEL = 0.5
_MOST_WHOLE = 80  # characters of a labeled value of which no part is a value
_IS_FORM = 3  # labeled values
_SENTENCE_WORDS = 4
_MOST_UNLABELED = 100  # characters of a value without a label


Place = tuple[int, int, int]
"""The number of a document, and the first and last character of a stretch of it, exclusive."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A value that a document holds.

    Attributes:
        document: its number.
        start, end: its span, in characters of the document's text.
        value: normalized.
        score: how well the words around it name the field, 0 to 1.
    """

    document: int
    start: int
    end: int
    value: str | float | int | None
    score: float

    def overlaps(self, other: Candidate) -> bool:
        """Whether both take a character of the text."""
        same = self.document == other.document
        return same and self.start < other.end and other.start < self.end


@dataclass(frozen=True, slots=True)
class Wanted:
    """A field that is looked for.

    Attributes:
        path: the fields above it, and the field.
        terms: the words by which it is looked for.
        query: the same as a question for ranking.
    """

    path: tuple[Field, ...]
    terms: FieldTerms = field(init=False)
    query: str = field(init=False)

    def __post_init__(self) -> None:
        names = " ".join(each.words for each in self.path if each.name)
        descriptions = " ".join(each.description for each in self.path if each.description)
        object.__setattr__(self, "terms", FieldTerms.of(names, descriptions))
        own = self.field.description
        object.__setattr__(self, "query", f"{names} ({own})" if own else names)

    @property
    def field(self) -> Field:
        return self.path[-1]

    @property
    def name(self) -> str:
        """The keys to it, joined by dots."""
        return ".".join(each.name for each in self.path)

    @property
    def question(self) -> str:
        """The question for a model."""
        return f"What is the {self.query}?"


def wanted_fields(schema: Schema) -> list[Wanted]:
    """The fields of a schema that have values of their own, in order."""
    return [Wanted(path) for path in leaves(schema.root)]


class FieldSearch:
    """Finds the candidates of fields in a corpus."""

    def __init__(self, corpus: Corpus, *, whole: bool = False) -> None:
        """Search the documents of a corpus; `whole` searches a long one as a whole, too."""
        self._corpus, self._whole = corpus, whole
        self.labels = [LabelFinder(document.text) for document in corpus.documents]
        self.written = [WrittenValues(document.text) for document in corpus.documents]

    @property
    def is_short(self) -> bool:
        """Whether the whole text is searched for each field."""
        return self._whole or self._corpus.num_tokens <= WHOLE_TOKENS

    @cached_property
    def _everywhere(self) -> list[Place]:
        documents = enumerate(self._corpus.documents)
        return [(number, 0, len(document.text)) for number, document in documents]

    def places(
        self, wanted: Wanted, attention: Sequence[float] | None = None, most: int = _PASSAGES
    ) -> list[Place]:
        """The spans of the documents in which a field can be: (document, start, end)."""
        if self.is_short:
            return self._everywhere
        index = self._corpus.segment_index
        places = self._beginnings()
        for passage in find_passages(wanted.query, index, most, attention=attention):
            block = index.index.blocks[index.blocks[passage.first]]
            first, last = index.segments[passage.first], index.segments[passage.last]
            places.append((block.document, first.start, last.end))
        return _merged(places)

    def is_about(self, wanted: Wanted) -> bool:
        """Whether a long text is about a field at all, by the judgement of `ask`.

        In a short one, labels may have other words: there the model chooses.
        """
        if self.is_short or not is_judged(wanted.question, self._corpus.index):
            return True
        return not why_not_found(wanted.question, self._corpus.segment_index)

    def tokens_at(self, places: Sequence[Place], tokenizer: Any) -> list[int]:
        """The tokens of some places, in their order, with a line break between them."""
        gap = tokenize_text(tokenizer, "\n").token_ids.tolist()
        token_ids: list[int] = []
        for document, start, end in _merged(places):
            token_ids += gap if token_ids else []
            token_ids += self._corpus.token_ids[self._corpus.tokens_of(document, start, end)]
        return token_ids

    def _beginnings(self) -> list[Place]:
        """The beginnings of the documents: titles, authors and dates stand there."""
        texts = [document.text for document in self._corpus.documents[:_MOST_BEGINNINGS]]
        ends = (text.find("\n", _BEGINNING) for text in texts)
        return [
            (number, 0, end if 0 <= end < 2 * _BEGINNING else min(_BEGINNING, len(text)))
            for number, (text, end) in enumerate(zip(texts, ends, strict=True))
        ]

    def candidates(
        self,
        wanted: Wanted,
        places: Sequence[Place],
        all_terms: Sequence[FieldTerms],
    ) -> list[Candidate]:
        """The values of a field's type at some places, best first.

        Args:
            wanted: the field.
            places: (document, start, end) in characters.
            all_terms: of the fields of the schema: what names one of them is no value.
        """
        found = []
        is_string = wanted.field.kind is FieldKind.STRING
        fits = shape_of(wanted.field) if is_string else None
        for document, start, end in places:
            labels = self.labels[document]
            for each in self.written[document].of(wanted.field, start, end):
                if fits is not None and not (
                    fits(str(each.value)) and _is_value(labels, each.start, each.end, all_terms)
                ):
                    continue
                if labels.is_label(each.start, each.end):
                    continue
                score = labels.score(wanted.terms, each.start, each.end)
                found.append(Candidate(document, each.start, each.end, each.value, score))
        if is_string:
            found = self._likeliest(found if has_words(wanted.field) else _largest(found))
        return sorted(found, key=lambda each: (-each.score, each.start - each.end, each.start))

    def _likeliest(self, found: Sequence[Candidate]) -> list[Candidate]:
        """Only the labeled values of a form; else no sentences, if anything else is there."""
        labels = self.labels
        labeled = [each for each in found if labels[each.document].label_of(each.start, each.end)]
        if sum(len(each.labeled) for each in labels) >= _IS_FORM and labeled:
            return labeled
        short = [
            each
            for each in found
            if each in labeled or not _is_sentence(labels[each.document].text, each)
        ]
        return short or list(found)


def _merged(places: Sequence[Place]) -> list[Place]:
    """Places in order, those that overlap as one."""
    merged: list[Place] = []
    for document, start, end in sorted(places):
        if merged and merged[-1][0] == document and start <= merged[-1][2]:
            merged[-1] = document, merged[-1][1], max(merged[-1][2], end)
        else:
            merged.append((document, start, end))
    return merged


def _largest(found: Sequence[Candidate]) -> list[Candidate]:
    """Those that are not a part of another one."""
    largest: list[Candidate] = []
    for each in sorted(found, key=lambda each: (each.document, each.start, -each.end)):
        last = largest[-1] if largest else None
        if last is None or last.document != each.document or each.end > last.end:
            largest.append(each)
    return largest


def _is_sentence(text: str, found: Candidate) -> bool:
    """Whether a full stop ends a span of more than a few words."""
    is_long = text.count(" ", found.start, found.end) >= _SENTENCE_WORDS
    return is_long and text[found.end : found.end + 1] in {".", "!", "?"}


def _is_value(labels: LabelFinder, start: int, end: int, all_terms: Sequence[FieldTerms]) -> bool:
    """Whether a span can be a value: not a field's name, nor a part of a short labeled value."""
    labeled = labels.label_of(start, end)
    if labeled is not None:
        value = labels.text[labeled.start : labeled.end]
        return len(value) > _MOST_WHOLE or len(value.rstrip(" .,;")) <= end - start
    span = labels.text[start:end]
    if len(span) > _MOST_UNLABELED or (span.isupper() and span.isalpha()):
        return False
    return not any(terms.match(span) >= _IS_LABEL for terms in all_terms)

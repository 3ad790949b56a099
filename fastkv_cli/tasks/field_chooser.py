"""Let the model choose the values of fields that no place in the documents names."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain

from ..engine.generation import Generation
from ..errors import FastKVError
from ..fields.field import Field, FieldKind, Scalar
from ..fields.grammar import FREE, NONE, form_grammar, one_of, read_form
from ..prompts.prompt import ask_task, fill_task
from ..stats import KVStats, ReadingStats, combine_kv
from .answer_question import score_segments, split_to_score
from .field_search import Candidate, FieldSearch, Place, Wanted
from .parts import PartStore
from .work import Outcome, Work

_MOST_CHOICES = 48  # candidates of one field
_PASSAGES = 3  # of a long text, in the prompt of a field
_VALUE_TOKENS = 256  # of one field's text: no candidate is as long

Options = dict[str, Candidate]


class FieldChooser:
    """Asks a model for fields, one prompt for each group, and adds up what that took."""

    def __init__(self, work: Work, search: FieldSearch, wanted: Sequence[Wanted]) -> None:
        """Choose for the fields of a schema."""
        self._work = replace(
            work,
            parts=PartStore(enabled=False),
            method=work.excerpt_method,
            max_tokens=_VALUE_TOKENS,  # the window reserves no room for the whole object
        )
        self._search = search
        self._terms = [each.terms for each in wanted]
        self._generations: list[Generation] = []
        self._kv: list[KVStats] = []
        self._parts, self._tokens_used = 1, 0

    def choose(
        self, group: Sequence[Wanted], taken: Sequence[Candidate]
    ) -> Iterator[tuple[Wanted, Candidate | None, Scalar]]:
        """Choose values for some fields from the same text.

        Args:
            group: the fields.
            taken: values of other fields, which are not chosen again.

        Returns:
            Each field with the place of its value, or with a value that has none.
        """
        query = "; ".join(each.query for each in group)
        task = ask_task(group[0].question)
        if len(group) > 1:
            task = fill_task("\n".join(f"{each.name}: {each.query}" for each in group))
        room = self._work.room(task)
        attention = self._attention(query, room)
        places = [self._search.places(each, attention, _PASSAGES) for each in group]
        options = [self._options(each, own, taken) for each, own in zip(group, places, strict=True)]
        texts = [_texts(each.field, list(own)) for each, own in zip(group, options, strict=True)]
        said = [own[0] if own else "" for own in texts]
        asked = [at for at, own in enumerate(texts) if len(own) != 1]  # else there is no choice
        if asked:
            form = [
                (group[at].name, one_of(texts[at]) if texts[at] else FREE[group[at].field.kind])
                for at in asked
            ]
            answer = self._generate([*chain(*places)], room, task, form_grammar(form))
            filled_in = read_form(answer, [name for name, _ in form])
            if len(filled_in) < len(asked):
                raise FastKVError("the model's answer broke off", "report it, with the schema")
            for at, text in zip(asked, filled_in, strict=True):
                said[at] = text
        for each, own, text in zip(group, options, said, strict=True):
            found = own.get(text)
            yield each, found, None if found else _read(each.field, text)

    def outcome(self, text: str, seconds: float) -> Outcome:
        """The last event of a task.

        Args:
            text: the JSON of the answer.
            seconds: since the task began.
        """
        work, num_tokens = self._work, self._work.corpus.num_tokens
        reading = ReadingStats(
            self._parts,
            num_tokens,
            min(self._tokens_used, num_tokens),
            state=None if work.reuse is None else work.reuse.stats,
        )
        if not self._generations:
            # every label was looked for in all of the text
            reading = replace(reading, tokens_used=num_tokens)
            kv = work.engine.scoring_stats(work.scoring_method(1), [max(num_tokens, 1)])
            kv = replace(kv, note="values are copied from behind their labels")
            return Outcome(work.engine.quote(text, seconds, 0, kv), reading, kv)
        last = self._generations[-1]
        stats = replace(
            last.stats,
            output_tokens=sum(each.stats.output_tokens for each in self._generations),
            # but for the first generation's, a first token counts as a pass: that of its prefill
            decode_passes=sum(each.stats.decode_passes for each in self._generations)
            + len(self._generations)
            - 1,
        )
        generation = replace(last, text=text, stats=stats)
        if len(self._generations) > 1:
            reading = replace(reading, parts_s=max(seconds - last.stats.end_to_end_s, 0.0))
        return Outcome(generation, reading, combine_kv(self._kv))

    def _attention(self, query: str, room: int) -> Sequence[float] | None:
        """The model's attention to each segment of a long text; None of a short one."""
        if self._search.is_short:
            return None
        parts = split_to_score(self._work.corpus, room)
        self._parts = len(parts)
        return score_segments(self._work, query, parts).attention

    def _options(
        self, wanted: Wanted, places: Sequence[Place], taken: Sequence[Candidate]
    ) -> Options:
        """The texts that can be chosen for a field, the likeliest first."""
        if not self._search.is_about(wanted):
            return {}
        found = self._search.candidates(wanted, places, self._terms)
        free = [each for each in found if not any(each.overlaps(other) for other in taken)]
        options: Options = {}
        for each in free[:_MOST_CHOICES]:
            document = self._work.corpus.documents[each.document]
            options.setdefault(" ".join(document.text[each.start : each.end].split()), each)
        return options

    def _generate(self, places: Sequence[Place], room: int, task: str, grammar: str) -> str:
        """What the model says of the text at some places, within a grammar."""
        work, corpus = self._work, self._work.corpus
        token_ids: Sequence[int] = corpus.token_ids
        if not self._search.is_short or corpus.num_tokens > room:
            token_ids = self._search.tokens_at(places, work.tokenizer)[:room]
        label = f"filling in field {len(self._generations) + 1}"
        *_, last = work.stream(token_ids, task, _VALUE_TOKENS, label, grammar=grammar)
        assert isinstance(last, Generation)
        self._generations.append(last)
        self._kv.append(last.kv)
        self._tokens_used += len(token_ids)
        return last.text


def _texts(field: Field, texts: list[str]) -> list[str]:
    """What the model can say of a field; nothing if it has to make a value up."""
    if field.kind is FieldKind.BOOLEAN:
        texts = ["yes", "no"]
    elif field.kind is FieldKind.ENUM and not texts:
        texts = [_named(each) for each in field.choices]
    return [*texts, NONE] if field.may_be_absent else texts


def _named(choice: Scalar) -> str:
    return choice if isinstance(choice, str) else json.dumps(choice)


def _read(field: Field, text: str) -> Scalar:
    """The value of a text that stands at no place."""
    if text == NONE and field.may_be_absent:
        return None
    if field.kind is FieldKind.BOOLEAN:
        return text == "yes"
    if field.kind is FieldKind.ENUM:
        return next(each for each in field.choices if _named(each) == text)
    if field.kind is FieldKind.INTEGER:
        return int(text)
    return float(text) if field.kind is FieldKind.NUMBER else text.strip()

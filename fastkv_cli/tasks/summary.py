"""Summarize: choose the key sentences of a text, and let the model join and shorten them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from ..config import EMBEDDED_MODEL, SUMMARY_SENTENCES, Length
from ..engine.generation import Piece
from ..prompts.prompt import summary_task, tokenize_text
from ..summary_style import Style
from .digest import Digest, Point
from .key_points import KeyPoints, find_key_points
from .sentences import Sentence, SentenceFilter, join_sentences
from .work import Outcome, Work

# Greedy summaries of a small model loop over the same words; this penalty prevents that. Answers
# to questions go without it, because the digits of a number are repeated tokens.
REPETITION_PENALTY = 1.1
_PARAGRAPHS = 5  # of a long summary
# Model types whose makers name several languages; the others are taken to know English.
_MULTILINGUAL = frozenset({"gemma2", "gemma3", "gemma3_text", "mistral", "qwen2", "qwen3"})


def default_style(model: str, *, has_template: bool = True) -> Style:
    """The style for a model where the user names none.

    The embedded model invents when it rewrites: verbatim sentences hold more facts. A base model,
    which has no chat template, follows no instruction to rewrite.
    """
    return Style.PROSE if has_template and model != EMBEDDED_MODEL else Style.EXTRACTIVE


def choose_style(
    style: Style | None, language: str, model: str, *, has_template: bool = True
) -> Style:
    """The user's style; else prose with a language, and the model's default without one."""
    if style is not None:
        return style
    return Style.PROSE if language else default_style(model, has_template=has_template)


def summarize(
    work: Work, length: Length, style: Style | None = None, language: str = ""
) -> Iterator[Piece | Outcome]:
    """Summarize the corpus; the last event is the outcome.

    The text's key sentences are chosen first. An extractive summary is those sentences; for the
    others, the model rewrites them, and each of its sentences stands only if they support it and
    nothing of theirs is lost. Else the key sentence itself stands in its place.

    Args:
        work: the model and the text.
        length: short, medium or long.
        style: None for the model's default; with a language, prose.
        language: to write in, in English; empty for the text's own.

    Raises:
        ContextError: when the window leaves no room for text.
    """
    has_template = work.tokenizer.chat_template is not None
    style = choose_style(style, language, work.engine.loaded.name, has_template=has_template)
    found = find_key_points(work, length)
    digest = Digest(_points(found, style, length))
    if style is Style.EXTRACTIVE or not found.sentences:
        yield from _quote(work, found, digest)
        return
    sampling = replace(work.sampling, repetition_penalty=REPETITION_PENALTY)
    yield from _rewrite(replace(work, sampling=sampling), found, digest, length, style, language)


def _points(found: KeyPoints, style: Style, length: Length) -> list[Point]:
    """The key sentences as they stand in the summary, with paragraphs if it is long."""
    points = []
    last = 0
    for at, sentence in enumerate(found.sentences):
        paragraph = at * _PARAGRAPHS // len(found.sentences) if length is Length.LONG else 0
        text = f"- {sentence.text}" if style is Style.BULLETS else sentence.text
        begins = style is not Style.BULLETS and paragraph > last
        points.append(Point(Sentence(text, True, begins), sentence.names))
        last = paragraph
    return points


def _quote(work: Work, found: KeyPoints, digest: Digest) -> Iterator[Piece | Outcome]:
    """The key sentences as they are."""
    text = digest.finish()
    if text:
        yield Piece(text)
    generation = work.engine.quote(text, found.seconds, found.prompt_tokens, found.kv)
    reading = replace(found.reading, parts_s=None)  # it is the answer's own time
    yield Outcome(generation, reading, found.kv, attention=found.attention)


def _rewrite(
    work: Work, found: KeyPoints, digest: Digest, length: Length, style: Style, language: str
) -> Iterator[Piece | Outcome]:
    """Let the model rewrite the key sentences, and show what holds as soon as that is known."""
    task = summary_task(length, style, language)
    source = join_sentences([Sentence(each.text, True) for each in found.sentences])
    token_ids = tokenize_text(work.tokenizer, source).token_ids[: work.room(task)]
    sentences = SentenceFilter(SUMMARY_SENTENCES[length][1])
    reading = replace(found.reading, parts_s=found.seconds)
    events = work.answer(
        token_ids,
        task,
        "writing",
        reading,
        [found.kv],
        until=lambda: sentences.is_full,
        ends_at="\n\n",
    )
    shown = ""
    num_said = 0
    for event in events:
        if isinstance(event, Piece):
            sentences.push(event.text)
        else:
            sentences.end(was_cut=event.generation.finish_reason != "stop")
        new = _say(digest, sentences.kept[num_said:], language)
        num_said = len(sentences.kept)
        if isinstance(event, Outcome):
            new += digest.finish(leaves_out=bool(language))
        shown += new
        if new:
            yield Piece(new)
        if isinstance(event, Outcome):
            warnings = (*_language_warnings(work, language), *_end_warnings(event, sentences))
            yield replace(
                event,
                generation=replace(event.generation, text=shown),
                warnings=warnings,
                attention=found.attention,
            )


def _say(digest: Digest, sentences: Sequence[Sentence], language: str) -> str:
    """The text that is certain once the model has said these sentences."""
    return "".join(digest.add(sentence, translated=bool(language)) for sentence in sentences)


def _end_warnings(event: Outcome, sentences: SentenceFilter) -> tuple[str, ...]:
    """The warnings of generation, unless the last sentence is whole all the same."""
    return () if sentences.kept and sentences.kept[-1].is_whole else event.warnings


def _language_warnings(work: Work, language: str) -> Iterator[str]:
    kind = work.engine.loaded.model.config.model_type
    if language and kind not in _MULTILINGUAL and language.casefold() != "english":
        yield f"{work.engine.loaded.name} is not known to write {language}: check the summary"

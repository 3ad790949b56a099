"""Predict how a text will be processed, before the model runs."""

from __future__ import annotations

from collections.abc import Sequence

from ..config import SUMMARY_SENTENCES, Length
from ..forecasts import PromptForecast, PromptUse, ReadingForecast
from ..prompts.prompt import (
    Prompt,
    ask_task,
    build_scoring_prompt,
    build_summary_scoring_prompt,
    summary_task,
)
from ..summary_style import Style
from .answer_question import EXCERPT_NOTE, split_to_score
from .context_window import Window
from .corpus import Corpus
from .key_points import split_to_read

_PASSAGE_CHARACTERS = 300  # of a passage that a question is answered from, on average; at most 400
_SENTENCE_TOKENS = 30  # of a key sentence, on average


def forecast_ask(
    corpus: Corpus,
    window: Window,
    questions: Sequence[str],
    *,
    passages: int = 6,
    extractive: bool = False,
) -> ReadingForecast:
    """The forecast of `ask`, for the question of a run that leaves the least room for text.

    Args:
        corpus: the text.
        window: of the model.
        questions: of the run.
        passages: how many a long text is answered from.
        extractive: whether the best passage is quoted, so that nothing is generated.

    Raises:
        ContextError: when it leaves none.
    """
    rooms = {each: window.room(ask_task(each), corpus.num_tokens) for each in questions}
    question = min(questions, key=lambda each: rooms[each])
    room, task = rooms[question], ask_task(question)
    if corpus.num_tokens <= window.whole(room) and not extractive:
        return _of_prompts(corpus, window, 1, [_answered(window, task, corpus.token_ids)])
    parts = split_to_score(corpus, room)
    frame, rows = build_scoring_prompt(window.tokenizer, [], question)
    prompts = _scored(corpus, parts, frame, rows)
    if not extractive:
        characters = sum(document.num_characters for document in corpus.documents)
        per_passage = corpus.num_tokens * _PASSAGE_CHARACTERS // max(characters, 1)
        chosen = min(passages * max(per_passage, 1), corpus.num_tokens, room)
        frame_tokens = len(window.frame(task).token_ids)
        prompts.append(PromptForecast(PromptUse.EXCERPT, frame_tokens + chosen))
    end = "the best one is quoted" if extractive else "answered from the best passages"
    return _of_prompts(
        corpus,
        window,
        len(parts),
        prompts,
        strategy=f"scored, and {end}",
        note=EXCERPT_NOTE,
        fits_window=corpus.num_tokens <= room,
    )


def forecast_summary(
    corpus: Corpus, window: Window, length: Length, style: Style, language: str = ""
) -> ReadingForecast:
    """The forecast of `summarize`.

    Raises:
        ContextError: when the window leaves no room for text.
    """
    room = window.room(summary_task(length), corpus.num_tokens)
    parts = split_to_read(corpus, room)
    frame, rows = build_summary_scoring_prompt(window.tokenizer, [], length)
    prompts = _scored(corpus, parts, frame, rows)
    if style is not Style.EXTRACTIVE:
        written_from = min(
            SUMMARY_SENTENCES[length][1] * _SENTENCE_TOKENS, window.max_tokens, corpus.num_tokens
        )
        frame_tokens = len(window.frame(summary_task(length, style, language)).token_ids)
        prompts.append(PromptForecast(PromptUse.ANSWERED, frame_tokens + written_from))
    is_split = len(parts) > 1
    strategy = "scored, and the summary made of the key sentences" if is_split else ""
    return _of_prompts(
        corpus, window, len(parts), prompts, strategy=strategy, fits_window=not is_split
    )


def _of_prompts(
    corpus: Corpus,
    window: Window,
    num_parts: int,
    prompts: Sequence[PromptForecast],
    *,
    strategy: str = "",
    note: str = "",
    fits_window: bool = True,
) -> ReadingForecast:
    """A forecast whose longest prompt counts the answer, where there is one."""
    longest = max(
        each.num_tokens + (0 if each.use is PromptUse.SCORED else window.max_tokens)
        for each in prompts
    )
    return ReadingForecast(
        corpus.num_tokens, num_parts, longest, strategy, note, fits_window, tuple(prompts)
    )


def _answered(window: Window, task: str, token_ids: Sequence[int]) -> PromptForecast:
    prompt = window.frame(task).with_document(token_ids)
    return PromptForecast(
        PromptUse.ANSWERED,
        len(prompt.token_ids),
        question=prompt.question_span,
        shared_ids=prompt.token_ids[: prompt.document_span.stop],
    )


def _scored(
    corpus: Corpus, parts: Sequence[slice], frame: Prompt, rows: int
) -> list[PromptForecast]:
    """The prompts that score the parts of a text, with observation windows of `rows` tokens."""
    prompts = (frame.with_document(corpus.token_ids[part]) for part in parts)
    return [
        PromptForecast(
            PromptUse.SCORED,
            len(prompt.token_ids),
            window=rows,
            shared_ids=prompt.token_ids[: prompt.document_span.stop],
        )
        for prompt in prompts
    ]

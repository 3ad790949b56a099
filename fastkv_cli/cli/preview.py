"""The roads that load no weights: what would be read (`extract`), and what it would take."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..config import DType, ReadOptions, StatsLevel
from ..engine.methods.tuning import load_tuning
from ..errors import InterruptedRunError
from ..output.console import AnswerWriter, Messages, stderr_console
from ..output.progress import ProgressBars
from ..output.render import dry_run, extraction
from ..prompts.prompt import tokenize_text
from ..session.loading import before_torch
from ..session.reading import read_documents
from ..session.request import Display, Request
from ..stats import ReadingForecast
from ..tasks.text_limits import TextLimits

if TYPE_CHECKING:
    from ..engine.model.loader import LoadedModel
    from ..tasks.corpus import Corpus
    from ..tasks.work import Window

# How a task would read a text.
Forecast = Callable[["Corpus", "Window"], ReadingForecast]


def extract(
    sources: Sequence[str], read: ReadOptions, model: str, *, offline: bool, display: Display
) -> None:
    """Show the text of documents as the model would read it, page by page.

    Args:
        sources: what to read.
        read: how to read it.
        model: whose tokens are counted.
        offline: open no socket.
        display: how to show it.

    Raises:
        FastKVError: whatever went wrong, with its exit code.
    """
    with _shown(display) as (writer, messages, bars):
        documents, _ = read_documents(sources, read, bars, _warner(messages, bars, []))
        tokenizer = _outline(model, DType.AUTO, "cpu", offline, bars).tokenizer
        bars.update("tokenizing")
        limits = (TextLimits(document, read.extract_timeout_s) for document in documents)
        starts = [
            tokenize_text(tokenizer, document.text, limit.check).starts
            for document, limit in zip(documents, limits, strict=True)
        ]
        extracts = [extraction.extract(*each) for each in zip(documents, starts, strict=True)]
    render = extraction.render_json if display.json else extraction.render_text
    writer.write(render(extracts))
    writer.finish()
    if display.stats_level is not StatsLevel.OFF:
        messages.show(table for one in extracts for table in extraction.render_tables(one))


def forecast(
    command: str, request: Request, forecast: Forecast, max_tokens: int, display: Display
) -> None:
    """Tell what a run would read and take (`--dry-run`).

    Args:
        command: the command's name.
        request: what would be done.
        forecast: how the task would read the text.
        max_tokens: the most tokens to answer with.
        display: how to show it.

    Raises:
        FastKVError: whatever went wrong, with its exit code.
    """
    warnings: list[str] = []
    with _shown(display) as (writer, messages, bars):
        documents, extract_s = read_documents(
            request.sources, request.read, bars, _warner(messages, bars, warnings)
        )
        loaded = _outline(request.model, request.dtype, request.device, request.offline, bars)
        from ..engine.memory_forecast import forecast_memory
        from ..engine.methods import build_method
        from ..engine.model.decoder import open_decoder
        from ..tasks.corpus import join_documents
        from ..tasks.work import Window

        bars.update("tokenizing")
        decoder = open_decoder(loaded.model)
        tuning = load_tuning(loaded.name, loaded.revision)
        method = build_method(request.method, tuning)
        corpus = join_documents(documents, loaded.tokenizer, request.read.extract_timeout_s)
        reading = forecast(corpus, Window(loaded.tokenizer, decoder.max_context, max_tokens))
        prompt = min(reading.longest_prompt, decoder.max_context)
        plan = method.plan(decoder.shape(prompt - max_tokens))
        run = dry_run.DryRun(
            command=command,
            model=loaded.name,
            dtype=loaded.dtype_name,
            device=str(loaded.device),
            max_context=decoder.max_context,
            documents=corpus.stats,
            reading=reading,
            method=method.name,
            budget=method.budget,
            settings=tuning.describe(request.method),
            note=plan.note,
            memory=forecast_memory(loaded, decoder, plan, prompt, request.decode_weights),
            extract_s=extract_s,
            warnings=tuple(warnings),
        )
    writer.write(dry_run.render_json(run) if display.json else dry_run.render_text(run))
    writer.finish()


@contextmanager
def _shown(display: Display) -> Iterator[tuple[AnswerWriter, Messages, ProgressBars]]:
    """Where to write, warn, and show that something is going on; Ctrl-C ends it in one line."""
    console = stderr_console()
    writer = AnswerWriter(display.output, force=display.force)
    try:
        with ProgressBars(console, enabled=not display.quiet) as bars:
            yield writer, Messages(console, quiet=display.quiet), bars
    except KeyboardInterrupt:
        raise InterruptedRunError("interrupted") from None


def _warner(messages: Messages, bars: ProgressBars, warnings: list[str]) -> Callable[[str], None]:
    def warn(text: str) -> None:
        bars.close()
        warnings.append(text)
        messages.warn(text)

    return warn


def _outline(
    model: str, dtype: DType, device: str, offline: bool, bars: ProgressBars
) -> LoadedModel:
    """The tokenizer of a model, and the model without its weights."""
    bars.update("starting")
    with before_torch():
        from ..engine.model.loader import load_model

        return load_model(
            model,
            dtype=dtype,
            device=device,
            offline=offline,
            on_progress=lambda step: bars.update(step.activity, step.done, step.total, step.unit),
            with_weights=False,
        )

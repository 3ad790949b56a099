"""Commands that load no weights: what would be read (`extract`), and what it would take."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ..config import Preset
from ..engine.tuning import load_tuning
from ..forecasts import ReadingForecast
from ..output.render import dry_run, extraction
from ..output.stats_level import StatsLevel
from ..prompts.prompt import tokenize_text
from ..session.loading import load_outline
from ..session.reading import read_documents
from ..tasks.text_limits import TextLimits
from .run import Run

if TYPE_CHECKING:
    from ..tasks.corpus import Corpus
    from ..tasks.work import Window
    from .option_sets import ExtractOptions, RunOptions

# How a task would read a text.
Forecast = Callable[["Corpus", "Window"], ReadingForecast]


def extract(sources: Sequence[str], options: ExtractOptions) -> None:
    """Show the text of documents as the model would read it, page by page.

    Args:
        sources: what to read.
        options: of the command.

    Raises:
        FastKVError: whatever went wrong, with its exit code.
    """
    read = options.read
    with Run(
        quiet=options.quiet, debug=options.debug, output=options.output, force=options.force
    ) as run:
        run.what_is_left = str
        observer = run.observer
        documents, _ = read_documents(sources, read, observer, observer.warning)
        observer.progress("starting")
        outline = load_outline(options.model, observer, device="cpu", offline=options.offline)
        observer.progress("tokenizing")
        limits = (TextLimits(document, read.extract_timeout_s) for document in documents)
        starts = [
            tokenize_text(outline.tokenizer, document.text, limit.check).starts
            for document, limit in zip(documents, limits, strict=True)
        ]
        extracts = [extraction.extract(*each) for each in zip(documents, starts, strict=True)]
    render = extraction.render_json if options.json else extraction.render_text
    run.writer.write(render(extracts))
    run.writer.finish()
    if options.stats_level is not StatsLevel.OFF:
        run.messages.show(table for one in extracts for table in extraction.render_tables(one))


def forecast(
    command: str,
    sources: Sequence[str],
    options: RunOptions,
    forecast: Forecast,
    max_tokens: int,
    usual_preset: Preset = Preset.BALANCED,
) -> None:
    """Tell what a run would read and take (`--dry-run`).

    Args:
        command: the command's name.
        sources: the documents.
        options: of the command.
        forecast: how the task would read the text.
        max_tokens: the most tokens to answer with.
        usual_preset: for users who name none.

    Raises:
        FastKVError: whatever went wrong, with its exit code.
    """
    options.check_all()
    settings = options.method_settings(usual_preset)
    warnings: list[str] = []
    with Run(
        quiet=options.quiet, debug=options.debug, output=options.output, force=options.force
    ) as run:
        run.what_is_left = str
        observer = run.observer

        def warn(text: str) -> None:
            warnings.append(text)
            observer.warning(text)

        documents, extract_s = read_documents(sources, options.read, observer, warn)
        observer.progress("starting")
        loaded = load_outline(
            options.model,
            observer,
            dtype=options.dtype,
            device=options.device,
            offline=options.offline,
        )
        from ..engine.memory_forecast import forecast_memory
        from ..engine.methods import build_method
        from ..engine.model.decoder import open_decoder
        from ..tasks.corpus import join_documents
        from ..tasks.work import Window

        observer.progress("tokenizing")
        decoder = open_decoder(loaded.model)
        tuning = load_tuning(loaded.name, loaded.revision)
        method = build_method(settings, tuning)
        corpus = join_documents(documents, loaded.tokenizer, options.extract_timeout)
        reading = forecast(corpus, Window(loaded.tokenizer, decoder.max_context, max_tokens))
        prompt = min(reading.longest_prompt, decoder.max_context)
        plan = method.plan(decoder.shape(prompt - max_tokens))
        foreseen = dry_run.DryRun(
            command=command,
            model=loaded.name,
            dtype=loaded.dtype_name,
            device=str(loaded.device),
            max_context=decoder.max_context,
            documents=corpus.stats,
            reading=reading,
            method=method.name,
            budget=method.budget,
            settings=tuning.describe(settings),
            note=plan.note,
            memory=forecast_memory(loaded, decoder, plan, prompt, options.decode_weights),
            extract_s=extract_s,
            warnings=tuple(warnings),
        )
    render = dry_run.render_json if options.json else dry_run.render_text
    run.writer.write(render(foreseen))
    run.writer.finish()

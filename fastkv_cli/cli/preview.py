"""Previews without loading weights: the extracted text (`extract`), and `--dry-run`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ..config import Preset, StoreMode
from ..engine.tuning import tuning_of
from ..forecasts import ReadingForecast
from ..output.render import dry_run, extraction
from ..output.stats_level import StatsLevel
from ..prompts.prompt import tokenize_text
from ..session.loading import load_without_weights
from ..session.reading import read_documents
from ..settings import store_mode
from ..tasks.text_limits import TextLimits
from .run import Run

if TYPE_CHECKING:
    from ..tasks.context_window import Window
    from ..tasks.corpus import Corpus
    from .option_sets import ExtractOptions, RunOptions

# Predicts how a task would process a text, with the number of passages of a long one.
Forecast = Callable[["Corpus", "Window", int], ReadingForecast]
_SCORING_WINDOW = 8  # tokens; the layer that scores parts does not depend on it


def extract(sources: Sequence[str], options: ExtractOptions) -> None:
    """Print the text of documents as the model would read it, page by page.

    Args:
        sources: the documents.
        options: the command's options.

    Raises:
        FastKVError: on any failure, with its exit code.
    """
    read = options.read
    with Run(
        quiet=options.quiet, debug=options.debug, output=options.output, force=options.force
    ) as run:
        run.what_is_left = str
        observer = run.observer
        documents, _ = read_documents(
            sources,
            read,
            observer,
            observer.warning,
            keeps_scans=store_mode(None) is not StoreMode.OFF,
        )
        observer.progress("starting")
        loaded = load_without_weights(
            options.model, observer, device="cpu", offline=options.offline
        )
        observer.progress("tokenizing")
        limits = (TextLimits(document, read.extract_timeout_s) for document in documents)
        starts = [
            tokenize_text(loaded.tokenizer, document.text, limit.check).starts
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
    """Print how a run would process the text, and its predicted memory and time (`--dry-run`).

    Args:
        command: the command's name.
        sources: the documents.
        options: the command's options.
        forecast: predicts how the task would process the text.
        max_tokens: the maximum length of the answer.
        usual_preset: the task's default preset.

    Raises:
        FastKVError: on any failure, with its exit code.
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

        documents, extract_s = read_documents(
            sources,
            options.read,
            observer,
            warn,
            keeps_scans=options.store_mode is not StoreMode.OFF,
        )
        observer.progress("starting")
        loaded = load_without_weights(
            options.model,
            observer,
            dtype=options.dtype,
            device=options.device,
            attention=options.attention,
            offline=options.offline,
        )
        from ..engine.methods import build_method, build_scoring_method
        from ..engine.model.decoder_opening import open_decoder
        from ..engine.reuse.states import make_reuse
        from ..engine.run_forecast import RunForecast, plan_prompts
        from ..tasks.context_window import open_window
        from ..tasks.corpus import join_documents

        observer.progress("tokenizing")
        decoder = open_decoder(loaded.model)
        tuning = tuning_of(loaded)
        method = build_method(settings, tuning)
        corpus = join_documents(documents, loaded.tokenizer, options.extract_timeout)
        whole_below = tuning.whole_below_for(settings)
        window = open_window(
            loaded.tokenizer,
            decoder.max_context,
            max_tokens,
            whole_below,
            thinking=options.thinking,
            max_thinking=options.max_thinking,
        )
        reading = forecast(corpus, window, tuning.passages[0])
        scoring = build_scoring_method(tuning, _SCORING_WINDOW)
        longest = decoder.shape(decoder.max_context)
        reuse = make_reuse(
            options.store_mode,
            warn,
            [method.plan(longest), scoring.plan(longest)],
            tuple(document.path for document in documents),
            asks_again=False,
        )
        planned = plan_prompts(
            loaded, decoder, reading.prompts, method, tuning, reuse, options.prefill_weights
        )
        run_forecast = RunForecast(
            loaded, decoder, planned, options.decode_weights, options.kv_dtype
        )
        observer.progress("measuring the machine")
        told = scoring if reading.note else method
        predicted = dry_run.DryRun(
            command=command,
            model=loaded.name,
            dtype=loaded.dtype_name,
            device=str(loaded.device),
            max_context=decoder.max_context,
            documents=corpus.stats,
            reading=reading,
            method=told.name,
            budget="100%" if reading.note else method.budget,
            settings=tuning.describe(settings),
            note=reading.note or run_forecast.last_plan.note,
            memory=run_forecast.memory(max_tokens),
            time=run_forecast.time(max_tokens),
            extract_s=extract_s,
            warnings=tuple(warnings),
        )
    render = dry_run.render_json if options.json else dry_run.render_text
    run.writer.write(render(predicted))
    run.writer.finish()

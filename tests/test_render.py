"""The report as JSON, frozen, and as tables that fit a narrow terminal."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import environment

from fastkv_cli.cli.app import run
from fastkv_cli.output.render.quotes_table import render_quotes
from fastkv_cli.output.render.report_json import render_json
from fastkv_cli.output.render.stats_table import brief_rows, full_rows, render_tables
from fastkv_cli.output.stats_level import StatsLevel
from fastkv_cli.propagation import StepStats
from fastkv_cli.stats import (
    Citation,
    DocumentStats,
    Evidence,
    GenerationStats,
    KVStats,
    LayerStats,
    ModelStats,
    Quote,
    ReadingStats,
    RunReport,
    StateStats,
)
from fastkv_cli.weight_formats import DecodingWeights, PrefillFormat

WEIGHTS = DecodingWeights("bfloat16", (4, 8), 8, 2 * 2**20)
PREFILL = PrefillFormat("bfloat16", 112, 120, 0.0291)


def make_report(num_layers: int = 4, path: str = "a.pdf") -> RunReport:
    behind = num_layers // 2
    return RunReport(
        command="summarize",
        answer="An answer – in “two” lines.\nYes.",
        model=ModelStats("org/model", "abc123", "bfloat16", "cpu", "blocked", WEIGHTS, PREFILL),
        documents=(
            DocumentStats(path, 3, 4000, 1000, "PDF", 8, pages_empty=1, pages_failed=4),
            DocumentStats("-", None, 50, 12),
        ),
        reading=ReadingStats(
            parts=2, tokens_read=1012, tokens_used=900, parts_s=1.25, parts_resumed=1
        ),
        generation=GenerationStats(
            prefill_s=0.5,
            ttft_s=0.53125,
            decode_s=2.0,
            prompt_tokens=950,
            output_tokens=41,
            peak_memory_bytes=3 * 2**30,
            decode_passes=32,
        ),
        kv=KVStats(
            method="fastkv",
            budget="10%",
            tsp_layer=behind - 1,
            tsp_rate=0.2,
            full_bytes=10_000_000,
            kept_bytes=1_000_000,
            full_flops=4_000_000,
            prefill_flops=3_000_000,
            layers=(LayerStats(950, 95),) * behind + (LayerStats(190, 95),) * (num_layers - behind),
            steps=(StepStats(behind - 1, 0.2, 950, 190),),
            dtype="bfloat16",
        ),
        extract_s=0.1,
        load_s=0.75,
        settings="preset balanced, calibrated",
        warnings=("one", "two"),
        evidence=Evidence(
            citations=(
                Citation(path, 3, None, 0.6142, "It met 14 times."),
                Citation("-", None, 212, 0.2, "It met again."),
            ),
            not_in_document=("1987", "Dennis Ritchie"),
        ),
    )


def with_quotes(report: RunReport) -> RunReport:
    text = "It met 14 [times] at\nthe \x1bmill."
    quotes = (
        Quote(report.paths[0], 3, "iii", None, 40, 40 + len(text), text, 0.51234),
        Quote("-", None, None, 212, 7, 20, "It met again.", 0.3),
    )
    return replace(report, evidence=replace(report.evidence, quotes=quotes))


def test_quotes_are_shown_with_their_places_and_marks() -> None:
    from rich.console import Console

    report = replace(with_quotes(make_report()), question="How many times did it meet?")
    file = io.StringIO()
    console = Console(width=80, file=file, force_terminal=True, color_system="standard")
    for renderable in render_quotes(report):
        console.print(renderable, markup=False)
    shown = file.getvalue()
    assert "\x1b[1mtimes\x1b[0m" in shown
    assert "\x1bm" not in shown
    plain = re.sub(r"\x1b\[[\d;]*m", "", shown)
    assert [" ".join(line.split()) for line in plain.split("\n") if line.strip()] == [
        "Sources",
        "a.pdf, p. iii (page 3) It met 14 [times] at the \N{REPLACEMENT CHARACTER}mill.",
        "stdin, line 212 It met again.",
    ]
    assert list(render_quotes(make_report())) == []


def test_json_of_a_report() -> None:
    assert json.loads(render_json(with_quotes(make_report()))) == {
        "schema": "fastkv/1",
        "command": "summarize",
        "question": None,
        "answer": "An answer – in “two” lines.\nYes.",
        "object": None,
        "fields": None,
        "model": {
            "name": "org/model",
            "revision": "abc123",
            "dtype": "bfloat16",
            "device": "cpu",
            "attention": "blocked",
            "decode_weights": "4-bit and 8-bit weights, 8-bit head (2 MiB of copies)",
            "prefill_weights": "int8 in 112 of 120 products (off by 2.9% at most), bfloat16",
        },
        "documents": [
            {
                "path": "a.pdf",
                "kind": "PDF",
                "num_pages": 8,
                "pages": 3,
                "pages_empty": 1,
                "pages_failed": 4,
                "pages_left_out": 0,
                "characters": 4000,
                "tokens": 1000,
            },
            {
                "path": "-",
                "kind": "text",
                "num_pages": None,
                "pages": None,
                "pages_empty": 0,
                "pages_failed": 0,
                "pages_left_out": 0,
                "characters": 50,
                "tokens": 12,
            },
        ],
        "reading": {
            "parts": 2,
            "parts_resumed": 1,
            "tokens_read": 1012,
            "tokens_used": 900,
            "tokens_left_out": 112,
            "parts_s": 1.25,
            "looks": 1,
            "state": None,
        },
        "stats": {
            "extract_s": 0.1,
            "load_s": 0.75,
            "prefill_s": 1.75,
            "ttft_s": 1.7812,
            "decode_tokens_per_s": 20.0,
            "tokens_per_pass": 1.25,
            "prompt_tokens": 950,
            "output_tokens": 41,
            "peak_memory_bytes": 3221225472,
        },
        "kv": {
            "method": "fastkv",
            "budget": "10%",
            "tsp_layer": 1,
            "tsp_rate": 0.2,
            "steps": [
                {"layer": 1, "rate": 0.2, "tokens_seen": 950, "tokens_propagated": 190},
            ],
            "attention_ratio": None,
            "full_bytes": 10_000_000,
            "kept_bytes": 1_000_000,
            "dtype": "bfloat16",
            "kept_ratio": 0.1,
            "full_flops": 4_000_000,
            "prefill_flops": 3_000_000,
            "compute_ratio": 0.75,
            "settings": "preset balanced, calibrated",
            "note": "",
            "global_layers": None,
            "layers": [{"tokens_seen": 950, "tokens_kept": 95}] * 2
            + [{"tokens_seen": 190, "tokens_kept": 95}] * 2,
        },
        "thinking": None,
        "citations": [
            {
                "document": "a.pdf",
                "page": 3,
                "line": None,
                "score": 0.6142,
                "snippet": "It met 14 times.",
            },
            {
                "document": "-",
                "page": None,
                "line": 212,
                "score": 0.2,
                "snippet": "It met again.",
            },
        ],
        "quotes": [
            {
                "document": "a.pdf",
                "page": 3,
                "page_label": "iii",
                "line": None,
                "start": 40,
                "end": 71,
                "text": "It met 14 [times] at\nthe \x1bmill.",
                "score": 0.5123,
            },
            {
                "document": "-",
                "page": None,
                "page_label": None,
                "line": 212,
                "start": 7,
                "end": 20,
                "text": "It met again.",
                "score": 0.3,
            },
        ],
        "not_in_document": ["1987", "Dennis Ritchie"],
        "verdict": None,
        "found": None,
        "reason": "",
        "guess": "",
        "warnings": ["one", "two"],
    }


def shape(value: Any) -> Any:
    """The keys and types of a value, with lists cut to their first item."""
    if isinstance(value, dict):
        return {key: shape(item) for key, item in value.items()}
    if isinstance(value, list):
        return [shape(item) for item in value[:1]]
    return type(value).__name__


def test_json_of_a_real_run(
    tiny_models: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.txt").write_text("The committee met 14 times in 1999. " * 40)
    arguments = [
        "ask",
        "a.txt",
        "Who met?",
        "--no-check",
        "-m",
        str(tiny_models["llama"]),
        "--max-tokens",
        "4",
    ]
    assert run([*arguments, "--budget", "20%", "--dtype", "float32", "--json"]) == 0
    report = json.loads(capfd.readouterr().out)
    assert shape(report) == {
        "schema": "str",
        "command": "str",
        "question": "str",
        "answer": "str",
        "object": "NoneType",
        "fields": "NoneType",
        "model": dict.fromkeys(
            (
                *("name", "revision", "dtype", "device", "attention"),
                *("decode_weights", "prefill_weights"),
            ),
            "str",
        ),
        "documents": [
            {
                "path": "str",
                "kind": "str",
                "num_pages": "NoneType",
                "pages": "NoneType",
                "pages_empty": "int",
                "pages_failed": "int",
                "pages_left_out": "int",
                "characters": "int",
                "tokens": "int",
            },
        ],
        "reading": {
            "parts": "int",
            "parts_resumed": "int",
            "tokens_read": "int",
            "tokens_used": "int",
            "tokens_left_out": "int",
            "parts_s": "NoneType",
            "looks": "int",
            "state": {
                "mode": "str",
                "tokens_found": "int",
                "bytes_found": "int",
                "tokens_kept": "int",
                "bytes_kept": "int",
                "find_s": "float",
                "stage_one_s": "float",
            },
        },
        "stats": {
            "extract_s": "float",
            "load_s": "float",
            "prefill_s": "float",
            "ttft_s": "float",
            "decode_tokens_per_s": "float",
            "tokens_per_pass": "float",
            "prompt_tokens": "int",
            "output_tokens": "int",
            "peak_memory_bytes": "int",
        },
        "kv": {
            "method": "str",
            "budget": "str",
            "tsp_layer": "int",
            "tsp_rate": "float",
            "steps": [
                {
                    "layer": "int",
                    "rate": "float",
                    "tokens_seen": "int",
                    "tokens_propagated": "int",
                }
            ],
            "attention_ratio": "NoneType",
            "full_bytes": "int",
            "kept_bytes": "int",
            "dtype": "str",
            "kept_ratio": "float",
            "full_flops": "int",
            "prefill_flops": "int",
            "compute_ratio": "float",
            "settings": "str",
            "note": "str",
            "global_layers": "NoneType",
            "layers": [{"tokens_seen": "int", "tokens_kept": "int"}],
        },
        "thinking": "NoneType",
        "citations": [
            {
                "document": "str",
                "page": "NoneType",
                "line": "int",
                "score": "float",
                "snippet": "str",
            }
        ],
        "quotes": [
            {
                "document": "str",
                "page": "NoneType",
                "page_label": "NoneType",
                "line": "int",
                "start": "int",
                "end": "int",
                "text": "str",
                "score": "float",
            }
        ],
        "not_in_document": "NoneType",
        "verdict": "NoneType",
        "found": "NoneType",
        "reason": "str",
        "guess": "str",
        "warnings": ["str"],
    }
    assert list(report) == [
        "schema",
        "command",
        "question",
        "answer",
        "object",
        "fields",
        "model",
        "documents",
        "reading",
        "stats",
        "kv",
        "thinking",
        "citations",
        "quotes",
        "not_in_document",
        "verdict",
        "found",
        "reason",
        "guess",
        "warnings",
    ]
    assert report["schema"] == "fastkv/1"
    prompt_tokens = report["stats"]["prompt_tokens"]
    assert prompt_tokens > report["documents"][0]["tokens"] > 400
    assert report["stats"]["output_tokens"] == 4
    assert report["stats"]["ttft_s"] >= report["stats"]["prefill_s"] > 0
    assert report["warnings"] == ["the answer stops at 4 tokens: allow more with --max-tokens"]
    kv = report["kv"]
    assert [layer["tokens_kept"] for layer in kv["layers"]] == [prompt_tokens // 5] * 4
    assert kv["layers"][0]["tokens_seen"] == prompt_tokens
    assert kv["full_bytes"] == prompt_tokens * 4 * 2 * 2 * 16 * 4
    assert kv["kept_bytes"] == prompt_tokens // 5 * 4 * 2 * 2 * 16 * 4
    assert kv["kept_ratio"] == round(kv["kept_bytes"] / kv["full_bytes"], 4)


def tables(report: RunReport, width: int = 80, level: StatsLevel = StatsLevel.FULL) -> str:
    from rich.console import Console

    screen = io.StringIO()
    console = Console(file=screen, width=width, highlight=False)
    for renderable in render_tables(report, level):
        console.print(renderable)
    return screen.getvalue()


def unmeasured() -> RunReport:
    report = make_report()
    return replace(
        report,
        reading=ReadingStats(parts=1, tokens_read=1012, tokens_used=1012),
        generation=replace(
            report.generation, decode_s=None, output_tokens=1, peak_memory_bytes=None
        ),
        kv=replace(report.kv, method="full", budget="100%", tsp_layer=None, tsp_rate=None),
    )


def test_what_was_not_measured_is_null_and_a_dash() -> None:
    report = json.loads(render_json(unmeasured()))
    assert report["stats"]["decode_tokens_per_s"] is None
    assert report["stats"]["peak_memory_bytes"] is None
    assert report["reading"]["parts_s"] is None
    assert report["kv"]["tsp_layer"] is None
    assert report["kv"]["tsp_rate"] is None
    assert report["documents"][1]["pages"] is None
    shown = tables(unmeasured())
    rows = {line[:14].strip(): line[14:].strip() for line in shown.splitlines()}
    assert rows["Peak memory"] == "–"
    assert rows["Decode"] == "1 token, –"
    assert "TSP" not in rows
    assert "Parts" not in rows
    assert "Left out" not in rows
    assert dict(brief_rows(unmeasured()))["Speed"] == "TTFT 0.53 s, – tokens/s"
    assert dict(brief_rows(unmeasured()))["Peak memory"] == "–"


def test_the_table_tells_all() -> None:
    shown = " ".join(tables(make_report()).split())
    for words in (
        "a.pdf: 3 of 8 pages (4 failed, 1 without text), 1,000 tokens",
        "-: 12 tokens",
        "Parts 2 (1 from an interrupted run), 1,012 tokens read, 900 used",
        "Left out 112 of 1,012 tokens",
        "Sources a.pdf, p. 3 (61%); stdin, line 212 (20%)",
        "Unsupported not in the document: 1987, Dennis Ritchie",
        "Decode weights 4-bit and 8-bit weights, 8-bit head (2 MiB of copies)",
        "fastkv, budget 10%",
        "preset balanced, calibrated",
        "75% of a full prefill",
        "org/model, bfloat16 on cpu, blocked attention",
        "1.78 s = parts 1.25 s + prefill 0.50 s + first token 31.2 ms",
        "documents 0.10 s, model 0.75 s",
        "950 tokens",
        "41 tokens, 20.0 tokens/s",
        "3.0 GiB",
        "9.5 MiB full → 976.6 KiB kept (10.0%)",
        "layer 1 of 0–3, rate 0.2: 190 of 950 tokens propagated",
        "950 → 190",
    ):
        assert words in shown


def with_state(report: RunReport, **state: Any) -> RunReport:
    return replace(report, reading=replace(report.reading, state=StateStats(**state)))


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ({}, "nothing stored, early layers –"),
        (
            {"mode": "exact", "tokens_kept": 900, "bytes_kept": 2**21, "stage_one_s": 0.5},
            "900 tokens stored (2.0 MiB), early layers 0.50 s",
        ),
        (
            {"tokens_kept": 900, "bytes_kept": 2**21, "stage_one_s": 0.5},
            "900 tokens held in memory (2.0 MiB), early layers 0.50 s",
        ),
        (
            {"mode": "int8", "tokens_found": 1200, "bytes_found": 2**20, "stage_one_s": 0.02},
            "1,200 tokens loaded (1.0 MiB), early layers 20.0 ms",
        ),
    ],
)
def test_the_prefix_cache(state: dict[str, Any], words: str) -> None:
    report = with_state(make_report(), **state)
    assert dict(full_rows(report))["Prefix cache"] == words
    found = state.get("tokens_found")
    cached = f" (prefix cache: {found:,} tokens)" if found else ""
    assert dict(brief_rows(report))["Speed"] == f"TTFT 1.78 s{cached}, 20.0 tokens/s"


def test_the_brief_table_of_a_report() -> None:
    """It has at most 8 rows, and hides neither missing pages nor what was left out."""
    report = replace(make_report(), turns_left_out=1)
    assert list(brief_rows(report)) == [
        (
            "Documents",
            "a.pdf and 1 more: 3 of 8 pages (4 failed, 1 without text), 1,012 tokens, "
            "in 2 parts (1 from an interrupted run)",
        ),
        ("Left out", "112 of 1,012 tokens, 1 earlier turn"),
        ("Sources", "a.pdf, p. 3 (61%); stdin, line 212 (20%)"),
        ("Unsupported", "not in the document: 1987, Dennis Ritchie"),
        ("Speed", "TTFT 1.78 s, 20.0 tokens/s"),
        ("Peak memory", "3.0 GiB"),
        ("KV cache", "9.5 MiB full → 976.6 KiB kept (10.0%)"),
        ("Method", "fastkv, budget 10%, preset balanced, calibrated"),
    ]
    assert ("Left out", "112 of 1,012 tokens, 1 earlier turn") in full_rows(report)
    assert "Tokens kept" in tables(report, level=StatsLevel.BRIEF)
    assert tables(report, level=StatsLevel.OFF) == ""


def test_the_brief_table_says_why_weights_are_not_packed() -> None:
    report = make_report()
    weights = DecodingWeights("float32", problem="no memory for them")
    report = replace(report, model=replace(report.model, decode_weights=weights))
    speed = dict(brief_rows(report))["Speed"]
    assert speed.endswith("20.0 tokens/s (weights not packed: no memory for them)")


def test_no_picture_where_all_is_kept() -> None:
    report = make_report()
    report = replace(report, kv=replace(report.kv, layers=(LayerStats(950, 950),) * 4))
    assert "Tokens kept" not in tables(report, level=StatsLevel.BRIEF)
    assert dict(brief_rows(report))["Method"] == "fastkv, budget 10%"  # the preset had no part
    assert {"Tokens kept", "preset balanced"} <= set(
        re.findall(r"Tokens kept|preset \w+", tables(report))
    )


@pytest.mark.parametrize("level", [StatsLevel.BRIEF, StatsLevel.FULL])
@pytest.mark.parametrize("width", [20, 28, 32, 40, 60])
def test_labels_and_numbers_are_whole_on_narrow_terminals(level: StatsLevel, width: int) -> None:
    report = make_report(30)
    layers = (LayerStats(12_742, 2548),) * 18 + (LayerStats(2548, 2548),) * 12
    shown = tables(replace(report, kv=replace(report.kv, layers=layers)), width, level)
    assert max(map(len, shown.splitlines())) <= width
    assert "…" not in shown
    labels = re.findall(r"^\S+(?: \S+)*(?=  )", shown, re.MULTILINE)
    rows = brief_rows(report) if level is StatsLevel.BRIEF else full_rows(report)
    assert [label for label, _ in rows] == labels[: labels.index("Tokens seen")]
    if width >= 28:  # else numbers wrap
        picture = shown[shown.index("Tokens seen") :].split()
        assert {"12,742", "→", "2,548"} <= set(picture)


@pytest.mark.parametrize("num_layers", [1, 4, 30, 36, 80, 126])
@pytest.mark.parametrize("path", ["a.pdf", "folder/" * 40 + "a.pdf", "日本語の文書" * 20 + ".pdf"])
def test_tables_fit_80_columns(num_layers: int, path: str) -> None:
    from rich.cells import cell_len

    report = make_report(max(num_layers, 2), path)
    if num_layers == 1:
        report = replace(report, kv=replace(report.kv, layers=(LayerStats(950, 95),)))
    shown = tables(report)
    assert max(cell_len(line.rstrip()) for line in shown.splitlines()) <= 80
    picture = [line for line in shown.splitlines() if line.startswith(("Tokens", "Layer"))]
    brief = tables(report, level=StatsLevel.BRIEF)
    assert max(cell_len(line.rstrip()) for line in brief.splitlines()) <= 80
    seen, kept, axis = (line[len("Tokens seen") :].strip() for line in picture)
    per_column = -(-num_layers // 48)
    columns = -(-num_layers // per_column)
    assert len(seen.split()[0]) == len(kept.split()[0]) == columns
    assert axis.split()[-1] == str(num_layers - 1)
    assert len(axis) == max(columns, len(str(num_layers - 1)))
    assert seen[0] == "█"
    assert set(kept.split()[0]) == {"▁"}


def test_names_are_no_markup() -> None:
    report = make_report(path="[/red][bold]a\x1b[31m.pdf")
    shown = tables(replace(report, model=replace(report.model, name="org/[/x]")))
    assert "[/red][bold]a\ufffd[31m.pdf" in shown
    assert "org/[/x]" in shown
    assert "\x1b" not in shown


def test_a_stderr_that_is_not_utf8(tiny_models: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "käse.txt"
    path.write_text("The committee met.")
    arguments = ["summarize", str(path), "-m", str(tiny_models["llama"]), "--max-tokens", "4"]
    done = subprocess.run(
        [sys.executable, "-m", "fastkv_cli", *arguments],
        env=environment(PYTHONIOENCODING="ascii", PYTHONUTF8="0"),
        capture_output=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0
    assert b"KV cache" in done.stderr
    assert done.stderr.isascii()
    assert done.stdout.isascii()

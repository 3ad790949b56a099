"""Models of 1 to 4 billion weights as GGUF, beside llama.cpp: loading, disk, memory, TTFT, decode.

    python benchmarks/large_models.py --geometry llama-3.2-1b --type Q4_K_M --rounds 3
    python benchmarks/large_models.py --geometry qwen3-4b --only load,disk
    python benchmarks/large_models.py --file model.gguf --peers fastkv
    python benchmarks/large_models.py --peers fastkv,llama,openvino --tokens 16000 --rounds 1
    python benchmarks/large_models.py --equal  # every block type, see gguf_types.py

The file has random weights in the geometry of a published model (random_gguf.py), quantized by
llama.cpp's own quantizer, and is kept in a folder. Both programs read the same file and the same
prompt, and decode greedily a fixed number of tokens, ignoring end tokens. Every sample comes from a
fresh process, without a warm-up, in turn: loading (without imports), the peak of its memory, the
time to the first token with the default preset, and decoding. fastkv's first process, which starts
with an empty FASTKV_HOME, is counted apart; "disk" is what all of them left there. llama.cpp runs
with flash attention and the batch size that is faster on a short prompt. OpenVINO GenAI, on demand,
has the file's weights in 4 bits of its own, and runs once with each of its attentions, of which the
faster counts: random weights spread attention evenly, so that its sparse one gains little, and so
does ours. Nothing else should run beside it. A table goes to stderr; the last line is JSON, with
every sample. Linux only.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from gguf_types import BLOCK_TYPES, MIXED, TOLERANCE, compare_types
from large_models_report import MEASURES, make_report, print_report, print_types
from peer_weights import openvino_folder
from peers import ENVIRONMENTS, Setting, Worker, machine, make_request, python_of
from peers_report import TTFT
from random_gguf import GEOMETRIES, write_random

from fastkv_cli.config import EMBEDDED_MODEL
from fastkv_cli.session.loading import load_without_weights
from fastkv_cli.session.observer import SILENT

HERE = Path(__file__).parent
FOLDER = HERE.parent / "build" / "large"
PEERS = ("fastkv", "llama")
OPENVINO_ATTENTIONS = ("paged", "xattention")  # SDPA needs the memory of all pairs
BATCHES = (512, 2048)  # of llama.cpp; the faster one on SCREENING tokens counts
SCREENING = 512
_IN_16_BITS = ("F16", "BF16")


def make_file(geometry: str, kind: str, folder: Path, environments: Path) -> Path:
    """The GGUF file of a geometry with weights of this type; made once, in this folder."""
    made = folder / f"{geometry}-{kind}.gguf"
    if made.is_file():
        return made
    folder.mkdir(parents=True, exist_ok=True)
    if kind in _IN_16_BITS:
        _tell(f"writing {made}")
        return write_random(made, GEOMETRIES[geometry], kind)
    source = make_file(geometry, "F16", folder, environments)
    _tell(f"quantizing {made}")
    quantize(source, made, kind, environments=environments)
    return made


def quantize(source: Path, target: Path, kind: str, *options: str, environments: Path) -> None:
    """Quantize a file with llama.cpp's own quantizer."""
    command = [str(python_of("llama", environments)), str(HERE / "quantize_llama.py")]
    done = subprocess.run(
        [*command, str(source), str(target), kind, *options],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{target.name}: {done.stderr[-2000:]}")


class Contest:
    """The samples of both programs on one file."""

    def __init__(self, gguf: Path, arguments: argparse.Namespace) -> None:
        self.gguf = gguf
        self.measures: list[str] = arguments.only
        self.versions: dict[str, dict[str, str]] = {}
        self._environments: Path = arguments.environments
        self._dtype: str = arguments.dtype
        tokenizer = load_without_weights(EMBEDDED_MODEL, SILENT).tokenizer
        self._request = make_request(tokenizer, arguments.tokens, arguments.new_tokens)

    def fastkv(self, home: Path) -> dict[str, Any]:
        """A sample of fastkv, which stores its files in this folder."""
        options = ("default", "--model", str(self.gguf), "--dtype", self._dtype)
        setting = Setting("fastkv", "default", options)
        return self._sample(setting, Path(sys.executable), self._request, home)

    def llama(self, batch: int, tokens: int | None = None) -> dict[str, Any]:
        """A sample of llama.cpp, on the first `tokens` of the prompt."""
        request = {**self._request, "prompt_ids": self._request["prompt_ids"][:tokens]}
        options = (str(self.gguf), "--flash", "on", "--batch", str(batch))
        setting = Setting("llama", f"batches of {batch}", options)
        return self._sample(setting, python_of("llama", self._environments), request)

    def openvino(self, attention: str) -> dict[str, Any]:
        """A sample of OpenVINO GenAI with one of its attentions."""
        python = python_of("openvino", self._environments)
        folder = openvino_folder(
            4, self._environments, python, model=str(self.gguf), name=self.gguf.stem
        )
        setting = Setting("openvino", attention, (str(folder), "--attention", attention))
        return self._sample(setting, python, self._request)

    def _sample(
        self, setting: Setting, python: Path, request: dict[str, Any], home: Path | None = None
    ) -> dict[str, Any]:
        room = len(request["prompt_ids"]) + request["new_tokens"]
        with Worker(setting, python, room, home) as worker:
            loaded = worker.read()
            self.versions[setting.peer] = loaded["versions"]
            sample = {key: loaded[key] for key in ("load_s", "peak_memory_bytes")}
            if set(self.measures) - {"load", "disk"}:
                answered = worker.ask(request)
                peak = max(sample["peak_memory_bytes"], answered["peak_memory_bytes"])
                sample |= {**answered, "peak_memory_bytes": peak}
        _tell(f"{setting.peer}: " + ", ".join(_shown(sample)))
        return sample


def run(contest: Contest, rounds: int, peers: list[str]) -> dict[str, Any]:
    """All samples of both programs, and what fastkv wrote to disk."""
    measured: dict[str, Any] = {"fastkv": [], "llama": [], "openvino": []}
    with tempfile.TemporaryDirectory(prefix="fastkv-home-") as temporary:
        home, batch = Path(temporary), BATCHES[0]
        if "llama" in peers and set(contest.measures) - {"load", "disk"}:
            screened = {size: contest.llama(size, SCREENING) for size in BATCHES}
            batch = min(BATCHES, key=lambda size: screened[size][TTFT])
            measured |= {"batch": batch, "screening": screened}
        if "fastkv" in peers:
            measured["first"] = contest.fastkv(home)
        for _ in range(rounds):
            if "fastkv" in peers:
                measured["fastkv"].append(contest.fastkv(home))
            if "llama" in peers:
                measured["llama"].append(contest.llama(batch))
            if "openvino" in peers:
                samples = {each: contest.openvino(each) for each in OPENVINO_ATTENTIONS}
                best = min(samples, key=lambda each: samples[each][TTFT])
                measured["openvino"].append({**samples[best], "attention": best})
        written = [path.stat().st_size for path in home.rglob("*") if path.is_file()]
    return measured | {"written_bytes": sum(written)}


def _shown(sample: dict[str, Any]) -> list[str]:
    texts = [f"loaded in {sample['load_s']:.2f} s"]
    if TTFT in sample:
        texts.append(f"TTFT {sample[TTFT]:.2f} s")
        texts.append(f"{sample['decode_tokens_per_s']:.2f} tokens/s")
        texts.append(f"others used {sample['others_cpu_share']:.0%} of the cores")
    return [*texts, f"peak {sample['peak_memory_bytes'] / 2**20:,.0f} MiB"]


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--geometry", choices=GEOMETRIES, default="llama-3.2-1b")
    parser.add_argument("--type", default="Q4_K_M", help="a file type of llama.cpp")
    parser.add_argument("--file", type=Path, help="measure this GGUF file instead")
    parser.add_argument("--tokens", type=int, default=3700, help="of the prompt")
    parser.add_argument("--new-tokens", type=int, default=96)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default=",".join(MEASURES), help="measures, with commas between")
    parser.add_argument("--peers", default=",".join(PEERS))
    parser.add_argument("--dtype", default="auto", help="of fastkv")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="for the files that it makes")
    parser.add_argument("--environments", type=Path, default=ENVIRONMENTS)
    parser.add_argument("--equal", action="store_true", help="compare every block type instead")
    parser.add_argument("--types", help="with --equal: the types to compare, with commas between")
    return parser


def main() -> None:
    parser = _make_parser()
    arguments = parser.parse_args()
    arguments.only = arguments.only.split(",")
    if unknown := set(arguments.only) - set(MEASURES):
        parser.error(f"--only takes {', '.join(MEASURES)}, not {', '.join(sorted(unknown))}")
    report = compare(arguments) if arguments.equal else measure(arguments)
    print(json.dumps(report, ensure_ascii=False))


def compare(arguments: argparse.Namespace) -> dict[str, Any]:
    """Compare every block type with transformers; prints a table."""
    arguments.folder.mkdir(parents=True, exist_ok=True)
    types = arguments.types.split(",") if arguments.types else (*BLOCK_TYPES, *MIXED)
    rows = compare_types(
        arguments.folder, partial(quantize, environments=arguments.environments), types
    )
    print_types(rows)
    return {"date": f"{datetime.now(UTC):%Y-%m-%d}", "tolerance": TOLERANCE, "types": rows}


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure both programs on one file; prints a table."""
    gguf = arguments.file or make_file(
        arguments.geometry, arguments.type, arguments.folder, arguments.environments
    )
    contest = Contest(gguf, arguments)
    measured = run(contest, arguments.rounds, arguments.peers.split(","))
    report = {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "machine": machine(),
        "versions": contest.versions,
        "geometry": None if arguments.file else arguments.geometry,
        "type": None if arguments.file else arguments.type,
        "file_bytes": gguf.stat().st_size,
        "tokens": arguments.tokens,
        "new_tokens": arguments.new_tokens,
        "rounds": arguments.rounds,
        "dtype": arguments.dtype,
    }
    report |= make_report(measured, report, arguments.only)
    print_report(report)
    return report


if __name__ == "__main__":
    main()

"""fastkv against OpenVINO, llama.cpp, transformers and kvpress: first token, decode, memory.

    make peers                                     # creates their environments, then runs it all
    python benchmarks/peers.py --quick             # 1,000 tokens, few repetitions
    python benchmarks/peers.py --lengths 1000,4000 --repetitions 3 --peers llama,fastkv

All get the same token ids and decode greedily a fixed number of new tokens, ignoring end tokens.
Every setting has its own process with the model loaded; they take turns, one at a time, round
after round. llama.cpp is screened with and without flash attention (FA) and with two batch sizes
on short prompts, OpenVINO with its attentions and sizes of quantization groups, and both continue
with the best for each kind of weights; transformers runs with SDPA attention only. Nothing else
should run beside it: each sample reports how busy other processes kept the cores. Tables go to
stderr; the last line is JSON, with every sample. Linux only.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain, product
from pathlib import Path
from typing import Any, Self

from peer_kvpress import PRESSES
from peer_openvino import ATTENTIONS
from peer_weights import FILE_TYPES, SHIPPED, gguf_file, model_folder, openvino_folder
from peers_report import DECODE, TARGETS, TTFT, Row, report

from fastkv_cli import Engine
from fastkv_cli.config import EMBEDDED_MODEL, Suite
from fastkv_cli.evaluation.quality.suites import Questionnaire

HERE = Path(__file__).parent
ENVIRONMENTS = HERE.parent / "build" / "peers"  # created by `make peers`
CORES = os.cpu_count() or 1
PEERS = ("fastkv", "transformers", "openvino", "llama", "kvpress")
FASTKV_SETTINGS = ("default", "fast", "quality", "full")
LLAMA_WARM_UP_TOKENS = 512  # llama.cpp is slow, and prepares nothing for a given length
COUNTED = {target.setting for target in TARGETS}  # the settings of fastkv that have targets
LONG = 5000  # above it, settings without a target are measured once, else twice


@dataclass(frozen=True, slots=True)
class Setting:
    """One way to run a peer, and its worker's arguments."""

    peer: str
    name: str
    arguments: tuple[str, ...]
    weights: str = "bf16"


class Worker:
    """The process of a setting."""

    def __init__(
        self, setting: Setting, python: Path, context: int, home: Path | None = None
    ) -> None:
        """Start the process.

        Args:
            setting: what runs in it.
            python: the interpreter.
            context: room for the prompt and the answer in tokens, which llama.cpp reserves.
            home: the folder for everything that fastkv stores; None for the default.
        """
        self.setting = setting
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115 (closed with the process)
        command = [str(python), str(HERE / f"peer_{setting.peer}.py"), *setting.arguments]
        if setting.peer == "llama":
            command += ["--context", str(context)]
        environment = os.environ | ({} if home is None else {"FASTKV_HOME": str(home)})
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env=environment,
        )

    def read(self) -> dict[str, Any]:
        """Wait for its next reply."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._log.seek(0)
            name = f"{self.setting.peer} {self.setting.name}"
            raise SystemExit(f"{name} gave up:\n{self._log.read()[-2000:]}")
        reply: dict[str, Any] = json.loads(line)
        return reply

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Send a prompt; adds how busy other processes kept the machine."""
        assert self._process.stdin is not None
        started, busy = time.perf_counter(), busy_s()
        print(json.dumps(request), file=self._process.stdin, flush=True)
        reply = self.read()
        others_s = busy_s() - busy - reply.pop("cpu_s")
        available_s = CORES * (time.perf_counter() - started)
        return {**reply, "others_cpu_share": max(others_s, 0.0) / available_s}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()
        self._log.close()


class Contest:
    """All measurements, row by row."""

    def __init__(self, environments: Path, new_tokens: int) -> None:
        self.environments = environments
        self.new_tokens = new_tokens
        self.rows: list[Row] = []
        self.versions: dict[str, dict[str, str]] = {}
        self._tokenizer = Engine.load(EMBEDDED_MODEL).tokenizer
        self._requests: dict[int, dict[str, Any]] = {}

    def measure(self, length: int, settings: dict[Setting, int], rounds: str) -> list[Row]:
        """Measure each setting as often as given, in turns; `rounds` is their label."""
        request = self._request(length)
        samples: dict[Setting, list[dict[str, Any]]] = {setting: [] for setting in settings}
        with ExitStack() as stack:
            workers = [stack.enter_context(self._start(one, length)) for one in settings]
            for worker in workers:
                self.versions[worker.setting.peer] = worker.read()["versions"]
            for worker in workers:
                warm_up = LLAMA_WARM_UP_TOKENS if worker.setting.peer == "llama" else length
                ids = request["prompt_ids"][:warm_up]
                worker.ask({**request, "prompt_ids": ids, "new_tokens": 2})
            for at in range(max(settings.values(), default=0)):
                for worker in workers:
                    if at < settings[worker.setting]:
                        sample = worker.ask(request)
                        samples[worker.setting].append(sample)
                        _tell(f"{length:,} tokens, {rounds} {at + 1}", worker.setting, sample)
        rows = [Row(length, s.peer, s.name, rounds, taken) for s, taken in samples.items()]
        self.rows += rows
        return rows

    def _start(self, setting: Setting, length: int) -> Worker:
        is_ours = setting.peer == "fastkv"
        python = Path(sys.executable) if is_ours else python_of(setting.peer, self.environments)
        return Worker(setting, python, context=length + self.new_tokens)

    def _request(self, length: int) -> dict[str, Any]:
        if length not in self._requests:
            self._requests[length] = make_request(self._tokenizer, length, self.new_tokens)
        return self._requests[length]


def make_request(tokenizer: Any, length: int, new_tokens: int) -> dict[str, Any]:
    """The prompt that `fastkv ask` builds, on a bundled text, of exactly `length` tokens."""
    asked = Questionnaire((Suite.NEEDLE,), (length,), samples=1, seed=0)
    prompt = asked.questions(tokenizer)[0].prompt(tokenizer)
    assert len(prompt.token_ids) == length
    return {
        "prompt_ids": prompt.token_ids,
        "question": [prompt.question_span.start, prompt.question_span.stop],
        "new_tokens": new_tokens,
    }


def python_of(peer: str, environments: Path) -> Path:
    """The interpreter of a peer's environment."""
    python = environments / peer / "bin" / "python"
    if not python.exists():
        raise SystemExit(f"{python} is not there: `make peers` makes it")
    return python


def llama_settings(folder: Path) -> list[Setting]:
    """All settings of llama.cpp to screen."""
    return [
        Setting(
            "llama",
            f"{weights}, FA {flash}, {batch}",
            (str(gguf_file(weights, folder)), "--flash", flash, "--batch", str(batch)),
            weights,
        )
        for weights, flash, batch in product([SHIPPED, *FILE_TYPES], ("on", "off"), (512, 2048))
    ]


def openvino_settings(environments: Path) -> list[Setting]:
    """All settings of OpenVINO to screen, with its own size of groups and with 64."""
    python = python_of("openvino", environments)
    return [
        Setting(
            "openvino",
            f"INT{bits}, {attention}" + ("" if group is None else f", groups of {group}"),
            (
                str(openvino_folder(bits, environments, python)),
                *("--attention", attention),
                *(() if group is None else ("--group", str(group))),
            ),
            f"INT{bits}",
        )
        for bits, attention, group in product((8, 4), ATTENTIONS, (None, 64))
    ]


# Peers of which settings are screened on the two shortest prompts.
SCREENED = {"openvino": openvino_settings, "llama": llama_settings}


def other_settings(peers: Sequence[str], build: Path) -> list[Setting]:
    """The settings of the other peers, whose weights are written to this folder."""
    folder = str(model_folder(build)) if {"transformers", "kvpress"} & set(peers) else ""
    settings = [Setting("fastkv", name, (name,)) for name in FASTKV_SETTINGS]
    settings.append(Setting("transformers", "generate, sdpa", (folder,)))
    settings += [Setting("kvpress", name, (folder, "--press", name)) for name in PRESSES]
    return [setting for setting in settings if setting.peer in peers]


def best(settings: Sequence[Setting], rows: Sequence[Row], each: int) -> list[Setting]:
    """For each kind of weights, the settings with the best TTFT; and the fastest decoder."""
    by_name = {row.setting: row for row in rows}
    by_ttft = sorted(settings, key=lambda one: by_name[one.name].median(TTFT))
    chosen = [
        one
        for at, one in enumerate(by_ttft)
        if sum(one.weights == sooner.weights for sooner in by_ttft[:at]) < each
    ]
    decoder = max(settings, key=lambda one: by_name[one.name].median(DECODE))
    return list(dict.fromkeys([*chosen, decoder]))


def run(contest: Contest, lengths: Sequence[int], repetitions: int, peers: Sequence[str]) -> None:
    """Screen settings on the two shortest prompts, and measure everyone on all."""
    others = other_settings(peers, contest.environments)
    screened = {
        peer: settings(contest.environments) for peer, settings in SCREENED.items() if peer in peers
    }
    rows: dict[str, list[Row]] = {}
    for at, length in enumerate(lengths):
        if at < 2:
            times = min(2 - at, repetitions)
            for peer, settings in screened.items():
                rows[peer] = contest.measure(length, dict.fromkeys(settings, times), "screening")
                screened[peer] = best(settings, rows[peer], each=2 - at)
        by_peer = [best(settings, rows[peer], each=1) for peer, settings in screened.items()]
        contenders = list(chain(*by_peer))
        seldom = min(1 if length > LONG else 2, repetitions)
        times_of = dict.fromkeys([*others, *contenders], seldom)
        counted = [one for one in others if one.peer == "transformers" or one.name in COUNTED]
        times_of |= dict.fromkeys([*counted, *(each[0] for each in by_peer)], repetitions)
        contest.measure(length, times_of, "round")


def machine() -> dict[str, Any]:
    """The hardware and system."""
    flags = re.search(r"^flags\s*:(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    wanted = re.compile(r"avx2|avx512f|avx512_\w+|amx_\w+")
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "cores": CORES,
        "instructions": sorted(filter(wanted.fullmatch, flags[1].split() if flags else [])),
        "memory_gib": round(memory / 2**30, 1),
    }


def busy_s() -> float:
    """Seconds that all cores together were busy since the machine started."""
    user, nice, system, _idle, _iowait, irq, softirq, *_ = map(
        int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    )
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def _tell(where: str, setting: Setting, sample: dict[str, Any]) -> None:
    print(
        f"{where}: {setting.peer} {setting.name}: {sample[TTFT]:.2f} s, "
        f"{sample[DECODE]:.1f} tokens/s"
        f" (other processes: {sample['others_cpu_share']:.0%} of the cores)",
        file=sys.stderr,
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lengths", default="1000,4000,7500", help="tokens of the prompts")
    parser.add_argument("--repetitions", type=int, default=5, help="of what the targets count")
    parser.add_argument("--new-tokens", type=int, default=64)
    parser.add_argument("--peers", default=",".join(PEERS))
    parser.add_argument("--environments", type=Path, default=ENVIRONMENTS)
    parser.add_argument("--quick", action="store_true", help="1,000 tokens, 2 repetitions")
    arguments = parser.parse_args()
    lengths = sorted(int(length) for length in arguments.lengths.split(","))
    repetitions = arguments.repetitions
    if arguments.quick:
        lengths, repetitions = [1000], 2
    peers = arguments.peers.split(",")
    for peer in set(peers) - {"fastkv"}:
        python_of(peer, arguments.environments)  # reports missing ones before anything runs
    contest = Contest(arguments.environments, arguments.new_tokens)
    run(contest, lengths, repetitions, peers)
    print(
        json.dumps(
            {
                "date": f"{datetime.now(UTC):%Y-%m-%d}",
                "machine": machine(),
                "versions": contest.versions,
                "model": EMBEDDED_MODEL,
                "new_tokens": arguments.new_tokens,
                **report(contest.rows),
            },
            ensure_ascii=False,
        )
    )


if __name__ == "__main__":
    main()

"""Broken models: does each give a working engine, or one line that says why not?

    python benchmarks/fuzz_models.py [--inputs 2000] [--seed 1] [--limit 20] [--only NUMBER]

Inputs alternate between model folders (`fuzz_folders.py`: config, generation config, tokenizer,
chat template, the header and the index of the weights) and GGUF files with a broken header
(`fuzz_gguf.py`). They are made from a tiny Llama, Qwen2 and Qwen3 with random weights.

Each is resolved, converted if it is GGUF, loaded, and asked a question on a line of text. Allowed
results are an answer, a ModelError, an OutOfMemoryError, or a ContextError if the window that the
model declares holds no prompt; errors with one printable line. Anything else is a failure,
including a process that dies, and too much time or memory; its number reproduces it. The last line
is JSON.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # to run from a clone
sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))  # the tiny models

from fuzz_folders import break_folder
from fuzz_gguf import Header, break_header
from fuzz_run import make_parser, run
from fuzz_worker import Check, Job, Limits, Result, check_line

from fastkv_cli.config import MethodSettings
from fastkv_cli.errors import ContextError, FastKVError, ModelError, OutOfMemoryError

LIMIT_MIB = 1024  # MiB that loading a model of 1 MB may add
TEXT = "The committee met 14 times in 1999."
QUESTION = "How often did the committee meet?"
PACKAGES = ("torch", "transformers", "tokenizers", "safetensors", "gguf", "jinja2")
FAMILIES = ("llama", "qwen2", "qwen3")
IN_GGUF = ("llama", "qwen2")  # for Qwen3, transformers only supports files with a head size of 128
MAY_COME = (ModelError, OutOfMemoryError, ContextError)


def main() -> None:
    """Make the inputs, check them, and count the results."""
    arguments = make_parser(__doc__.splitlines()[0], inputs=2000, limit_s=20.0).parse_args()
    os.environ |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    with originals() as (folders, ggufs):
        os.environ["FASTKV_HOME"] = str(folders[0].parent / "home")
        headers = [(path.name, Header.of(path)) for path in ggufs]
        make = partial(make_check, [str(path) for path in (*folders, *ggufs)])
        limits = Limits(arguments.limit, LIMIT_MIB)
        run(arguments, partial(make_input, folders, headers), make, limits, PACKAGES)


@contextmanager
def originals() -> Iterator[tuple[list[Path], list[Path]]]:
    """The models to break: folders, with weights in one file and in shards, and GGUF files."""
    from conftest import save_tiny_model, tiny_tokenizer
    from gguf_files import write_gguf
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    tokenizer, folders, ggufs = tiny_tokenizer(), [], []
    with tempfile.TemporaryDirectory(prefix="fuzz-originals-") as temporary:
        for name in FAMILIES:
            folder = save_tiny_model(Path(temporary, name), name, tokenizer)
            if name in IN_GGUF:
                ggufs.append(write_gguf(Path(temporary, f"{name}.gguf"), folder))
            shards = Path(temporary, f"{name} in shards")
            shutil.copytree(folder, shards, ignore=lambda *_: ["model.safetensors"])
            model = AutoModelForCausalLM.from_pretrained(folder)
            model.save_pretrained(shards, max_shard_size="300KB")
            folders += [folder, shards]
        yield folders, ggufs


def make_input(
    folders: list[Path], headers: list[tuple[str, Header]], folder: Path, rng: random.Random
) -> Job:
    """Write one model."""
    if rng.random() < 0.5:
        original = rng.choice(folders)
        shutil.copytree(original, folder, dirs_exist_ok=True)
        return Job(str(folder), f"{original.name}, {break_folder(folder, rng)}", "")
    name, header = rng.choice(headers)
    data, ways = break_header(header, rng)
    path = folder / "model.gguf"
    path.write_bytes(data)
    return Job(str(path), f"{name}, {ways}", "")


def make_check(sound: list[str]) -> Check:
    """Make the check; asks the intact models first, to load what all inputs need."""
    for model in sound:
        ask(model)
    return check_model


def check_model(job: Job) -> Result:
    """Load a model and ask it a question, as `fastkv ask` does.

    Raises:
        Exception: any other failure than those allowed.
    """
    try:
        ask(job.path)
    except MAY_COME as error:
        line = str(error)
        failure = check_line(line)
        return Result(type(error).__name__, 0.0, failure, re.sub(r"'.*", "", failure))
    except FastKVError as error:
        failure = f"{type(error).__name__}: {error}"
        return Result(type(error).__name__, 0.0, failure, type(error).__name__)
    finally:
        shutil.rmtree(Path(os.environ["FASTKV_HOME"]), ignore_errors=True)
    return Result("works")


def ask(model: str) -> None:
    """Answer a question on a line of text with a few tokens."""
    from fastkv_cli.engine.generate import Engine
    from fastkv_cli.engine.methods import build_method
    from fastkv_cli.engine.tuning import tuning_of
    from fastkv_cli.prompts.prompt import ask_task, build_prompt, tokenize_text

    engine = Engine.load(model, device="cpu", offline=True)
    tuning = tuning_of(engine.loaded)
    tokens = tokenize_text(engine.tokenizer, TEXT).token_ids
    prompt = build_prompt(engine.tokenizer, tokens, ask_task(QUESTION))
    method = build_method(MethodSettings(), tuning)
    engine.generate(prompt.token_ids, method, 4, question=prompt.question_span)


if __name__ == "__main__":
    main()

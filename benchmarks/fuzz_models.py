"""Broken models: whether each ends in a working engine or in one line that says why.

    python benchmarks/fuzz_models.py [--inputs 2000] [--seed 1] [--limit 20] [--only NUMBER]

Every other input is a model folder (`fuzz_folders.py`: config, generation config, tokenizer, chat
template, the header and the index of the weights), and every other one a GGUF file with a broken
header (`fuzz_gguf.py`). They are made from a tiny Llama, Qwen2 and Qwen3 with random weights.

Each is resolved, converted if it is GGUF, loaded, and asked a question about a line of text. What
may come is an answer, a ModelError, an OutOfMemoryError, or a ContextError where the window that
the model tells of holds no prompt; each with one printable line. Anything else, a process that
dies, too much time and too much memory among them, is a failure, and its number makes it again.
The last line is JSON.
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

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # runs from a clone
sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))  # the tiny models

from fuzz_folders import break_folder
from fuzz_gguf import Header, break_header
from fuzz_run import make_parser, run
from fuzz_worker import Check, Job, Limits, Result, check_line

from fastkv_cli.config import MethodSettings
from fastkv_cli.errors import ContextError, FastKVError, ModelError, OutOfMemoryError

LIMIT_MIB = 1024  # that loading a model of 1 MB may add
TEXT = "The committee met 14 times in 1999."
QUESTION = "How often did the committee meet?"
PACKAGES = ("torch", "transformers", "tokenizers", "safetensors", "gguf", "jinja2")
FAMILIES = ("llama", "qwen2", "qwen3")
IN_GGUF = ("llama", "qwen2")  # of Qwen3, transformers reads only files with heads of 128
MAY_COME = (ModelError, OutOfMemoryError, ContextError)


def main() -> None:
    """Make, load and count."""
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
    """The models to break: folders, with the weights in one file and in shards, and GGUF files."""
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
    """What checks a model, once the sound ones have been asked: that loads what all need."""
    for model in sound:
        ask(model)
    return check_model


def check_model(job: Job) -> Result:
    """Load a model and ask it something, as `fastkv ask` does.

    Raises:
        Exception: whatever may not come.
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
    """Answer a question about a line of text with a few tokens."""
    from fastkv_cli.engine.generate import Engine
    from fastkv_cli.engine.methods import build_method
    from fastkv_cli.engine.tuning import load_tuning
    from fastkv_cli.prompts.prompt import ask_task, build_prompt, tokenize_text

    engine = Engine.load(model, device="cpu", offline=True)
    tuning = load_tuning(engine.loaded.name, engine.loaded.revision)
    tokens = tokenize_text(engine.tokenizer, TEXT).token_ids
    prompt = build_prompt(engine.tokenizer, tokens, ask_task(QUESTION))
    method = build_method(MethodSettings(), tuning)
    engine.generate(prompt.token_ids, method, 4, question=prompt.question_span)


if __name__ == "__main__":
    main()

"""Broken models: does each give a working engine, or one line that says why not?

    python benchmarks/fuzz_models.py folders [--inputs 1000] [--seed 1] [--limit 20] [--only NUMBER]
    python benchmarks/fuzz_models.py gguf --inputs 2000

Inputs are model folders (`fuzz_folders.py`: config, generation config, tokenizer, chat template,
the header and the index of the weights) or GGUF files, whole or split, with broken headers and any
types of blocks (`fuzz_gguf.py`, `fuzz_gguf_files.py`). They are made from tiny models with random
weights.

Each is resolved, loaded, and asked a question on a line of text. Allowed results are an answer, a
ModelError, an OutOfMemoryError, or a ContextError if the window that the model declares holds no
prompt; errors with one printable line. Anything else is a failure, including a process that dies,
and too much time or memory; its number reproduces it. The last line is JSON.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import sys
import tempfile
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # to run from a clone
sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))  # the tiny models

from fuzz_folders import break_folder
from fuzz_gguf import Header
from fuzz_gguf_files import Original, write_broken
from fuzz_run import MakeInput, make_parser, run
from fuzz_worker import Check, Job, Limits, Result, check_line

from fastkv_cli.config import MethodSettings
from fastkv_cli.errors import ContextError, FastKVError, ModelError, OutOfMemoryError

LIMIT_MIB = {"folders": 1024, "gguf": 256}  # MiB that loading a model of 1 MB may add
TEXT = "The committee met 14 times in 1999."
QUESTION = "How often did the committee meet?"
PACKAGES = ("torch", "transformers", "tokenizers", "safetensors", "gguf", "jinja2")
FAMILIES = ("llama", "qwen2", "qwen3")
IN_GGUF = ("llama", "qwen2", "phi3")
PARTS = 3  # of the one that is also split
MAY_COME = (ModelError, OutOfMemoryError, ContextError)


def main() -> None:
    """Make the inputs, check them, and count the results."""
    parser = make_parser(__doc__.splitlines()[0], inputs=2000, limit_s=20.0)
    parser.add_argument("kind", choices=LIMIT_MIB)
    arguments = parser.parse_args()
    os.environ |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    with tempfile.TemporaryDirectory(prefix="fuzz-originals-") as temporary:
        os.environ["FASTKV_HOME"] = str(Path(temporary, "home"))
        make_originals = original_folders if arguments.kind == "folders" else original_files
        sound, make_input = make_originals(Path(temporary))
        limits = Limits(arguments.limit, LIMIT_MIB[arguments.kind])
        run(arguments, make_input, partial(make_check, sound), limits, PACKAGES)


def original_folders(temporary: Path) -> tuple[list[str], MakeInput]:
    """Intact model folders, with weights in one file and in shards, and what breaks them."""
    from conftest import save_tiny_model, tiny_tokenizer
    from transformers import AutoModelForCausalLM

    tokenizer, folders = tiny_tokenizer(), []
    for name in FAMILIES:
        folder = save_tiny_model(temporary / name, name, tokenizer)
        shards = temporary / f"{name} in shards"
        shutil.copytree(folder, shards, ignore=lambda *_: ["model.safetensors"])
        model = AutoModelForCausalLM.from_pretrained(folder)
        model.save_pretrained(shards, max_shard_size="300KB")
        folders += [folder, shards]
    return [str(folder) for folder in folders], partial(make_folder, folders)


def original_files(temporary: Path) -> tuple[list[str], MakeInput]:
    """Intact GGUF models, one of them also split, and what breaks them."""
    from conftest import save_tiny_model, tiny_tokenizer
    from gguf_families import write_family
    from transformers import AutoModelForCausalLM

    tokenizer, originals, sound = tiny_tokenizer(), [], []
    for name in IN_GGUF:
        folder = save_tiny_model(temporary / name, name, tokenizer)
        model = AutoModelForCausalLM.from_pretrained(folder)
        whole = write_family(temporary / f"{name}.gguf", name, model, folder)
        models = [(f"{name}.gguf", [whole])]
        if name == IN_GGUF[0]:
            tensors = -(-len(Header.of(whole).tensors) // PARTS)
            path = temporary / "split.gguf"
            write_family(path, name, model, folder, tensors_per_part=tensors)
            models.append(("split", sorted(temporary.glob("split-*.gguf"))))
        sound += [str(files[0]) for _, files in models]
        originals += [Original.of(title, files) for title, files in models]
    return sound, partial(make_file, originals)


def make_folder(folders: list[Path], folder: Path, rng: random.Random) -> Job:
    """Write a broken model folder."""
    original = rng.choice(folders)
    shutil.copytree(original, folder, dirs_exist_ok=True)
    return Job(str(folder), f"{original.name}, {break_folder(folder, rng)}", "")


def make_file(originals: list[Original], folder: Path, rng: random.Random) -> Job:
    """Write a broken GGUF model."""
    original = rng.choice(originals)
    path, ways = write_broken(original, folder, rng)
    return Job(str(path), f"{original.name}, {ways}", "")


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

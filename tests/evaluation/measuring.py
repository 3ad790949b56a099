"""What the tests of the measurements share: a model to measure, texts, and a model that says one thing."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

from fastkv_cli import Engine
from fastkv_cli.config import LOCAL_REVISION
from fastkv_cli.documents import Document
from fastkv_cli.engine.tuning import Tuning
from fastkv_cli.evaluation.measure_context import MeasureContext
from fastkv_cli.models.content import content_id
from fastkv_cli.prompts.prompt import ask_task, build_prompt
from fastkv_cli.tasks.corpus import Corpus, join_documents

# Twenty short sentences, each its own, so that a place in them is known to a few tokens.
SENTENCES = [f"In year {number} the committee met once more." for number in range(100, 120)]


def load_tokenizer(folder: Path) -> Any:
    import transformers

    return transformers.AutoTokenizer.from_pretrained(folder)


def make_haystack(tokenizer: Any, text: str = " ".join(SENTENCES)) -> Corpus:
    document = Document(path="a.txt", text=text, num_pages=None, pages=(), warnings=())
    return join_documents([document], tokenizer)


def make_context(engine: Engine, tuning: Tuning | None = None) -> MeasureContext:
    return MeasureContext(engine, tuning or Tuning("tiny"))


def content_of(folder: Path | str) -> str:
    """What the tuning files of a model in a folder are named after."""
    return content_id(str(folder), Path(folder), LOCAL_REVISION)


def find_ids(ids: list[int], wanted: list[int]) -> list[int]:
    """Every place at which `wanted` stands in `ids`."""
    size = len(wanted)
    return [at for at in range(len(ids) - size + 1) if ids[at : at + size] == wanted]


def save_parrot(tiny: Path, folder: Path, says: str) -> Path:
    """A model that answers every prompt with the same words, whatever it reads.

    Its layers add nothing, so that a token is all that the next one depends on: no token may come
    twice in what it says.
    """
    import torch
    import transformers

    tokenizer = load_tokenizer(tiny)
    last = build_prompt(tokenizer, [], ask_task("?")).token_ids[-1]
    said = tokenizer(says, add_special_tokens=False)["input_ids"]
    chain = [last, *said, tokenizer.eos_token_id]
    assert len(set(chain)) == len(chain)
    model = transformers.AutoModelForCausalLM.from_pretrained(tiny)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "o_proj" in name or "down_proj" in name or "lm_head" in name:
                weight.zero_()
            elif name == "model.norm.weight":
                weight.fill_(1)
        embeddings = model.get_input_embeddings().weight
        for token, following in pairwise(chain):
            model.lm_head.weight[following] = 5 * embeddings[token] / embeddings[token].norm()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder

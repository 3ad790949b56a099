"""The same questions with NVIDIA's kvpress, as a reference for our methods.

kvpress pins transformers, so it needs a separate environment, without fastkv:

    python benchmarks/kvpress_peer.py --export questions.jsonl   # with fastkv
    python benchmarks/kvpress_peer.py --ask questions.jsonl --model FOLDER   # with kvpress

FOLDER is the model as transformers reads it: `make peers` writes that of the embedded one. With
--export, --model names another model, whose tokens are used. The prompts are those of
`fastkv eval`;
presses prune 80% of the KV cache after the prefill. The last line is JSON: accuracy and bytes kept
for each press.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

KEPT = 0.2
MAX_ANSWER_TOKENS = 32


def export(path: Path, model: str | None, samples: int, seed: int) -> None:
    """Write the questions, with their prompts as token ids."""
    from fastkv_cli import Engine
    from fastkv_cli.config import EMBEDDED_MODEL, Suite
    from fastkv_cli.evaluation.quality.suites import Questionnaire

    tokenizer = Engine.load(model or EMBEDDED_MODEL).tokenizer
    asked = Questionnaire((Suite.NEEDLE, Suite.RULER), (1000, 2000), samples, seed)
    with path.open("w", encoding="utf-8") as file:
        for question in asked.questions(tokenizer):
            ids = question.prompt(tokenizer).token_ids
            row = {"key": question.key, "prompt_ids": ids, "answers": question.answers}
            file.write(json.dumps(row) + "\n")


def ask(path: Path, folder: str) -> None:
    """Answer every question with every press, and without one."""
    import kvpress
    import torch
    import transformers

    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    presses: dict[str, Any] = {
        "full": None,
        "snapkv": kvpress.SnapKVPress(1 - KEPT, window_size=8, kernel_size=7),
        "tova": kvpress.TOVAPress(1 - KEPT),
        "streamingllm": kvpress.StreamingLLMPress(1 - KEPT, n_sink=4),
        "expected attention": kvpress.ExpectedAttentionPress(1 - KEPT),
    }
    questions = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    found: dict[str, list[float]] = {name: [] for name in presses}
    kept: dict[str, list[float]] = {name: [] for name in presses}
    for question in questions:
        for name, press in presses.items():
            text, share = answer(model, tokenizer, press, question["prompt_ids"])
            right = [plain(one) in plain(text) for one in question["answers"]]
            found[name].append(sum(right) / len(right))
            kept[name].append(share)
        print(question["key"], {name: scores[-1] for name, scores in found.items()}, flush=True)
    count = len(questions)
    print(
        json.dumps(
            {
                "questions": count,
                "kvpress": kvpress.__version__ if hasattr(kvpress, "__version__") else None,
                "transformers": transformers.__version__,
                "accuracy": {name: sum(scores) / count for name, scores in found.items()},
                "kept": {name: sum(shares) / count for name, shares in kept.items()},
            }
        )
    )


def answer(model: Any, tokenizer: Any, press: Any, prompt_ids: list[int]) -> tuple[str, float]:
    """A greedy answer over the pruned cache, and the share of the prompt that is kept."""
    import transformers

    cache = transformers.DynamicCache()
    tokens = greedy_tokens(model, press, prompt_ids, cache)
    said = [next(tokens)]
    share = cache.get_seq_length() / len(prompt_ids)
    while said[-1] != model.config.eos_token_id and len(said) < MAX_ANSWER_TOKENS:
        said.append(next(tokens))
    return tokenizer.decode(said, skip_special_tokens=True), share


def greedy_tokens(model: Any, press: Any, prompt_ids: list[int], cache: Any) -> Iterator[int]:
    """Tokens without end over the pruned cache, at positions after the whole prompt."""
    import torch

    ids = torch.tensor([prompt_ids])
    with torch.inference_mode():
        with press(model) if press is not None else contextlib.nullcontext():
            logits = model(ids, past_key_values=cache, logits_to_keep=1).logits
        for position in itertools.count(len(prompt_ids)):
            token = logits[:, -1].argmax(-1, keepdim=True)
            yield int(token)
            logits = model(
                token, past_key_values=cache, position_ids=torch.tensor([[position]])
            ).logits


def plain(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).lower().split())


def main() -> None:
    """Export with fastkv, or ask with kvpress."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--export", type=Path)
    parser.add_argument("--ask", type=Path)
    parser.add_argument("--model")
    parser.add_argument("--samples", type=int, default=15)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.export is not None:
        export(arguments.export, arguments.model, arguments.samples, arguments.seed)
    elif arguments.ask is not None and arguments.model is not None:
        ask(arguments.ask, arguments.model)
    else:
        parser.error("give --export FILE, or --ask FILE and --model FOLDER")


if __name__ == "__main__":
    main()

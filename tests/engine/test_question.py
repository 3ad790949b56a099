"""Where the question is looked for in a prompt of which nobody says it."""

from __future__ import annotations

from pathlib import Path

import pytest
from prompt_families import FAMILIES, make_tokenizer

from fastkv_cli import Engine
from fastkv_cli.engine.question import last_question
from fastkv_cli.prompts.prompt import ask_task, build_prompt, tokenize_text

TEXT = "The committee met 14 times in 1999.\n\nIts chair said so on page 42."
QUESTION = "How many times did the committee meet in 1999?"


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_it_is_the_end_of_the_last_turn(family: str) -> None:
    tokenizer = make_tokenizer(FAMILIES[family])
    document_ids = tokenize_text(tokenizer, TEXT).token_ids.tolist()
    prompt = build_prompt(tokenizer, document_ids, ask_task(QUESTION))
    found = last_question(tokenizer, prompt.token_ids)
    assert found.stop == len(prompt.token_ids) - len(prompt.tail_ids)
    said = tokenizer.decode(prompt.token_ids[found])
    assert QUESTION.replace(" ", "") in said.replace(" ", "")
    assert "page 42" not in said


def test_a_text_without_turns_ends_with_it(embedded_dir: Path) -> None:
    engine = Engine.load("smollm2-135m", dtype="float32", device="cpu")
    ids = engine.tokenizer(f"{TEXT}\n\n{QUESTION}")["input_ids"]
    assert engine.tokenizer.decode(ids[last_question(engine.tokenizer, ids)]) == QUESTION
    assert last_question(engine.tokenizer, ids[:1]) == slice(0, 1)


def test_generate_finds_what_the_command_line_finds(embedded_dir: Path) -> None:
    """The paper's setting kept 10% by the template's last tokens, and lost most of such facts."""
    engine = Engine.load("smollm2-135m", dtype="float32", device="cpu")
    filler = "The wind came from the north, and the crew mended the sails all day long. "
    fact = "The cook of the expedition was called Anton Lindqvist. "
    text = filler * 40 + fact + filler * 40
    asked = f"{text}\n\nWhat was the cook of the expedition called?"
    turns = [{"role": "user", "content": asked}]
    prompt = engine.tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    generation = engine.generate(
        engine.tokenizer(prompt, add_special_tokens=False)["input_ids"], max_new_tokens=16
    )
    assert "Lindqvist" in generation.text
    assert generation.kv.method == "fastkv-cascade"
    assert generation.kv.kept_ratio < 0.25

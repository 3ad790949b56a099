"""Models that think, and models without a chat template: stdout holds the answer alone."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from conftest import CHAT_TEMPLATE, tiny_tokenizer
from scripted_model import save_scripted_model, scripted_tokenizer

import fastkv_cli
from fastkv_cli.cli.app import run
from fastkv_cli.engine.answer_stream import AnswerStream
from fastkv_cli.errors import ContextError
from fastkv_cli.prompts.answer_form import AnswerForm
from fastkv_cli.prompts.prompt import Turn, ask_task, build_prompt, summary_task, tokenize_text
from fastkv_cli.prompts.thinking import ChannelSplitter, TagSplitter, find_thought_format
from fastkv_cli.summary_style import Style
from fastkv_cli.tasks.context_window import open_window
from fastkv_cli.thinking_mode import Thinking

TEXT = "The committee met 14 times in 1999.\n"
QUESTION = "When did the committee meet 14 times?"
TURNS = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + m.content + '<|im_end|>' }}{% endfor %}"
)
SWITCH = (
    "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n{% endif %}"
)
# The forms of templates that think: with a switch (Qwen3), in which the prompt opens the tag
# (DeepSeek's distills), with nothing but a mention (older ones), and with channels (gpt-oss).
TEMPLATES = {
    "switch": TURNS + "<|im_start|>assistant:\n" + SWITCH,
    "opens": TURNS + "<|im_start|>assistant:{{ '\n<think>\n' }}",
    "mentions": TURNS + "{{ messages[-1].content.split('</think>')[-1][:0] }}assistant:\n",
    "channels": TURNS + "{{ '<|channel|>analysis<|message|>'[:0] }}<|start|>assistant",
    "plain": CHAT_TEMPLATE,
}
MARKS = ("<|start|>", "<|channel|>", "<|message|>", "<|end|>", "<|return|>")
THOUGHT, ANSWER = "a fox is over the dog", "It met 14 times."
SCRIPT = f"\n<think> {THOUGHT}</think>\n\n{ANSWER}<|im_end|>"
# A text, and its thoughts and answer: begun outside a thought, and inside one.
TAGGED = {
    "<think>\na b\n</think>\n\nc d": ("a b\n", "c d"),
    "  <think>a</think>c": ("a", "c"),
    "\n c": ("", "\n c"),
    " \n": ("", " \n"),
    "": ("", ""),
    "a < b, <thin, </think": ("", "a < b, <thin, </think"),
    "c <think>a</think> d": ("a", "c d"),
    "c</think>d": ("", "cd"),
    "<think>a</think>\n\n<think>b</think>\nc": ("ab", "c"),
    "<think>a <think>b": ("a b", ""),
    "<think>\n\n</think>\n\nc": ("", "c"),
}
INSIDE = {
    "a b</think>\nc": ("a b", "c"),
    "\n\n</think>\n\nc": ("", "c"),
    "<think>\na</think>c": ("a", "c"),
    "a b": ("a b", ""),
    "a</thin": ("a</thin", ""),
}
_FINAL = "<|start|>assistant<|channel|>final<|message|>"
CHANNELS = {
    f"<|channel|>analysis<|message|>a b<|end|>{_FINAL}c d<|return|>": ("a b\n", "c d"),
    f"<|channel|>analysis<|message|>a<|end|>{_FINAL}c<|end|><|start|>user<|message|>x": (
        "a\n",
        "c",
    ),
    f"<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>commentary<|message|>b"
    f"<|end|>{_FINAL}c < d": ("a\nb\n", "c < d"),
    "<|channel|>analysis<|message|>a b": ("a b", ""),
    "<|channel|>anal": ("", ""),
    "<|channel|>final <|constrain|>json<|message|>c": ("", "c"),
    "<|message|>c": ("", "c"),
    " c d": ("", " c d"),
    "": ("", ""),
}


def pieces_of(text: str, seed: int) -> Iterable[str]:
    """The text in pieces of 1 to 4 characters, or as a whole."""
    rng, at = random.Random(seed), 0
    while at < len(text):
        size = rng.randint(1, 4) if seed else len(text)
        yield text[at : at + size]
        at += size


def test_marks_are_found_wherever_a_text_is_split() -> None:
    cases: list[tuple[Any, dict[str, tuple[str, str]]]] = [
        (lambda: TagSplitter("<think>", "</think>", inside=False), TAGGED),
        (lambda: TagSplitter("<think>", "</think>", inside=True), INSIDE),
        (ChannelSplitter, CHANNELS),
    ]
    for make, texts in cases:
        for text, expected in texts.items():
            for seed in range(12):
                splitter = make()
                parts = [splitter.push(piece) for piece in pieces_of(text, seed)]
                parts.append(splitter.end())
                found = ("".join(p.thought for p in parts), "".join(p.answer for p in parts))
                assert found == expected, (text, seed)


def test_the_format_is_that_of_the_template() -> None:
    expected = {
        "switch": (False, True, False),
        "opens": (True, True, True),
        "mentions": (False, True, True),
        "channels": (False, True, True),
        "plain": (False, False, False),
    }
    for name, template in TEMPLATES.items():
        tokenizer = scripted_tokenizer(template)
        on, off = (find_thought_format(tokenizer, thinks=thinks) for thinks in (True, False))
        assert on is not None
        assert off is not None
        assert (on.starts_inside, on.is_expected, off.is_expected) == expected[name], name
        assert ("<|channel|>" in on.marks) == (name == "channels")
        reserved = open_window(tokenizer, 2048, 100, thinking=Thinking.HIDE).thinking_tokens
        assert (512 < reserved < 560) if on.is_expected else reserved == 0, name
    tokenizer = scripted_tokenizer(TEMPLATES["plain"].replace("assistant", "[THINK]"))
    found = find_thought_format(tokenizer, thinks=True)
    assert found is not None
    assert found.starts_inside
    assert found.marks == ("[THINK]", "[/THINK]")
    assert find_thought_format(scripted_tokenizer(None), thinks=True) is None
    window = open_window(scripted_tokenizer(TEMPLATES["opens"]), 400, 260, thinking=Thinking.HIDE)
    with pytest.raises(ContextError, match=r"the thinking \(1\d\d\).*--max-thinking or --max-tok"):
        window.room(ask_task("Why? " * 20), 1000)


def test_special_marks_are_found_though_decoding_drops_them() -> None:
    tokenizer = scripted_tokenizer(TEMPLATES["channels"], special=MARKS)
    found = find_thought_format(tokenizer, thinks=True)
    told: list[tuple[str, int, int]] = []
    form = AnswerForm(found, 9, on_thought=lambda *now: told.append(now))
    stream = AnswerStream(tokenizer, form)
    text = f"<|channel|>analysis<|message|>a fox<|end|>{_FINAL}naïve 北京<|return|>"
    token_ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert len(stream.mark_ids) == len(MARKS)
    pieces = [stream.push(token_id) for token_id in token_ids] + [stream.flush()]
    assert "".join(pieces) == stream.text == "naïve 北京"
    assert not any("\ufffd" in piece for piece in pieces)
    thinking = stream.thinking()
    assert thinking is not None
    assert (thinking.text, thinking.was_closed) == ("a fox", False)
    assert "".join(text for text, *_ in told) == "a fox\n"
    assert 8 < thinking.tokens == stream.num_thought < len(token_ids)
    assert stream.is_over


def test_an_answer_may_end_at_a_line_break() -> None:
    tokenizer = tiny_tokenizer()
    for ends_at, text, expected, is_over in (
        ("\n", " \n It met.\nQuestion: Why?", "It met.", True),
        ("\n", " It met.", "It met.", False),
        ("\n\n", "- a\n- b\n\n- c", "- a\n- b", True),
        ("\n\n", "a\n", "a\n", False),
        ("", " a\n\nb", " a\n\nb", False),
    ):
        stream = AnswerStream(tokenizer, AnswerForm(ends_at=ends_at))
        pieces = [stream.push(token_id) for token_id in tokenizer(text)["input_ids"]]
        assert "".join([*pieces, stream.flush()]) == stream.text == expected
        assert stream.is_over is is_over


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models with the templates of their names, and a text."""
    root = tmp_path_factory.mktemp("thinking")
    (root / "a.txt").write_text(TEXT)
    for name in ("switch", "opens"):
        tokenizer = scripted_tokenizer(TEMPLATES[name], ["<think>", "</think>", "\n\n"])
        script = SCRIPT if name == "switch" else SCRIPT.replace("<think>", "")
        save_scripted_model(root / name, tokenizer, script)
    tokenizer = scripted_tokenizer(TEMPLATES["switch"], ["<think>", "</think>", "\n\n"])
    save_scripted_model(root / "never", tokenizer, f"\n<think> {THOUGHT}. a")
    save_scripted_model(
        root / "ends", tokenizer, f"</think>\n\n{ANSWER}<|im_end|>\n<think><|im_end|>"
    )
    tokenizer = scripted_tokenizer(TEMPLATES["plain"], ["<think>", "</think>", "\n\n"])
    save_scripted_model(root / "plain", tokenizer, SCRIPT)
    words = ["assistant", "analysis", "final"]  # a token each, for the script
    tokenizer = scripted_tokenizer(TEMPLATES["channels"], words, MARKS)
    script = "assistant<|channel|>analysis<|message|> a fox over<|end|><|start|>assistant"
    save_scripted_model(root / "channels", tokenizer, script)
    tokenizer = scripted_tokenizer(None)
    save_scripted_model(root / "base", tokenizer, f":{ANSWER}\nQuestion")
    return root


def ask(folder: Path, model: str, *options: str, command: str = "ask") -> list[str]:
    asked = [QUESTION] if command == "ask" else []
    model_options = ["--model", str(folder / model), "--dtype", "float32", "--no-store"]
    return [command, str(folder / "a.txt"), *asked, *model_options, *options]


def test_only_the_answer_is_on_stdout(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for model in ("switch", "opens"):
        for mode in ("hide", "show", "off"):
            assert run(ask(folder, model, "--thinking", mode, "--no-stats")) == 0
            out, err = capfd.readouterr()
            assert out == ANSWER + "\n", (model, mode)
            assert err.count(THOUGHT) == (mode == "show"), (model, mode)
            warned = err.count("has no switch to turn thinking off: it is hidden")
            assert warned == (model == "opens" and mode == "off")
            assert "<think>" not in err
            assert "\x1b" not in err
    assert run(ask(folder, "switch", "--thinking", "show", "--quiet")) == 0
    assert capfd.readouterr() == (ANSWER + "\n", "")
    assert run(ask(folder, "switch", "--max-thinking", "0")) == 2
    assert "--max-thinking 0 is out of range" in capfd.readouterr().err


@pytest.mark.parametrize("model", ["switch", "opens", "never", "channels", "base"])
def test_fields_are_those_of_the_grammar(
    folder: Path, model: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """Whether the model thinks before it, or would."""
    options = ["--dtype", "float32", "--model", str(folder / model), "--max-thinking", "40"]
    assert run(["ask", str(folder / "a.txt"), *options, "--schema", "mayor, ok bool"]) == 0
    value = json.loads(capfd.readouterr().out)
    assert value.keys() == {"mayor", "ok"}
    assert value["ok"] in {None, True, False}


def test_thinking_that_does_not_end_is_closed(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """By its budget, a loop, or an end token; the answer follows, and stands alone."""
    for model, options in (
        ("switch", ["--max-thinking", "4"]),
        ("never", ["--max-thinking", "5", "--max-tokens", "6", "--no-check"]),
        ("never", ["--max-tokens", "6", "--no-check"]),
        ("ends", []),
    ):
        assert run(ask(folder, model, "--json", *options)) == 0
        out, err = capfd.readouterr()
        report = json.loads(out)
        assert report["thinking"]["was_closed"], model
        assert "had to answer: allow more with --max-thinking" in err
        assert report["answer"] == (ANSWER if model != "never" else ""), model
        assert report["stats"]["output_tokens"] > report["thinking"]["tokens"]
        assert report["verdict"] == ("supported" if model != "never" else None)
    run(ask(folder, "switch", "--json", "--thinking", "off"))
    assert json.loads(capfd.readouterr().out)["thinking"] is None
    run(ask(folder, "channels", "--json", "--max-thinking", "30", "--no-check"))
    report = json.loads(capfd.readouterr().out)
    assert report["answer"] == " a fox over"
    assert report["thinking"]["text"].split("\n")[:2] == ["a fox over", " a fox over"]


def test_thinking_that_no_template_announces_is_longer_than_the_answer(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(ask(folder, "plain", "--json", "--max-tokens", "14")) == 0
    report = json.loads(capfd.readouterr().out)
    assert report["answer"] == ANSWER
    assert report["stats"]["output_tokens"] > 14


def test_a_base_model_completes_a_prompt(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(ask(folder, "base", "--no-stats")) == 0
    assert capfd.readouterr().out == ANSWER + "\n"
    assert run(ask(folder, "base", "--no-stats", command="summarize")) == 0
    assert capfd.readouterr().out == TEXT  # extractive: it follows no instruction to rewrite
    options: dict[str, Any] = {"model": str(folder / "base"), "dtype": "float32", "no_store": True}
    with fastkv_cli.open(folder / "a.txt", **options) as session:
        assert session.summarize("short", style="prose").text.strip()
        chat = session.chat()
        assert [chat.ask(QUESTION).text for _ in range(2)] == [ANSWER] * 2
        assert chat.history == (Turn(QUESTION, ANSWER),) * 2


def test_the_prompts_of_a_base_model_are_texts_to_complete() -> None:
    tokenizer = scripted_tokenizer(None)
    text = "Question: Why?\nAnswer: Because.\n\nSummary: none </document>"
    document = tokenize_text(tokenizer, text).token_ids
    for task, end in (
        (ask_task("Answer: Who met?"), "Question: Answer∶ Who met?\n\nAnswer:"),
        (summary_task_of(), "a sentence each.\n\nSummary:"),
    ):
        whole = tokenizer.decode(build_prompt(tokenizer, document, task).token_ids)
        assert whole.startswith("<|im_start|><document>\nQuestion∶ Why?\nAnswer∶ Because.\n\nSumm")
        assert whole.endswith(end)
        assert whole.count("</document>") == 1


def summary_task_of() -> str:
    from fastkv_cli.config import Length

    return summary_task(Length.SHORT, Style.BULLETS)

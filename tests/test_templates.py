"""Chat templates: rendered as transformers renders them, and no longer, larger or freer than that."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from conftest import CHAT_TEMPLATE
from prompt_families import FAMILIES, make_tokenizer

from fastkv_cli.cli.app import run
from fastkv_cli.errors import ExitCode, ModelError
from fastkv_cli.prompts import templates
from fastkv_cli.prompts.prompt import SYSTEM, ask_task, build_prompt
from fastkv_cli.prompts.template_worker import render_all
from fastkv_cli.prompts.templates import split_template

TURNS = [
    [{"role": "user", "content": "Who met?"}],
    [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Who <met>?"}],
    [
        {"role": "user", "content": "Who?"},
        {"role": "assistant", "content": "They — 'the' committee."},
        {"role": "user", "content": "When?\n"},
    ],
]
# What templates of the hub make use of.
FEATURES = {
    "tojson": "{{ messages | tojson }}{{ messages | tojson(indent=2) }}{{ messages[0]|tojson(sort_keys=true, separators=(',', ':'), ensure_ascii=true) }}",
    "strftime": "{{ strftime_now('%Y %B') }}",
    "namespace": "{% set ns = namespace(n=0, s='') %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% set ns.s = ns.s ~ m.role %}{% endfor %}{{ ns.n }} {{ ns.s }}",
    "namespace of a dunder": "{% set ns = namespace(__class__=1) %}{{ 1 }}",
    "loopcontrols": "{% for m in messages %}{% if loop.index > 1 %}{% break %}{% else %}{{ m.content }}{% continue %}{% endif %}{{ 'never' }}{% endfor %}",
    "generation": "{% for m in messages %}{% generation %}{% set x = 3 %}{{ m.content }}{% endgeneration %}{{ x }}{% endfor %}",
    "dict": "{{ dict(a=1)['a'] }}{{ dict.fromkeys('ab', 2) }}{{ dict.mro }}",
    "blocks": "  {% if true %}\n  a\n  {% endif %}\n\n{# note #}\n b  \n",
    "names": "{{ tools is none }}{{ documents is none }}{{ enable_thinking }}{{ add_generation_prompt }}{{ bos_token }}{{ eos_token }}{{ pad_token is defined }}{{ unk_token }}",
    "attributes": "{{ ''.__class__ }}{{ messages.__class__.__mro__ }}{{ cycler.__init__.__globals__ }}",
    "change": "{{ messages.append(1) }}",
    "raise": "{{ raise_exception('no') }}",
    "syntax": "{% for %}",
    "macro": "{% macro f(x) %}[{{ x }}]{% endmacro %}{{ f(messages[0].content) }}{{ f }}",
    "undefined": "{{ nothing }}{{ messages[9] }}{{ messages[0].reasoning_content is defined }}",
    "undefined attribute": "{{ nothing.at_all }}",
    "split": "{{ 'a</think>b'.split('</think>')[-1].strip() | trim | upper }}{{ messages[::-1] | length }}",
}


def rendered(template: str, tokenizer: Any, conversations: list[Any]) -> list[str | None]:
    found = render_all(
        {
            "template": template,
            "variables": tokenizer.special_tokens_map,
            "switches": [{"enable_thinking": False}],
            "conversations": conversations,
            "memory_bytes": 0,
            "cpu_s": 0,
            "output": 10_000,
        }
    )
    texts = [each.get("text") for each in found]
    return texts + [None] * (len(conversations) - len(texts))


def by_transformers(template: str, tokenizer: Any, conversation: Any) -> str | None:
    try:
        return str(
            tokenizer.apply_chat_template(
                conversation,
                chat_template=template,
                tokenize=False,
                add_generation_prompt=True,
                enable_thinking=False,
            )
        )
    except Exception:  # noqa: BLE001 (it raises what it likes)
        return None


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_families_come_out_as_in_transformers(name: str) -> None:
    tokenizer = make_tokenizer(FAMILIES[name])
    template = FAMILIES[name].template
    expected = [by_transformers(template, tokenizer, turns) for turns in TURNS]
    assert any(expected)
    assert rendered(template, tokenizer, TURNS) == expected


@pytest.mark.parametrize("name", sorted(FEATURES))
def test_features_come_out_as_in_transformers(name: str, tiny_models: dict[str, Path]) -> None:
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny_models["llama"])
    expected = [by_transformers(FEATURES[name], tokenizer, turns) for turns in TURNS]
    assert rendered(FEATURES[name], tokenizer, TURNS) == expected


def test_the_embedded_model_s_comes_out_as_in_transformers(embedded_dir: Path) -> None:
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(embedded_dir)
    template = tokenizer.chat_template
    expected = [by_transformers(template, tokenizer, turns) for turns in TURNS]
    assert all(expected)
    assert rendered(template, tokenizer, TURNS) == expected


@pytest.fixture
def tokenizer() -> Any:
    return make_tokenizer(FAMILIES["qwen-2"])


@pytest.mark.parametrize("num_turns", [0, 1, 7, 8, 20])
def test_any_number_of_turns_in_one_process_for_eight(
    tokenizer: Any, num_turns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    split_template(tokenizer, SYSTEM, num_turns)
    started: list[str] = []
    monkeypatch.setattr(templates, "start_module", lambda name, **_: started.append(name))
    pieces = split_template(tokenizer, SYSTEM, num_turns)  # known by now
    assert started == []
    assert len(pieces) == 2 * num_turns + 2
    assert pieces[0] == f"<|im_start|>system\n{SYSTEM}<|im_end|>\n<|im_start|>user\n"
    assert pieces[-1] == "<|im_end|>\n<|im_start|>assistant\n"
    assert set(pieces[1:-1]) <= {
        "<|im_end|>\n<|im_start|>assistant\n",
        "<|im_end|>\n<|im_start|>user\n",
    }


def test_the_default_of_several_templates_counts(tokenizer: Any) -> None:
    alone = split_template(tokenizer, SYSTEM)
    tokenizer.chat_template = {"tool_use": "{{ 1 }}", "default": tokenizer.chat_template}
    assert split_template(tokenizer, SYSTEM) == alone


def test_special_tokens_that_change_are_seen(tokenizer: Any) -> None:
    tokenizer.chat_template = "{{ eos_token }}" + CHAT_TEMPLATE
    before = split_template(tokenizer, SYSTEM)
    tokenizer.eos_token = "<|im_end|>"
    assert split_template(tokenizer, SYSTEM) != before


ENDLESS = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"
HOSTILE: dict[str, tuple[Any, str]] = {
    "endless": (ENDLESS, "does not end"),
    "endless when compiled": ("{{ 9**(9**9) }}", "does not end|memory"),
    "endless for a few turns": ("{% if messages | length > 9 %}" + ENDLESS + "{% endif %}", "does"),
    "multiplied": ("{{ 'a' * 20000000000 }}", "memory"),
    "centered": ("{{ 'a'.center(10 ** 10) }}", "memory"),
    "formatted": ("{{ '%10000000000d' % 1 }}", "memory|too"),
    "formatted anew": ("{{ '{:>10000000000}'.format(1) }}", "memory|too"),
    "doubled": ("{% set ns = namespace(s='a') %}{% for i in range(60) %}{% set ns.s = ns.s + ns.s %}{% endfor %}{{ ns.s }}", "memory"),
    "long": ("{% for i in range(99999) %}{{ 'a' * 100000 }}{% endfor %}", "more than 1,048,576 char"),
    "long at once": ("{{ 'a' * 30000000 }}", "more than 1,048,576 char"),
    "in circles": ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "recursion"),
    "nested": ("{{ " + "[" * 5000 + "]" * 5000 + " }}", "."),
    "nested parentheses": ("{{ " + "(" * 90000 + "1" + ")" * 90000 + " }}", "."),
    "syntax": ("{% for %}", "Expected an expression"),
    "raising": ("{{ raise_exception('I do \x1b[31mnot\n want') }}", "want"),
    "attributes": ("{{ ''.__class__.__mro__ }}", "unsafe"),
    "unknown name": ("{{ open('/etc/passwd').read() }}", "undefined"),
    "included": ("{% include '/etc/passwd' %}", "."),
    "too long": ("{# " + "a" * 2**20 + " #}", "1,048,582 characters, which is more"),
    "number": (7, "is not text"),
    "flag": (False, "is not text"),
    "no default": ({"rag": CHAT_TEMPLATE}, "is not text"),
    "default of numbers": ({"default": [1]}, "is not text"),
    "nothing": ("", "no place for a text"),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_hostile_templates_end_in_one_line(
    name: str, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(templates, "_CPU_S", 1)
    tokenizer.chat_template, words = HOSTILE[name]
    started = time.monotonic()
    with pytest.raises(ModelError, match=words) as raised:
        build_prompt(tokenizer, [5, 6], ask_task("Why?"))
    assert time.monotonic() - started < 25
    assert raised.value.hint
    assert len(str(raised.value)) < 400


def test_a_process_that_cannot_start_is_told(
    tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    tokenizer.chat_template = "{# never seen before #}" + CHAT_TEMPLATE
    with pytest.raises(ModelError, match="no process could be started"):
        split_template(tokenizer, SYSTEM)


def test_a_run_with_a_hostile_template_is_one_line(
    options: list[str], tiny_models: dict[str, Path], capfd: pytest.CaptureFixture[str]
) -> None:
    import shutil

    shutil.copytree(tiny_models["llama"], "model")
    Path("model/chat_template.jinja").write_text("{{ 'a' * 20000000000 }}")
    code = run(["ask", "a.txt", "Who met?", *options, "--model", "./model"])
    out, err = capfd.readouterr()
    assert (code, out) == (ExitCode.MODEL, "")
    assert err.startswith("fastkv: the model's chat template cannot be rendered (it takes too much")
    assert err.count("\n") == 1
    assert json.loads(Path("model/config.json").read_text())["model_type"] == "llama"

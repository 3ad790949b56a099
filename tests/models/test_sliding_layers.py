"""Layers with a sliding window, and the cache that they take in the list of models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from gguf_families import make_model, write_family

from fastkv_cli.models.gguf_header import Items
from fastkv_cli.models.on_disk.facts import read_facts
from fastkv_cli.models.on_disk.found import FoundModel, Place
from fastkv_cli.models.sliding_layers import sliding_in_config, sliding_in_gguf

WINDOW = {"attention.sliding_window": 24}


@pytest.mark.parametrize(
    ("architecture", "facts", "full"),
    [
        ("gemma3", WINDOW, [5]),
        ("gemma3", WINDOW | {"attention.sliding_window_pattern": 3}, [2, 5]),
        ("gpt-oss", WINDOW, [1, 3, 5]),
        (
            "olmo2",
            WINDOW | {"attention.sliding_window_pattern": Items(bool, 7, (1, 0, 1, 1, 1, 1, 0))},
            [1, 6],
        ),
        ("phi3", WINDOW, []),
        ("llama", WINDOW, list(range(7))),
        ("gemma3", {}, list(range(7))),
    ],
)
def test_a_gguf_file_states_them(architecture: str, facts: dict[str, Any], full: list[int]) -> None:
    found = sliding_in_gguf(architecture, facts, 7)
    assert [index for index, slides in enumerate(found) if not slides] == full


@pytest.mark.parametrize(
    ("config", "full"),
    [
        ({"sliding_window": 24}, []),
        ({"sliding_window": None}, [0, 1, 2]),
        ({"sliding_window": 24, "use_sliding_window": False}, [0, 1, 2]),
        ({"sliding_window": 24, "sliding_window_pattern": 3}, [2]),
        (
            {"sliding_window": 24, "layer_types": ["full_attention"] + 2 * ["sliding_attention"]},
            [0],
        ),
    ],
)
def test_a_config_states_them(config: dict[str, Any], full: list[int]) -> None:
    found = sliding_in_config(config, 3)
    assert [index for index, slides in enumerate(found) if not slides] == full


def test_the_list_counts_windows_as_windows(tmp_path: Path, tiny_models: dict[str, Path]) -> None:
    path = tmp_path / "gemma.gguf"
    config = make_model("gemma3").config
    write_family(path, "gemma3", make_model("gemma3"), tiny_models["llama"])
    facts = read_facts(FoundModel("gemma", Place.FOLDER, path, parts=(path,)))
    size = 2 * config.num_key_value_heads * config.head_dim
    num_full = config.layer_types.count("full_attention")
    num_sliding = len(config.layer_types) - num_full
    assert num_full
    assert num_sliding
    for num_tokens in (7, 24, 500):
        expected = size * (num_sliding * min(num_tokens, 24) + num_full * num_tokens)
        assert facts.kv_numbers(num_tokens) == expected
    halved = size * (num_sliding * 24 + num_full * 250)
    assert facts.kv_numbers(500, kept=0.5) == halved

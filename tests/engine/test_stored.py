"""A model that does not fit is named before it is loaded, with what would fit."""

from __future__ import annotations

import pytest
import torch

from fastkv_cli.engine.model.stored import check_room
from fastkv_cli.errors import OutOfMemoryError

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("bytes_a_weight", "free_gb", "advice"),
    [
        (4, 16.5, "take --dtype bfloat16, in which they take 16.0 GB"),
        (4, 15, "take its GGUF file in 4 bits (Q4_K_M), which takes 5.2 GB"),
        (2, 6, "take its GGUF file in 4 bits (Q4_K_M), which takes 5.2 GB"),
        (1.06, 6, "take its GGUF file in 4 bits (Q4_K_M), which takes 5.2 GB"),
        # in 4 bits already, or too large in them
        (0.65, 3, "take a model of at most 4.6 billion weights in 4 bits (Q4_K_M)"),
        (2, 3, "take a model of at most 4.6 billion weights in 4 bits (Q4_K_M)"),
    ],
)
def test_what_would_fit(
    bytes_a_weight: float, free_gb: float, advice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    free, num_weights = int(free_gb * 1e9), 8_000_000_000
    monkeypatch.setattr("fastkv_cli.engine.model.stored.available_memory_bytes", lambda: free)
    needed = int(bytes_a_weight * num_weights)
    with pytest.raises(OutOfMemoryError) as raised:
        check_room(needed, CPU, "a/b", num_weights)
    line = str(raised.value)
    assert line.startswith(f"the weights of a/b take {needed / 1e9:,.1f} GB of memory on cpu, and ")
    assert f"and {free_gb:.1f} GB are free: {advice}" in line
    check_room(free, CPU, "a/b", num_weights)


def test_blocks_are_unpacked_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (int(8e9), int(8e9)))
    with pytest.raises(OutOfMemoryError) as raised:
        check_room(int(16e9), torch.device("cuda", 0), "a/b", 8_000_000_000)
    line = str(raised.value)
    assert "take --device cpu or a model of at most 4.0 billion weights" in line
    assert "4 bits" not in line

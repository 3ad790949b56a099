"""What mixing a text in a recurrent layer holds in memory, beside what the forecast counts."""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import AutoConfig
from transformers.models.lfm2.modeling_lfm2 import Lfm2ShortConv
from transformers.models.qwen3_5.modeling_qwen3_5 import Qwen3_5GatedDeltaNet
from transformers.models.qwen3_next.modeling_qwen3_next import Qwen3NextGatedDeltaNet

from fastkv_cli.engine.kernels.row_blocks import RECURRENT_ROWS
from fastkv_cli.engine.model.gated_delta_net import GatedDeltaNet
from fastkv_cli.engine.model.recurrent_layer import Mixer
from fastkv_cli.engine.model.short_convolution import ShortConvolution

HIDDEN = 128


class LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of the tensors that torch's operations make, while they live."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak = 0
        self._live: dict[int, int] = {}

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if not isinstance(tensor, torch.Tensor):
                continue
            storage = tensor.untyped_storage()
            if storage._cdata not in self._live:
                self._live[storage._cdata] = storage.nbytes()
                weakref.finalize(storage, self._live.pop, storage._cdata)
                self.peak = max(self.peak, sum(self._live.values()))
        return result


def delta_net(kind: str, key_heads: int, value_heads: int, head_dim: int) -> Any:
    """A DeltaNet of transformers, with random weights."""
    config = AutoConfig.for_model(
        kind,
        hidden_size=HIDDEN,
        linear_num_key_heads=key_heads,
        linear_num_value_heads=value_heads,
        linear_key_head_dim=head_dim,
        linear_value_head_dim=head_dim,
        num_hidden_layers=2,
    )
    found = Qwen3_5GatedDeltaNet if kind == "qwen3_5_text" else Qwen3NextGatedDeltaNet
    return found(config, 0)


def convolution() -> Any:
    config = AutoConfig.for_model(
        "lfm2", hidden_size=HIDDEN, num_hidden_layers=2, layer_types=["conv", "full_attention"]
    )
    return Lfm2ShortConv(config, 0)


@torch.inference_mode()
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_forecast_counts_what_is_held(dtype: torch.dtype) -> None:
    mixers: list[Mixer] = [
        GatedDeltaNet(delta_net("qwen3_5_text", 2, 2, 64).to(dtype)),
        GatedDeltaNet(delta_net("qwen3_5_text", 2, 6, 64).to(dtype)),
        GatedDeltaNet(delta_net("qwen3_next", 4, 8, 128).to(dtype)),
        ShortConvolution(convolution().to(dtype)),
    ]
    for mixer in mixers:
        normalized = torch.randn(1, RECURRENT_ROWS, HIDDEN, dtype=dtype)
        state = mixer.start()
        with LiveBytes() as live:
            mixer.mix(mixer.inputs.linear(normalized), state, RECURRENT_ROWS)
        counted = mixer.working_bytes_per_token * RECURRENT_ROWS
        assert counted == pytest.approx(live.peak, rel=0.15), mixer

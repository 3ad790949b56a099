"""The number format of the KV cache's entries while an answer is decoded."""

from __future__ import annotations

import torch

from ..config import KVDtype
from ..errors import UsageError


def entry_dtype(
    model_dtype: torch.dtype, device: torch.device, wanted: KVDtype
) -> torch.dtype | None:
    """The number format of a cache's entries; None is the model's.

    Args:
        model_dtype: that of the model.
        device: that the model runs on, also where it is opened without weights.
        wanted: the user's choice.

    Raises:
        UsageError: when a format other than the model's is requested on a GPU.
    """
    if wanted is KVDtype.AUTO:
        return None
    dtype = torch.int8 if wanted is KVDtype.INT8 else torch.bfloat16
    if dtype is model_dtype:
        return None
    if device.type != "cpu":
        raise UsageError(
            f"--kv-dtype {wanted} is not available: entries in another format than the model's "
            f"are for the CPU, and the device is {device}",
            "leave it to auto",
        )
    return dtype

"""The number format of the KV cache's entries while an answer is decoded."""

from __future__ import annotations

import torch

from ..config import KVDtype
from ..errors import UsageError
from .model.decoder import Decoder


def entry_dtype(decoder: Decoder, wanted: KVDtype) -> torch.dtype | None:
    """The number format of a cache's entries; None is the model's.

    Raises:
        UsageError: when a format other than the model's is requested on a GPU.
    """
    if wanted is KVDtype.AUTO:
        return None
    dtype = torch.int8 if wanted is KVDtype.INT8 else torch.bfloat16
    if dtype is decoder.dtype:
        return None
    if decoder.device.type not in ("cpu", "meta"):  # a forecast needs no weights
        raise UsageError(
            f"--kv-dtype {wanted} is not available: entries in another format than the model's "
            f"are for the CPU, and the device is {decoder.device}",
            "leave it to auto",
        )
    return dtype

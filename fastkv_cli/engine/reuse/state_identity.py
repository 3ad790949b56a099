"""What a document's prefix state depends on: the key by which it is found again."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import torch

from ...config import LOCAL_REVISION
from ...store import StateSpec
from ...store.fingerprint import fingerprint_tokens
from ...version import __version__
from ..layers import LayerRunner
from ..model.loader import LoadedModel
from .state import StateShape


def state_spec(
    loaded: LoadedModel,
    runner: LayerRunner,
    token_ids: Sequence[int],
    shape: StateShape,
    documents: tuple[str, ...],
    rope: str = "",
    weights: str = "",
) -> StateSpec:
    """Everything that a document's state depends on.

    Args:
        loaded: the model.
        runner: the runner that computes it.
        token_ids: the tokens of the template before the document, and of the document: together
            with the model they identify the text and the template.
        shape: the state's shape.
        documents: the documents' names.
        rope: the tokens' kind of rotary embeddings, in models that have several.
        weights: the format of the weights it is computed with, where it is not the model's.
    """
    identity: dict[str, str | int] = {
        "text": fingerprint_tokens(token_ids),
        "model": loaded.name,
        "revision": loaded.revision,
        "dtype": loaded.dtype_name,
        "device": loaded.device.type,
        "attention": str(runner.kernel),
        "chunk_rows": runner.chunk_rows,
        "layer": shape.layer,
        "kept as": "int8" if shape.int8 else "exact",
    }
    if runner.sparsity is not None:
        identity["sparse attention"] = str(runner.sparsity)
    if rope:
        identity["rope"] = rope
    if weights:
        identity["weights"] = weights
    return StateSpec(
        identity=identity,
        tensors=shape.tensors(),
        documents=documents,
        num_tokens=shape.num_tokens,
        made_with=_made_with(loaded),
    )


def _made_with(loaded: LoadedModel) -> Mapping[str, str]:
    made_with = {"fastkv": __version__, "torch": torch.__version__}
    if loaded.revision == LOCAL_REVISION:  # only the files' stamps show that a folder changed
        stamps = repr(loaded.stamp_files()).encode()
        made_with["the model"] = hashlib.sha256(stamps).hexdigest()[:16]
    return made_with

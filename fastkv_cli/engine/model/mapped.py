"""Layer weights mapped from their files, so that their memory can be released after use.

Prefill needs a layer's own weights once, and decoding from packed copies not at all. Mapped weights
cost nothing to release: the next prefill finds the pages in the system's page cache.
"""

from __future__ import annotations

import json
import mmap
import re
from dataclasses import dataclass

import torch

from ...models.local import weight_files
from ...models.text_part import text_weight_name
from .loader import LoadedModel
from .recurrent_layer import Layer

_DTYPES = {"BF16": torch.bfloat16, "F16": torch.float16, "F32": torch.float32}
_LAYER = re.compile(r"\blayers\.(\d+)\.")


@dataclass(frozen=True, slots=True)
class _Span:
    """The span of a layer's weights in a mapped file, in bytes."""

    file: mmap.mmap
    start: int
    stop: int

    def release(self) -> None:
        start = self.start - self.start % mmap.PAGESIZE
        self.file.madvise(mmap.MADV_DONTNEED, start, self.stop - start)


@dataclass(frozen=True, slots=True)
class MappedLayers:
    """The spans of each layer's weights, as far as files hold them in the model's format."""

    spans: dict[int, list[_Span]]

    @classmethod
    def of(cls, loaded: LoadedModel) -> MappedLayers:
        """Map the layers of a model on a CPU to the safetensors files it was loaded from.

        Weights that a file holds in another format than the model are left as they are. In-place
        changes to the others are lost when their memory is released.
        """
        spans: dict[int, list[_Span]] = {}
        if loaded.files.gguf is not None or not hasattr(mmap, "MADV_DONTNEED"):  # Windows
            return cls(spans)
        weights = dict(loaded.model.named_parameters())
        for path in weight_files(loaded.folder, loaded.name):
            with path.open("rb") as stored:
                header_size = int.from_bytes(stored.read(8), "little")
                header = json.loads(stored.read(header_size))
                file = mmap.mmap(stored.fileno(), 0, access=mmap.ACCESS_COPY)
            for name, entry in header.items():
                layer = _LAYER.search(name)
                parameter = name if name in weights else text_weight_name(name)
                if layer is None or parameter not in weights:
                    continue
                start, stop = (8 + header_size + offset for offset in entry["data_offsets"])
                weight = weights[parameter]
                stored_as = (_DTYPES.get(entry["dtype"]), tuple(entry["shape"]), "cpu")
                if stored_as != (weight.dtype, tuple(weight.shape), weight.device.type):
                    continue
                flat = torch.frombuffer(
                    file, dtype=weight.dtype, count=weight.numel(), offset=start
                )
                weight.data = flat.view(weight.shape)
                spans.setdefault(int(layer[1]), []).append(_Span(file, start, stop))
        return cls({index: _joined(found) for index, found in spans.items()})

    def release(self, layer: Layer) -> None:
        """Release the memory of a layer's weights until their next use."""
        for span in self.spans.get(layer.index, ()):
            span.release()


def _joined(spans: list[_Span]) -> list[_Span]:
    """Merge adjacent spans: a file holds a layer's weights side by side."""
    joined: list[_Span] = []
    for span in sorted(spans, key=lambda span: (id(span.file), span.start)):
        last = joined[-1] if joined else None
        if last is not None and last.file is span.file and last.stop == span.start:
            joined[-1] = _Span(span.file, last.start, span.stop)
        else:
            joined.append(span)
    return joined

"""Which weights prefill multiplies with: the model's own, or copies in 8 bits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from torch import Tensor

from ..config import PrefillWeights
from ..errors import UsageError
from ..weight_formats import PrefillFormat
from .int8_plans import open_int8
from .kernels.row_blocks import default_chunk_rows
from .layers import LayerRunner
from .methods import Full, Method, Plan
from .model.decoder import Decoder
from .model.int8_decoder import Int8Decoder, can_quantize
from .model.loader import LoadedModel
from .model.recurrent_layer import Layer
from .reuse.document_runner import DocumentRunner
from .reuse.states import Reuse

# To make the matrices takes as long as 8 bits save on 100 to 300 tokens. Shorter prompts are not
# compressed by default either.
_INT8_FROM = 512  # tokens


class PrefillModels:
    """A decoder, and the same one in 8 bits from the first prompt on that is prefilled in them."""

    def __init__(
        self,
        loaded: LoadedModel,
        decoder: Decoder,
        wanted: PrefillWeights,
        on_done: Callable[[Layer], None] | None,
    ) -> None:
        """Hold a decoder.

        Args:
            loaded: the model.
            decoder: a view over it.
            wanted: by `auto`, prompts that a method compresses are prefilled in 8 bits.
            on_done: called with each layer that a prompt has passed.

        Raises:
            UsageError: when 8 bits are requested by name and are not available.
        """
        if wanted is PrefillWeights.INT8 and not can_quantize(decoder, loaded.device):
            raise UsageError(
                "--prefill-weights int8 is not available: it needs a CPU with AVX-512 VNNI, "
                "bfloat16 or float32, and a model without experts or recurrent layers",
                "leave it to auto",
            )
        self._loaded, self._decoder, self._on_done = loaded, decoder, on_done
        self.wanted = requested_weights(loaded, wanted)
        self._int8: Int8Decoder | None = None

    def choose(self, method: Method, num_tokens: int) -> Decoder:
        """The decoder to prefill a prompt with; the first in 8 bits is made now."""
        if not uses_int8(self._loaded, self._decoder, self.wanted, method, num_tokens):
            return self._decoder
        if self._int8 is None:
            self._int8 = open_int8(self._loaded, self._decoder)
        return self._int8.decoder

    @contextmanager
    def open_runner(
        self,
        decoder: Decoder,
        ids: Tensor,
        plan: Plan,
        shared: int,
        reuse: Reuse | None,
        chunk_rows: int | None = None,
        room: int = 0,
    ) -> Iterator[LayerRunner]:
        """Make the layer runner of a prompt (n,) on a decoder of these.

        With `reuse`, it uses the prefix state of the `shared` leading tokens.
        """
        if chunk_rows is None:
            chunk_rows = default_chunk_rows(decoder.device.type)
        settings = self._loaded.kernel, chunk_rows, self._on_done, shared, plan.sparsity
        num_tokens = ids.shape[0]
        if reuse is None or not reuse.applies(plan, shared, num_tokens):
            yield LayerRunner(*settings)
            return
        runner = DocumentRunner(*settings, layer=reuse.layer)
        shared_ids = ids[:shared].tolist()
        with reuse.attach(runner, self._loaded, decoder, shared_ids, num_tokens + room):
            yield runner

    @property
    def format(self) -> PrefillFormat:
        """What prefill has multiplied with."""
        dtype = str(self._decoder.dtype).removeprefix("torch.")
        if self._int8 is None:
            return PrefillFormat(dtype)
        errors = self._int8.plans.errors
        return PrefillFormat(dtype, len(errors), self._int8.num_products, max(errors, default=0.0))


def requested_weights(loaded: LoadedModel, wanted: PrefillWeights) -> PrefillWeights:
    """`wanted`, but the model's own in place of auto where float32 was requested by name."""
    is_exact = wanted is PrefillWeights.AUTO and loaded.is_exact
    return PrefillWeights.BF16 if is_exact else wanted


def uses_int8(
    loaded: LoadedModel, decoder: Decoder, wanted: PrefillWeights, method: Method, num_tokens: int
) -> bool:
    """Whether a prompt is prefilled in 8 bits.

    It does not depend on the prompts before it, so that a question has the same answer in any run.
    """
    wanted = requested_weights(loaded, wanted)
    if wanted is not PrefillWeights.AUTO:
        return wanted is PrefillWeights.INT8
    if isinstance(method, Full) or not can_quantize(decoder, loaded.device):
        return False
    return num_tokens >= _INT8_FROM

"""What prefill and decoding multiply with, for the statistics."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PrefillFormat:
    """What prefill multiplied with: the model's own weights, or copies in 8 bits.

    Attributes:
        dtype: the number format of the model's own weights.
        int8_products: products in 8 bits, of those of all layers; 0 if no prompt needed any.
        num_products: products of all layers.
        largest_error: the largest relative error of a product in 8 bits on a sample.
    """

    dtype: str
    int8_products: int = 0
    num_products: int = 0
    largest_error: float = 0.0


@dataclass(frozen=True, slots=True)
class DecodingWeights:
    """The weights that decoding reads: packed copies, or the model's own.

    Attributes:
        dtype: the number format of the model's own weights.
        bits: widths of the packed matrices in the layers, ascending; empty without copies.
        head_bits: width of the packed LM head; 0 without copies.
        copies_bytes: size of the copies.
        problem: why there are none, if they were wanted.
    """

    dtype: str
    bits: tuple[int, ...] = ()
    head_bits: int = 0
    copies_bytes: int = 0
    problem: str = ""

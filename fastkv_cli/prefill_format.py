"""What prefill multiplied with, for the statistics."""

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

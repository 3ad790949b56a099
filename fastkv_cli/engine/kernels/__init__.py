"""Attention, packed matrices, the fused step and CUDA graphs."""

"""Functions of small operations as TorchScript, whose calls cost less than Python's."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import torch

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


def scripted(function: Callable[_Arguments, _Result]) -> Callable[_Arguments, _Result]:
    """Compile a function to TorchScript; return it unchanged where that fails."""
    try:
        with warnings.catch_warnings():
            # torch deprecates TorchScript for torch.compile, but that needs a C++ compiler
            warnings.simplefilter("ignore", DeprecationWarning)
            compiled: Callable[_Arguments, _Result] = torch.jit.script(function)
    except (RuntimeError, AttributeError, OSError):  # OSError: the source is not available
        return function
    return compiled

"""The compression methods, each one file with one frozen dataclass."""

from ...config import MethodName
from .base import Method, Observation, Plan
from .fastkv import FastKV
from .full import Full

METHODS: dict[MethodName, type[Method]] = {
    MethodName.FASTKV: FastKV,
    MethodName.FULL: Full,
}

__all__ = ["METHODS", "FastKV", "Full", "Method", "Observation", "Plan"]

"""The tasks: summarize a text, or answer questions from it, whatever its length.

No imports of torch: the engine is passed in.
"""

from .answer_question import ask
from .attended import gather_evidence
from .extractive import extract
from .parts import NOTHING_TO_RESUME, PartStore
from .reading_forecast import forecast_ask, forecast_summary
from .summary import summarize
from .work import Outcome, Work

__all__ = [
    "NOTHING_TO_RESUME",
    "Outcome",
    "PartStore",
    "Work",
    "ask",
    "extract",
    "forecast_ask",
    "forecast_summary",
    "gather_evidence",
    "summarize",
]

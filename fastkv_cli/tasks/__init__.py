"""What the tool does with a text: summarize it, or answer from it, whatever its length.

Free of torch: the engine is handed in.
"""

from .answer_question import ask
from .attended import gather_evidence
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
    "forecast_ask",
    "forecast_summary",
    "gather_evidence",
    "summarize",
]

"""What the tool does with a text: summarize it, or answer from it, whatever its length.

Free of torch: the engine is handed in.
"""

from .ask import ask
from .evidence import gather_evidence
from .forecast import forecast_ask, forecast_summary
from .parts import NOTHING_TO_RESUME, PartStore
from .run import Outcome, Work
from .summarize import summarize

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

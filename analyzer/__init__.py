"""Emotion timelines and spreadsheets from call recordings: a batch tool, and its engine for other programs.

The API for other programs is `EmotionStream` and `analyze`, see docs/api.md. Both are imported on first use.
"""

import importlib
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from analyzer.api import EmotionStream, analyze
    from analyzer.errors import CannotWork, UnreadableRecording
    from analyzer.timeline.timeline import Row, Span, Timeline

# ONNX Runtime sends telemetry to its vendor unless this is set. No data may leave this machine.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

__version__ = "0.1.0"

__all__ = ["CannotWork", "EmotionStream", "Row", "Span", "Timeline", "UnreadableRecording", "__version__", "analyze"]

if not TYPE_CHECKING:  # otherwise a type checker would accept any name as an attribute of this module
    _PLACES = {
        "CannotWork": "errors",
        "EmotionStream": "api",
        "Row": "timeline.timeline",
        "Span": "timeline.timeline",
        "Timeline": "timeline.timeline",
        "UnreadableRecording": "errors",
        "analyze": "api",
    }

    def __getattr__(name: str) -> object:
        if name not in _PLACES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{__name__}.{_PLACES[name]}"), name)

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})

"""The nightly tool: from a folder of call recordings to emotion timelines and spreadsheets."""

import os

# ONNX Runtime reports to its maker unless it is told not to. Nothing leaves this machine.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

__version__ = "0.1.0"

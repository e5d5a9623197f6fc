"""The nightly tool: from a folder of call recordings to emotion timelines and spreadsheets."""

__version__ = "0.1.0"

"""Processes, signals, logs, locks and output streams of the operating system."""

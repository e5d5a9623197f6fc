"""Benchmarks of the analyzer's speed and memory, compared with other approaches: `python -m benchmarks`."""

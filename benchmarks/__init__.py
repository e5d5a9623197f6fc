"""How fast the analyzer is, and how much memory it takes, against other ways: `python -m benchmarks`."""

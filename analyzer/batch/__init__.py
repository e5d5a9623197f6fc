"""A run over many recordings."""

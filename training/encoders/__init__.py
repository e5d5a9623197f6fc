"""Encoders: their networks, their training, and their statistics of clips."""

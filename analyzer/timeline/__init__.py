"""Rows of a recording's timeline, and what is computed from them."""

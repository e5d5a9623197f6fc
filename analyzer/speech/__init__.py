"""From samples to segments of speech and their features."""

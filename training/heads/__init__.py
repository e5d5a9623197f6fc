"""Linear heads on statistics of encoders, and fits without the speakers that they are scored on."""

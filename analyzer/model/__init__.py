"""From features to probabilities and labels."""

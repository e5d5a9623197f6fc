"""Training data: corpora, splits, sounds, simulated telephone lines and crops."""

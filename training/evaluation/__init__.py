"""Evaluation of models from their out-of-fold probabilities."""

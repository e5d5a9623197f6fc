"""The plain recipe: a small network of your own corpora, with scores, plots and model card."""

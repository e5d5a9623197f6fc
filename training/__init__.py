"""Training of the networks that the analyzer runs: corpora, splits by speaker, fit, scores, export, card.

Needs `call-emotions[training]`. Uses the analyzer's front end; the analyzer never imports this package.
"""

import os

# Read by keras and tensorflow when they are first imported, so they are set before any module here can do that.
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

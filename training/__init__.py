"""Training of the analyzer's networks: corpora, splits by speaker, fits, scores, export, model card.

Requires `call-emotions[training]`. Uses the analyzer's front end; the analyzer never imports this package.
"""

import os

# Keras and TensorFlow read these on first import, so they are set before any module of this package can import them.
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

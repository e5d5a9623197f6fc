"""The eight emotions that every model of this project classifies, in the order of all tables and network outputs."""

EMOTIONS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")
#: Emotions counted as negative: those of a caller with bad service.
NEGATIVE = ("sad", "angry", "fearful", "disgust")
#: Emotions that are neither negative nor calm.
LIVELY = ("happy", "surprised")
UNCERTAIN = "uncertain"
#: Further class of some networks: non-speech such as music, tones and noise.
OTHER = "other"

#: Prior of each emotion on calls. Acted corpora are mostly emotional, calls are mostly neutral or calm; probabilities
#: under this prior decide whether a segment is negative. Real calls are even more neutral: these values separate the
#: groups (level, lively, negative) best on unseen speakers, as far as calm readers are not yet labelled negative
#: (training/EXPERIMENTS.md).
CALL_PRIOR = (0.36, 0.18, 0.15, 0.07, 0.09, 0.07, 0.04, 0.04)

EVEN_PRIOR = (1 / len(EMOTIONS),) * len(EMOTIONS)
PRIORS = ("calls", "even")

#: How often a run labels segments negative, from rarely to often; the model defines the thresholds.
SENSITIVITIES = ("low", "normal", "high")

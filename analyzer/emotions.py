"""The eight emotions that every model of this project tells apart, in the order of every table and network output."""

EMOTIONS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")
#: Those of somebody who is not well served.
NEGATIVE = ("sad", "angry", "fearful", "disgust")
UNCERTAIN = "uncertain"
#: What a network may hear besides: music, tones, noise.
OTHER = "other"

#: How often each emotion is expected on calls. Acted corpora are mostly emotion, calls are mostly level; a model's
#: probabilities are moved from the shares it was trained under to these. Calls are more level still: these are where
#: the groups (level, lively, negative) of strangers are told best before calm readers are called negative
#: (training/EXPERIMENTS.md).
CALL_PRIOR = (0.36, 0.18, 0.15, 0.07, 0.09, 0.07, 0.04, 0.04)

EVEN_PRIOR = (1 / len(EMOTIONS),) * len(EMOTIONS)
PRIORS = ("calls", "even")

#: How readily a run labels segments negative, from rarely to often; the thresholds are those of the model.
SENSITIVITIES = ("low", "normal", "high")

"""The eight emotions that every model of this project tells apart, in the order of every table and network output."""

EMOTIONS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")
UNCERTAIN = "uncertain"
#: What a network may hear besides: music, tones, noise.
OTHER = "other"

#: How often each emotion is expected on real calls. Acted corpora are mostly emotion, real calls are nine tenths
#: level; a model's probabilities are moved from the shares it was trained under to these.
CALL_PRIOR = (0.50, 0.25, 0.10, 0.03, 0.04, 0.03, 0.02, 0.03)

EVEN_PRIOR = (1 / len(EMOTIONS),) * len(EMOTIONS)
PRIORS = ("calls", "even")

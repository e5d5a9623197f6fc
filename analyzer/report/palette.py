"""The colours of emotions, the same in every picture, page and chart.

Those that colour-blind people tell apart best (Okabe and Ito, 2008), and greys for what is level; lively ones are light
and negative ones dark, so that they differ in print without colours, too.
"""

from analyzer.emotions import UNCERTAIN

COLOURS = {
    "neutral": "#B8BEC6",
    "calm": "#8FB8A8",
    "happy": "#F0C808",
    "sad": "#0072B2",
    "angry": "#D55E00",
    "fearful": "#AA4499",
    "disgust": "#6B4E16",
    "surprised": "#56B4E9",
    UNCERTAIN: "#E8E8E8",
}
#: Speech whose emotion is not to be inferred; what sounds and is no speech; both speaking.
MASKED, OTHER, BOTH = "#9AA0A6", "#C9B27C", "#333333"

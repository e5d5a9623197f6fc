"""Colours of emotions, the same in every picture, page and chart.

The colours follow those that colour-blind people distinguish best (Okabe and Ito, 2008); neutral, calm and uncertain
speech is greyish. Happy and surprised are light and negative emotions are dark, so that they differ in black-and-white
print, too.
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
#: Speech whose emotion must not be inferred, non-speech, and overlapping speech.
MASKED, OTHER, BOTH = "#9AA0A6", "#C9B27C", "#333333"

"""Odd levels of a recording: samples beyond full scale, a constant offset, a voice that is very quiet."""

from collections.abc import Mapping, Sequence

import numpy as np

#: Samples beyond this are no sound in any scale, so they do not count.
_HIGHEST_EXPONENT = 32
#: Up to 2 ** 4 times full scale a file counts as too loud; beyond, as integers that were stored without scaling.
_LOUD_EXPONENT = 4
_INTEGER_EXPONENTS = (15, 23, 31)
#: Shares of the samples that do not prove a scale: stray values of damaged files are no reason to call them integers.
_FEW_LOUD, _FEW_INTEGERS = 1e-5, 1e-3
#: Where the power of the mean is so much of all power, there is an offset; sound has next to none.
_OFFSET_SHARE = 0.01
#: A mean of the samples of a channel that is worth a note, as a share of full scale.
NOTED_OFFSET = 0.02
#: A mean level of the speech in dBFS below which it is worth a note. Telephone calls are at -35 to -15.
_QUIET_DB = -45.0


class ScaleCount:
    """Which full scale the samples of a float file were written for; its size does not grow with the samples."""

    def __init__(self) -> None:
        self._sounding = 0
        self._counts = np.zeros(_HIGHEST_EXPONENT + 1, np.int64)  # samples from 2 ** (k - 1) to 2 ** k; 0: up to 1

    def push(self, block: np.ndarray) -> None:
        """Take the next samples, of any shape."""
        sounding = np.abs(block[(block != 0) & (np.abs(block) <= 2.0**_HIGHEST_EXPONENT)])
        self._sounding += len(sounding)
        fractions, exponents = np.frexp(sounding[sounding > 1])
        self._counts += np.bincount(exponents - (fractions == 0.5), minlength=len(self._counts))

    @property
    def full_scale(self) -> float:
        """The sample value that is to be full scale: a power of two up to 16, or that of 16, 24 or 32-bit integers."""
        few_integers, few_loud = _FEW_INTEGERS * self._sounding, _FEW_LOUD * self._sounding
        if self._counts[_LOUD_EXPONENT + 1 :].sum() > few_integers:
            fitting = (k for k in _INTEGER_EXPONENTS if self._counts[k + 1 :].sum() <= few_integers)
            return 2.0 ** next(fitting, _HIGHEST_EXPONENT)
        loud = self._counts[: _LOUD_EXPONENT + 1]  # what is beyond is stray
        return 2.0 ** next(k for k in range(len(loud)) if loud[k + 1 :].sum() <= few_loud)


def scale_note(full_scale: float) -> str:
    """What a reader should know of a file whose samples were divided by its `full_scale`, which is not 1."""
    if full_scale <= 2**_LOUD_EXPONENT:
        return f"samples beyond full scale: divided by {full_scale:.0f}"
    return f"integers stored as float: taken as {np.log2(full_scale) + 1:.0f}-bit samples"


def without_offset(samples: np.ndarray) -> np.ndarray:
    """Samples shaped (samples,) without a constant offset; unchanged where there is none to speak of."""
    if not len(samples):
        return samples
    mean = float(samples.mean(dtype=np.float64))
    if mean**2 <= _OFFSET_SHARE * float(np.mean(np.square(samples))):
        return samples
    return samples - np.float32(mean)


def level_notes(offsets: Sequence[float], speech_db: Mapping[int, float]) -> list[str]:
    """What is odd about the levels of a recording.

    Parameters
    ----------
    offsets : mean sample of each channel.
    speech_db : mean level of the speech in dBFS of each channel that has any, by channel, counted from 1.
    """
    large = [f"{100 * x:.0f} % on channel {k}" for k, x in enumerate(offsets, start=1) if abs(x) >= NOTED_OFFSET]
    quiet = [f"{level:.0f} dBFS on channel {k}" for k, level in sorted(speech_db.items()) if level < _QUIET_DB]
    notes = {"constant offset": large, "very quiet": quiet}
    return [f"{what}: {', '.join(where)}" for what, where in notes.items() if where]

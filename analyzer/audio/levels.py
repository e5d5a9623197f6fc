"""Unusual levels of a recording: samples beyond full scale, a constant offset, very quiet speech."""

from collections.abc import Mapping, Sequence

import numpy as np

#: Samples beyond this power of two are not audio in any scale and are ignored.
_HIGHEST_EXPONENT = 32
#: Up to 2 ** 4 times full scale, a file counts as too loud; above, as integers stored as float without scaling.
_LOUD_EXPONENT = 4
_INTEGER_EXPONENTS = (15, 23, 31)
#: Shares of the samples that are ignored when choosing a scale, so that stray values in damaged files do not count.
_FEW_LOUD, _FEW_INTEGERS = 1e-5, 1e-3
#: There is an offset if the power of the mean is more than this share of the total power; audio has nearly none.
_OFFSET_SHARE = 0.01
#: Minimum offset (mean of the samples of a channel) that is reported, as a share of full scale.
NOTED_OFFSET = 0.02
#: Mean speech level in dBFS below which a channel is reported as quiet. Telephone calls are at -35 to -15.
_QUIET_DB = -45.0


class ScaleCount:
    """Detection of the full scale for which the samples of a float file were written, in constant memory."""

    def __init__(self) -> None:
        self._sounding = 0
        self._counts = np.zeros(_HIGHEST_EXPONENT + 1, np.int64)  # samples from 2 ** (k - 1) to 2 ** k; 0: up to 1

    def push(self, block: np.ndarray) -> None:
        """Process the next samples, of any shape."""
        sounding = np.abs(block[(block != 0) & (np.abs(block) <= 2.0**_HIGHEST_EXPONENT)])
        self._sounding += len(sounding)
        fractions, exponents = np.frexp(sounding[sounding > 1])
        self._counts += np.bincount(exponents - (fractions == 0.5), minlength=len(self._counts))

    @property
    def full_scale(self) -> float:
        """The sample value to use as full scale: a power of two.

        It is up to 16, or that of 16, 24 or 32-bit integers, or 2 ** 32 if too many samples are beyond all of these.
        """
        few_integers, few_loud = _FEW_INTEGERS * self._sounding, _FEW_LOUD * self._sounding
        if self._counts[_LOUD_EXPONENT + 1 :].sum() > few_integers:
            fitting = (k for k in _INTEGER_EXPONENTS if self._counts[k + 1 :].sum() <= few_integers)
            return 2.0 ** next(fitting, _HIGHEST_EXPONENT)
        loud = self._counts[: _LOUD_EXPONENT + 1]  # samples beyond are stray values
        return 2.0 ** next(k for k in range(len(loud)) if loud[k + 1 :].sum() <= few_loud)


def scale_note(full_scale: float) -> str:
    """Return a note on a file whose samples were divided by its `full_scale`, which is not 1."""
    if full_scale <= 2**_LOUD_EXPONENT:
        return f"samples beyond full scale: divided by {full_scale:.0f}"
    return f"integers stored as float: taken as {np.log2(full_scale) + 1:.0f}-bit samples"


def without_offset(samples: np.ndarray) -> np.ndarray:
    """Return samples, shaped (samples,), without a constant offset; unchanged if the offset is negligible."""
    if not len(samples):
        return samples
    mean = float(samples.mean(dtype=np.float64))
    if mean**2 <= _OFFSET_SHARE * float(np.mean(np.square(samples))):
        return samples
    return samples - np.float32(mean)


def level_notes(offsets: Sequence[float], speech_db: Mapping[int, float]) -> list[str]:
    """Return notes on unusual levels of a recording.

    Parameters
    ----------
    offsets : mean sample of each channel.
    speech_db : mean speech level in dBFS of each channel with speech, by channel, counted from 1.
    """
    large = [f"{100 * x:.0f} % on channel {k}" for k, x in enumerate(offsets, start=1) if abs(x) >= NOTED_OFFSET]
    quiet = [f"{level:.0f} dBFS on channel {k}" for k, level in sorted(speech_db.items()) if level < _QUIET_DB]
    notes = {"constant offset": large, "very quiet": quiet}
    return [f"{what}: {', '.join(where)}" for what, where in notes.items() if where]

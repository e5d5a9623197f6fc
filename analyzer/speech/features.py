"""Feature extraction: log-mel frames from audio samples.

Training and analysis both use this module, so the network gets the same features in both.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

_SCALINGS = ("segment", "whisper")


@dataclass(frozen=True)
class FrontEnd:
    """Feature extraction settings of a model; stored with its weights.

    Attributes
    ----------
    rate : samples per second.
    window, hop, fft : frame length, hop size and FFT length, in samples.
    bands : number of mel bands between `low_hz` and `high_hz`.
    frames : maximum number of frames of a network input; the longest segment is `frames * hop / rate` seconds.
    scaling : `segment` or `whisper`, see `network_input`.
    padded : whether shorter segments are padded to `frames`; otherwise they keep their length.
    """

    rate: int = 8000
    window: int = 200
    hop: int = 80
    fft: int = 256
    bands: int = 40
    low_hz: float = 250.0
    high_hz: float = 3500.0
    frames: int = 300
    scaling: str = "segment"
    padded: bool = True

    def __post_init__(self) -> None:
        if self.scaling not in _SCALINGS:
            raise ValueError(f"no scaling {self.scaling!r} is known")

    @property
    def longest_s(self) -> float:
        """Maximum length of a network input in seconds."""
        return self.frames * self.hop / self.rate


#: Lower limit of the power of a band (-100 dB re full scale).
POWER_FLOOR = 1e-10


def mel_filters(front_end: FrontEnd) -> np.ndarray:
    """Return triangular mel filters of equal area, shaped (fft // 2 + 1, bands).

    The scale is Slaney's (Auditory Toolbox, 1998): linear below 1 kHz, logarithmic above. The result equals that of
    `librosa.filters.mel`, whose import takes a second.
    """
    return _mel_filters(front_end.rate, front_end.fft, front_end.bands, front_end.low_hz, front_end.high_hz)


@lru_cache(maxsize=8)
def _mel_filters(rate: int, fft: int, bands: int, low_hz: float, high_hz: float) -> np.ndarray:
    edges = _hz(np.linspace(_mel(low_hz), _mel(high_hz), bands + 2))
    bins = np.arange(fft // 2 + 1) * rate / fft
    rising = (bins[:, None] - edges[None, :-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[None, 2:] - bins[:, None]) / (edges[2:] - edges[1:-1])
    filters = np.maximum(0, np.minimum(rising, falling)) * (2 / (edges[2:] - edges[:-2]))
    return np.ascontiguousarray(filters, np.float32)


def _mel(hz: float) -> float:
    return hz * 3 / 200 if hz < 1000 else 15 + 27 * float(np.log(hz / 1000) / np.log(6.4))


def _hz(mel: np.ndarray) -> np.ndarray:
    return np.where(mel < 15, mel * 200 / 3, 1000 * np.exp((mel - 15) * np.log(6.4) / 27))


def power_spectra(samples: np.ndarray, window: int, hop: int, fft: int) -> np.ndarray:
    """Return power spectra of Hann-windowed frames, shaped (frames, fft // 2 + 1), float32.

    `samples` is one channel, shaped (samples,). Only complete frames are used; fewer samples than `window` give none.
    """
    spectra = np.fft.rfft(_frames(samples, window, hop) * _hann(window), fft)
    return np.square(spectra.real) + np.square(spectra.imag)


def band_spectra(samples: np.ndarray, window: int, hop: int, lines: range) -> np.ndarray:
    """Return power spectra like `power_spectra`, but only the given `lines`, shaped (frames, len(lines)).

    The FFT length equals the window. The spectra are computed as a matrix product of frames and sinusoids, which takes
    half the time of an FFT for a narrow band.
    """
    products = np.ascontiguousarray(_frames(samples, window, hop)) @ _sinusoids(window, lines)
    power: np.ndarray = np.square(products[:, : len(lines)]) + np.square(products[:, len(lines) :])
    return power


def _frames(samples: np.ndarray, window: int, hop: int) -> np.ndarray:
    if len(samples) < window:
        return np.empty((0, window), np.float32)
    return np.lib.stride_tricks.sliding_window_view(samples, window)[::hop]


@lru_cache(maxsize=8)
def _sinusoids(window: int, lines: range) -> np.ndarray:
    """Return Hann-windowed cosines, followed by sines, of the lines, shaped (window, 2 * len(lines))."""
    angles = 2 * np.pi / window * np.outer(np.arange(window), lines)
    waves = np.concatenate([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    windowed: np.ndarray = waves * _hann(window)[:, None]
    return windowed


@lru_cache(maxsize=8)
def _hann(window: int) -> np.ndarray:
    return np.hanning(window + 1)[:-1].astype(np.float32)


def log_mel(samples: np.ndarray, front_end: FrontEnd) -> np.ndarray:
    """Return log-mel energies in dB of one channel at the front end's rate, shaped (frames, bands), float32.

    Input shorter than one frame is zero-padded to one frame.
    """
    if len(samples) < front_end.window:
        samples = np.pad(samples, (0, front_end.window - len(samples)))
    power = power_spectra(samples, front_end.window, front_end.hop, front_end.fft)
    decibels: np.ndarray = 10 * np.log10(np.maximum(power @ mel_filters(front_end), POWER_FLOOR))
    return decibels


def network_input(samples: np.ndarray, front_end: FrontEnd) -> np.ndarray:
    """Return the network input of one segment, shaped (frames, bands), float32.

    With scaling `segment`, the frames have mean 0 and standard deviation 1 over the whole segment, so the input does
    not depend on the level of the line. A shorter segment is padded with zeros, its mean, if the front end is `padded`.
    With scaling `whisper`, the frames are as in the training of Whisper (Radford et al., 2022): centred on their time,
    with the decadic logarithm clipped 8 below its maximum and scaled to about -1 to 1; they are never padded.
    With either scaling, a segment longer than the network's input is cut.
    """
    if front_end.scaling == "whisper":
        return whisper_scaled(centred_log_mel(samples[: front_end.frames * front_end.hop], front_end))
    frames = log_mel(samples, front_end)[: front_end.frames]
    scaled = segment_scaled(frames)
    return np.pad(scaled, ((0, front_end.frames - len(scaled)), (0, 0))) if front_end.padded else scaled


def segment_scaled(frames: np.ndarray) -> np.ndarray:
    """Normalise the log-mel frames of a segment to mean 0 and standard deviation 1 over the whole segment."""
    normalised: np.ndarray = (frames - frames.mean()) / (frames.std() + 1e-3)
    return normalised


def whisper_scaled(logarithm: np.ndarray) -> np.ndarray:
    """Clip the decadic logarithms of a segment 8 below their maximum and scale them to about -1 to 1."""
    scaled: np.ndarray = (np.maximum(logarithm, logarithm.max() - 8) + 4) / 4
    return scaled


def centred_log_mel(samples: np.ndarray, front_end: FrontEnd) -> np.ndarray:
    """Return decadic logarithms of mel energies, shaped (frames, bands), float32; frames are centred on their time."""
    margin = front_end.window // 2
    padded = np.pad(samples, margin, mode="reflect" if len(samples) > margin else "constant")
    return log_mel(padded, front_end)[: max(1, len(samples) // front_end.hop)] / 10

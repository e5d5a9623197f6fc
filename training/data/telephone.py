"""Simulation of telephone lines for augmentation: band, codec, noise, reverberation and packet loss.

The codecs are the real ones of libsndfile and FFmpeg, not imitations. Parameters are drawn at random for every
augmented copy.
"""

import io
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import soundfile
import soxr
from scipy.signal import butter, fftconvolve, sosfilt

RATE = 8000
#: libsndfile's WAV subtype of each codec, or FFmpeg's container, encoder and bit rate.
SNDFILE_CODECS = {"mulaw": "ULAW", "alaw": "ALAW", "gsm": "GSM610"}
FFMPEG_CODECS = {
    "mp3": ("mp3", "libmp3lame", 16_000),
    "opus": ("ogg", "libopus", 12_000),
    "amr": ("amr", "libopencore_amrnb", 7_950),
}
CODECS = (*SNDFILE_CODECS, *FFMPEG_CODECS)
_PACKET_S = 0.02
_FLAT_BELOW_HZ = 300


@dataclass(frozen=True)
class Line:
    """One telephone line.

    Attributes
    ----------
    low_hz, high_hz : pass band.
    codec : one of CODECS.
    level_db : root mean square of the voice in dBFS, before the codec.
    noise_db : level of the noise relative to the voice; None for no noise.
    noise_colour : 0 white, 1 pink, 2 brown, or any value between.
    echo_s : reverberation time, in which the echo decays by 60 dB; 0 for none.
    speed : factor by which the voice is faster (and higher).
    loss : share of packets of 20 ms that are lost.
    """

    low_hz: float = 300
    high_hz: float = 3400
    codec: str = "mulaw"
    level_db: float = -26
    noise_db: float | None = None
    noise_colour: float = 0
    echo_s: float = 0
    speed: float = 1
    loss: float = 0


#: The line of every telephone score: 300 to 3400 Hz, mu-law, nothing else.
PLAIN = Line()


def draw_line(random: np.random.Generator) -> Line:
    """Draw a random line as in calls: mostly good, sometimes bad."""
    return Line(
        low_hz=float(random.uniform(150, 400)),
        high_hz=float(random.uniform(3000, 3700)),
        codec=str(random.choice(CODECS, p=(0.3, 0.2, 0.15, 0.15, 0.1, 0.1))),
        level_db=float(random.uniform(-36, -16)),
        noise_db=float(random.uniform(-45, -8)) if random.random() < 0.7 else None,
        noise_colour=float(random.uniform(0, 2)),
        echo_s=float(random.uniform(0.1, 0.6)) if random.random() < 0.3 else 0,
        speed=float(random.uniform(0.93, 1.07)) if random.random() < 0.5 else 1,
        loss=float(random.uniform(0, 0.05)) if random.random() < 0.2 else 0,
    )


def simulate_line(samples: np.ndarray, line: Line, random: np.random.Generator) -> np.ndarray:
    """Pass a voice through a line.

    Parameters
    ----------
    samples : shaped (samples,), at 8000 per second.
    line : the line.
    random : draws noise, echo and lost packets.

    Returns
    -------
    float32, shaped (samples,); as long as the voice, unless the line changes its speed.
    """
    if line.speed != 1:
        samples = soxr.resample(samples, RATE * line.speed, RATE)
    if line.echo_s:
        samples = _add_reverberation(samples, line.echo_s, random)
    samples = samples * (10 ** (line.level_db / 20) / _rms(samples))
    if line.noise_db is not None:
        noise = _noise(len(samples), line.noise_colour, random)
        samples = samples + noise * (_rms(samples) / _rms(noise) * 10 ** (line.noise_db / 20))
    filtered = sosfilt(_band_pass(line.low_hz, line.high_hz), samples)
    samples = code(np.clip(filtered, -1, 1).astype(np.float32), line.codec)
    return _lose_packets(samples, line.loss, random) if line.loss else samples


@lru_cache(maxsize=4096)
def _band_pass(low_hz: float, high_hz: float) -> np.ndarray:
    return butter(4, [low_hz, min(high_hz, RATE / 2 - 50)], "bandpass", fs=RATE, output="sos")


def code(samples: np.ndarray, codec: str) -> np.ndarray:
    """Encode and decode samples; the length stays the same."""
    decoded = _through_sndfile(samples, codec) if codec in SNDFILE_CODECS else _through_ffmpeg(samples, codec)
    return np.pad(decoded, (0, max(0, len(samples) - len(decoded))))[: len(samples)]


def _through_sndfile(samples: np.ndarray, codec: str) -> np.ndarray:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, RATE, format="WAV", subtype=SNDFILE_CODECS[codec])
    buffer.seek(0)
    with soundfile.SoundFile(buffer) as sound:
        return sound.read(len(samples) + RATE, dtype="float32")


def _through_ffmpeg(samples: np.ndarray, codec: str) -> np.ndarray:
    import av

    container_format, encoder, bit_rate = FFMPEG_CODECS[codec]
    buffer = io.BytesIO()
    container: Any  # PyAV declares streams as a union of types
    with av.open(buffer, "w", format=container_format) as container:
        stream = container.add_stream(encoder, rate=RATE, layout="mono", bit_rate=bit_rate)
        integers = np.rint(samples * 32767).astype(np.int16)[None]
        frame = av.AudioFrame.from_ndarray(integers, format="s16", layout="mono")
        frame.sample_rate = RATE
        resampler = av.AudioResampler(stream.format, "mono", RATE, frame_size=stream.frame_size or None)
        for chunk in (*resampler.resample(frame), *resampler.resample(None)):
            container.mux(stream.encode(chunk))
        container.mux(stream.encode(None))
    buffer.seek(0)
    with av.open(buffer, format=container_format) as container:
        to_float = av.AudioResampler("flt", "mono", RATE)
        chunks = [chunk for frame in container.decode(audio=0) for chunk in to_float.resample(frame)]
        return np.concatenate([chunk.to_ndarray()[0] for chunk in (*chunks, *to_float.resample(None))])


def _add_reverberation(samples: np.ndarray, echo_s: float, random: np.random.Generator) -> np.ndarray:
    """Add an echo of exponentially decaying noise, at most half as strong as the voice."""
    times = np.arange(int(echo_s * RATE)) / RATE
    echo = random.normal(size=len(times)) * 10 ** (-3 * times / echo_s)
    echo *= random.uniform(0.1, 0.5) / np.sqrt(np.sum(echo**2))
    echo[0] = 1
    return fftconvolve(samples, echo)[: len(samples)]


def _noise(length: int, colour: float, random: np.random.Generator) -> np.ndarray:
    spectrum = np.fft.rfft(random.normal(size=length))
    frequencies = np.arange(len(spectrum)) * RATE / length
    # Flat below the pass band; otherwise low-frequency noise would have all its power there.
    spectrum *= np.maximum(frequencies, _FLAT_BELOW_HZ) ** (-colour / 2)
    return np.fft.irfft(spectrum, length)


def _lose_packets(samples: np.ndarray, share: float, random: np.random.Generator) -> np.ndarray:
    """Replace lost packets by silence, as the simplest telephones do."""
    size = round(_PACKET_S * RATE)
    kept = random.random(-(-len(samples) // size)) >= share
    return samples * np.repeat(kept, size)[: len(samples)].astype(np.float32)


def _rms(samples: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(samples)))) + 1e-9

"""Test recordings in every encoding that recorders write, made with libsndfile and PyAV."""

from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import soundfile


@dataclass(frozen=True)
class Encoding:
    """How a test recording is written: file name, sample rate, and settings of libsndfile or FFmpeg.

    `codec` is the analyzer's name for it. `least_likeness` is the minimum correlation with the original after coding,
    and `delay_s` how many seconds the codec may add or remove at the ends.
    """

    name: str
    codec: str
    rate: int = 8000
    subtype: str | None = None
    form: str = "WAV"
    ffmpeg: tuple[str, str] | None = None
    least_likeness: float = 0.999
    delay_s: float = 0.0
    stereo: bool = True

    def write(self, folder: Path, sound: np.ndarray, name: str | None = None) -> Path:
        """Write a sound shaped (samples,) or (channels, samples)."""
        path = folder / (name or self.name)
        if self.ffmpeg:
            write_with_ffmpeg(path, sound, self.rate, *self.ffmpeg)
        else:
            with open(path, "w+b") as handle:
                soundfile.write(handle, np.atleast_2d(sound).T, self.rate, format=self.form, subtype=self.subtype)
        return path


def write_wav(path: Path, sound: np.ndarray, rate: int = 8000, subtype: str = "PCM_16") -> Path:
    """Write a WAV file of a sound shaped (samples,) or (channels, samples); creates its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w+b") as handle:  # libsndfile only accepts names in UTF-8
        soundfile.write(handle, np.atleast_2d(sound).T, rate, format="WAV", subtype=subtype)
    return path


def write_with_ffmpeg(
    path: Path, sound: np.ndarray, rate: int, codec: str, container: str, bit_rate: int | None = None
) -> None:
    """Encode a sound shaped (samples,) or (channels, samples), at a bit rate per second or the codec's usual one."""
    sound = np.atleast_2d(sound).astype(np.float32)
    layout = "mono" if len(sound) == 1 else "stereo"
    with av.open(str(path), "w", format=container) as file:
        stream = file.add_stream(codec, rate=rate, layout=layout)
        if bit_rate or codec == "wmav2":
            stream.bit_rate = bit_rate or 64_000
        resampler = av.AudioResampler(
            stream.codec_context.format or "s16", layout, rate, stream.codec_context.frame_size or 960
        )
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(sound), format="fltp", layout=layout)
        frame.sample_rate = rate
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            part.pts = None
            file.mux(stream.encode(part))
        file.mux(stream.encode(None))


_SOUNDFILE = (
    Encoding("pcm8.wav", "wav pcm_u8", subtype="PCM_U8", least_likeness=0.99),
    Encoding("pcm16.wav", "wav pcm_16", subtype="PCM_16"),
    Encoding("pcm24.wav", "wav pcm_24", 16000, "PCM_24"),
    Encoding("float.wav", "wav float", 44100, "FLOAT"),
    Encoding("ulaw.wav", "wav ulaw", subtype="ULAW"),
    Encoding("alaw.wav", "wav alaw", subtype="ALAW"),
    Encoding("gsm.wav", "wav gsm610", subtype="GSM610", least_likeness=0.8, delay_s=0.05, stereo=False),
    Encoding("adpcm.wav", "wav ima_adpcm", subtype="IMA_ADPCM", least_likeness=0.98, delay_s=0.13),
    Encoding("large.wav", "rf64 pcm_16", subtype="PCM_16", form="RF64"),
    Encoding("mp3.mp3", "mp3 mp3", 16000, "MPEG_LAYER_III", "MP3", least_likeness=0.95, delay_s=0.15),
    Encoding("flac.flac", "flac flac", 16000, "PCM_16", "FLAC"),
    Encoding("vorbis.ogg", "ogg vorbis", 16000, "VORBIS", "OGG", least_likeness=0.95, delay_s=0.05),
    Encoding("opus.opus", "ogg opus", 48000, "OPUS", "OGG", least_likeness=0.9, delay_s=0.05),
    Encoding("au.au", "au ulaw", subtype="ULAW", form="AU"),
    Encoding("aiff.aiff", "aiff pcm_16", subtype="PCM_16", form="AIFF"),
    Encoding("sphere.sph", "nist pcm_16", subtype="PCM_16", form="NIST"),
    Encoding("creative.voc", "voc pcm_16", subtype="PCM_16", form="VOC"),
)
_FFMPEG = (
    Encoding("aac.m4a", "mov aac", 16000, ffmpeg=("aac", "ipod"), least_likeness=0.95, delay_s=0.2),
    Encoding("aac.aac", "aac aac", 16000, ffmpeg=("aac", "adts"), least_likeness=0.95, delay_s=0.2),
    Encoding("amr.amr", "amr amr_nb", ffmpeg=("amr_nb", "amr"), least_likeness=0.7, delay_s=0.1, stereo=False),
    Encoding("wma.wma", "asf wmav2", 16000, ffmpeg=("wmav2", "asf"), least_likeness=0.9, delay_s=0.3),
    Encoding("opus.webm", "matroska opus", 48000, ffmpeg=("libopus", "webm"), least_likeness=0.9, delay_s=0.1),
    Encoding("speech.ogg", "ogg opus", 48000, ffmpeg=("libopus", "ogg"), least_likeness=0.9, delay_s=0.1),
    Encoding("ac3.ac3", "ac3 ac3", 32000, ffmpeg=("ac3", "ac3"), least_likeness=0.95, delay_s=0.1),
    Encoding("eac3.eac3", "eac3 eac3", 32000, ffmpeg=("eac3", "eac3"), least_likeness=0.95, delay_s=0.1),
    Encoding("wavpack.wv", "wv wavpack", 16000, ffmpeg=("wavpack", "wv")),
    Encoding("tta.tta", "tta tta", 16000, ffmpeg=("tta", "tta")),
    Encoding("film.avi", "avi mp2", 16000, ffmpeg=("mp2", "avi"), least_likeness=0.9, delay_s=0.1),
    Encoding("film.flv", "flv aac", 16000, ffmpeg=("aac", "flv"), least_likeness=0.95, delay_s=0.2),
    Encoding("film.mpg", "mpeg ac3", 32000, ffmpeg=("ac3", "mpeg"), least_likeness=0.95, delay_s=0.1),
    Encoding("stream.ts", "mpegts mp3", 48000, ffmpeg=("mp2", "mpegts"), least_likeness=0.9, delay_s=0.1),
)
_HEADERLESS = (
    Encoding("call.ulaw", "raw ulaw", subtype="ULAW", form="RAW", stereo=False),
    Encoding("call.alaw", "raw alaw", subtype="ALAW", form="RAW", stereo=False),
    Encoding("call.gsm", "raw gsm610", subtype="GSM610", form="RAW", least_likeness=0.8, delay_s=0.05, stereo=False),
    Encoding("call.sln", "raw pcm_16", subtype="PCM_16", form="RAW", stereo=False),
    Encoding("call.sln16", "raw pcm_16", 16000, "PCM_16", "RAW", stereo=False),
    Encoding(
        "call.g722", "g722 adpcm_g722", 16000, ffmpeg=("g722", "g722"), least_likeness=0.98, delay_s=0.05, stereo=False
    ),
)
ENCODINGS = {encoding.name: encoding for encoding in (*_SOUNDFILE, *_FFMPEG, *_HEADERLESS)}

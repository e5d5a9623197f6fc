"""The sound of a recording as Opus, small enough to be put into a page."""

import base64
import io

import numpy as np

from analyzer.audio import open_audio, read_at
from analyzer.errors import UnreadableRecording
from analyzer.storage import Location

#: Opus knows few rates; this one holds all of what a telephone carries, and of wideband calls.
_RATE = 16_000
#: Bits per second of each channel: speech is clear at that.
_BIT_RATE = 16_000
#: No serial number by chance: the same sound gives the same bytes. Half the effort of the best, which costs twice.
_CONTAINER, _ENCODER = {"fflags": "+bitexact"}, {"application": "voip", "compression_level": "5"}
#: A page of more sound than this would be too large to open: 4 hours of stereo are 77 MB.
_LONGEST_S = 4 * 3600


def data_address(recording: Location) -> str:
    """The recording as an address that holds its sound, for a page that has it in itself.

    Raises UnreadableRecording where it cannot be read, or is too long.
    """
    return f"data:audio/ogg;base64,{base64.b64encode(encoded(recording)).decode()}"


def encoded(recording: Location) -> bytes:
    """The recording in Ogg Opus: one channel or two; of more than two, all in one.

    Raises UnreadableRecording where it cannot be read, or is too long.
    """
    import av

    file = io.BytesIO()
    with open_audio(recording) as stream, av.open(file, "w", format="ogg", options=_CONTAINER) as container:
        mixed = stream.channels > 2
        layout = "mono" if mixed or stream.channels == 1 else "stereo"
        channels = 1 if layout == "mono" else 2
        encoder = container.add_stream(
            "libopus", rate=_RATE, layout=layout, bit_rate=_BIT_RATE * channels, options=_ENCODER
        )
        done = 0
        for block in read_at(stream, _RATE):
            if not block.size:  # the resampler still holds what there was
                continue
            samples = block.mean(axis=0, keepdims=True) if mixed else block
            frame = av.AudioFrame.from_ndarray(_interleaved(samples), format="s16", layout=layout)
            frame.sample_rate, frame.pts = _RATE, done
            done += block.shape[1]
            if done > _LONGEST_S * _RATE:
                raise UnreadableRecording(f"it is longer than the {_LONGEST_S // 3600} hours that a page can hold")
            container.mux(encoder.encode(frame))
        container.mux(encoder.encode(None))
    return file.getvalue()


def _interleaved(samples: np.ndarray) -> np.ndarray:
    """Samples shaped (channels, samples) as 16-bit numbers shaped (1, samples * channels), one after the other."""
    steps = np.rint(np.clip(samples, -1, 1) * 32767).astype(np.int16)
    return np.ascontiguousarray(steps.T).reshape(1, -1)

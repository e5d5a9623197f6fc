"""Audio of a recording as Opus, small enough to be embedded in a page."""

import base64
import io

import numpy as np

from analyzer.audio.reader import open_audio, read_at
from analyzer.audio.storage import Location
from analyzer.errors import UnreadableRecording

#: Sample rate. Opus supports only a few; this one covers telephone and wideband calls completely.
_RATE = 16_000
#: Bits per second of each channel, enough for clear speech.
_BIT_RATE = 16_000
#: No random serial number, so that the same audio gives the same bytes. The best compression level takes twice as long.
_CONTAINER, _ENCODER = {"fflags": "+bitexact"}, {"application": "voip", "compression_level": "5"}
#: A page with more audio than this would be too large to open: 4 hours of stereo are 77 MB.
_LONGEST_S = 4 * 3600


def data_address(recording: Location) -> str:
    """Return the audio of a recording as a `data:` URI, to be embedded in a page.

    Raises UnreadableRecording if it cannot be read or is too long.
    """
    return f"data:audio/ogg;base64,{base64.b64encode(encoded(recording)).decode()}"


def encoded(recording: Location) -> bytes:
    """Return the recording as Ogg Opus with one or two channels; more than two are mixed to one.

    Raises UnreadableRecording if it cannot be read or is too long.
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
            if not block.size:  # the resampler still buffers the input
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
    """Convert samples shaped (channels, samples) to interleaved 16-bit integers shaped (1, samples * channels)."""
    steps = np.rint(np.clip(samples, -1, 1) * 32767).astype(np.int16)
    return np.ascontiguousarray(steps.T).reshape(1, -1)

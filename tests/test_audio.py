"""Recordings of any encoding become blocks of samples; unreadable files are refused with a reason."""

import io
import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.audio import decoding, ffmpeg, reader
from analyzer.audio.reader import open_audio, read_at
from analyzer.audio.signatures import is_recording_name, sniff
from analyzer.audio.stream import format_duration
from analyzer.errors import UnreadableRecording
from tests.helpers import voices
from tests.helpers.containers import Track, bursts, onsets, write_tracks, write_vorbis
from tests.helpers.encoders import ENCODINGS, Encoding, write_wav, write_with_ffmpeg

every_encoding = pytest.mark.parametrize("encoding", ENCODINGS, indirect=True)
stereo_encodings = pytest.mark.parametrize(
    "encoding", [encoding.name for encoding in ENCODINGS.values() if encoding.stereo], indirect=True
)


def read_samples(path: Path) -> np.ndarray:
    """Return all samples of a recording, shaped (channels, samples)."""
    with open_audio(path) as stream:
        return np.concatenate(list(stream.blocks()), axis=1)


def read_notes(path: Path) -> list[str]:
    with open_audio(path) as stream:
        for _ in stream.blocks():
            pass
        return stream.notes


def refusal_reason(path: Path) -> str:
    with pytest.raises(UnreadableRecording) as error:
        read_samples(path)
    return str(error.value)


def correlation(first: np.ndarray, second: np.ndarray, longest_delay: int) -> float:
    """Return the correlation of two sounds at the delay where it is highest."""
    size = 1 << (len(first) + len(second)).bit_length()
    products = np.fft.irfft(np.fft.rfft(first, size).conj() * np.fft.rfft(second, size), size)
    near = np.concatenate([products[-longest_delay - 1 :], products[: longest_delay + 1]])
    return float(near.max() / np.sqrt(np.square(first).sum() * np.square(second).sum()))


def set_data_size(path: Path, size: int) -> Path:
    """Change the data length in the header of a WAV file."""
    content = bytearray(path.read_bytes())
    struct.pack_into("<I", content, content.index(b"data") + 4, size)
    path.write_bytes(content)
    return path


def truncate(path: Path, share: float) -> Path:
    """Cut the data of a WAV file to a share of its length."""
    content = path.read_bytes()
    start = content.index(b"data") + 8
    path.write_bytes(content[: start + int((len(content) - start) * share)])
    return path


@every_encoding
def test_decoded_matches_original(recording: tuple[Path, np.ndarray], encoding: Encoding) -> None:
    path, original = recording
    decoded = read_samples(path)
    assert decoded.dtype == np.float32
    assert decoded.shape[0] == 1
    assert decoded.shape[1] / encoding.rate == pytest.approx(4, abs=encoding.delay_s + 1e-9)
    assert correlation(original[0], decoded[0], round(0.2 * encoding.rate)) >= encoding.least_likeness


@every_encoding
def test_header_gives_properties(recording: tuple[Path, np.ndarray], encoding: Encoding) -> None:
    with open_audio(recording[0]) as stream:
        assert (stream.codec, stream.rate, stream.channels) == (encoding.codec, encoding.rate, 1)
        assert stream.length_s == pytest.approx(4, abs=encoding.delay_s + 0.1)
        assert stream.notes == []


@stereo_encodings
def test_speakers_keep_their_channels(encoding: Encoding, tmp_path: Path) -> None:
    original = np.stack([voices.speech(3, encoding.rate, seed=1), voices.speech(3, encoding.rate, seed=2, pitch=210)])
    decoded = read_samples(encoding.write(tmp_path, original))
    assert len(decoded) == 2
    delay = round(0.2 * encoding.rate)
    for channel in (0, 1):
        assert correlation(original[channel], decoded[channel], delay) >= encoding.least_likeness - 0.01
        assert correlation(original[channel], decoded[1 - channel], delay) < 0.5


@pytest.mark.parametrize(
    "encoding", ["pcm16.wav", "gsm.wav", "mp3.mp3", "opus.opus", "aac.m4a", "call.g722"], indirect=True
)
def test_blocks_last_ten_seconds(encoding: Encoding, tmp_path: Path) -> None:
    path = encoding.write(tmp_path, voices.speech(25, encoding.rate))
    with open_audio(path) as stream:
        blocks = list(stream.blocks())
    assert [block.ndim for block in blocks] == [2, 2, 2]
    assert {(block.dtype, len(block)) for block in blocks} == {(np.dtype(np.float32), 1)}
    assert [block.shape[1] / encoding.rate for block in blocks[:2]] == pytest.approx([10, 10], abs=0.2)


@pytest.mark.parametrize(
    ("encoding", "name"),
    [
        ("gsm.wav", "voicemail.WAV"),
        ("mp3.mp3", "call.wav"),
        ("flac.flac", "call.mp3"),
        ("opus.opus", "call.m4a"),
        ("aac.m4a", "call.wav"),
        ("amr.amr", "call.wav"),
        ("wma.wma", "call.mp3"),
        ("opus.webm", "call.ogg"),
        ("pcm16.wav", "call.gsm"),
        ("ulaw.wav", "call.ulaw"),
        ("au.au", "call"),
    ],
    indirect=["encoding"],
)
def test_content_overrides_the_name(encoding: Encoding, name: str, tmp_path: Path) -> None:
    original = voices.speech(2, encoding.rate)
    path = encoding.write(tmp_path, original, name)
    with open_audio(path) as stream:
        decoded = np.concatenate(list(stream.blocks()), axis=1)
        assert stream.codec == encoding.codec
    assert correlation(original, decoded[0], round(0.2 * encoding.rate)) >= encoding.least_likeness - 0.02


def test_tagged_mp3_is_recognised(tmp_path: Path) -> None:
    path = ENCODINGS["mp3.mp3"].write(tmp_path, voices.speech(2, 16000))
    path.write_bytes(b"ID3\x04\x00\x00\x00\x00\x00\x0a" + bytes(10) + path.read_bytes())
    assert sniff(path.read_bytes()) == "mp3"
    assert read_samples(path).shape[1] == pytest.approx(32000, abs=2400)


def test_empty_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.touch()
    assert refusal_reason(path) == "the file is empty"


@pytest.mark.parametrize("subtype", ["PCM_16", "ULAW", "GSM610"])
def test_wav_header_alone_is_refused(tmp_path: Path, subtype: str) -> None:
    path = truncate(write_wav(tmp_path / "a.wav", voices.speech(1), subtype=subtype), 0)
    assert refusal_reason(path) == "it has a header but no sound"
    assert refusal_reason(set_data_size(path, 0)) == "it has a header but no sound"


@pytest.mark.parametrize("name", ["a.wav", "a.mp3", "a.m4a", "a.flac", "a.opus", "a.amr"])
def test_text_file_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text("Dear colleague, the recording is not here yet.\n" * 40)
    assert "unsupported" in refusal_reason(path)


@pytest.mark.parametrize("name", ["a.m4a", "a.wav", "a.mp3", "a.aac"])
@pytest.mark.parametrize(
    "text",
    [
        "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{target}\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile '{target}'\n",
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 9 RTP/AVP 0\n",
        '<?xml version="1.0"?><MPD><BaseURL>{target}</BaseURL></MPD>',
    ],
    ids=["playlist", "concat", "sdp", "dash"],
)
def test_playlist_opens_no_other_file(tmp_path: Path, name: str, text: str) -> None:
    target = write_wav(tmp_path / "secret.wav", voices.speech(1))
    path = tmp_path / name
    path.write_text(text.format(target=target))
    assert "unsupported" in refusal_reason(path)


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "ULAW", "GSM610", "IMA_ADPCM"])
def test_truncated_wav_is_noted(tmp_path: Path, subtype: str) -> None:
    path = truncate(write_wav(tmp_path / "a.wav", voices.speech(60), subtype=subtype), 0.25)
    assert read_samples(path).shape[1] / 8000 == pytest.approx(15, abs=0.1)
    assert read_notes(path) == ["truncated: 0:15 of 1:00"]


@pytest.mark.parametrize(("codec", "rate"), [("g722", 16000), ("g726", 8000)])
def test_truncation_in_ffmpeg_is_noted(tmp_path: Path, codec: str, rate: int) -> None:
    path = tmp_path / "a.wav"
    write_with_ffmpeg(path, voices.speech(60, rate), rate, codec, "wav")
    assert read_notes(path) == []
    assert read_notes(truncate(path, 0.25)) == ["truncated: 0:15 of 1:00"]


@pytest.mark.parametrize("codec", [None, "g726"])
def test_missing_share_is_known(tmp_path: Path, codec: str | None) -> None:
    path = tmp_path / "a.wav"
    if codec:
        write_with_ffmpeg(path, voices.speech(60), 8000, codec, "wav")
    else:
        write_wav(path, voices.speech(60))
    with open_audio(path) as stream:
        assert stream.missing_share == 0
    with open_audio(truncate(path, 0.25)) as stream:
        assert stream.missing_share == pytest.approx(0.75, abs=0.001)


def test_absurd_length_is_noted(tmp_path: Path) -> None:
    path = ENCODINGS["large.wav"].write(tmp_path, voices.speech(1))
    content = bytearray(path.read_bytes())
    struct.pack_into("<Q", content, content.index(b"ds64") + 16, (1 << 63) - 1)
    path.write_bytes(content)
    with open_audio(path) as stream:
        assert sum(block.shape[1] for block in stream.blocks()) == 8000
        assert stream.notes[0].startswith("truncated: 0:01 of ")


@pytest.mark.parametrize("subtype", ["PCM_16", "GSM610"])
def test_complete_wav_has_no_notes(tmp_path: Path, subtype: str) -> None:
    assert read_notes(write_wav(tmp_path / "a.wav", voices.speech(7.77), subtype=subtype)) == []


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF])
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT", "ULAW", "GSM610", "IMA_ADPCM"])
def test_unknown_length_is_read(tmp_path: Path, subtype: str, size: int) -> None:
    path = write_wav(tmp_path / "a.wav", voices.speech(25), subtype=subtype)
    expected = read_samples(path)
    set_data_size(path, size)
    assert np.array_equal(read_samples(path), expected)
    assert read_notes(path) == []


def test_truncation_of_unknown_length_has_no_note(tmp_path: Path) -> None:
    path = set_data_size(truncate(write_wav(tmp_path / "a.wav", voices.speech(10)), 0.5), 0)
    assert read_samples(path).shape[1] == 40000
    assert read_notes(path) == []


def test_non_finite_samples_become_silence(tmp_path: Path) -> None:
    original = voices.speech(2)
    original[100:200], original[300], original[301] = np.nan, np.inf, -np.inf
    path = write_wav(tmp_path / "a.wav", original, subtype="FLOAT")
    with open_audio(path) as stream:
        decoded = np.concatenate(list(read_at(stream, 8000)), axis=1)[0]
    non_finite = ~np.isfinite(original)
    assert not decoded[non_finite].any()
    assert np.array_equal(decoded[~non_finite], original[~non_finite])


def test_huge_samples_become_silence(tmp_path: Path) -> None:
    original = voices.speech(2)
    original[100:200], original[300], original[301] = 3e38, 2.0, -100.0
    with open_audio(write_wav(tmp_path / "a.wav", original, subtype="FLOAT")) as stream:
        decoded = np.concatenate(list(read_at(stream, 8000)), axis=1)[0]
    assert not decoded[100:200].any()
    assert decoded[300:302].tolist() == [1.0, -50.0]
    assert np.array_equal(decoded[302:], original[302:] / 2)


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 44100, 48000])
def test_resampling_leaves_no_seams(tmp_path: Path, rate: int) -> None:
    original = np.stack([voices.speech(25, rate, seed=1), voices.speech(25, rate, seed=2)])
    path = write_wav(tmp_path / "a.wav", original, rate, subtype="FLOAT")
    with open_audio(path) as stream:
        resampled = np.concatenate(list(read_at(stream, 8000)), axis=1)
    at_once = soxr.resample(original.T, rate, 8000).T
    assert resampled.shape == (2, 200_000)
    assert np.abs(resampled - at_once).max() < 1e-5


def test_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.wav").mkdir()
    assert refusal_reason(tmp_path / "x.wav") == "it is a folder, not a recording"


def test_missing_file_is_refused(tmp_path: Path) -> None:
    assert refusal_reason(tmp_path / "x.wav") == "the file disappeared before it could be read"


def test_permission_error_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(reader, "open_to_read", refuse)
    assert refusal_reason(write_wav(tmp_path / "a.wav", voices.speech(1))) == "no permission to read it"


@pytest.mark.skipif(os.geteuid() == 0, reason="permission bits do not bind root, who runs this")
def test_file_of_mode_0_is_refused(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.wav", voices.speech(1))
    path.chmod(0)
    assert refusal_reason(path) == "no permission to read it"


def test_soundless_video_is_refused(tmp_path: Path) -> None:
    import av

    path = tmp_path / "film.webm"
    with av.open(str(path), "w", format="webm") as file:
        stream = file.add_stream("libvpx", rate=5)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        for _ in range(3):
            file.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((48, 32), np.uint8), format="yuv420p")))
        file.mux(stream.encode(None))
    assert "no sound" in refusal_reason(path)


def test_unknown_codec_is_refused(tmp_path: Path) -> None:
    path = ENCODINGS["opus.webm"].write(tmp_path, voices.speech(1, 48000))
    path.write_bytes(path.read_bytes().replace(b"A_OPUS", b"A_NONE"))
    assert refusal_reason(path)


def test_unknown_wav_codec_is_refused(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.wav", voices.speech(1))
    content = bytearray(path.read_bytes())
    struct.pack_into("<H", content, 20, 0x1234)
    path.write_bytes(content)
    assert refusal_reason(path)


@pytest.mark.parametrize("channels", [2, 8, 9, 61])
def test_many_channels_do_not_crash(tmp_path: Path, channels: int) -> None:
    """Runs in a separate process, because it may crash. FFmpeg reads this header, libsndfile does not."""
    path = tmp_path / "a.au"
    path.write_bytes(b".snd" + struct.pack(">5I", 0xC0000018, 0xFFFFFFFF, 1, 8000, channels) + bytes(channels * 800))
    code = (
        "import sys; from pathlib import Path; from analyzer.audio.reader import open_audio\n"
        "from analyzer.errors import UnreadableRecording\n"
        "try:\n"
        "    with open_audio(Path(sys.argv[1])) as stream: print(*[block.shape for block in stream.blocks()])\n"
        "except UnreadableRecording: print('refused')"
    )
    process = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=False)
    assert process.returncode == 0
    assert process.stdout in (f"({channels}, 800)\n", "refused\n")


@pytest.mark.parametrize("encoding", ["opus.webm", "aac.m4a", "wma.wma"], indirect=True)
def test_cut_file_is_read_or_refused(encoding: Encoding, tmp_path: Path) -> None:
    original = voices.speech(6, encoding.rate)
    content = encoding.write(tmp_path, original).read_bytes()
    path = tmp_path / ("cut" + encoding.name)
    path.write_bytes(content[: len(content) // 2])
    try:
        decoded = read_samples(path)
    except UnreadableRecording as error:
        assert str(error)
    else:
        assert 1 < decoded.shape[1] / encoding.rate < 5


@pytest.fixture(scope="module")
def originals() -> dict[str, bytes]:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        return {
            encoding.name: encoding.write(Path(folder), voices.speech(0.6, encoding.rate)).read_bytes()
            for encoding in ENCODINGS.values()
        }


@settings(max_examples=400)
@given(
    name=st.sampled_from(sorted(ENCODINGS)),
    damage=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=12),
    in_header=st.booleans(),
    kept=st.floats(0.01, 1),
)
def test_damaged_file_does_not_crash(
    originals: dict[str, bytes],
    tmp_path_factory: pytest.TempPathFactory,
    name: str,
    damage: list[tuple[float, int]],
    in_header: bool,
    kept: float,
) -> None:
    content = bytearray(originals[name])
    for position, value in damage:
        content[int(position * (min(len(content), 120) if in_header else len(content)))] = value
    path = tmp_path_factory.getbasetemp() / f"damaged-{name}"
    path.write_bytes(content[: max(1, int(len(content) * kept))])
    try:
        with open_audio(path) as stream:
            for block in stream.blocks():
                assert block.shape[0] == stream.channels
    except UnreadableRecording as error:
        assert str(error)


@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    "name", ["pcm16.wav", "gsm.wav", "large.wav", "au.au", "aiff.aiff", "aac.m4a", "wma.wma", "opus.webm", "opus.opus"]
)
def test_damaged_header_does_not_crash(originals: dict[str, bytes], tmp_path: Path, name: str) -> None:
    path, crashes = tmp_path / name, {}
    for offset in range(100):
        for value in (0x00, 0x80, 0xFF):
            content = bytearray(originals[name])
            content[offset] = value
            path.write_bytes(content)
            try:
                with open_audio(path) as stream:
                    next(stream.blocks(), None)
            except UnreadableRecording as error:
                assert str(error)
            except Exception as error:
                crashes[offset, value] = repr(error)
    assert not crashes


@pytest.mark.parametrize("extension", [".ulaw", ".alaw", ".gsm", ".sln", ".sln16", ".g722"])
def test_headerless_file_of_one_byte_is_read(tmp_path: Path, extension: str) -> None:
    path = tmp_path / f"a{extension}"
    path.write_bytes(b"\x55")
    with open_audio(path) as stream:
        assert sum(block.shape[1] for block in stream.blocks()) <= 2


#: Channel order of Vorbis and Opus by number of channels, as indices of the channels of a WAV file.
VORBIS_ORDER = {
    3: (0, 2, 1),
    4: (0, 1, 2, 3),
    5: (0, 2, 1, 3, 4),
    6: (0, 2, 1, 4, 5, 3),
    7: (0, 2, 1, 5, 6, 4, 3),
    8: (0, 2, 1, 6, 7, 4, 5, 3),
}


MULTICHANNEL = [
    *(("pcm_s16le", "wav"), ("pcm_s16le", "matroska"), ("flac", "flac"), ("flac", "ogg"), ("flac", "matroska")),
    *(("libopus", "ogg"), ("libopus", "matroska"), ("vorbis", "ogg"), ("vorbis", "matroska")),
]


@pytest.mark.parametrize("channels", range(3, 9))
@pytest.mark.parametrize(("codec", "container"), MULTICHANNEL)
def test_channel_order_matches_wav(tmp_path: Path, codec: str, container: str, channels: int) -> None:
    """The order is that of WAV; Vorbis and Opus use another."""
    rate = 48_000
    if codec == "libopus" and channels in (5, 7):
        pytest.skip("the encoder of this test mixes these up; opusenc does not")
    times = [0.5 * number + 0.3 for number in range(channels)]
    sound = np.stack([bursts(5, rate, [burst_s]) for burst_s in times])
    path = tmp_path / "a"
    if codec == "vorbis":
        write_vorbis(path, sound[list(VORBIS_ORDER[channels])], rate)
        if container == "matroska":
            path = remux(path, tmp_path / "copy", container)
    else:
        write_tracks(path, container, Track(sound, rate, codec))
    with open_audio(path) as stream:
        decoded = np.concatenate(list(stream.blocks()), axis=1)
    # Opus keeps only frequencies below 120 Hz of the low-frequency channel.
    low_frequency = 3 if codec == "libopus" and channels >= 6 else None
    for channel, burst_s in enumerate(times):
        if channel != low_frequency:
            assert onsets(decoded[channel], rate) == pytest.approx([burst_s], abs=0.05), channel


def remux(path: Path, target: Path, container: str) -> Path:
    """Copy the packets to another container."""
    import av

    with av.open(str(path)) as source, av.open(str(target), "w", format=container) as file:
        stream = file.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux():
            if packet.dts is not None:
                packet.stream = stream
                file.mux(packet)
    return target


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.ape", b"MAC \x96\x0f"), ("a.wav", b"MAC \x96\x0f"), ("a.mp3", b"\x07ds2"), ("a.amr", b"#!SILK_V3")],
)
def test_unsupported_format_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content + bytes(500))
    assert refusal_reason(path).startswith("this format is not readable by this version: ")


@pytest.mark.parametrize("brand", [b"heic", b"avif", b"mif1"])
def test_photo_is_no_recording(brand: bytes) -> None:
    assert sniff(b"\x00\x00\x00\x18ftyp" + brand + bytes(8)) is None


@given(st.binary(max_size=64))
def test_sniff_accepts_any_bytes(head: bytes) -> None:
    assert sniff(head) in {
        "mpegts",
        "wv",
        "tta",
        "nistsphere",
        "voc",
        None,
        "wav",
        "mov",
        "aiff",
        "w64",
        "flac",
        "ogg",
        "au",
        "mp3",
        "amr",
        "caf",
        "asf",
        "matroska",
    }


def test_extensions_ignore_case() -> None:
    names = ["a.WAV", "b/c.Mp3", "x.sln16", "x.G722", "voice.message.amr"]
    assert all(map(is_recording_name, names))
    assert not any(map(is_recording_name, ["README.md", "wav", "a.wav.txt", "a.wav/b", ".wav.part"]))


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (59.6, "1:00"), (3492, "58:12"), (3600, "1:00:00"), (36061, "10:01:01")]
)
def test_duration_shows_hours(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


def test_zero_rate_is_refused(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.wav", voices.speech(1))
    content = bytearray(path.read_bytes())
    struct.pack_into("<I", content, 24, 0)
    path.write_bytes(content)
    assert refusal_reason(path)


@pytest.mark.parametrize(
    ("channels", "rate", "reason"),
    [
        (1, 999, "999 samples per second"),
        (1, 384_001, "384,001 samples per second"),
        (33, 8000, "33 channels"),
    ],
)
def test_absurd_format_is_refused(tmp_path: Path, channels: int, rate: int, reason: str) -> None:
    assert reason in refusal_reason(write_wav(tmp_path / "a.wav", np.zeros((channels, 1000), np.float32), rate))


@pytest.mark.parametrize(("channels", "rate"), [(1, 1000), (1, 384_000), (32, 8000)])
def test_unusual_format_is_read(tmp_path: Path, channels: int, rate: int) -> None:
    path = write_wav(tmp_path / "a.wav", np.zeros((channels, 1000), np.float32), rate)
    with open_audio(path) as stream:
        assert next(stream.blocks()).shape == (channels, 1000)


@pytest.mark.parametrize("name", ["pcm16.wav", "mp3.mp3", "flac.flac", "aac.m4a", "call.ulaw", "call.g722"])
def test_more_than_a_day_is_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = ENCODINGS[name].write(tmp_path, voices.speech(25, ENCODINGS[name].rate))
    monkeypatch.setattr("analyzer.audio.stream.LONGEST_HOURS", 26 / 3600)
    assert read_samples(path).shape[1] / ENCODINGS[name].rate == pytest.approx(25, abs=0.2)
    monkeypatch.setattr("analyzer.audio.stream.LONGEST_HOURS", 20 / 3600)
    assert "hours of sound" in refusal_reason(path)


def test_long_recording_is_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("analyzer.audio.stream.LONGEST_HOURS", 20 / 3600)
    path = write_wav(tmp_path / "a.wav", voices.speech(25))
    with pytest.raises(UnreadableRecording, match="hours of sound"), open_audio(path):
        pytest.fail("it was opened")


@pytest.mark.parametrize("name", ["float.wav", "aac.m4a"])
def test_block_size_is_limited(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoding = ENCODINGS[name]
    path = encoding.write(tmp_path, np.stack([voices.speech(12, encoding.rate)] * 2))
    expected = read_samples(path)
    monkeypatch.setattr("analyzer.audio.stream.MOST_IN_BLOCK", 20_000)
    with open_audio(path) as stream:
        blocks = list(stream.blocks())
    assert max(block.size for block in blocks) <= 20_000 + 2 * 1024  # the last frame may exceed the limit
    assert np.array_equal(np.concatenate(blocks, axis=1), expected)


@pytest.mark.parametrize("name", ["aac.m4a", "opus.webm", "call.g722"])
def test_oversized_frame_is_damaged(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = ENCODINGS[name].write(tmp_path, voices.speech(2, ENCODINGS[name].rate))
    monkeypatch.setattr(decoding, "_MOST_IN_FRAME", 100)
    assert "all of its data are damaged" in refusal_reason(path)


def test_endless_packet_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = ENCODINGS["aac.m4a"].write(tmp_path, voices.speech(2, 16000))
    monkeypatch.setattr(ffmpeg, "MOST_READ", 4000)
    assert "larger than" in refusal_reason(path)


def test_change_of_rate_is_read(tmp_path: Path) -> None:
    """As when two MP3 files are joined."""
    path = tmp_path / "a.mp3"
    write_with_ffmpeg(path, voices.speech(2, 16000), 16000, "libmp3lame", "mp3")
    write_with_ffmpeg(tmp_path / "b.mp3", voices.speech(2, 24000), 24000, "libmp3lame", "mp3")
    path.write_bytes(path.read_bytes() + (tmp_path / "b.mp3").read_bytes())
    assert read_samples(path).shape[1] / 16000 == pytest.approx(4, abs=0.3)


def test_invalid_tag_is_accepted(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    write_with_ffmpeg(path, voices.speech(2), 8000, "g726", "wav")
    content = path.read_bytes()
    tag = b"INFOINAM" + struct.pack("<I", 6) + b"caf\xe9s\0"
    at = content.index(b"data")
    path.write_bytes(content[:at] + struct.pack("<4sI", b"LIST", len(tag)) + tag + content[at:])
    assert read_samples(path).shape[1] == pytest.approx(16_000, abs=500)


def test_libsndfile_has_all_encodings() -> None:
    for encoding in ENCODINGS.values():
        if encoding.ffmpeg is None:
            assert soundfile.check_format(encoding.form, encoding.subtype), encoding.name


class FailingFile(io.BytesIO):
    """A file on a network share that fails after `readable` bytes."""

    def __init__(self, content: bytes, readable: int) -> None:
        super().__init__(content)
        self._readable = readable

    def read(self, size: int | None = -1) -> bytes:
        if self.tell() >= self._readable:
            raise OSError(5, "Input/output error")
        return super().read(size)

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        if self.tell() >= self._readable:
            raise OSError(5, "Input/output error")
        return super().readinto(buffer)


@pytest.mark.parametrize("name", ["a.wav", "a.ulaw"])
def test_read_error_is_not_end_of_file(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    recording = write_wav(tmp_path / "whole.wav", voices.speech(60)).read_bytes()
    content = recording if name == "a.wav" else bytes(len(recording))
    monkeypatch.setattr(reader, "open_to_read", lambda path: FailingFile(content, len(content) // 2))
    with pytest.raises(UnreadableRecording, match="Input/output error"), open_audio(tmp_path / name) as stream:
        list(stream.blocks())


@pytest.mark.parametrize("channels", [(1, 2), (2, 1), (1, 2, 1)])
def test_joined_mp3s_keep_their_times(tmp_path: Path, channels: tuple[int, ...]) -> None:
    original = bursts(3, 16_000, [1.0])
    parts = [
        ENCODINGS["mp3.mp3"].write(tmp_path, np.stack([original] * count), f"{number}.mp3").read_bytes()
        for number, count in enumerate(channels)
    ]
    (tmp_path / "a.mp3").write_bytes(b"".join(parts))
    with open_audio(tmp_path / "a.mp3") as stream:
        sound = np.concatenate(list(stream.blocks()), axis=1)
    assert len(sound) == channels[0]
    for channel in sound:
        assert onsets(channel, 16_000) == pytest.approx([3 * number + 1 for number in range(len(channels))], abs=0.3)

"""Sound is placed at the time that its container gives, and every track of a container is read."""

import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.audio import ffmpeg
from analyzer.audio import tracks as packets_of_tracks
from analyzer.audio.decoding import Decoder
from analyzer.audio.placement import Placement
from analyzer.audio.reader import open_audio
from analyzer.errors import UnreadableRecording
from tests.helpers.containers import BURST_S, Track, bursts, onsets, write_tracks
from tests.helpers.encoders import ENCODINGS

#: Container, codec and sample rate.
TIMED = [
    ("webm", "libopus", 48_000),
    ("matroska", "aac", 16_000),
    ("matroska", "pcm_s16le", 8000),
    ("mp4", "aac", 16_000),
    ("3gp", "aac", 16_000),
    ("mov", "pcm_s16le", 8000),
    ("asf", "wmav2", 16_000),
    ("mpegts", "mp2", 48_000),
    ("mpeg", "mp2", 48_000),
    ("mpeg", "ac3", 48_000),
    ("flv", "aac", 44_100),
]
#: Containers in which a packet lasts until the next one.
_LASTING = ("mp4", "3gp", "mov")
every_container = pytest.mark.parametrize(("container", "codec", "rate"), TIMED)
#: Tolerance of times in seconds: the analysis promises 0.05, and onsets are detected to 0.01.
NEAR = 0.05


def read(path: Path) -> tuple[np.ndarray, int, list[str]]:
    """Return all samples of a recording, its sample rate and its notes."""
    with open_audio(path) as stream:
        sound = np.concatenate(list(stream.blocks()), axis=1)
        assert len(sound) == stream.channels
        return sound, stream.rate, stream.notes


@pytest.mark.parametrize(("container", "codec", "rate"), [case for case in TIMED if case[0] not in _LASTING])
def test_packet_gap_is_silence(tmp_path: Path, container: str, codec: str, rate: int) -> None:
    times = [0.5, 3.0, 11.0, 19.5]
    track = Track(bursts(21, rate, [*times, 7.0]), rate, codec, gaps=((5.0, 9.0),))
    sound, rate, notes = read(write_tracks(tmp_path / "a", container, track))
    assert onsets(sound[0], rate) == pytest.approx(times, abs=NEAR)
    assert sound.shape[1] / rate == pytest.approx(21, abs=0.15)
    assert not np.abs(sound[0, 6 * rate : 8 * rate]).any()
    assert notes == []


@pytest.mark.parametrize("container", _LASTING)
def test_gap_in_mp4_is_silence(tmp_path: Path, container: str) -> None:
    times = [0.5, 3.0, 11.0, 19.5]
    track = Track(bursts(21, 16_000, [*times, 7.0]), 16_000, "aac", gaps=((5.0, 9.0),))
    sound, rate, _ = read(write_tracks(tmp_path / "a.m4a", container, track))
    assert onsets(sound[0], rate) == pytest.approx(times, abs=NEAR)


@every_container
def test_late_track_starts_silent(tmp_path: Path, container: str, codec: str, rate: int) -> None:
    track = Track(bursts(4, rate, [0.5, 2.0]), rate, codec, late_s=10)
    sound, rate, _ = read(write_tracks(tmp_path / "a", container, track, picture=container != "webm"))
    assert onsets(sound[0], rate) == pytest.approx([10.5, 12.0], abs=NEAR)


@pytest.mark.parametrize("container", ["mpeg", "mpegts", "flv"])
def test_track_after_picture_is_read(tmp_path: Path, container: str) -> None:
    """These containers have no list of tracks; by default FFmpeg looks for tracks in the first seconds only."""
    track = Track(bursts(4, 44_100, [0.5, 2.0]), 44_100, "aac" if container == "flv" else "mp2", late_s=150)
    sound, rate, notes = read(write_tracks(tmp_path / "a", container, track, picture=True))
    assert onsets(sound[0], rate) == pytest.approx([150.5, 152.0], abs=NEAR)
    assert notes == []


@pytest.mark.parametrize("container", ["mpeg", "mpegts"])
def test_late_second_track_is_read(tmp_path: Path, container: str) -> None:
    tracks = [Track(bursts(4, 48_000, [0.5, 2.0]), 48_000, "mp2", late_s) for late_s in (0, 150)]
    sound, rate, notes = read(write_tracks(tmp_path / "a", container, *tracks))
    assert onsets(sound[0], rate) == pytest.approx([0.5, 2.0], abs=NEAR)
    assert onsets(sound[1], rate) == pytest.approx([150.5, 152.0], abs=NEAR)
    assert notes == []


def test_track_not_found_in_time_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tracks = [Track(bursts(seconds, 48_000, [2.0]), 48_000, "mp2", late_s) for seconds, late_s in ((60, 0), (4, 30))]
    path = write_tracks(tmp_path / "a", "mpeg", *tracks)
    monkeypatch.setattr("analyzer.audio.ffmpeg._SEARCHED", 200_000)
    monkeypatch.setattr("analyzer.audio.ffmpeg._SEARCHING", ffmpeg._SEARCHING | {"probesize": "200000"})
    sound, rate, notes = read(path)
    assert [onsets(channel, rate) for channel in sound] == [pytest.approx([2.0], abs=NEAR)]
    assert notes == ["not read: a track that begins late in it"]


def test_track_start_in_avi_is_kept(tmp_path: Path) -> None:
    tracks = [Track(bursts(4, 48_000, [0.5, 2.0]), 48_000, "mp2") for _ in range(2)]
    content = write_tracks(tmp_path / "a.avi", "avi", *tracks).read_bytes()
    start = content.rindex(b"strh") + 8 + 28
    scale, rate = struct.unpack_from("<II", content, start - 8)
    (tmp_path / "a.avi").write_bytes(content[:start] + struct.pack("<I", 10 * rate // scale) + content[start + 4 :])
    sound, rate, _ = read(tmp_path / "a.avi")
    assert onsets(sound[0], rate) == pytest.approx([0.5, 2.0], abs=NEAR)
    assert onsets(sound[1], rate) == pytest.approx([10.5, 12.0], abs=NEAR)


def test_unknown_track_is_noted(tmp_path: Path) -> None:
    content = write_tracks(tmp_path / "a", "mpeg", Track(bursts(4, 48_000, [0.5]), 48_000, "mp2")).read_bytes()
    empty = b"\0\0\1\xc7" + struct.pack(">H", 4) + b"\x80\0\0\xaa"
    (tmp_path / "a.mpg").write_bytes(
        content[: content.index(b"\0\0\1\xc0")] + empty + content[content.index(b"\0\0\1\xc0") :]
    )
    sound, rate, notes = read(tmp_path / "a.mpg")
    assert [onsets(channel, rate) for channel in sound] == [pytest.approx([0.5], abs=NEAR)]
    assert notes == ["not read: track 1, whose encoding cannot be found out"]


@settings(max_examples=15, deadline=None)
@given(
    gaps=st.lists(st.tuples(st.integers(0, 190), st.integers(1, 60)), max_size=6),
    container=st.sampled_from([("webm", "libopus", 48_000), ("matroska", "aac", 16_000), ("mp4", "aac", 16_000)]),
    late_s=st.sampled_from([0.0, 0.3, 7.0, 65.0]),
)
def test_gaps_keep_times_of_sound(
    tmp_path_factory: pytest.TempPathFactory,
    gaps: list[tuple[int, int]],
    container: tuple[str, str, int],
    late_s: float,
) -> None:
    form, codec, rate = container
    missing = tuple((start / 10, (start + length) / 10) for start, length in gaps)
    times = [second + 0.3 for second in range(20)]
    # Near a gap the decoder continues with the sound before it.
    undisturbed = [at for at in times if all(at + BURST_S + 0.1 < start or at - 0.4 > end for start, end in missing)]
    uncertain = [at for at in times if at not in undisturbed] + [end for _, end in missing]
    path = tmp_path_factory.mktemp("gaps") / "a"
    write_tracks(path, form, Track(bursts(20, rate, times), rate, codec, late_s, missing))
    try:
        sound, rate, _ = read(path)
    except UnreadableRecording:
        assert not undisturbed
        return
    detected = onsets(sound[0], rate)
    for at in undisturbed:
        assert min(abs(onset - at - late_s) for onset in detected) < NEAR
    extra = [onset for onset in detected if all(abs(onset - at - late_s) > NEAR for at in undisturbed)]
    assert all(any(at - NEAR <= onset - late_s <= at + 0.4 for at in uncertain) for onset in extra)


@pytest.mark.parametrize(
    ("container", "codec", "rate"),
    [
        ("matroska", "libopus", 48_000),
        ("mp4", "aac", 16_000),
        ("mpegts", "mp2", 48_000),
        ("mpeg", "ac3", 48_000),
        ("avi", "mp2", 48_000),
        ("avi", "pcm_s16le", 8000),
    ],
)
@pytest.mark.parametrize("picture", [False, True])
def test_tracks_become_channels(tmp_path: Path, container: str, codec: str, rate: int, picture: bool) -> None:
    first, second = bursts(10, rate, [1.0, 6.0]), bursts(12, rate, [3.0, 11.0], pitch=600)
    path = write_tracks(
        tmp_path / "a", container, Track(first, rate, codec), Track(second, rate, codec), picture=picture
    )
    sound, rate, notes = read(path)
    assert [onsets(channel, rate) for channel in sound] == [
        pytest.approx([1.0, 6.0], abs=NEAR),
        pytest.approx([3.0, 11.0], abs=NEAR),
    ]
    assert sound.shape[1] / rate == pytest.approx(12, abs=0.15)
    assert notes == []


def test_tracks_keep_channel_order(tmp_path: Path) -> None:
    times = [[1.0], [2.0], [3.0], [4.0]]
    mono, stereo, last = (
        Track(np.stack([bursts(5, 48_000, at) for at in group]), 48_000, "flac")
        for group in (times[:1], times[1:3], times[3:])
    )
    sound, rate, _ = read(write_tracks(tmp_path / "a.mka", "matroska", mono, stereo, last))
    assert [onsets(channel, rate) for channel in sound] == times


def test_silent_track_is_a_channel(tmp_path: Path) -> None:
    silent, spoken = np.zeros(5 * 48_000, np.float32), bursts(5, 48_000, [2.0])
    tracks = [Track(sound, 48_000, "libopus") for sound in (silent, spoken)]
    sound, rate, _ = read(write_tracks(tmp_path / "a.mkv", "matroska", *tracks))
    assert [onsets(channel, rate) for channel in sound] == [[], pytest.approx([2.0], abs=NEAR)]


def test_empty_track_is_silent(tmp_path: Path) -> None:
    tracks = [Track(bursts(5, 48_000, [2.0]), 48_000, "libopus", gaps=gaps) for gaps in (((-1.0, 9.0),), ())]
    sound, rate, _ = read(write_tracks(tmp_path / "a.mkv", "matroska", *tracks))
    assert [onsets(channel, rate) for channel in sound] == [[], pytest.approx([2.0], abs=NEAR)]


def test_tracks_use_the_highest_rate(tmp_path: Path) -> None:
    rates = (8000, 48_000, 16_000)
    tracks = [
        Track(bursts(25, rate, [number + 1.0, 20.0]), rate, "pcm_s16le", late_s=number)
        for number, rate in enumerate(rates)
    ]
    sound, rate, _ = read(write_tracks(tmp_path / "a.mkv", "matroska", *tracks))
    assert rate == 48_000
    assert [onsets(channel, rate) for channel in sound] == [
        pytest.approx([2.0 * number + 1, 20 + number], abs=NEAR) for number in range(3)
    ]
    assert sound.shape == (3, 27 * 48_000)


@settings(max_examples=20, deadline=None)
@given(
    late_s=st.lists(st.integers(0, 30), min_size=2, max_size=4),
    by_track=st.booleans(),
    capacity=st.sampled_from([1, 9, 200]),
)
def test_distant_tracks_are_read(
    tmp_path_factory: pytest.TempPathFactory, late_s: list[int], by_track: bool, capacity: int
) -> None:
    """With capacity for few packets, tracks are read in separate passes over the file."""
    path = tmp_path_factory.mktemp("apart") / "a.mkv"
    tracks = [Track(bursts(6, 8000, [1.0, 4.0]), 8000, "pcm_s16le", start_s) for start_s in late_s]
    write_tracks(path, "matroska", *tracks, by_track=by_track)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packets_of_tracks, "_MOST_WAITING", capacity * 4000)
        sound, rate, notes = read(path)
    assert [onsets(channel, rate) for channel in sound] == [[start_s + 1.0, start_s + 4.0] for start_s in late_s]
    assert notes == []


def test_too_many_channels_are_refused(tmp_path: Path) -> None:
    tracks = [Track(np.zeros((8, 800), np.float32), 8000, "pcm_s16le") for _ in range(5)]
    with pytest.raises(UnreadableRecording, match="claims 40 channels"):
        read(write_tracks(tmp_path / "a.mkv", "matroska", *tracks))


def test_unknown_codec_is_noted(tmp_path: Path) -> None:
    tracks = [Track(bursts(3, 48_000, [1.0]), 48_000, codec) for codec in ("libopus", "flac")]
    path = write_tracks(tmp_path / "a.mkv", "matroska", *tracks)
    path.write_bytes(path.read_bytes().replace(b"A_OPUS", b"A_NONE"))
    sound, rate, notes = read(path)
    assert [onsets(channel, rate) for channel in sound] == [[1.0]]
    assert notes == ["not read: track 1, whose encoding no decoder here knows"]


def test_time_restart_loses_no_sound(tmp_path: Path) -> None:
    """As when two WebM files are concatenated."""
    parts = [
        write_tracks(tmp_path / f"{number}.webm", "webm", Track(bursts(5, 48_000, [at]), 48_000, "libopus"))
        for number, at in enumerate((1.0, 3.0))
    ]
    path = tmp_path / "a.webm"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    sound, rate, notes = read(path)
    assert onsets(sound[0], rate) == pytest.approx([1.0, 8.0], abs=NEAR)
    assert notes == ["its times start over at 0:05: what follows is placed after that"]


@pytest.mark.parametrize("container", ["matroska", "mp4"])
def test_start_past_limit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, container: str) -> None:
    track = Track(bursts(3, 16_000, [1.0]), 16_000, "aac", late_s=100)
    path = write_tracks(tmp_path / "a", container, track, picture=True)
    assert read(path)[0].shape[1] == pytest.approx(103 * 16_000, abs=2000)
    monkeypatch.setattr("analyzer.audio.stream.LONGEST_HOURS", 90 / 3600)
    with pytest.raises(UnreadableRecording, match="hours of sound"), open_audio(path) as stream:
        next(stream.blocks())


@settings(max_examples=15, deadline=None)
@given(
    frames=st.lists(st.tuples(st.integers(0, 7), st.booleans(), st.booleans()), min_size=20, max_size=200),
)
def test_amr_frames_last_20_ms(tmp_path_factory: pytest.TempPathFactory, frames: list[tuple[int, bool, bool]]) -> None:
    """Includes frames of pauses: those that describe comfort noise (8), and those without content (15)."""
    sizes = (13, 14, 16, 18, 20, 21, 27, 32, 6)
    content = b"".join(
        bytes([(15 if is_empty else 8 if is_pause else mode) << 3 | 4])
        + bytes(0 if is_empty else sizes[8 if is_pause else mode] - 1)
        for mode, is_pause, is_empty in frames
    )
    path = tmp_path_factory.mktemp("amr") / "a.amr"
    path.write_bytes(b"#!AMR\n" + content)
    sound, rate, notes = read(path)
    assert (sound.shape, rate, notes) == ((1, 160 * len(frames)), 8000, [])


@pytest.mark.parametrize("together", [1, 3, 10])
def test_packets_of_several_amr_frames_are_read(tmp_path: Path, together: int) -> None:
    """Telephones write up to ten frames into one packet of 3GP."""
    path = ENCODINGS["amr.amr"].write(tmp_path, bursts(2, 8000, [0.5, 1.2]))
    with av.open(str(path), format="amr") as file:
        contents = [bytes(packet) for packet in file.demux() if packet.size]
        pause = bytes([15 << 3 | 4])
        packets = []
        for start in range(0, len(contents), together):
            packet = av.Packet(b"".join([*contents[start : start + together], pause]))
            packet.pts, packet.time_base = (start + start // together) * 160, Fraction(1, 8000)
            packets.append(packet)
        decoder = Decoder(file.streams.audio[0])
        placement = Placement(8000, 1, 8000)
        frames = decoder.decoded(packets)
        sound = np.concatenate([block for frame in frames for block in placement.place(*frame)], axis=1)
    assert sound.shape[1] == 160 * (len(contents) + len(packets))
    assert decoder.damaged == 0
    times = [(start_s + start_s / 0.02 // together * 0.02) for start_s in (0.5, 1.2)]
    if together > 1:
        assert onsets(sound[0], 8000) == pytest.approx(times, abs=NEAR)

"""The Python API: streams give the same rows as files, with little delay and little memory."""

import gc
import subprocess
import sys
import threading
import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import ThreadpoolController

import analyzer
from analyzer import api
from analyzer.analysis.pipeline import Pipeline
from analyzer.api import EmotionStream, analyze
from analyzer.errors import CannotWork, UnreadableRecording
from analyzer.speech.features import FrontEnd
from analyzer.store import outputs
from analyzer.store.outputs import TIMELINE_COLUMNS, write_timeline
from analyzer.timeline.timeline import Row, Timeline, ordered
from tests.helpers import voices
from tests.helpers.encoders import write_wav
from tests.helpers.hostile import write_corpus
from tests.helpers.streams import live_rows, streamed
from tests.helpers.tiny_model import make_tiny_model

RATE = 8000
EXAMPLES = sorted((Path(__file__).parents[1] / "examples" / "calls").iterdir())
AGENT_AND_CUSTOMER = {"speakers": ("agent", "customer"), "only": ("customer",)}


@pytest.fixture(scope="module")
def model(tiny_model: Path) -> str:
    return str(tiny_model)


@pytest.fixture(scope="module")
def wide_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model for 16,000 samples per second."""
    front_end = FrontEnd(rate=16000, window=400, hop=160, fft=512)
    return str(make_tiny_model(tmp_path_factory.mktemp("models") / "wide", front_end=front_end))


def two_speakers(rate: int = RATE) -> np.ndarray:
    """Return two speakers with long turns, shaped (2, samples)."""
    caller = voices.call(20, [(1, 7), (9, 12.2)], rate, seed=1, pitch=200)
    agent = voices.call(20, [(4.5, 8.5), (11, 19)], rate, seed=2, pitch=110)
    return np.stack([caller, agent])


# ---- the rows of a stream equal those of a file, for any block size


@settings(max_examples=20)
@given(st.lists(st.integers(1, 30_000), min_size=1, max_size=6))
def test_rows_do_not_depend_on_block_size(model: str, sizes: list[int]) -> None:
    sound = two_speakers()
    sizes = [max(size, 16) for size in sizes] if max(sizes) < 16 else sizes  # one sample at a time would be slow
    expected = streamed(EmotionStream(RATE, 2, model), sound, [sound.shape[1]])
    assert len(expected) > 8
    assert ordered(streamed(EmotionStream(RATE, 2, model), sound, sizes)) == ordered(expected)


@pytest.mark.parametrize("rate", [16000, 44100])
def test_block_size_does_not_matter_at_other_rates(model: str, rate: int) -> None:
    sound = two_speakers(rate)
    expected = streamed(EmotionStream(rate, 2, model), sound, [sound.shape[1]])
    for sizes in ([160], [rate // 3, 7, 1], [3 * rate]):
        assert ordered(streamed(EmotionStream(rate, 2, model), sound, sizes)) == ordered(expected)


@pytest.mark.parametrize("rate", [3000, 8000, 11025, 16000, 44100, 48000])
def test_stream_equals_file(tmp_path: Path, model: str, rate: int) -> None:
    """Also with long turns."""
    turns = [(k + 0.4, k + 0.8 + 0.13 * k) for k in range(1, 10, 2)]
    pauses = np.stack([voices.call(12, turns, rate, seed=3), voices.call(12, [(0.5, 2), (4, 5.8)], rate, seed=4)])
    sound = np.concatenate([pauses, two_speakers(rate)], axis=1)
    path = write_wav(tmp_path / "a.wav", sound, rate, subtype="FLOAT")
    rows = ordered(streamed(EmotionStream(rate, 2, model), sound, [rate // 50]))
    assert len(rows) > 15
    assert tuple(rows) == analyze(path, model).rows


@settings(max_examples=40)
@given(st.integers(0, 10_000), st.floats(0.01, 0.5))
def test_stream_equals_file_for_any_speech(
    tmp_path_factory: pytest.TempPathFactory, model: str, seed: int, block_s: float
) -> None:
    sound = varied_speech(seed, RATE)
    path = write_wav(tmp_path_factory.mktemp("said") / "a.wav", sound, subtype="FLOAT")
    rows = ordered(streamed(EmotionStream(RATE, 1, model), sound, [round(block_s * RATE)]))
    assert tuple(rows) == analyze(path, model).rows


def test_stream_equals_file_for_example_calls() -> None:
    rows = [(live_rows(call, "default"), analyze(call, "default").rows) for call in EXAMPLES]
    assert all(stream_rows == file_rows for stream_rows, file_rows in rows)
    assert sum(row.end - row.start for stream_rows, _ in rows for row in stream_rows) > 60


@pytest.mark.parametrize("dtype", [np.int16, np.float32, np.float64])
def test_sample_types_are_equivalent(model: str, dtype: type) -> None:
    integers = np.rint(two_speakers() * 20_000).astype(np.int16)
    sound = integers if dtype is np.int16 else (integers / 32768).astype(dtype)
    expected = streamed(EmotionStream(RATE, 2, model), integers.astype(np.float32) / 32768, [4000])
    assert streamed(EmotionStream(RATE, 2, model), sound, [4000]) == expected


def test_mono_can_be_one_dimensional(model: str) -> None:
    sound = voices.call(6, [(1, 5)])
    assert streamed(EmotionStream(RATE, 1, model), sound, [999]) == streamed(
        EmotionStream(RATE, 1, model), sound[None], [999]
    )


def test_pushed_buffer_can_be_reused(model: str) -> None:
    sound = voices.call(6, [(1, 5)])
    stream, buffer, rows = EmotionStream(RATE, 1, model), np.empty(100, np.float32), []
    for start in range(0, len(sound), 100):
        buffer[:] = sound[start : start + 100]
        rows += stream.push(buffer)
        buffer[:] = 1
    assert rows + stream.finish() == streamed(EmotionStream(RATE, 1, model), sound, [4000])


@pytest.mark.parametrize("invalid", [np.nan, np.inf, -np.inf, 1e7, 1e300])
@pytest.mark.parametrize("rate", [8000, 16000])
def test_invalid_samples_are_silence(model: str, invalid: float, rate: int) -> None:
    sound = voices.call(6, [(1, 5)], rate).astype(np.float64)
    silenced = sound.copy()
    silenced[rate * 2 : rate * 2 + 50] = 0
    sound[rate * 2 : rate * 2 + 50] = invalid
    expected = streamed(EmotionStream(rate, 1, model), silenced, [4000])
    assert streamed(EmotionStream(rate, 1, model), sound, [4000]) == expected


def test_rows_of_a_push_are_ordered(model: str) -> None:
    rows = EmotionStream(RATE, 2, model).push(two_speakers())
    assert rows == ordered(rows)
    assert {row.channel for row in rows} == {1, 2}


@pytest.mark.parametrize("sound", [np.zeros(0, np.int16), np.zeros(5, np.int16), np.zeros(40_000, np.float32)])
def test_stream_without_speech_has_no_rows(model: str, sound: np.ndarray) -> None:
    stream = EmotionStream(RATE, 1, model)
    assert stream.push(sound) == []
    assert stream.finish() == []
    assert EmotionStream(44100, 2, model).finish() == []


# ---- delay


def varied_speech(seed: int, rate: int) -> np.ndarray:
    """Return speech of varied loudness, with pauses too short or just long enough to end a segment."""
    rng, pieces = np.random.default_rng(seed), []
    for k in range(6):
        words = voices.speech(rng.uniform(0.2, 5), rate, seed=100 * seed + k, pitch=rng.uniform(90, 250))
        swell = np.interp(np.arange(len(words)), np.linspace(0, len(words), 6), rng.uniform(0.1, 1, 6))
        pieces += [words * swell, np.zeros(round(rng.choice([0, 0.1, 0.2, 0.24, 0.26, 0.5]) * rate))]
    return np.concatenate(pieces).astype(np.float32)


def longest_delay_s(stream: EmotionStream, sound: np.ndarray, rate: int, block_s: float) -> float:
    """Return the longest delay from the end of a segment to its row, in seconds of sound."""
    block, latest = round(block_s * rate), 0.0
    for start in range(0, len(sound), block):
        rows = stream.push(sound[start : start + block])
        now = min(start + block, len(sound)) / rate
        latest = max([latest, *(now - row.end for row in rows)])
    return latest


@settings(max_examples=40)
@given(st.integers(0, 10_000), st.sampled_from([4000, 8000, 11025, 16000, 44100, 48000, 96000]), st.floats(0.005, 0.1))
def test_row_follows_within_a_second(model: str, seed: int, rate: int, block_s: float) -> None:
    assert longest_delay_s(EmotionStream(rate, 1, model), varied_speech(seed, rate), rate, block_s) < 0.95


@settings(max_examples=20)
@given(st.integers(0, 10_000), st.sampled_from([8000, 16000, 44100]), st.floats(0.005, 0.1))
def test_delay_with_model_of_higher_rate(wide_model: str, seed: int, rate: int, block_s: float) -> None:
    assert longest_delay_s(EmotionStream(rate, 1, wide_model), varied_speech(seed, rate), rate, block_s) < 0.95


# ---- memory


@pytest.mark.parametrize("rate", [8000, 16000])
def test_memory_does_not_grow(model: str, rate: int) -> None:
    sound = np.rint(two_speakers(rate) * 32767).astype(np.int16)
    stream = EmotionStream(rate, 2, model)
    tracemalloc.start()
    try:
        memory_used = []
        for _ in range(6):
            for start in range(0, sound.shape[1], 4000):
                stream.push(sound[:, start : start + 4000])
            gc.collect()  # small objects that Python keeps for reuse would count too
            memory_used.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert max(memory_used) < 500_000
    assert memory_used[-1] < memory_used[1] + 50_000


# ---- speaker roles


def test_masked_channel_has_no_emotions(model: str) -> None:
    stream = EmotionStream(RATE, 2, model, **AGENT_AND_CUSTOMER)
    assert stream.speakers == ("agent", "customer")
    rows = streamed(stream, two_speakers(), [4000])
    assert {(row.channel, bool(row.emotion), len(row.probabilities)) for row in rows} == {(1, False, 0), (2, True, 8)}
    unmasked = streamed(EmotionStream(RATE, 2, model), two_speakers(), [4000])
    assert [row for row in rows if row.channel == 2] == [row for row in unmasked if row.channel == 2]


def test_mixed_channel_is_masked(model: str) -> None:
    stream = EmotionStream(RATE, 1, model, **AGENT_AND_CUSTOMER)
    assert stream.speakers == ("mixed",)
    rows = streamed(stream, voices.call(6, [(1, 5)]), [4000])
    assert rows
    assert not any(row.emotion or row.probabilities for row in rows)


def test_without_roles_channels_are_numbered(model: str) -> None:
    assert EmotionStream(RATE, 3, model).speakers == ("channel 1", "channel 2", "channel 3")


def test_identical_channels_are_masked(model: str) -> None:
    sound = voices.call(12, [(1, 5), (6, 11)])
    rows = streamed(EmotionStream(RATE, 2, model, **AGENT_AND_CUSTOMER), np.stack([sound, sound]), [800])
    assert {row.channel for row in rows} == {1, 2}
    assert not any(row.emotion or row.probabilities for row in rows)
    unmasked = streamed(EmotionStream(RATE, 2, model), np.stack([sound, sound]), [800])
    assert all(row.emotion for row in unmasked)


@settings(max_examples=5)
@given(st.lists(st.integers(1, 30_000), min_size=1, max_size=6))
def test_diverging_channels_with_any_block_size(model: str, sizes: list[int]) -> None:
    sound = two_speakers()
    sound[:, :70_000] = voices.call(8.75, [(0.5, 8)])  # the same announcement on both channels, then softer speech
    sound[0, 70_000:] *= 0.1
    sound[1, 70_000:] *= 0.1
    sizes = [max(size, 100) for size in sizes]
    rows = ordered(streamed(EmotionStream(RATE, 2, model, **AGENT_AND_CUSTOMER), sound, [sound.shape[1]]))
    assert ordered(streamed(EmotionStream(RATE, 2, model, **AGENT_AND_CUSTOMER), sound, sizes)) == rows
    assert {bool(row.emotion) for row in rows if row.channel == 2 and row.end < 8} == {False}
    assert any(row.emotion for row in rows if row.channel == 2 and row.end > 9)


# ---- invalid arguments


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rate": 999}, "1,000 to 384,000"),
        ({"rate": 8000.0}, "whole number"),
        ({"rate": "8000"}, "whole number"),
        ({"channels": 0}, "1 to 32"),
        ({"channels": 33}, "1 to 32"),
        ({"prior": "flat"}, "calls, even"),
        ({"sensitivity": "medium"}, "low, normal, high"),
        ({"speakers": "agent"}, "a list"),
        ({"speakers": ["agent", "agent"]}, "twice"),
        ({"speakers": ["agent", ""]}, "empty"),
        ({"speakers": ["a,b", "c"]}, "commas"),
        ({"only": ["customer"]}, "who speaks"),
        ({"speakers": ["agent"], "only": ["customer"]}, "'customer'"),
    ],
)
def test_invalid_argument_is_refused(model: str, arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EmotionStream(**({"rate": RATE, "model": model} | arguments))


def test_missing_model_is_an_error() -> None:
    for function in (lambda: EmotionStream(RATE, model="no-such-model"), lambda: analyze("a.wav", "no-such-model")):
        with pytest.raises(CannotWork, match="no model"):
            function()


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.zeros(100, np.float32), r"\(2, samples\)"),
        (np.zeros((100, 2), np.float32), r"\(2, samples\)"),
        (np.zeros((1, 2, 100), np.float32), r"\(2, samples\)"),
        (np.zeros((2, 100), np.int32), "int16"),
        (np.zeros((2, 100), np.uint8), "int16"),
        (np.zeros((2, 100), np.complex64), "int16"),
        (np.zeros((2, 100), bool), "int16"),
    ],
)
def test_invalid_push_changes_nothing(model: str, samples: np.ndarray, message: str) -> None:
    stream, sound = EmotionStream(RATE, 2, model), two_speakers()
    rows = stream.push(sound[:, :50_000])
    with pytest.raises(ValueError, match=message):
        stream.push(samples)
    rows += stream.push(sound[:, 50_000:]) + stream.finish()
    assert ordered(rows) == ordered(streamed(EmotionStream(RATE, 2, model), sound, [8000]))


def test_finished_stream_accepts_nothing(model: str) -> None:
    stream = EmotionStream(RATE, 1, model)
    stream.finish()
    with pytest.raises(ValueError, match="finished"):
        stream.push(np.zeros(10, np.int16))
    with pytest.raises(ValueError, match="finished"):
        stream.finish()


# ---- complete recordings


def test_analyze_returns_a_timeline(tmp_path: Path, model: str) -> None:
    path = write_wav(tmp_path / "a.wav", two_speakers(), subtype="ULAW")
    for given_path in (path, str(path)):
        timeline = analyze(given_path, model)
        assert (timeline.recording, timeline.length_s, timeline.speakers) == ("a.wav", 20.0, ("channel 1", "channel 2"))
        assert timeline.about == {"model": "tiny", "sensitivity": "normal", "codec": "wav ulaw"}
        assert timeline.rows == tuple(ordered(timeline.rows))
        assert {row.channel for row in timeline.rows} == {1, 2}
        assert timeline.envelope.shape == (2, 200, 2)


def test_frame_equals_written_timeline(tmp_path: Path, model: str) -> None:
    path = write_wav(tmp_path / "a.wav", two_speakers())
    timeline = analyze(path, model, **AGENT_AND_CUSTOMER)
    write_timeline(tmp_path / "a.csv", timeline.rows, timeline.speakers)
    frame = timeline.to_frame()
    assert tuple(frame.columns) == TIMELINE_COLUMNS
    written = pd.read_csv(tmp_path / "a.csv", dtype={"speaker": "string", "emotion": "string"})
    pd.testing.assert_frame_equal(frame, written)
    masked = (frame["speaker"] == "agent").tolist()
    assert frame["emotion"].isna().tolist() == frame["calm"].isna().tolist() == masked
    assert set(masked) == {True, False}


def test_empty_frame_has_the_same_columns(model: str, tmp_path: Path) -> None:
    full = analyze(write_wav(tmp_path / "a.wav", two_speakers()), model).to_frame()
    empty = analyze(write_wav(tmp_path / "b.wav", np.zeros(9000)), model).to_frame()
    assert len(empty) == 0
    assert empty.dtypes.to_dict() == full.dtypes.to_dict()


def test_identical_channels_are_analysed_once(tmp_path: Path, model: str) -> None:
    sound = voices.call(6, [(1, 5)])
    path = write_wav(tmp_path / "a.wav", np.stack([sound, sound]))
    timeline = analyze(path, model)
    assert (timeline.speakers, timeline.about["note"]) == (("channel 1",), "both channels identical")
    assert list(timeline.channels) == [1]
    assert timeline.envelope.shape[0] == 2
    assert {row.channel for row in timeline.rows} == {1}
    assert analyze(path, model, **AGENT_AND_CUSTOMER).speakers == ("mixed",)


def test_tones_are_non_speech(tmp_path: Path, model: str) -> None:
    timeline = analyze(write_wav(tmp_path / "a.wav", voices.tones(10, 350, 440)), model)
    assert (timeline.rows, len(timeline.other) > 0) == ((), True)


def test_unprintable_name_is_escaped(tmp_path: Path, model: str) -> None:
    path = write_wav(tmp_path / "a\nb\udce9.wav", voices.call(3, [(1, 2)]))
    assert analyze(path, model).recording == r"a\x0ab\xe9.wav"


def test_unreadable_file_has_a_reason(tmp_path: Path, model: str) -> None:
    (tmp_path / "a.wav").touch()
    for path, reason in ((tmp_path / "a.wav", "empty"), (tmp_path, "folder"), (tmp_path / "gone.wav", "disappeared")):
        with pytest.raises(UnreadableRecording, match=reason):
            analyze(path, model)


# ---- inside another program


def test_import_is_lazy() -> None:
    code = (
        "import sys, analyzer\n"
        "assert not {'numpy', 'onnxruntime', 'pandas', 'soundfile'} & set(sys.modules), 'heavy'\n"
        "from analyzer import EmotionStream, Timeline, analyze\n"
        "assert 'pandas' not in sys.modules, 'pandas'\n"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (process.returncode, process.stderr) == (0, "")


def test_public_names_exist() -> None:
    for name in analyzer.__all__:
        assert getattr(analyzer, name) is not None
    assert set(analyzer.__all__) <= set(dir(analyzer))
    assert (analyzer.EmotionStream, analyzer.analyze) == (EmotionStream, analyze)
    assert (analyzer.Row, analyzer.Timeline) == (Row, Timeline)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        analyzer.nonsense  # noqa: B018
    assert analyzer.store.outputs is outputs


def blas_threads() -> int:
    return max(library["num_threads"] for library in ThreadpoolController().info() if library["user_api"] == "blas")


def test_push_limits_linear_algebra_to_one_thread(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    during, push = [], Pipeline.push

    def watched_push(self: Pipeline, block: np.ndarray) -> object:
        during.append(blas_threads())
        return push(self, block)

    monkeypatch.setattr(Pipeline, "push", watched_push)
    with ThreadpoolController().limit(limits=2, user_api="blas"):
        before = blas_threads()
        EmotionStream(RATE, 1, model).push(np.zeros(8000, np.int16))
        with pytest.raises(ZeroDivisionError), api._ONE_THREAD:
            raise ZeroDivisionError
        after = blas_threads()
    assert (before, during, after) == (2, [1], 2)


def test_two_threads_can_push_at_once(model: str) -> None:
    entered, may_leave = threading.Event(), threading.Event()

    def hold_limit() -> None:
        with api._ONE_THREAD:
            entered.set()
            may_leave.wait()

    with ThreadpoolController().limit(limits=2, user_api="blas"):
        other = threading.Thread(target=hold_limit, daemon=True)
        with api._ONE_THREAD:
            other.start()
            entered.wait()
        assert blas_threads() == 1
        may_leave.set()
        other.join()
        assert blas_threads() == 2


def test_streams_in_threads_are_independent(model: str) -> None:
    sounds = [voices.call(15, [(1, 14)], seed=seed) for seed in range(4)]
    alone = [streamed(EmotionStream(RATE, 1, model), sound, [400]) for sound in sounds]
    together: dict[int, list[Row]] = {}
    workers = [
        threading.Thread(
            target=lambda k=k: together.update({k: streamed(EmotionStream(RATE, 1, model), sounds[k], [400])})
        )
        for k in range(len(sounds))
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [together[k] for k in range(len(sounds))] == alone


def test_hostile_file_is_analysed_or_refused(tmp_path: Path, model: str) -> None:
    write_corpus(tmp_path)
    paths = sorted(tmp_path.iterdir())
    assert len(paths) > 1000
    for path in paths[::12]:
        try:
            analyze(path, model)
        except UnreadableRecording as error:
            assert str(error), path.name

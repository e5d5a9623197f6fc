"""Statistics of clips: cached, recomputed if an input differs, and independent of other clips."""

import shutil

import joblib
import numpy as np
import onnx
import pytest
import soxr
from onnx import TensorProto, helper, numpy_helper

from analyzer.speech.features import FrontEnd, network_input
from tests.helpers.clips import voice, write
from training.data import telephone
from training.data.corpora import Clip
from training.data.dataset import load_samples
from training.encoders import encoding
from training.encoders.encoding import CONDITIONS, CUT_S, LONGEST_S, Encoder, clip_statistics, encoder_file

FRONT_END = FrontEnd(16000, 400, 160, 400, 8, 0.0, 8000.0, 500, scaling="whisper", padded=False)


@pytest.fixture(autouse=True)
def in_this_process():
    """Use threads, since worker processes would import everything again."""
    with joblib.parallel_config(backend="threading"):
        yield


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """An encoder that returns mean and mean square of every band."""
    graph = helper.make_graph(
        [
            helper.make_node("ReduceMean", ["x"], ["mean"], axes=[1], keepdims=0),
            helper.make_node("Mul", ["x", "x"], ["square"]),
            helper.make_node("ReduceMean", ["square"], ["power"], axes=[1], keepdims=0),
            helper.make_node("Concat", ["mean", "power"], ["both"], axis=1),
            helper.make_node("Add", ["both", "offset"], ["y"]),
        ],
        "encoder",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", "time", 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 16])],
        [numpy_helper.from_array(np.zeros(16, np.float32), "offset")],
    )
    path = tmp_path_factory.mktemp("encoder") / "encoder.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    lengths = {"short.wav": 0.6, "plain.flac": 2.0, "long.flac": 6.0}
    paths = [
        write(folder / name, voice(number, 2, 1, seconds)) for number, (name, seconds) in enumerate(lengths.items())
    ]
    return [Clip(path, "happy", f"x-{number}", "x", sex="female") for number, path in enumerate(paths)]


@pytest.fixture
def statistics_of(network, tmp_path):
    """`clip_statistics` with this encoder and an empty cache, which arguments can replace."""

    def compute(clips, condition="drawn", cache=tmp_path / "cache", network=network, seed=0):
        return clip_statistics(clips, condition, network, FRONT_END, cache, seed)

    return compute


def fail_if_called(*_: object) -> None:
    raise AssertionError("it is computed again")


def test_clips_keep_labels_and_get_digests(statistics_of, clips):
    result = statistics_of(clips, "studio")
    assert result.statistics.shape == (3, 16)
    assert result.statistics.dtype == np.float32
    for before, after in zip(clips, result.clips, strict=True):
        assert after.audio == load_samples(before.path, 8000)[1]
        assert (after.path, after.emotion, after.speaker, after.sex) == (before.path, "happy", before.speaker, "female")


def test_studio_condition_uses_original_clip(statistics_of, clips):
    result = statistics_of(clips, "studio")
    for clip, statistics, length_s in zip(clips, result.statistics, result.lengths_s, strict=True):
        samples = load_samples(clip.path, 8000)[0][: int(LONGEST_S * 8000)]
        frames = network_input(soxr.resample(samples, 8000, 16000), FRONT_END)
        expected = np.concatenate([frames.mean(axis=0), (frames**2).mean(axis=0)])
        assert statistics == pytest.approx(expected, abs=2e-3)  # stored in half precision
        assert length_s == pytest.approx(len(samples) / 8000)
    assert result.lengths_s[2] == LONGEST_S


def test_every_codec_has_a_condition(clips):
    assert {"telephone", *telephone.CODECS} - {telephone.PLAIN.codec} <= set(CONDITIONS)
    samples = load_samples(clips[1].path, 8000)[0]
    sound = CONDITIONS["telephone"](samples, np.random.default_rng(0))
    assert np.array_equal(sound, telephone.simulate_line(samples, telephone.PLAIN, np.random.default_rng(1)))


def test_every_condition_differs(statistics_of, clips):
    results = [statistics_of(clips[1:2], condition).statistics[0] for condition in CONDITIONS]
    assert len({statistics.tobytes() for statistics in results}) == len(CONDITIONS)
    assert np.isfinite(results).all()


def test_scored_conditions_are_not_random(clips):
    samples = load_samples(clips[1].path, 8000)[0]
    for name, condition in CONDITIONS.items():
        first, second = (condition(samples, np.random.default_rng(seed)) for seed in (1, 2))
        assert np.array_equal(first, second) == (name not in ("drawn", "short")), name


def test_drawn_copy_is_part_of_clip(statistics_of, clips):
    lengths = np.array([statistics_of(clips, seed=seed).lengths_s for seed in range(6)])
    assert (lengths[:, 1:] >= CUT_S[0] / 1.07 - 0.01).all()
    assert (lengths[:, 1:] <= CUT_S[1] / 0.93 + 0.01).all()
    assert (lengths[:, 0] <= 0.8 / 0.93).all()
    assert len(set(lengths[:, 2])) > 1


# The cache


@pytest.mark.parametrize("condition", ["telephone", "drawn"])
def test_cached_statistics_are_not_recomputed(statistics_of, clips, monkeypatch, condition):
    first = statistics_of(clips, condition, seed=3)
    monkeypatch.setattr(encoding, "_compute", fail_if_called)
    second = statistics_of(clips, condition, seed=3)
    assert second.clips == first.clips
    assert np.array_equal(second.statistics, first.statistics)
    assert np.array_equal(second.lengths_s, first.lengths_s)


def test_cache_does_not_depend_on_labels(statistics_of, clips, monkeypatch):
    statistics_of(clips)
    monkeypatch.setattr(encoding, "_compute", fail_if_called)
    renamed = [Clip(clip.path, "sad", "x-speaker", "x") for clip in clips]
    assert {(clip.emotion, clip.speaker) for clip in statistics_of(renamed).clips} == {("sad", "x-speaker")}


@pytest.mark.parametrize("other", ["seed", "condition", "fewer clips", "another order", "corpus", "encoder"])
def test_other_inputs_are_computed(statistics_of, clips, network, tmp_path, monkeypatch, other):
    statistics_of(clips)
    other_encoder = tmp_path / "other-encoder.onnx"
    shutil.copy(network, other_encoder)
    changed = {
        "seed": (clips, {"seed": 1}),
        "condition": (clips, {"condition": "telephone"}),
        "fewer clips": (clips[:2], {}),
        "another order": (clips[::-1], {}),
        "corpus": ([Clip(clip.path, clip.emotion, clip.speaker, "y") for clip in clips], {}),
        "encoder": (clips, {"network": other_encoder}),
    }
    chosen, options = changed[other]
    with monkeypatch.context() as patch, pytest.raises(AssertionError, match="computed again"):
        patch.setattr(encoding, "_compute", fail_if_called)
        statistics_of(chosen, **options)
    assert len(list((tmp_path / "cache").glob("*.npz"))) == 1, "what failed leaves nothing"
    statistics_of(chosen, **options)
    assert len(list((tmp_path / "cache").glob("*.npz"))) == 2


def test_drawn_copy_depends_on_seed_and_audio(statistics_of, clips, tmp_path):
    expected = statistics_of(clips, seed=5).statistics
    for number in range(3):
        assert np.array_equal(statistics_of(clips[number : number + 1], seed=5).statistics[0], expected[number])
    assert np.array_equal(statistics_of(clips[::-1], seed=5).statistics, expected[::-1])
    copy = tmp_path / "elsewhere" / "another name.wav"
    write(copy, voice(1, 2, 1, 2.0))
    (copy_statistics,) = statistics_of([Clip(copy, None, "z-1", "z")], seed=5).statistics
    assert np.array_equal(copy_statistics, expected[1])
    assert not np.array_equal(statistics_of(clips, seed=6).statistics, expected)


def test_clips_keep_their_order(statistics_of, clips, tmp_path):
    many = [clips[number % 2] for number in range(70)]
    result = statistics_of(many, "studio")
    assert np.array_equal(
        result.statistics, statistics_of(clips, "studio").statistics[[number % 2 for number in range(70)]]
    )


def test_selected_clips_keep_statistics(statistics_of, clips):
    result = statistics_of(clips, "studio")
    chosen = result.of(np.array([True, False, True]))
    assert chosen.clips == (result.clips[0], result.clips[2])
    assert np.array_equal(chosen.statistics, result.statistics[[0, 2]])
    assert np.array_equal(chosen.lengths_s, result.lengths_s[[0, 2]])


# Cached sounds for several encoders


@pytest.fixture
def second_encoder(network, tmp_path):
    """An encoder with another file name, which returns twice as much."""
    model = onnx.load(network)
    model.graph.node[-1].CopyFrom(helper.make_node("Add", ["both", "both"], ["y"]))
    path = tmp_path / "another.onnx"
    onnx.save(model, path)
    return path


@pytest.mark.parametrize("condition", ["studio", "gsm", "drawn", "short"])
def test_second_encoder_uses_cached_sounds(statistics_of, clips, second_encoder, tmp_path, monkeypatch, condition):
    first = statistics_of(clips, condition, seed=2)
    alone = statistics_of(clips, condition, tmp_path / "another cache", second_encoder, seed=2)
    monkeypatch.setattr(encoding, "load_samples", fail_if_called)
    monkeypatch.setitem(CONDITIONS, condition, fail_if_called)
    second = statistics_of(clips, condition, network=second_encoder, seed=2)
    assert np.array_equal(second.statistics, alone.statistics)
    assert np.array_equal(second.lengths_s, first.lengths_s)
    assert second.clips == first.clips == alone.clips
    assert second.statistics == pytest.approx(2 * first.statistics, rel=2e-3, abs=2e-3), "or the first one was taken"


@pytest.mark.parametrize("condition", ["studio", "telephone", "drawn"])
def test_cached_sound_is_exact(clips, tmp_path, condition):
    computed, cached = (encoding._sounds_of(clips, condition, tmp_path, 4) for _ in range(2))
    for clip, *results in zip(clips, computed, cached, strict=True):
        sound, digest = encoding._sound(clip, condition, 4)
        for samples, file_digest in results:
            assert samples.dtype == np.float32
            assert np.array_equal(samples, sound)
            assert file_digest == digest == load_samples(clip.path, 8000)[1]


def test_sound_cache_depends_on_inputs(statistics_of, clips, second_encoder, tmp_path):
    """The results are the same as with an empty cache."""
    statistics_of(clips, "drawn", seed=1)
    renamed = [Clip(clip.path, clip.emotion, clip.speaker, "y") for clip in clips]
    for chosen, condition, seed in (
        (clips, "drawn", 2),
        (clips, "short", 1),
        (clips[1:], "drawn", 1),
        (renamed, "gsm", 0),
    ):
        result = statistics_of(chosen, condition, network=second_encoder, seed=seed)
        fresh = statistics_of(chosen, condition, tmp_path / f"{condition}-{seed}-{len(chosen)}", second_encoder, seed)
        assert np.array_equal(result.statistics, fresh.statistics)


def test_truncated_sounds_are_not_used(statistics_of, clips, tmp_path, torn_arrays):
    torn_arrays(lambda: encoding._sounds_of(clips, "drawn", tmp_path / "cache", 0))
    assert np.array_equal(statistics_of(clips).statistics, statistics_of(clips, cache=tmp_path / "fresh").statistics)


# The cached file of an encoder


def mean_encoder(built: list[str], name: str = "levels") -> Encoder:
    """An encoder that returns the mean of every band, and adds its name to `built` when it is built."""

    def build():
        import keras

        built.append(name)
        frames = keras.layers.Input((None, FRONT_END.bands), name="frames")
        return keras.Model(frames, keras.layers.GlobalAveragePooling1D()(frames))

    return Encoder(name, FRONT_END, build)


def test_encoder_is_built_once(tmp_path):
    built: list[str] = []
    paths = [encoder_file(mean_encoder(built, name), tmp_path / "cache") for name in ("first", "second", "first")]
    assert built == ["first", "second"]
    assert [path.name for path in paths] == ["first.onnx", "second.onnx", "first.onnx"]
    assert set((tmp_path / "cache").iterdir()) == set(paths)


def test_encoder_file_equals_encoder(tmp_path, clips):
    result = clip_statistics(clips, "studio", encoder_file(mean_encoder([]), tmp_path), FRONT_END, tmp_path)
    for clip, statistics in zip(clips, result.statistics, strict=True):
        samples = load_samples(clip.path, 8000)[0][: int(LONGEST_S * 8000)]
        frames = network_input(soxr.resample(samples, 8000, 16000), FRONT_END)
        assert statistics == pytest.approx(frames.mean(axis=0), abs=2e-3)


def test_failed_export_leaves_no_encoder_file(tmp_path, monkeypatch):
    def write_half(network, front_end, path):
        path.write_bytes(b"half a network")
        raise KeyboardInterrupt

    built: list[str] = []
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("training.export.model_files.export_network", write_half)
        encoder_file(mean_encoder(built), tmp_path)
    onnx.checker.check_model(onnx.load(encoder_file(mean_encoder(built), tmp_path)))
    assert built == ["levels", "levels"]

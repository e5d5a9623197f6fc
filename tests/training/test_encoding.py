"""Statistics of clips: computed once and cached, recomputed if anything differs, and independent of other clips."""

import shutil

import joblib
import numpy as np
import onnx
import pytest
import soxr
from onnx import TensorProto, helper, numpy_helper

from analyzer.features import FrontEnd, network_input
from tests.training.conftest import voice, write
from training import encoding, telephone
from training.corpora import Clip
from training.dataset import load_samples
from training.encoding import CONDITIONS, CUT_S, LONGEST_S, Encoder, clip_statistics, encoder_file

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
        "ear",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", "time", 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 16])],
        [numpy_helper.from_array(np.zeros(16, np.float32), "offset")],
    )
    path = tmp_path_factory.mktemp("ear") / "ear.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    lengths = {"short.wav": 0.6, "plain.flac": 2.0, "long.flac": 6.0}
    paths = [write(folder / name, voice(k, 2, 1, seconds)) for k, (name, seconds) in enumerate(lengths.items())]
    return [Clip(path, "happy", f"x-{k}", "x", sex="female") for k, path in enumerate(paths)]


@pytest.fixture
def computed(network, tmp_path):
    """`clip_statistics` with this encoder and an empty cache; other ones can be passed."""

    def compute(clips, condition="drawn", cache=tmp_path / "cache", network=network, seed=0):
        return clip_statistics(clips, condition, network, FRONT_END, cache, seed)

    return compute


def refuse(*_: object) -> None:
    raise AssertionError("it is computed again")


def test_a_clip_keeps_its_labels_and_gets_the_digest_of_its_audio(computed, clips):
    found = computed(clips, "studio")
    assert found.statistics.shape == (3, 16)
    assert found.statistics.dtype == np.float32
    for before, after in zip(clips, found.clips, strict=True):
        assert after.audio == load_samples(before.path, 8000)[1]
        assert (after.path, after.emotion, after.speaker, after.sex) == (before.path, "happy", before.speaker, "female")


def test_in_the_studio_the_encoder_hears_the_clip_itself(computed, clips):
    found = computed(clips, "studio")
    for clip, statistics, length_s in zip(clips, found.statistics, found.lengths_s, strict=True):
        samples = load_samples(clip.path, 8000)[0][: int(LONGEST_S * 8000)]
        frames = network_input(soxr.resample(samples, 8000, 16000), FRONT_END)
        expected = np.concatenate([frames.mean(axis=0), (frames**2).mean(axis=0)])
        assert statistics == pytest.approx(expected, abs=2e-3)  # stored in half precision
        assert length_s == pytest.approx(len(samples) / 8000)
    assert found.lengths_s[2] == LONGEST_S


def test_there_is_a_condition_for_every_codec_and_the_plain_line_is_the_one_of_scores(clips):
    assert {"telephone", *telephone.CODECS} - {telephone.PLAIN.codec} <= set(CONDITIONS)
    samples = load_samples(clips[1].path, 8000)[0]
    found = CONDITIONS["telephone"](samples, np.random.default_rng(0))
    assert np.array_equal(found, telephone.through(samples, telephone.PLAIN, np.random.default_rng(1)))


def test_every_condition_sounds_different(computed, clips):
    found = [computed(clips[1:2], condition).statistics[0] for condition in CONDITIONS]
    assert len({statistics.tobytes() for statistics in found}) == len(CONDITIONS)
    assert np.isfinite(found).all()


def test_a_scored_condition_draws_nothing(clips):
    samples = load_samples(clips[1].path, 8000)[0]
    for name, condition in CONDITIONS.items():
        first, second = (condition(samples, np.random.default_rng(seed)) for seed in (1, 2))
        assert np.array_equal(first, second) == (name not in ("drawn", "short")), name


def test_a_drawn_copy_is_a_piece_of_the_clip(computed, clips):
    lengths = np.array([computed(clips, seed=seed).lengths_s for seed in range(6)])
    assert (lengths[:, 1:] >= CUT_S[0] / 1.07 - 0.01).all()
    assert (lengths[:, 1:] <= CUT_S[1] / 0.93 + 0.01).all()
    assert (lengths[:, 0] <= 0.8 / 0.93).all()
    assert len(set(lengths[:, 2])) > 1


# The cache


@pytest.mark.parametrize("condition", ["telephone", "drawn"])
def test_the_same_is_not_computed_again(computed, clips, monkeypatch, condition):
    first = computed(clips, condition, seed=3)
    monkeypatch.setattr(encoding, "_compute", refuse)
    second = computed(clips, condition, seed=3)
    assert second.clips == first.clips
    assert np.array_equal(second.statistics, first.statistics)
    assert np.array_equal(second.lengths_s, first.lengths_s)


def test_other_labels_take_the_same_statistics(computed, clips, monkeypatch):
    computed(clips)
    monkeypatch.setattr(encoding, "_compute", refuse)
    renamed = [Clip(clip.path, "sad", "x-somebody", "x") for clip in clips]
    assert {(clip.emotion, clip.speaker) for clip in computed(renamed).clips} == {("sad", "x-somebody")}


@pytest.mark.parametrize("other", ["seed", "condition", "fewer clips", "another order", "corpus", "encoder"])
def test_anything_else_is_computed(computed, clips, network, tmp_path, monkeypatch, other):
    computed(clips)
    elsewhere = tmp_path / "other-ear.onnx"
    shutil.copy(network, elsewhere)
    changed = {
        "seed": (clips, {"seed": 1}),
        "condition": (clips, {"condition": "telephone"}),
        "fewer clips": (clips[:2], {}),
        "another order": (clips[::-1], {}),
        "corpus": ([Clip(clip.path, clip.emotion, clip.speaker, "y") for clip in clips], {}),
        "encoder": (clips, {"network": elsewhere}),
    }
    wanted, options = changed[other]
    with monkeypatch.context() as patch, pytest.raises(AssertionError, match="computed again"):
        patch.setattr(encoding, "_compute", refuse)
        computed(wanted, **options)
    assert len(list((tmp_path / "cache").glob("*.npz"))) == 1, "what failed leaves nothing"
    computed(wanted, **options)
    assert len(list((tmp_path / "cache").glob("*.npz"))) == 2


def test_a_drawn_copy_depends_on_the_seed_and_the_clip_s_own_audio_alone(computed, clips, tmp_path):
    together = computed(clips, seed=5).statistics
    for k in range(3):
        assert np.array_equal(computed(clips[k : k + 1], seed=5).statistics[0], together[k])
    assert np.array_equal(computed(clips[::-1], seed=5).statistics, together[::-1])
    copied = tmp_path / "elsewhere" / "another name.wav"
    write(copied, voice(1, 2, 1, 2.0))
    (elsewhere,) = computed([Clip(copied, None, "z-1", "z")], seed=5).statistics
    assert np.array_equal(elsewhere, together[1])
    assert not np.array_equal(computed(clips, seed=6).statistics, together)


def test_many_clips_come_in_the_order_that_they_were_asked_for_in(computed, clips, tmp_path):
    many = [clips[k % 2] for k in range(70)]
    found = computed(many, "studio")
    assert np.array_equal(found.statistics, computed(clips, "studio").statistics[[k % 2 for k in range(70)]])


def test_chosen_clips_come_with_their_statistics(computed, clips):
    found = computed(clips, "studio")
    chosen = found.of(np.array([True, False, True]))
    assert chosen.clips == (found.clips[0], found.clips[2])
    assert np.array_equal(chosen.statistics, found.statistics[[0, 2]])
    assert np.array_equal(chosen.lengths_s, found.lengths_s[[0, 2]])


# Cached sounds for several encoders


@pytest.fixture
def another(network, tmp_path):
    """An encoder with another file name, which returns twice as much."""
    model = onnx.load(network)
    model.graph.node[-1].CopyFrom(helper.make_node("Add", ["both", "both"], ["y"]))
    path = tmp_path / "another.onnx"
    onnx.save(model, path)
    return path


@pytest.mark.parametrize("condition", ["studio", "gsm", "drawn", "short"])
def test_a_second_encoder_hears_the_same_sounds_and_no_clip_is_decoded_again(
    computed, clips, another, tmp_path, monkeypatch, condition
):
    first = computed(clips, condition, seed=2)
    alone = computed(clips, condition, tmp_path / "another cache", another, seed=2)
    monkeypatch.setattr(encoding, "load_samples", refuse)
    monkeypatch.setitem(CONDITIONS, condition, refuse)
    second = computed(clips, condition, network=another, seed=2)
    assert np.array_equal(second.statistics, alone.statistics)
    assert np.array_equal(second.lengths_s, first.lengths_s)
    assert second.clips == first.clips == alone.clips
    assert second.statistics == pytest.approx(2 * first.statistics, rel=2e-3, abs=2e-3), "or the first one was taken"


@pytest.mark.parametrize("condition", ["studio", "telephone", "drawn"])
def test_a_sound_that_was_kept_is_the_sound_to_the_last_bit(clips, tmp_path, condition):
    made, kept = (encoding._sounds_of(clips, condition, tmp_path, 4) for _ in range(2))
    for clip, *both in zip(clips, made, kept, strict=True):
        sound, digest = encoding._sound(clip, condition, 4)
        for found, of_file in both:
            assert found.dtype == np.float32
            assert np.array_equal(found, sound)
            assert of_file == digest == load_samples(clip.path, 8000)[1]


def test_sounds_of_other_clips_seeds_or_conditions_are_others(computed, clips, another, tmp_path):
    """The results are the same as with an empty cache."""
    computed(clips, "drawn", seed=1)
    renamed = [Clip(clip.path, clip.emotion, clip.speaker, "y") for clip in clips]
    for wanted, condition, seed in (
        (clips, "drawn", 2),
        (clips, "short", 1),
        (clips[1:], "drawn", 1),
        (renamed, "gsm", 0),
    ):
        found = computed(wanted, condition, network=another, seed=seed)
        fresh = computed(wanted, condition, tmp_path / f"{condition}-{seed}-{len(wanted)}", another, seed)
        assert np.array_equal(found.statistics, fresh.statistics)


def test_sounds_that_were_torn_are_not_taken_for_whole_ones(computed, clips, tmp_path, torn_arrays):
    torn_arrays(lambda: encoding._sounds_of(clips, "drawn", tmp_path / "cache", 0))
    assert np.array_equal(computed(clips).statistics, computed(clips, cache=tmp_path / "fresh").statistics)


# The cached file of an encoder


def levels(made: list[str], name: str = "levels") -> Encoder:
    """An encoder that returns the mean of every band, and adds its name to `made` when it is built."""

    def build():
        import keras

        made.append(name)
        frames = keras.layers.Input((None, FRONT_END.bands), name="frames")
        return keras.Model(frames, keras.layers.GlobalAveragePooling1D()(frames))

    return Encoder(name, FRONT_END, build)


def test_an_encoder_is_made_once_and_its_file_is_called_as_it_is(tmp_path):
    made: list[str] = []
    paths = [encoder_file(levels(made, name), tmp_path / "cache") for name in ("first", "second", "first")]
    assert made == ["first", "second"]
    assert [path.name for path in paths] == ["first.onnx", "second.onnx", "first.onnx"]
    assert set((tmp_path / "cache").iterdir()) == set(paths)


def test_an_encoder_s_file_says_what_the_encoder_says(tmp_path, clips):
    found = clip_statistics(clips, "studio", encoder_file(levels([]), tmp_path), FRONT_END, tmp_path)
    for clip, statistics in zip(clips, found.statistics, strict=True):
        samples = load_samples(clip.path, 8000)[0][: int(LONGEST_S * 8000)]
        frames = network_input(soxr.resample(samples, 8000, 16000), FRONT_END)
        assert statistics == pytest.approx(frames.mean(axis=0), abs=2e-3)


def test_an_encoder_that_cannot_be_written_leaves_no_file_that_is_taken_for_one(tmp_path, monkeypatch):
    def torn(network, front_end, path):
        path.write_bytes(b"half a network")
        raise KeyboardInterrupt

    made: list[str] = []
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("training.export.export_network", torn)
        encoder_file(levels(made), tmp_path)
    onnx.checker.check_model(onnx.load(encoder_file(levels(made), tmp_path)))
    assert made == ["levels", "levels"]

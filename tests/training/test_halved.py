"""The halved encoder: what it is taught from, that it learns what the whole one says, and that it is kept."""

import joblib
import keras
import numpy as np
import pytest

from analyzer.features import network_input
from tests.training.conftest import voice, write
from tests.training.tiny_ear import random_weights
from training import halved, lessons, telephone, whisper
from training.corpora import Clip
from training.encoding import encoder_file, open_network
from training.halved import CORPORA, LAYERS, NEURONS, STRIDE, Frames, chosen, cuts, prepare, teach
from training.published import LICENCES, NEUTRAL_SPEECH
from training.whisper import FRONT_END, WIDTH, build_halved, build_teacher, busiest, with_statistics

#: What is kept of tiny encoders here.
FEW = [np.arange(k, 2000, 40) for k in range(len(NEURONS))]


@pytest.fixture(scope="module", autouse=True)
def quickly():
    """Weights that say nothing, small cuts, and workers in this process."""
    with pytest.MonkeyPatch.context() as patch, joblib.parallel_config(backend="threading"):
        patch.setattr(whisper, "load_weights", lambda: random_weights(max(LAYERS)))
        patch.setattr(halved, "CUTS", ((100, 3), (200, 2)))
        patch.setattr(halved, "_MEASURED", 1)
        patch.setattr(halved, "_CLIPS_OF_A_PART", 2)
        yield


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> list[Clip]:
    folder = tmp_path_factory.mktemp("clips")
    paths = [write(folder / f"{k}.wav", voice(k, k, 1, 2.5)) for k in range(3)]
    return [Clip(path, None, f"ami-{k}", "ami") for k, path in enumerate(paths)]


@pytest.fixture(scope="module")
def frames(clips, tmp_path_factory) -> Frames:
    return prepare(clips, tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def taught(frames) -> keras.Model:
    return teach(frames, 30, seed=1)


def test_nobody_who_is_scored_is_heard():
    assert not set(CORPORA) & {"ravdess", "ravdess-song", "nemo", NEUTRAL_SPEECH}
    assert set(CORPORA) <= set(LICENCES)
    others = [Clip(f"{corpus}.wav", None, corpus, corpus) for corpus in ("ravdess", "nemo", NEUTRAL_SPEECH, "ami")]
    assert [clip.corpus for clip in chosen(others)] == ["ami"]


def test_the_first_line_is_the_plain_one(clips, frames):
    assert frames.heard.shape == (lessons.LINES, frames.lengths.sum(), FRONT_END.bands)
    _, piece = next(iter(lessons.pieces(clips[:1])))
    plain = telephone.through(piece, telephone.PLAIN, np.random.default_rng(0)).astype(np.float32)
    assert abs(len(plain) / telephone.RATE - frames.lengths[0] / 100) < 0.02
    import soxr

    expected = network_input(soxr.resample(plain, telephone.RATE, FRONT_END.rate), FRONT_END)
    assert np.allclose(frames.heard[0, : frames.lengths[0]], expected[: frames.lengths[0]], atol=2e-3)


def test_frames_are_made_once(clips, tmp_path, monkeypatch):
    first = prepare(clips, tmp_path)
    monkeypatch.setattr(halved, "_heard", None)
    again = prepare(clips, tmp_path)
    assert np.array_equal(first.heard, again.heard) and np.array_equal(first.lengths, again.lengths)


def test_a_cut_lies_in_one_piece_and_is_of_the_same_time_on_all_lines():
    lengths = np.array([120, 90, 260])
    # Every frame holds the number of its piece and its own number; the second line that and a thousand.
    number = np.concatenate([np.arange(length) + 300 * k for k, length in enumerate(lengths)])
    heard = np.repeat(np.stack([number, number + 1000])[:, :, None], 4, axis=2).astype(np.float16)
    batches = cuts(Frames(heard, lengths), halved.CUTS, np.random.default_rng(0))
    for _ in range(30):
        plain, other = (batch[:, :, 0] for batch in next(batches))
        assert plain.shape in {(size, length) for length, size in halved.CUTS}
        assert (np.diff(plain) == 1).all(), "no cut goes from one piece to another"
        assert (other - plain == 1000).all()


@pytest.mark.parametrize("count", [8, 99, 100, 101, 102])
def test_it_says_as_many_frames_as_the_teacher_for_any_number(count):
    weights = random_weights(max(LAYERS))
    heard = np.random.default_rng(0).standard_normal((1, count, FRONT_END.bands)).astype(np.float32)
    said = build_halved(weights, LAYERS, FEW)(heard).numpy()
    assert said.shape == build_teacher(weights, LAYERS)(heard).numpy().shape
    # A frame of the encoder stands for two of its input, the last one for what is left.
    assert said.shape == (1, (count + 1) // 2 // (STRIDE // 2), len(LAYERS) * WIDTH)


def test_the_neurons_that_are_kept_are_those_that_add_most():
    weights = random_weights(2)
    # Of the second block three neurons speak ten times as loud into what follows, and a fourth never answers.
    weights["layer_1/ffn/linear_1/weight"][:, [5, 70, 2000]] *= 10
    weights["layer_1/ffn/linear_1/weight"][:, 9] *= 100
    weights["layer_1/ffn/linear_0/weight"][9] = 0
    weights["layer_1/ffn/linear_0/bias"][9] = -20
    heard = np.random.default_rng(0).standard_normal((2, 60, FRONT_END.bands)).astype(np.float32)
    first, second = busiest(weights, (7, 3), heard)
    assert len(first) == 7 and (np.diff(first) > 0).all()
    assert second.tolist() == [5, 70, 2000]


def test_a_block_that_keeps_all_neurons_says_what_it_said():
    weights = random_weights(1)
    heard = np.random.default_rng(0).standard_normal((1, 60, FRONT_END.bands)).astype(np.float32)
    everyone = build_halved(weights, (1,), [np.arange(2048)])(heard).numpy()
    weights["layer_0/ffn/linear_1/weight"][:, 1000:] = 0
    without = build_halved(weights, (1,), [np.arange(2048)])(heard).numpy()
    assert np.abs(everyone - without).max() > 0.1
    assert np.allclose(build_halved(weights, (1,), [np.arange(1000)])(heard).numpy(), without, atol=1e-4)


@pytest.mark.slow
def test_taught_it_comes_closer_to_what_the_teacher_says(taught, frames):
    weights, heard = random_weights(max(LAYERS)), frames.heard[:1, :200].astype(np.float32)
    teacher, untaught = build_teacher(weights, LAYERS), build_halved(weights, LAYERS, busiest(weights, NEURONS, heard))

    def wrong(network) -> float:
        return float(np.square(network(heard).numpy() - teacher(heard).numpy()).mean())

    assert wrong(taught) < 0.8 * wrong(untaught)


def test_statistics_are_those_of_what_it_says():
    network = build_halved(random_weights(max(LAYERS)), LAYERS, FEW)
    steady = np.full((1, 101, FRONT_END.bands), 0.3, np.float32)
    said = network(steady).numpy()[0]
    found = with_statistics(network)(steady).numpy()[0].reshape(len(LAYERS), 2, WIDTH)
    for k in range(len(LAYERS)):
        layer = said[:, k * WIDTH : (k + 1) * WIDTH]
        assert np.allclose(found[k, 0], layer.mean(axis=0), atol=1e-4)
        assert np.allclose(found[k, 1], layer.std(axis=0), atol=1e-3)


@pytest.mark.slow
def test_it_is_taught_once_and_kept(clips, taught, tmp_path, monkeypatch):
    monkeypatch.setattr(halved, "teach", lambda frames, steps, seed: taught)
    encoder = halved.encoder(clips, tmp_path)
    heard = np.random.default_rng(0).standard_normal((1, 120, FRONT_END.bands)).astype(np.float32)
    first = open_network(encoder_file(encoder, tmp_path)).run(None, {"frames": heard})[0]
    assert first.shape == (1, len(LAYERS) * 2 * WIDTH)
    assert np.allclose(first, with_statistics(taught)(heard).numpy(), atol=1e-3)
    monkeypatch.setattr(halved, "teach", None)
    again = halved.encoder(clips, tmp_path)
    assert again.name == encoder.name
    assert np.allclose(again.build()(heard).numpy(), first, atol=1e-3)


def test_other_clips_make_another_encoder(clips, tmp_path):
    assert halved.encoder(clips[:2], tmp_path).name != halved.encoder(clips, tmp_path).name

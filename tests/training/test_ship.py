"""What is shipped: weights stored as int8, a threshold for `uncertain`, figures and cards of both models."""

from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path

import keras
import numpy as np
import onnx
import pandas as pd
import pytest
from onnx import numpy_helper

from analyzer.classifier import ModelSettings, find_model, read_settings
from analyzer.emotions import CALL_PRIOR, EMOTIONS, EVEN_PRIOR
from analyzer.errors import CannotWork, UsageError
from analyzer.features import FrontEnd
from tests.training.conftest import voice, write
from tests.training.test_recipe import WIDTH, everybody, make_material
from training import halved, recipe_card, release, ship, student, taught, whisper
from training.corpora import Clip
from training.encoding import Encoder
from training.evaluation_rows import read_rows, refuse_leaks
from training.export import read_network
from training.head import Head
from training.quantize import SMALLEST
from training.recipe import ACCURATE, DEFAULT, FOLDS, Heads, Recipe, build_network
from training.ship import Ears, Shipped, threshold
from training.splits import RAVDESS_FOLDS, Leak


def rows(sure: float, right: bool) -> pd.DataFrame:
    """One clip of each emotion, heard with a certainty; the rest of the probability is spread evenly."""
    table = []
    for k, emotion in enumerate(EMOTIONS):
        heard = np.full(8, (1 - sure) / 7)
        heard[k if right else (k + 1) % 8] = sure
        table.append({"corpus": "ravdess", "condition": "telephone", "fold": "1", "seed": 1, "emotion": emotion,
                      "speaker": f"ravdess-{k % 4:02d}",
                      **dict(zip(EMOTIONS, heard, strict=True)), "other": 0.1})  # fmt: skip
    return pd.DataFrame(table)


def test_who_is_always_right_is_hardly_ever_uncertain_and_who_is_always_wrong_nearly_always():
    assert threshold(rows(0.95, right=True), CALL_PRIOR) == 0.3
    assert threshold(rows(0.95, right=False), CALL_PRIOR) == 0.9


def test_the_threshold_is_the_lowest_at_which_four_of_five_are_right():
    surely_right, doubtful = rows(0.99, right=True), rows(0.3, right=False)
    level = threshold(pd.concat([surely_right, doubtful]), CALL_PRIOR)
    assert 0.3 < level < 0.9


LEARNED = (Clip(Path("a.wav"), "happy", "ravdess-01", "ravdess"), Clip(Path("b.flac"), "other", "music-1", "music"))
SHOUTED, SAID = Clip(Path("c.opus"), "angry", "nemo-1", "nemo"), Clip(Path("d.opus"), None, "ami-1", "ami")


def shipped_by(recipe: Recipe, front_end: FrontEnd, **other: object) -> Shipped:
    """Right in one fold, wrong in the other."""
    scored = pd.concat([rows(0.9, right=True), rows(0.9, right=False).assign(fold="2")])
    read = rows(0.9, right=True).assign(corpus="neutral-speech", emotion="neutral")
    left_out = rows(0.9, right=True).assign(corpus="nemo", fold="nemo")
    music = rows(0.9, right=True).assign(corpus="music", emotion="other", other=0.9)
    known = {
        "recipe": recipe,
        "settings": ModelSettings(recipe.name, "network.onnx", front_end, EVEN_PRIOR, CALL_PRIOR, 0.5, True),
        "rows": pd.concat([scored, read, left_out, music]),
        "learned": LEARNED,
        "taught": (),
        "weights": 1234567,
        "multiply_adds": 34_600_000,
        "speed": 1702.6,
        "machine": "Abacus 9000",
        "rounded_by": 55,
        "checked": 77,
        "largest_change": 0.0213,
        "decisions_kept": 0.98,
    }
    return Shipped(**{**known, **other})


@pytest.fixture
def accurate() -> Shipped:
    return shipped_by(ACCURATE, whisper.FRONT_END)


@pytest.fixture
def default() -> Shipped:
    """A clip that the heads learned from stood in a lesson as well; there it has no digest."""
    learned = (*LEARNED, replace(SHOUTED, audio="f" * 32))
    return shipped_by(
        DEFAULT, student.FRONT_END, learned=learned, taught=(SHOUTED, SAID), largest_change=0, decisions_kept=1
    )


def test_the_figures_of_the_card_are_counted_from_the_rows(accurate):
    found = recipe_card.figures(accurate)
    assert (found["uar_by_fold"], found["uar"]) == ({"1": 1.0, "2": 0.0}, 0.5)
    assert (found["other"], found["lost"]) == (1.0, 0.0)
    assert found["false_alarms_even"] == 0.5
    assert "recognises 50.0 % of the emotions of 4 actors whom it never heard" in found["on_strangers"]
    assert "RAVDESS, 2 folds, seeds 1" in found["on_strangers"]
    cried = found["false_alarms"]
    assert found["on_level_voices"].startswith(f"calls {100 * cried:.1f} % of the clips of calm readers sad")
    assert found["left_out"] == 1.0
    assert (found["weights_count"], found["multiply_adds"], found["speed"]) == (1234567, 34_600_000, 1703)


@pytest.mark.parametrize("model", ["accurate", "default"])
def test_a_card_states_score_cost_licences_and_command(model, request):
    text = recipe_card.card(request.getfixturevalue(model))
    assert text.startswith(f"# Model card: {model}\n")
    assert "(UAR) 0.500 through the telephone" in text
    assert "By fold: 1.000 0.000" in text
    assert "1,234,567 weights, 35 million multiply-adds" in text
    assert "1,703 times real time" in text and "Abacus 9000" in text
    assert "CC BY-NC-SA 4.0" in text
    assert f"--recipe {model} " in text
    assert "the four negative emotions together reach 0.5 (`--sensitivity normal`)" in text
    assert "no other emotion is the most probable and reaches 0.5" in text
    assert "{" not in text


def test_the_card_of_the_accurate_model_says_what_storing_it_small_changed_and_the_other_s_does_not(accurate, default):
    told = " ".join(recipe_card.card(accurate).split())
    assert "rounded by 55 clips of all corpora: on 77 other clips no probability changed by more than 0.021" in told
    assert "98% of the decisions stayed" in told
    assert "int8" not in recipe_card.card(default)


def test_the_card_of_a_taught_model_names_its_lessons_and_counts_each_clip_once(accurate, default):
    text = recipe_card.card(default)
    assert "ami 1, nemo 1" in text
    for corpus in ("ravdess", "music", "nemo", "ami"):
        assert f"- `{corpus}`, 1 clips." in text
    assert "`ami`" not in recipe_card.card(accurate)


def table(text: str) -> set[str]:
    return {line for line in text.splitlines() if line.startswith("|")}


def test_a_card_without_a_corpus_left_out_tells_nothing_of_one(default):
    """As those of students, who were taught from all corpora."""
    rows = default.rows[default.rows["fold"] != "nemo"]
    alone = replace(default, rows=rows)
    found = recipe_card.figures(alone)
    assert (found["left_out"], found["found"], found["cried"]) == (None, None, None)
    text, with_it = recipe_card.card(alone), recipe_card.card(default)
    assert "all of nEMO left out" in with_it
    assert "left out" not in text and "None" not in text
    assert table(with_it) - table(text) == {line for line in table(with_it) if "nEMO" in line or "| there, " in line}
    assert len(table(with_it) - table(text)) == 2


# With students

OF_FOLD = {fold: {f"ravdess-{actor}" for actor in actors} for fold, actors in RAVDESS_FOLDS.items()}


@dataclass
class Asked:
    """Whom students are taught from, and without whom; what is heard, by whom."""

    taught: dict[str, tuple[list[Clip], list[Clip], frozenset[str]]] = field(default_factory=dict)
    heard: list[str] = field(default_factory=list)
    halved: list[list[Clip]] = field(default_factory=list)
    ways: list[tuple[tuple[int, ...], tuple[str, ...]]] = field(default_factory=list)

    def student(self, clips, acted, without, cache, seed=1):
        name = f"student {len(self.taught) + 1}"
        self.taught[name] = (list(clips), list(acted), frozenset(without))
        return Encoder(name, student.FRONT_END, build_narrow_ear)

    def halved_encoder(self, clips, cache, seed=1):
        self.halved.append(list(clips))
        return Encoder("halved", whisper.FRONT_END, build_narrow_ear)

    def gather(self, clips, encoder, cache, seeds, conditions=()):
        self.heard.append(encoder.name)
        self.ways.append((tuple(seeds), tuple(conditions)))
        return make_material(list(clips))

    def heard_by(self, name: str) -> list[Clip]:
        """The clips that a student was taught from."""
        clips, acted, without = self.taught[name]
        return [*clips, *taught.heard_of(acted, without)]


def build_narrow_ear() -> keras.Model:
    """As many statistics as made-up material has."""
    frames = keras.layers.Input((None, student.FRONT_END.bands), name="frames")
    return keras.Model(frames, keras.layers.GlobalAveragePooling1D()(keras.layers.Dense(WIDTH)(frames)))


@pytest.fixture
def asked(monkeypatch):
    """Nobody is taught, and what is heard is made up."""
    found = Asked()
    monkeypatch.setattr(taught, "encoder", found.student)
    monkeypatch.setattr(halved, "encoder", found.halved_encoder)
    monkeypatch.setattr(ship.recipes, "gather", found.gather)
    monkeypatch.setattr(ship.recipes, "advised", lambda material, *_: material)
    return found


@pytest.fixture
def students(tmp_path) -> Ears:
    return Ears(tmp_path, *ship.course(everybody()))


def test_a_student_is_taught_from_lessons_and_from_the_actors_speech_and_song():
    others, actors = ship.course(everybody())
    assert {clip.corpus for clip in others} == {"nemo"}
    assert {clip.corpus for clip in actors} == {"ravdess", "ravdess-song"}
    assert {clip.speaker for clip in actors} == set().union(*OF_FOLD.values())


@pytest.mark.parametrize("recipe", [ACCURATE, DEFAULT], ids=lambda recipe: recipe.name)
def test_every_fold_is_in_one_group(recipe, students, tmp_path):
    ears = students if recipe is DEFAULT else Ears(tmp_path, [])
    assert sorted(fold for group in ears.groups for fold in group) == list(FOLDS)


def test_no_encoder_has_heard_an_actor_of_the_folds_that_it_scores(asked, students):
    for group in students.groups:
        known = {clip.speaker for clip in asked.heard_by(students.without(group).name)}
        assert not known & set().union(*(OF_FOLD[fold] for fold in group)), group
        others = {fold for fold in OF_FOLD if fold not in group}
        assert known >= set().union(*(OF_FOLD[fold] for fold in others)), "and all of the others"


@pytest.mark.parametrize("without", [*ship.STUDENT_GROUPS, (), (2,)])
def test_what_ears_say_that_a_student_heard_is_what_it_was_given(asked, students, without):
    assert students.taught(without) == asked.heard_by(students.without(without).name)


def test_students_are_scored_on_the_folds_whose_actors_they_have_not_heard(asked, students):
    found = ship.on_strangers(everybody(), students, DEFAULT, seeds=(1, 2))
    assert asked.heard == list(asked.taught) == [f"student {number + 1}" for number in range(len(FOLDS))]
    assert asked.ways == [((1, 2), ship.CONDITIONS)] * len(FOLDS)
    assert set(found.rows["fold"]) == set(found.trained_on) == set(map(str, FOLDS))
    assert len(found.calibrations) == 2 * len(FOLDS)
    refuse_leaks(found.rows, found.trained_on)
    for name, group in zip(asked.taught, ship.STUDENT_GROUPS, strict=True):
        known = {clip.speaker for clip in asked.heard_by(name)}
        for fold in map(str, group):
            scored = set(found.rows.loc[found.rows["fold"] == fold, "speaker"])
            assert OF_FOLD[int(fold)] < scored
            assert not scored & known
            assert found.trained_on[fold]["lessons"].speakers == known


def test_students_leave_no_corpus_out(asked, students):
    found = ship.on_strangers(everybody(), students, DEFAULT, seeds=(1,))
    assert not found.rows["corpus"].isin(["nemo"]).any()


#: Of a corpus that the halved encoder is taught from, and that nobody is scored on.
SOUND = Clip(Path("000001-13-1.opus"), "happy", "emogator-1", "emogator")


def test_the_halved_encoder_hears_all_folds_and_a_corpus_that_is_left_out(asked, tmp_path):
    found = ship.on_strangers(everybody(), Ears(tmp_path, [SOUND]), ACCURATE, seeds=(1,))
    assert (asked.heard, asked.halved, asked.taught) == (["halved"], [[SOUND]], {})
    assert set(found.rows["fold"]) == {*map(str, FOLDS), "nemo"}
    assert set(found.rows.loc[found.rows["fold"] == "nemo", "corpus"]) == {"nemo"}
    assert all(parts["lessons"].speakers == {"emogator-1"} for parts in found.trained_on.values())
    refuse_leaks(found.rows, found.trained_on)


def test_a_clip_of_the_corpus_left_out_among_the_lessons_of_the_halved_encoder_is_a_leak(asked, tmp_path):
    smuggled = next(clip for clip in everybody() if clip.corpus == "nemo")
    found = ship.on_strangers(everybody(), Ears(tmp_path, [SOUND, smuggled]), ACCURATE, seeds=(1,))
    with pytest.raises(Leak, match=f"{smuggled.speaker} stands in the lessons of fold nemo"):
        refuse_leaks(found.rows, found.trained_on)


def test_an_actor_among_the_other_clips_of_a_student_is_a_leak(asked, students):
    """The first course is given whole, whoever is left out of the second."""
    smuggled = next(clip for clip in students.actors if clip.speaker in OF_FOLD[2])
    leaky = replace(students, others=[*students.others, smuggled])
    found = ship.on_strangers(everybody(), leaky, DEFAULT, seeds=(1,))
    with pytest.raises(Leak, match=f"{smuggled.speaker} stands in the lessons of fold 2"):
        refuse_leaks(found.rows, found.trained_on)


def test_the_halved_encoder_is_taught_by_nobody_who_is_scored(asked, tmp_path, monkeypatch):
    monkeypatch.setattr(ship, "read_all", lambda _: [*everybody(), SOUND])
    ears = ship.ears_of(ACCURATE, tmp_path, tmp_path)
    assert ears.without(()).name == ears.without((1,)).name == "halved"
    assert ears.taught(()) == ears.taught((1,)) == [SOUND]


def test_the_default_model_never_hears_by_whisper_even_where_nothing_can_be_taught(tmp_path):
    with pytest.raises(UsageError, match="nothing to teach the student from"):
        Ears(tmp_path, *ship.course([])).without(())


@pytest.fixture
def made_quickly(monkeypatch):
    """Nothing is written or measured, and the corpora are made up; keeps what would be written."""
    written = []

    def write(folder, network, settings, clips, small):
        written.append((network, settings, small))
        return 0.0, 1.0

    monkeypatch.setattr(ship, "_write", write)
    monkeypatch.setattr(ship, "read_all", lambda _: everybody())
    monkeypatch.setattr(ship.recipes, "read_clips", lambda *_: everybody())
    monkeypatch.setattr(ship.cost, "multiply_adds", lambda *_: 34_600_000)
    monkeypatch.setattr(ship.cost, "speed", lambda _: 1702.6)
    monkeypatch.setattr(ship.cost, "machine", lambda: "Abacus 9000")
    return written


def test_a_last_student_who_heard_everybody_ships(asked, made_quickly, tmp_path):
    card = ship.ship(tmp_path, tmp_path / "cache", tmp_path / "model", tmp_path, DEFAULT)
    last = f"student {len(FOLDS) + 1}"
    assert asked.heard[-1] == last and len(asked.heard) == len(FOLDS) + 1
    others, actors, without = asked.taught[last]
    assert (others, actors) == ship.course(everybody())
    assert without == frozenset()
    ((network, settings, small),) = made_quickly
    assert network.output_shape == (None, 9)
    assert (settings.name, settings.front_end, settings.hears_other, small) == (
        "default",
        student.FRONT_END,
        True,
        False,
    )
    rows = read_rows(tmp_path / "default.csv.gz")
    assert set(rows["fold"]) == set(map(str, FOLDS))
    assert settings.uncertain_below == threshold(rows, DEFAULT.call_prior)
    assert settings.call_prior == DEFAULT.call_prior
    packaged = read_settings(find_model("default"))
    assert settings.sensitivities == packaged.sensitivities
    assert (settings.business_use, settings.licence) == (False, packaged.licence)
    assert {path.name for path in card.parent.iterdir()} == {"card.md", "metrics.json"}
    heard = Counter(clip.corpus for clip in (*others, *actors))
    told = ", ".join(f"{corpus} {count}" for corpus, count in sorted(heard.items()))
    assert told in card.read_text(encoding="utf-8")
    assert not list(tmp_path.glob("frozen*"))


def test_the_accurate_model_ships_with_the_encoder_that_was_scored(asked, made_quickly, tmp_path):
    card = ship.ship(tmp_path, tmp_path / "cache", tmp_path / "model", tmp_path, ACCURATE)
    assert (set(asked.heard), asked.taught) == ({"halved"}, {})
    assert [small for _, _, small in made_quickly] == [True]
    rows = read_rows(tmp_path / "accurate.csv.gz")
    assert set(rows["fold"]) == {*map(str, FOLDS), "nemo"}
    assert set(rows.loc[rows["fold"] != "nemo", "seed"]) == set(ship.SEEDS)
    assert "all of nEMO left out" in card.read_text(encoding="utf-8")


# As it ships it is compared on


def acted(actors: int, takes: int) -> list[Clip]:
    """Actor by actor and emotion by emotion, as folders are read, among clips of another corpus."""
    speech = [
        Clip(Path(f"{actor:02d}", f"{emotion}-{take}.flac"), emotion, f"ravdess-{actor:02d}", "ravdess")
        for actor in range(actors)
        for emotion in EMOTIONS
        for take in range(takes)
    ]
    return [*everybody_but_actors(), *speech, *everybody_but_actors()]


def everybody_but_actors() -> list[Clip]:
    return [clip for clip in everybody() if clip.corpus != "ravdess"]


def test_a_model_is_compared_on_so_many_clips_spread_over_everybody_and_every_emotion():
    clips = ship.compared(acted(actors=24, takes=7))
    assert len(clips) == len(set(clips)) == ship.CHECKED_CLIPS == 120
    assert {clip.corpus for clip in clips} == {"ravdess"}
    assert set(Counter(clip.speaker for clip in clips).values()) <= {4, 5, 6}
    assert len({clip.speaker for clip in clips}) == 24
    assert {clip.emotion for clip in clips} == set(EMOTIONS)


@pytest.mark.parametrize("actors", [0, 1, 15])
def test_where_there_are_no_more_all_are_compared(actors):
    clips = acted(actors, takes=1)
    assert len(clips) - 2 * len(everybody_but_actors()) <= ship.CHECKED_CLIPS
    assert ship.compared(clips) == [clip for clip in clips if clip.corpus == "ravdess"]


# As files

FRONT_END, WIDE = FrontEnd(rate=8000, bands=64, padded=False, frames=400), 1 + SMALLEST // 64


def build_wide_ear() -> keras.Model:
    """Means of many mixtures of bands: enough weights to be stored small."""
    frames = keras.layers.Input((None, FRONT_END.bands), name="frames")
    mixed = keras.layers.Dense(WIDE, activation="tanh", kernel_initializer=keras.initializers.GlorotUniform(1))(frames)
    return keras.Model(frames, keras.layers.GlobalAveragePooling1D()(mixed))


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> list[Clip]:
    folder = tmp_path_factory.mktemp("clips")
    return [
        Clip(write(folder / f"{k}.wav", voice(k, k % 8, 1)), EMOTIONS[k % 8], f"ravdess-{k:02d}", "ravdess")
        for k in range(24)
    ]


@pytest.fixture(scope="module")
def written(clips, tmp_path_factory):
    """The same network as the default and as the accurate model would be written, and what the check of each says."""
    random = np.random.default_rng(1)
    heads = Heads(*(Head(random.normal(size=(WIDE, n)).astype(np.float32), np.zeros(n, np.float32)) for n in (8, 2)))
    network = build_network(Encoder("wide", FRONT_END, build_wide_ear), heads, "own")
    settings = ModelSettings("own", "network.onnx", FRONT_END, EVEN_PRIOR, CALL_PRIOR, 0.5, True)
    folders = {small: tmp_path_factory.mktemp("model") for small in (False, True)}
    return {small: (folder, ship._write(folder, network, settings, clips, small)) for small, folder in folders.items()}


def test_the_default_model_goes_as_it_is_with_keras_s_own_files(written):
    folder, (change, kept) = written[False]
    assert {path.name for path in folder.iterdir()} == {
        "classifier.json", "network.onnx", "model.json", "model.weights.h5",
    }  # fmt: skip
    assert change == pytest.approx(0, abs=1e-5)
    assert kept == 1
    assert read_network(folder).output_shape == (None, 9)


def test_the_accurate_model_goes_small_alone_and_says_nearly_the_same(written):
    folder, (change, kept) = written[True]
    assert {path.name for path in folder.iterdir()} == {"classifier.json", "network.onnx"}
    exact = written[False][0]
    assert (folder / "network.onnx").stat().st_size < (exact / "network.onnx").stat().st_size / 2
    assert 0 < change <= release.TOLERANCE
    assert kept > 0.5


def test_a_network_that_says_something_else_than_the_exact_one_does_not_ship(written, clips, tmp_path):
    folder, _ = written[False]
    model = onnx.load(folder / "network.onnx")
    for one in model.graph.initializer:
        values = numpy_helper.to_array(one)
        if values.dtype == np.float32 and values.ndim == 2:
            one.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(values[::-1]), one.name))
    onnx.save(model, tmp_path / "exact.onnx")
    with pytest.raises(CannotWork, match="changes a probability"):
        ship.check(tmp_path / "exact.onnx", folder, clips)

"""A recipe learns from those whom it may hear, is scored on the others, and its network says the same."""

from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analyzer.emotions import EMOTIONS, OTHER
from tests.training.test_corpora import touch
from tests.training.tiny_ear import random_weights
from training import encoding, folds, music, recipe, whisper
from training.corpora import RAVDESS, RAVDESS_SONG, TESS, Clip
from training.evaluation_rows import COLUMNS, Heard, read_rows, refuse_leaks, write_rows
from training.folds import corpus_left_out, out_of_fold, together
from training.head import Head, posterior
from training.published import IVR, NEUTRAL_SPEECH, NON_SPEECH
from training.recipe import (
    DRAWN_ANEW,
    FIRST_SEED,
    FOLDS,
    SHORT_FROM,
    Advice,
    Calibration,
    Heads,
    Material,
    Recipe,
    Told,
    build_network,
    calibrate,
    deal,
    fit_adviser,
    fit_emotions,
    fit_heads,
    fit_other,
    gather,
    mean_calibration,
    tell,
)
from training.ship import Ears
from training.splits import RAVDESS_FOLDS, Leak

RECIPE = Recipe("own", other_shrinkage=0.5)
ACTORS = [f"{RAVDESS}-{number:02d}" for number in range(1, 25)]
OF_FOLD = {fold: {f"{RAVDESS}-{actor}" for actor in RAVDESS_FOLDS[fold]} for fold in RAVDESS_FOLDS}
EAR = whisper.encoder(1, (1,))
WAYS = (("telephone", 0), ("drawn", 1), ("drawn", 2))
WIDTH = 12


def everybody() -> list[Clip]:
    """A few clips of everything that the recipe takes."""
    clips = []
    for speaker in ACTORS:
        for number, emotion in enumerate(EMOTIONS, start=1):
            name = f"{number:02d}-01-01-01-{speaker[-2:]}.flac"
            sex = "male" if int(speaker[-2:]) % 2 else "female"
            clips.append(Clip(Path(f"03-01-{name}"), emotion, speaker, RAVDESS, sex=sex))
            if speaker != "ravdess-18" and number <= 6:
                clips.append(Clip(Path(f"03-02-{name}"), emotion, speaker, RAVDESS_SONG, sex=sex))
    for speaker in range(5):
        clips += [Clip(Path(f"{speaker}_{e}_1.opus"), e, f"nemo-{speaker}", "nemo") for e in EMOTIONS if e != "calm"]
    for speaker in range(11):
        clips += [
            Clip(Path(f"{speaker}-{k}.opus"), "neutral", f"neutral-speech-{speaker}", NEUTRAL_SPEECH) for k in "ab"
        ]
        clips.append(Clip(Path(f"{speaker}.wav"), OTHER, f"non-speech-{speaker}", NON_SPEECH))
    clips += [Clip(Path(f"vm-{k}.opus"), None, "ivr-asterisk_core_en", IVR) for k in range(3)]
    clips += [Clip(Path(f"music-1-{k:04d}.flac"), OTHER, f"music-1-{k // 10}", music.CORPUS) for k in range(60)]
    return [replace(clip, path=Path("corpora", clip.corpus, clip.path)) for clip in clips]


def make_material(clips: list[Clip], seed: int = 0, noise: float = 0.5) -> Material:
    """Statistics at random around a centre for each class; clips are heard as `gather` has them heard."""
    random = np.random.default_rng(seed)
    anew = [way for way in WAYS if way[1] > FIRST_SEED]
    rows = [(clip, *way) for way in WAYS for clip in clips if way not in anew or clip.corpus in DRAWN_ANEW]
    rows += [(clip, "short", FIRST_SEED) for clip in clips if clip.corpus in SHORT_FROM]
    rows += [(clip, condition, 0) for condition in ("studio", "amr") for clip in clips if clip.corpus == RAVDESS]
    heard, conditions, seeds = zip(*rows, strict=True)
    centres = np.random.default_rng(99).normal(size=(len(EMOTIONS) + 2, WIDTH)) * 1.5
    bare = Material(heard, np.empty(0), np.empty(0), np.array(conditions), np.array(seeds))
    found = centres[bare.classes] + random.normal(size=(len(rows), WIDTH)) * noise
    return replace(
        bare,
        statistics=found.astype(np.float32),
        lengths_s=random.uniform(1, 4, len(rows)),
        better=heard_better(clips),
    )


def heard_better(clips: list[Clip]) -> dict[Path, np.ndarray]:
    """What the adviser's encoder would hear of clips with a label; other centres, and more of them."""
    centres = np.random.default_rng(98).normal(size=(len(EMOTIONS), 2 * WIDTH)) * 1.5
    random = np.random.default_rng(97)
    return {
        clip.path: (centres[EMOTIONS.index(clip.emotion)] + random.normal(size=2 * WIDTH)).astype(np.float16)
        for clip in clips
        if clip.emotion in EMOTIONS
    }


@pytest.fixture(scope="module")
def material():
    return make_material(everybody())


@pytest.fixture(scope="module")
def scored(material):
    """All folds, one seed."""
    return out_of_fold(material, RECIPE, seeds=(1,))


@pytest.fixture(scope="module")
def heads(material):
    return fit_heads(material, RECIPE, 1)


def rows_of(material: Material, *conditions: str) -> Material:
    return material.of(np.isin(material.conditions, conditions))


def dealt_as_scored() -> dict[str, int]:
    """Folds of those who are scored, and of their songs."""
    return deal(clip for clip in everybody() if clip.corpus in folds.SCORED)


def same(first: Heads, second: Heads) -> bool:
    return equal(first.emotions, second.emotions) and equal(first.other, second.other)


def equal(first: Head, second: Head) -> bool:
    return np.array_equal(first.kernel, second.kernel) and np.array_equal(first.bias, second.bias)


# Folds of speakers


def test_actors_have_their_published_fold_and_those_without_one_have_none():
    dealt = deal(everybody())
    for fold in FOLDS:
        assert {speaker for speaker in dealt if speaker in ACTORS and dealt[speaker] == fold} == OF_FOLD[fold]
    assert not OF_FOLD[6] & set(dealt)
    assert set(dealt.values()) == set(FOLDS)


def test_the_others_are_dealt_evenly_corpus_by_corpus():
    by_corpus = defaultdict(Counter)
    dealt = deal(everybody())
    for corpus, speaker in {(clip.corpus, clip.speaker) for clip in everybody() if clip.speaker not in ACTORS}:
        by_corpus[corpus][dealt[speaker]] += 1
    for corpus, counts in by_corpus.items():
        shares = [counts[fold] for fold in FOLDS]
        assert max(shares) - min(shares) <= 1, corpus


def test_the_deal_depends_on_who_is_there_and_not_on_order_or_number_of_clips():
    clips = everybody()
    shuffled = [clips[k] for k in np.random.default_rng(1).permutation(len(clips))]
    assert deal(shuffled + shuffled[:100]) == deal(clips)


# Learning


def test_material_tells_classes_and_columns(material):
    few = material.of(np.isin(material.column("corpus"), [IVR, NON_SPEECH]))
    assert set(few.classes) == {-1, 8}
    assert set(few.column("sex")) == {""}
    assert set(few.column("emotion")) == {"", OTHER}
    assert len(few.clips) == len(few.statistics) == len(few.lengths_s) == len(few.conditions) == len(few.seeds) == 42
    assert set(rows_of(material, "studio").classes) == set(range(8))


def taken_away(material: Material, corpus: str, condition: str, seed: int) -> Material:
    """All but the copies of a corpus that were drawn so."""
    gone = (material.column("corpus") == corpus) & (material.conditions == condition) & (material.seeds == seed)
    assert gone.any()
    return material.of(~gone)


@pytest.mark.parametrize("seed", [1, 2])
def test_heads_learn_from_plain_copies_and_drawn_ones_and_from_nothing_that_is_scored_besides(material, seed):
    heads = fit_heads(material, RECIPE, seed)
    assert same(heads, fit_heads(rows_of(material, "telephone", "drawn", "short"), RECIPE, seed))


@pytest.mark.parametrize("corpus", DRAWN_ANEW)
@pytest.mark.parametrize(("seed", "other"), [(1, 2), (2, 1)])
def test_emotions_are_learned_from_copies_drawn_anew_of_their_own_seed_alone(material, corpus, seed, other):
    head = fit_emotions(material, RECIPE, seed, None)
    assert equal(head, fit_emotions(taken_away(material, corpus, "drawn", other), RECIPE, seed, None))
    assert not equal(head, fit_emotions(taken_away(material, corpus, "drawn", seed), RECIPE, seed, None))


@pytest.mark.parametrize("corpus", DRAWN_ANEW)
def test_what_is_speech_is_learned_from_the_first_seed_s_copies(material, corpus):
    head = fit_other(material, RECIPE)
    assert equal(head, fit_other(taken_away(material, corpus, "drawn", 2), RECIPE))
    assert not equal(head, fit_other(taken_away(material, corpus, "drawn", FIRST_SEED), RECIPE))
    assert equal(head, fit_heads(material, RECIPE, 2).other)


@pytest.mark.parametrize(
    ("corpus", "condition"),
    [("nemo", "drawn"), (NON_SPEECH, "drawn"), (music.CORPUS, "drawn"), (RAVDESS, "short"), (NON_SPEECH, "short")],
)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_what_is_drawn_once_is_learned_from_under_every_seed(material, corpus, condition, seed):
    heads = fit_heads(material, RECIPE, seed)
    assert not same(heads, fit_heads(taken_away(material, corpus, condition, FIRST_SEED), RECIPE, seed))


def test_another_seed_gives_other_heads(material):
    assert not same(fit_heads(material, RECIPE, 1), fit_heads(material, RECIPE, 2))


def test_short_pieces_teach_what_is_speech_and_no_emotion(material):
    heads = fit_heads(material, RECIPE, 1)
    without = fit_heads(material.of(material.conditions != "short"), RECIPE, 1)
    assert np.array_equal(heads.emotions.kernel, without.emotions.kernel)
    assert not np.array_equal(heads.other.kernel, without.other.kernel)


def test_drawn_copies_count_as_little_as_the_recipe_says(material):
    plain_alone = fit_heads(rows_of(material, "telephone"), RECIPE, 1).emotions.kernel
    kernels = [fit_heads(material, replace(RECIPE, drawn_weight=w), 1).emotions.kernel for w in (0, 0.01, 1)]
    far = [np.abs(kernel - plain_alone).max() for kernel in kernels]
    assert far[0] == 0
    assert far[1] < far[2] / 10


def test_a_corpus_without_weight_teaches_no_emotion_but_what_speech_is(material):
    weights = {name: weight for name, weight in RECIPE.weights.items() if name != "nemo"}
    with_it = fit_heads(material, replace(RECIPE, weights=weights), 1)
    without = fit_heads(material.of(material.column("corpus") != "nemo"), RECIPE, 1)
    assert np.array_equal(with_it.emotions.kernel, without.emotions.kernel)
    assert not np.array_equal(with_it.other.kernel, without.other.kernel)


def test_probabilities_are_eight_that_add_up_and_a_ninth_between_0_and_1(material):
    found = fit_heads(material, RECIPE, 1).probabilities(material.statistics)
    assert found.shape == (len(material.clips), 9)
    assert found[:, :8].sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert (found >= 0).all() and (found <= 1).all()
    no_speech = material.classes == 8
    assert np.median(found[no_speech, 8]) > 0.9 > 0.1 > np.median(found[~no_speech, 8])


def test_calibrated_heads_decide_the_same_and_are_as_sure_as_they_should_be():
    loud = make_material(everybody(), noise=2.5)
    learned, others = (loud.of(np.isin(loud.column("speaker"), sorted(OF_FOLD[2])) == held) for held in (False, True))
    heads = fit_heads(learned, RECIPE, 1)
    sure = heads.calibrated(Calibration(0.2, 0, 0.5))
    held_out = loud.of(loud.column("corpus") != RAVDESS_SONG)
    done = sure.calibrated(calibrate([tell(held_out, sure)]))
    for one, other in ((done.emotions, heads.emotions), (done.other, heads.other)):
        decided = (head.logits(others.statistics).argmax(axis=1) for head in (one, other))
        assert np.mean(np.equal(*decided)) > 0.999
    plain = rows_of(held_out, "telephone")
    acted = plain.of(plain.column("corpus") == RAVDESS)
    eight = done.probabilities(acted.statistics)[:, :8]
    right = eight.argmax(axis=1) == acted.classes
    assert eight.max(axis=1).mean() == pytest.approx(right.mean(), abs=0.06)


def test_heads_that_are_less_sure_already_need_less_cooling():
    unclear = make_material(everybody(), noise=4)
    heads = fit_heads(unclear, RECIPE, 1)
    first, second = (calibrate([tell(unclear, made)]) for made in (heads, heads.calibrated(Calibration(2, 0, 3))))
    assert first.temperature / second.temperature == pytest.approx(2, rel=0.02)
    assert first.other / second.other == pytest.approx(3, rel=0.02)
    assert first.doubt == pytest.approx(second.doubt, abs=0.01)


def test_every_group_that_heads_told_about_counts_by_its_clips(material, heads):
    told = [tell(material.of(np.isin(material.column("speaker"), sorted(OF_FOLD[fold]))), heads) for fold in (1, 2)]
    both = tell(material.of(np.isin(material.column("speaker"), sorted(OF_FOLD[1] | OF_FOLD[2]))), heads)
    for found, expected in zip(vars(calibrate(told)).values(), vars(calibrate([both])).values(), strict=True):
        assert found == pytest.approx(expected, rel=0.01, abs=1e-4)


def test_doubt_is_an_even_guess_among_the_emotions_and_none_about_speech(material, heads):
    few = material.statistics[:40]
    with_it = heads.calibrated(Calibration(1, 0.16, 1)).probabilities(few)
    without = heads.probabilities(few)
    assert with_it[:, :8] == pytest.approx(0.84 * without[:, :8] + 0.02, abs=1e-6)
    assert np.array_equal(with_it[:, 8], without[:, 8])


def test_what_several_folds_tell_is_the_mean_of_doubts_and_the_geometric_one_of_temperatures():
    found = mean_calibration([Calibration(2, 0.1, 1), Calibration(8, 0, 1), Calibration(4, 0.02, 27)])
    assert vars(found) == pytest.approx({"temperature": 4, "doubt": 0.04, "other": 3})


# Folds


class Watched:
    """Keeps who is learned from and on whom the heads are calibrated, by speakers."""

    def __init__(self) -> None:
        self.learned, self.advisers, self.calibrated = [], [], []
        self._knows = {}

    def fit_emotions(self, material: Material, *rest: object) -> Head:
        return self._made(fit_emotions(material, *rest), material)

    def fit_adviser(self, material: Material, recipe: Recipe) -> Head | None:
        self.advisers.append({clip.speaker for clip in material.clips})
        return fit_adviser(material, recipe)

    def fit_other(self, material: Material, *rest: object) -> Head:
        return self._made(fit_other(material, *rest), material)

    def fit_heads(self, material: Material, recipe: Recipe, seed: int) -> Heads:
        return Heads(self.fit_emotions(material, recipe, seed, None), self.fit_other(material, recipe))

    def tell(self, held_out: Material, heads: Heads) -> Told:
        known = self._knows[id(heads.emotions)][1] | self._knows[id(heads.other)][1]
        self.calibrated.append((known, {clip.speaker for clip in held_out.clips}))
        return tell(held_out, heads)

    def _made(self, head: Head, material: Material) -> Head:
        self.learned.append({clip.speaker for clip in material.clips})
        self._knows[id(head)] = head, self.learned[-1]
        return head


@pytest.fixture
def watched(monkeypatch):
    seen = Watched()
    for name in ("fit_emotions", "fit_adviser", "fit_other", "fit_heads", "tell"):
        monkeypatch.setattr(folds, name, getattr(seen, name))
    return seen


@pytest.mark.parametrize("fold", [2, 5])
def test_nobody_of_a_fold_is_learned_from_when_it_is_scored(material, watched, fold):
    found = out_of_fold(material, RECIPE, seeds=(1, 2), folds=(fold,))
    tested = set(found.rows["speaker"])
    assert OF_FOLD[fold] < tested
    others, seeds = 4, 2
    assert len(watched.learned) == (1 + others) * (seeds + 1), "of emotions for every seed, of speech once"
    for speakers in watched.learned:
        assert not speakers & tested
        assert OF_FOLD[6] < speakers, "actors without a fold are always learned from"
    most = max(watched.learned, key=len)
    assert most == {clip.speaker for clip in material.clips} - tested
    assert found.trained_on == {str(fold): {"training": Heard(frozenset(most))}}


@pytest.mark.parametrize("fold", [2, 5])
def test_a_fold_is_calibrated_on_each_other_one_by_heads_that_heard_neither(material, watched, fold):
    found = out_of_fold(material, RECIPE, seeds=(1, 2), folds=(fold,))
    others = [
        {speaker for speaker, dealt in dealt_as_scored().items() if dealt == other} for other in FOLDS if other != fold
    ]
    assert all(any(OF_FOLD[other] < speakers for speakers in others) for other in FOLDS if other != fold)
    assert len(found.calibrations) == 2
    assert [calibrated_on for _, calibrated_on in watched.calibrated] == 2 * others
    for known, calibrated_on in watched.calibrated:
        assert not known & (calibrated_on | set(found.rows["speaker"]))


def test_all_folds_at_once_give_what_each_gives_alone_from_fewer_heads(material, scored, watched):
    found = out_of_fold(material, RECIPE, seeds=(1, 2))
    assert len(found.calibrations) == 2 * len(FOLDS)
    pairs, alone, seeds = 10, len(FOLDS), 2
    assert len(watched.learned) == (pairs + alone) * (seeds + 1), "of emotions for every seed, of speech once"
    again = found.rows[found.rows["seed"] == 1].reset_index(drop=True)
    pd.testing.assert_frame_equal(again, scored.rows)


def test_every_clip_is_scored_once_by_the_fold_of_its_speaker(scored):
    dealt = dealt_as_scored()
    rows = scored.rows[scored.rows["condition"] == "telephone"]
    expected = {
        (clip.corpus, f"{clip.corpus}/{clip.path.name}", str(dealt[clip.speaker]))
        for clip in everybody()
        if clip.corpus in folds.SCORED and clip.speaker in dealt
    }
    assert set(rows[["corpus", "clip", "fold"]].itertuples(index=False, name=None)) == expected
    assert len(rows) == len(expected)
    assert set(scored.rows["condition"]) == {"telephone", "studio", "amr"}, "drawn copies are never scored"
    assert not scored.rows["corpus"].isin([RAVDESS_SONG, "nemo"]).any()


def test_the_rows_are_those_of_an_evaluation(scored, tmp_path):
    assert [name for name in scored.rows.columns if name != "audio"] == list(COLUMNS)
    assert scored.rows[list(EMOTIONS)].sum(axis=1).to_numpy() == pytest.approx(1, abs=1e-5)
    write_rows(tmp_path / "fake.csv.gz", scored.rows, scored.trained_on)
    assert len(read_rows(tmp_path / "fake.csv.gz")) == len(scored.rows)


def test_what_can_be_heard_is_heard_of_strangers_too(scored):
    acted = scored.rows[scored.rows["corpus"] == RAVDESS]
    assert (acted[list(EMOTIONS)].idxmax(axis=1) == acted["emotion"]).mean() > 0.9
    no_speech = scored.rows["emotion"] == OTHER
    assert ((scored.rows[OTHER] > 0.5) == no_speech).mean() > 0.95


def test_what_tells_only_the_speaker_helps_nobody_on_strangers():
    """Statistics that are one pattern a clip, the same in each way of hearing: known by heart or not at all."""
    clips = everybody()
    by_heart = np.random.default_rng(3).normal(size=(len(clips), WIDTH)).astype(np.float32)
    plain = make_material(clips)
    position = {id(clip): k for k, clip in enumerate(clips)}
    plain = replace(plain, statistics=by_heart[[position[id(clip)] for clip in plain.clips]])
    rows = out_of_fold(plain, RECIPE, seeds=(1,)).rows
    acted = rows[(rows["corpus"] == RAVDESS) & (rows["condition"] == "telephone")]
    assert (acted[list(EMOTIONS)].idxmax(axis=1) == acted["emotion"]).mean() < 0.25


def test_the_same_folds_give_the_same_rows(material, scored):
    again = out_of_fold(material, RECIPE, seeds=(1,), folds=(3,))
    pd.testing.assert_frame_equal(again.rows, scored.rows[scored.rows["fold"] == "3"].reset_index(drop=True))


@pytest.mark.parametrize("speaker", ["ravdess-04", "neutral-speech-1", "music-1-2"])
def test_a_planted_leak_is_refused(material, speaker):
    """Somebody is scored in fold 2 although its heads learned from them."""
    honest = out_of_fold(material, RECIPE, seeds=(1,), folds=(2,))
    refuse_leaks(honest.rows, honest.trained_on)
    (one,) = material.of((material.column("speaker") == speaker) & (material.conditions == "telephone")).clips[:1]
    planted = honest.rows.iloc[:1].assign(
        corpus=one.corpus, clip=f"{one.corpus}/{one.path.name}", speaker=speaker, fold="2"
    )
    heard = honest.trained_on["2"]["training"]
    leaky = {"2": {"training": replace(heard, speakers=heard.speakers | {speaker})}}
    with pytest.raises(Leak, match=f"speaker {speaker} stands in the training of fold 2"):
        refuse_leaks(pd.concat([honest.rows, planted]), leaky)


def test_who_was_scored_and_stood_in_a_lesson_is_refused(material):
    """The encoder was taught from somebody: an emotion or none, they are no stranger to it."""
    (taught, *_) = (clip for clip in everybody() if clip.speaker == sorted(OF_FOLD[2])[0])
    harmless = [clip for clip in everybody() if clip.corpus == "nemo"]
    honest = out_of_fold(material, RECIPE, seeds=(1,), folds=(2,), lessons=harmless)
    refuse_leaks(honest.rows, honest.trained_on)
    assert honest.trained_on["2"]["lessons"].speakers == {clip.speaker for clip in harmless}
    leaky = out_of_fold(material, RECIPE, seeds=(1,), folds=(2,), lessons=[*harmless, taught])
    pd.testing.assert_frame_equal(leaky.rows, honest.rows)
    with pytest.raises(Leak, match=f"speaker {taught.speaker} stands in the lessons of fold 2"):
        refuse_leaks(leaky.rows, leaky.trained_on)


def test_the_same_audio_under_two_speakers_is_refused():
    """The second copy of a clip stands in another fold under another name, as copies on the web do."""
    clips = everybody()
    clips = [replace(clip, audio=f"{k:032x}") for k, clip in enumerate(clips)]
    (original,) = (clip for clip in clips if clip.path.name == "0-a.opus")
    clips.append(replace(original, path=Path("copy.opus"), speaker="neutral-speech-copy"))
    found = out_of_fold(make_material(clips), RECIPE, seeds=(1,))
    with pytest.raises(Leak, match="audio"):
        refuse_leaks(found.rows, found.trained_on)


def test_clips_of_one_name_in_two_folders_can_be_told_apart(tmp_path):
    """As `music.opus` of non_speech, which two collections have."""
    clips = everybody()
    clips += [
        Clip(Path(f"{where}/music.opus"), OTHER, f"non-speech-{where}", NON_SPEECH) for where in ("tones", "hold")
    ]
    found = out_of_fold(make_material(clips), RECIPE, seeds=(1,))
    write_rows(tmp_path / "fake.csv.gz", found.rows, found.trained_on)


# A corpus left out


def test_a_corpus_that_is_left_out_is_heard_whole_and_taught_nothing(material, watched, tmp_path):
    found = corpus_left_out(material, RECIPE, seed=1)
    assert len(watched.learned) == 2 * 2, "emotions and speech, to calibrate and to score"
    for speakers in watched.learned:
        assert not any(speaker.startswith("nemo-") for speaker in speakers)
    ((known, calibrated_on),) = watched.calibrated
    assert OF_FOLD[1] < calibrated_on
    assert not known & calibrated_on
    assert not any(speaker.startswith("nemo-") for speaker in calibrated_on)
    assert set(found.rows["corpus"]) == set(found.rows["fold"]) == {"nemo"}
    assert len(found.rows) == sum(clip.corpus == "nemo" for clip in everybody())
    write_rows(tmp_path / "fake.csv.gz", found.rows, found.trained_on)
    heard = found.trained_on["nemo"]["training"]
    with pytest.raises(Leak, match="nemo-3"):
        refuse_leaks(found.rows, {"nemo": {"training": replace(heard, speakers=heard.speakers | {"nemo-3"})}})


def test_a_corpus_that_is_left_out_stands_in_no_lesson_either(material):
    lessons = [clip for clip in everybody() if clip.corpus in ("nemo", RAVDESS_SONG)]
    others = [clip for clip in lessons if clip.corpus != "nemo"]
    honest, leaky = (corpus_left_out(material, RECIPE, seed=1, lessons=taught) for taught in (others, lessons))
    refuse_leaks(honest.rows, honest.trained_on)
    with pytest.raises(Leak, match="nemo-0 stands in the lessons of fold nemo"):
        refuse_leaks(leaky.rows, leaky.trained_on)


def test_several_runs_together_keep_their_rows_and_their_guards(material, scored, tmp_path):
    whole = together(scored, corpus_left_out(material, RECIPE, seed=1))
    assert len(whole.calibrations) == len(FOLDS)
    assert set(whole.trained_on) == set(whole.rows["fold"]) == {*map(str, FOLDS), "nemo"}
    write_rows(tmp_path / "fake.csv.gz", whole.rows, whole.trained_on)


# From clips to a network


@pytest.fixture
def no_real_weights(monkeypatch):
    monkeypatch.setattr(whisper, "load_weights", lambda: random_weights(1))


@pytest.mark.usefixtures("no_real_weights")
def test_the_network_says_what_encoder_and_heads_say():
    random = np.random.default_rng(0)
    width = 2 * whisper.WIDTH
    frames = random.normal(size=(5, 70, 80)).astype(np.float32) * 0.5
    encoder = whisper.build_encoder(random_weights(1), 1, (1,))
    statistics = np.asarray(encoder(frames))
    heads = Heads(
        *(
            Head(random.normal(size=(width, n)).astype(np.float32) * 0.02, np.arange(n) * np.float32(0.2))
            for n in (8, 2)
        )
    )
    network = build_network(whisper.encoder(1, (1,)), heads, "own")
    expected = heads.probabilities(statistics)
    assert np.asarray(network(frames)) == pytest.approx(expected, abs=1e-4)
    assert expected.std(axis=0).min() > 1e-3, "or nothing was compared"
    assert (network.name, network.output_shape) == ("own", (None, 9))


def test_all_clips_are_heard_through_the_plain_line_and_a_drawn_one_ravdess_as_wished_besides(tmp_path, monkeypatch):
    """Copies of nEMO, and short pieces, are drawn under the first seed whichever are asked for."""
    asked = []

    def hear(clips, condition, network, front_end, cache, seed):
        asked.append((clips[0].corpus, condition, seed, len(clips)))
        assert (network, front_end, cache) == ("ear.onnx", EAR.front_end, tmp_path)
        statistics = np.full((len(clips), 3), len(asked), np.float32)
        digested = tuple(replace(clip, audio=clip.path.name) for clip in clips)
        return encoding.Heard(digested, statistics, np.ones(len(clips), np.float32))

    monkeypatch.setattr(encoding, "encoder_file", lambda *_: "ear.onnx")
    monkeypatch.setattr(encoding, "hear", hear)
    clips = [clip for clip in everybody() if clip.corpus in (RAVDESS, "nemo")]
    found = gather(clips, EAR, tmp_path, seeds=(4, 5), conditions=("studio", "gsm"))
    ways = (("telephone", 0), ("drawn", 4), ("drawn", 5), ("short", FIRST_SEED), ("studio", 0), ("gsm", 0))
    assert asked == [
        *[("nemo", *way, 35) for way in (("telephone", 0), ("drawn", FIRST_SEED))],
        *[(RAVDESS, *way, 192) for way in ways],
    ]
    assert found.statistics.shape == (2 * 35 + 6 * 192, 3)
    assert all(clip.audio == clip.path.name for clip in found.clips)
    for corpus, condition, seed, number in zip(
        found.column("corpus"), found.conditions, found.seeds, found.statistics[:, 0], strict=True
    ):
        assert (corpus, condition, seed) == asked[int(number) - 1][:3]


@pytest.fixture
def asked(monkeypatch):
    """Corpus, condition and seed of all that is heard; it is made up."""
    found = []

    def hear(clips, condition, network, front_end, cache, seed):
        found.append((clips[0].corpus, condition, seed))
        return encoding.Heard(tuple(clips), np.zeros((len(clips), 3), np.float32), np.ones(len(clips)))

    monkeypatch.setattr(encoding, "encoder_file", lambda *_: "ear.onnx")
    monkeypatch.setattr(encoding, "hear", hear)
    return found


def test_only_ravdess_and_its_song_are_drawn_anew_for_every_seed(asked, tmp_path):
    """Asked for as a generator, which can be gone through once."""
    gather(everybody(), EAR, tmp_path, iter((4, 5)))
    drawn = defaultdict(list)
    for corpus, condition, seed in asked:
        drawn[corpus] += [seed] if condition == "drawn" else []
    assert drawn == {
        corpus: [4, 5] if corpus in (RAVDESS, RAVDESS_SONG) else [FIRST_SEED]
        for corpus in {clip.corpus for clip in everybody()}
    }


def test_short_pieces_are_heard_once_of_whom_is_taken_for_a_noise_without(asked, tmp_path):
    gather(everybody(), EAR, tmp_path, (4, 5))
    short = [(corpus, seed) for corpus, condition, seed in asked if condition == "short"]
    assert sorted(short) == sorted((corpus, FIRST_SEED) for corpus in SHORT_FROM)


# Advice


def advised(share: float) -> Recipe:
    return replace(RECIPE, advice=Advice(share, shrinkage=0.6, penalty=0.05))


def advised_head(material: Material, share: float) -> Head:
    return fit_emotions(material, advised(share), 1, fit_adviser(material, advised(share)))


def test_the_head_is_between_the_discriminant_and_who_follows_advice(material):
    alone, half, follower = (advised_head(material, share) for share in (0, 0.5, 1))
    assert half.kernel == pytest.approx((alone.kernel + follower.kernel) / 2, abs=1e-5)
    assert half.bias == pytest.approx((alone.bias + follower.bias) / 2, abs=1e-4)
    assert not np.allclose(alone.kernel, follower.kernel)


def test_who_follows_says_what_the_adviser_says(material):
    """About clips that neither has heard, where the follower's own statistics tell as much."""
    tested = np.isin(material.column("speaker"), list(OF_FOLD[1]))
    follower = advised_head(material.of(~tested), 1.0)
    told = material.of(tested & (material.conditions == "telephone") & (material.column("corpus") == RAVDESS))
    assert np.mean(follower.logits(told.statistics).argmax(axis=1) == told.classes) > 0.95


def test_nothing_is_asked_about_clips_that_are_left_out(material):
    """Neither the adviser nor who follows has heard of them, whatever was heard of them elsewhere."""
    tested = np.isin(material.column("speaker"), list(OF_FOLD[1]))
    left_out = {clip.path for clip in material.of(tested).clips}
    garbled = {path: found if path not in left_out else found * np.nan for path, found in material.better.items()}
    kept = material.of(~tested)
    assert equal(advised_head(kept, 0.5), advised_head(replace(kept, better=garbled), 0.5))


def test_an_adviser_has_heard_nobody_who_is_scored_and_advises_under_every_seed(material, watched):
    found = out_of_fold(material, advised(0.5), seeds=(1, 2), folds=(2,))
    tested, others = set(found.rows["speaker"]), 4
    assert max(watched.advisers, key=len) == {clip.speaker for clip in material.clips} - tested
    assert len(watched.advisers) == 1 + others
    assert not any(speakers & tested for speakers in watched.advisers)


def test_what_is_heard_better_changes_advice_alone(material):
    random = np.random.default_rng(0)
    other = {path: random.normal(size=len(found)) for path, found in material.better.items()}
    changed = replace(material, better=other)
    assert equal(advised_head(material, 0), advised_head(changed, 0))
    assert not equal(advised_head(material, 0.5), advised_head(changed, 0.5))


def test_what_a_corpus_weighs_to_who_follows_is_known_for_all_that_teach():
    assert set(recipe.ACCURATE.weights) == set(recipe.DEFAULT.weights) == set(recipe.FOLLOWED)


def test_the_adviser_hears_every_clip_with_a_label_once_through_the_plain_line(tmp_path, monkeypatch):
    asked = []

    def hear(clips, condition, network, front_end, cache, seed):
        if network == "whisper-base-5-1235-loud.onnx":
            asked.append((clips[0].corpus, condition, len(clips), {clip.corpus for clip in clips}))
            assert (seed, front_end, cache) == (0, whisper.FRONT_END, tmp_path)
        found = np.arange(len(clips))[:, None] + np.zeros((1, 3), np.float32)
        return encoding.Heard(tuple(clips), found, np.ones(len(clips), np.float32))

    monkeypatch.setattr(encoding, "encoder_file", lambda ear, _: f"{ear.name}.onnx")
    monkeypatch.setattr(encoding, "hear", hear)
    clips = everybody()
    found = Ears(tmp_path, []).hear(clips, EAR, recipe.ACCURATE, (1, 2)).better
    labelled = [clip for clip in clips if clip.emotion in EMOTIONS]
    own = Counter(clip.corpus for clip in labelled)
    assert asked == [(corpus, "telephone", own[corpus], {corpus}) for corpus in sorted(own)]
    assert set(found) == {clip.path for clip in labelled}
    last = [clip for clip in labelled if clip.corpus == RAVDESS][-1]
    assert found[last.path].tolist() == [own[RAVDESS] - 1] * 3


def test_nobody_else_hears_the_clips_where_no_advice_is_taken(asked, tmp_path):
    assert not Ears(tmp_path, []).hear(everybody(), EAR, replace(RECIPE, advice=None), (1,)).better
    assert set(Counter(asked).values()) == {1}, "and nothing is heard twice"


@pytest.fixture
def corpora(tmp_path, monkeypatch):
    """A folder with a clip or a few of many corpora; music is made up quickly."""
    monkeypatch.setattr(recipe, "MUSIC_CLIPS", 3)
    monkeypatch.setattr(music, "make_music", lambda *_: np.zeros(80, np.float32))
    folder = tmp_path / "corpora"
    touch(folder / "ravdess", "03-01-05-02-01-01-01.flac")
    touch(folder / "ravdess_song", "03-02-05-02-01-01-01.flac")
    touch(folder / "nemo", "KS0_anger_12.opus")
    for number in range(9):
        touch(folder / "tess" / "OAF_angry", f"OAF_word{number}_angry.opus")
    touch(folder / "emogator", "000357-13-1.opus")
    touch(folder / "non_speech" / "ivr" / "asterisk_core_en", "vm-review.opus")
    return folder


def test_the_recipe_s_corpora_and_made_up_music_are_read_and_no_others(corpora, tmp_path):
    clips = recipe.read_clips(corpora, tmp_path / "cache", replace(RECIPE, weights={RAVDESS: 1, "nemo": 0.1}))
    assert Counter(clip.corpus for clip in clips) == {RAVDESS: 1, "nemo": 1, IVR: 1, music.CORPUS: 3}


def test_of_a_corpus_with_many_clips_of_few_people_every_so_many_are_read(corpora, tmp_path, monkeypatch):
    monkeypatch.setattr(recipe, "EVERY", {TESS: 4})
    clips = recipe.read_clips(corpora, tmp_path / "cache", RECIPE)
    assert [clip.path.stem for clip in clips if clip.corpus == TESS] == [f"OAF_word{k}_angry" for k in (0, 4, 8)]
    assert Counter(clip.corpus for clip in clips) == {
        RAVDESS: 1, RAVDESS_SONG: 1, "nemo": 1, TESS: 3, IVR: 1, music.CORPUS: 3
    }  # fmt: skip


def test_posterior_of_two_is_the_logistic_of_their_difference():
    logits = np.random.default_rng(0).normal(size=(10, 2))
    assert posterior(logits)[:, 1] == pytest.approx(1 / (1 + np.exp(logits[:, 0] - logits[:, 1])))

"""Evaluation: figures match their definitions, leaks are refused, and the report covers everything it was made from."""

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score, recall_score

from analyzer.emotions import CALL_PRIOR, EMOTIONS, EVEN_PRIOR
from analyzer.errors import UsageError
from training import evaluation_measures as measures
from training import evaluation_tables as tables
from training.cli import main
from training.corpora import Clip
from training.evaluation import evaluate
from training.evaluation_rows import COLUMNS, TrainingData, read_rows, read_trained_on, refuse_leaks, write_rows
from training.splits import RAVDESS_FOLDS, Leak

FOLD_OF = {f"ravdess-{actor}": str(fold) for fold, actors in RAVDESS_FOLDS.items() if fold < 6 for actor in actors}


def row(acted: str, predicted: str, confidence: float = 0.9, **others: object) -> dict:
    """A row in which one emotion has the probability `confidence`, and the other seven share the rest."""
    eight = dict.fromkeys(EMOTIONS, (1 - confidence) / 7) | {predicted: confidence}
    made = {"corpus": "x", "clip": "1", "speaker": "x-1", "sex": "", "emotion": acted, "fold": "1", "seed": 1}
    return {**made, "condition": "telephone", "length_s": 2.0, **eight, "other": np.nan, **others}


def frame(*rows: dict) -> pd.DataFrame:
    """Return rows of different clips as a table, as read_rows does."""
    numbered = [{**one, "clip": str(number)} if one["clip"] == "1" else one for number, one in enumerate(rows)]
    return pd.DataFrame(numbered, columns=list(COLUMNS))


def many(skill: float, seed: int, conditions=("studio", "telephone"), copies: int = 1, with_other=True) -> pd.DataFrame:
    """Rows of all kinds from a model that recognises a share `skill` of the clips, with about that confidence."""
    random = np.random.default_rng(seed)
    clips = [
        ("ravdess", f"03-01-{e + 1:02d}-01-01-{take:02d}-{name[-2:]}", name, e, fold)
        for name, fold in FOLD_OF.items()
        for e in range(8)
        for take in range(copies)
    ]
    six = [e for e, emotion in enumerate(EMOTIONS) if emotion not in ("calm", "disgust")]
    clips += [("nemo", f"{s}-{e}-{t}", f"nemo-{s}", e, "nemo") for s in range(9) for e in six for t in range(copies)]
    clips += [("neutral-speech", f"{s}-{t}", f"neutral-speech-{s}", 0, str(s % 5 + 1)) for s in range(20) for t in "ab"]
    clips += [("ami", f"{s}", f"ami-{s}", None, str(s % 5 + 1)) for s in range(20)]
    clips += [("non-speech", f"{s}", "", "other", str(s % 5 + 1)) for s in range(20)]
    found = []
    for corpus, clip, speaker, emotion, fold in clips:
        for condition in conditions if corpus == "ravdess" else ("telephone",):
            truth = emotion if isinstance(emotion, int) else 0
            logits = random.normal(size=8)
            logits[truth if random.random() < skill else random.integers(8)] += 3
            eight = np.exp(logits) / np.exp(logits).sum()
            sound = random.beta(8, 2) if emotion == "other" else random.beta(1, 9)
            label = EMOTIONS[emotion] if isinstance(emotion, int) else emotion or ""
            sex = ("female", "male")[int(speaker[-2:]) % 2] if corpus == "ravdess" else ""
            key = (corpus, clip, speaker, sex, label, fold, 1, condition, random.uniform(0.8, 4))
            found.append((*key, *eight, sound if with_other else np.nan))
    return pd.DataFrame(found, columns=list(COLUMNS))


# Measures


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), min_size=1, max_size=30))
def test_the_measures_are_those_of_scikit_learn(pairs):
    truth, predicted = zip(*pairs, strict=True)
    found = tables.scored(frame(*(row(EMOTIONS[t], EMOTIONS[h]) for t, h in pairs)))
    acted = sorted(set(truth))
    options = {"labels": acted, "average": "macro", "zero_division": 0}
    assert found["uar"] == pytest.approx(recall_score(truth, predicted, **options))
    assert found["macro_f1"] == pytest.approx(f1_score(truth, predicted, **options))
    assert found["accuracy"] == pytest.approx(accuracy_score(truth, predicted))


def test_seeds_are_averaged_and_not_pooled_as_clips():
    first = [row("happy", "happy"), row("sad", "happy")]
    second = [{**row("happy", "happy"), "seed": 2}, {**row("sad", "sad"), "seed": 2}]
    both = pd.concat([frame(*first), frame(*second)])
    found = tables.scored(both)
    assert (found["uar"], found["clips"], found["seeds"]) == (0.75, 2, 2)


def test_an_interval_holds_its_figure_is_repeatable_and_wide_where_speakers_differ():
    def scored(right_of_speaker: tuple[float, ...]) -> dict:
        rows = [
            row("happy", "happy" if take < 10 * right else "sad", speaker=f"x-{speaker}")
            for speaker, right in enumerate(right_of_speaker)
            for take in range(10)
        ]
        return tables.scored(frame(*rows))

    alike, apart = scored((0.5,) * 8), scored((1.0, 0.0) * 4)
    assert alike["uar"] == apart["uar"] == 0.5
    assert alike["uar_low"] < 0.5 < alike["uar_high"]
    assert apart["uar_high"] - apart["uar_low"] > 1.5 * (alike["uar_high"] - alike["uar_low"])
    assert scored((0.5,) * 8) == alike


def test_posteriors_are_moved_by_the_ratio_of_the_priors():
    even = np.array([[0.2, 0.1, 0.1, 0.1, 0.3, 0.1, 0.05, 0.05]])
    assert measures.moved(even, EVEN_PRIOR) == pytest.approx(even)
    found = measures.moved(even, CALL_PRIOR)[0]
    assert found.sum() == pytest.approx(1)
    assert found[0] / found[4] == pytest.approx(0.2 * CALL_PRIOR[0] / (0.3 * CALL_PRIOR[4]))


def test_the_calibration_error_is_the_weighted_gap_of_the_bins():
    # Six clips at 0.9, three right: gap 0.4. Four at 0.5, all right: gap 0.5.
    found = pd.DataFrame(
        {"confidence": [0.9] * 6 + [0.5] * 4, "correct": [True] * 3 + [False] * 3 + [True] * 4, "seed": 1}
    )
    assert measures.expected_calibration_error(found) == pytest.approx(0.6 * 0.4 + 0.4 * 0.5)


def test_calibration_is_measured_under_the_shares_of_the_clips():
    # Eight of ten clips are happy. Under an even prior, happy and sad have 0.5 each; happy then has 0.8.
    eight = dict.fromkeys(EMOTIONS, 0.0) | {"happy": 0.5, "sad": 0.5}
    rows = frame(*({**row(acted, "happy"), **eight} for acted in ["happy"] * 8 + ["sad"] * 2))
    found = tables.calibration({"m": rows}, "x").set_index("fold").loc["all"]
    assert found["confidence"] == pytest.approx(0.8, abs=1e-6)
    assert found["accuracy"] == 0.8
    assert found["ece"] == pytest.approx(0, abs=1e-6)


def test_accuracy_at_a_coverage_is_that_of_the_surest_clips():
    found = pd.DataFrame({"confidence": [0.9, 0.8, 0.7, 0.6], "correct": [True, True, False, False]})
    accuracy, threshold = measures.surest(found, (1.0, 0.75, 0.5))
    assert accuracy == pytest.approx([0.5, 2 / 3, 1])
    assert threshold == pytest.approx([0.6, 0.7, 0.8])


def test_clips_that_are_equally_sure_are_kept_in_parts_whatever_their_order():
    found = pd.DataFrame({"confidence": [0.9] * 4, "correct": [True, False, False, False]})
    for order in (found, found[::-1]):
        assert measures.surest(order, (1.0, 0.5))[0] == pytest.approx([0.25, 0.25])


# Tables


def test_the_mean_over_folds_counts_each_fold_alike():
    rows = frame(
        row("happy", "happy"),
        row("happy", "happy"),
        row("happy", "happy"),
        row("happy", "sad", fold="2", speaker="x-2"),
    )
    found = tables.by_fold({"m": rows}, "x").set_index("fold")["uar"]
    assert (found["1"], found["2"], found["mean"]) == (1, 0, 0.5)
    assert np.isnan(found["3"])


def test_sexes_and_lengths_are_told_apart():
    rows = frame(
        row("happy", "happy", sex="female", length_s=1.49),
        row("happy", "sad", sex="male", length_s=1.5),
        row("sad", "sad", sex="male", length_s=2.5),
        row("sad", "sad", sex="male", length_s=2.51),
    )
    assert tables.by_sex({"m": rows}, "x")["uar"].tolist() == [1, 0.5]
    assert tables.by_length({"m": rows}, "x")[["clips", "uar"]].values.tolist() == [[1, 1], [2, 0.5], [1, 1]]


def test_each_emotion_has_recall_precision_and_f1():
    rows = frame(row("happy", "happy"), row("happy", "sad"), row("sad", "sad"))
    found = tables.by_emotion({"m": rows}, "x").set_index("emotion")
    assert found.loc["sad", ["clips", "recall", "precision"]].tolist() == [1, 1, 0.5]
    assert found.loc["sad", "f1"] == pytest.approx(2 / 3)
    assert np.isnan(found.loc["calm", "recall"])


def test_the_confusion_matrix_has_what_is_acted_in_rows():
    found = tables.confusion({"m": frame(row("happy", "sad"), row("happy", "sad"))}, "x")
    cell = found[(found["acted"] == "happy") & (found["predicted"] == "sad")].iloc[0]
    assert (cell["clips"], cell["share"]) == (2, 1) and found["clips"].sum() == 2


def left_out_rows(corpus, *pairs):
    """Rows of a left-out corpus from tuples of acted emotion, recognised emotion, and its probability."""
    return [
        row(acted, found, share, corpus=corpus, fold=corpus, clip=f"{k}")
        for k, (acted, found, share) in enumerate(pairs)
    ]


def test_a_corpus_left_out_is_scored_by_a_threshold_from_the_others():
    others = left_out_rows("banglaser", *(("neutral", "angry", 0.3 + k / 100) for k in range(40)))
    rows = left_out_rows(
        "nemo", ("angry", "angry", 0.95), ("fearful", "sad", 0.6), ("neutral", "sad", 0.8), ("neutral", "neutral", 0.9),
        ("happy", "calm", 0.9),
    )  # fmt: skip
    found = tables.left_out({"m": frame(*others, *rows)}).set_index("corpus").loc["nemo"]
    assert found["clips"] == 5
    # The threshold is the 95th percentile of neutral clips of the other corpus: angry with 0.67, under an even prior.
    assert (found["found"], found["false"]) == (0.5, 0.5)
    assert found["roc_area"] == pytest.approx(3 / 4)
    alone = tables.left_out({"m": frame(*rows)}).iloc[0]
    assert np.isnan(alone["found"])
    assert alone["roc_area"] == pytest.approx(3 / 4)


def test_meld_takes_no_part_in_any_threshold():
    level = left_out_rows("meld", *(("neutral", "angry", 0.5) for _ in range(9)))
    assert np.isnan(tables.normal_threshold("m", frame(*level)))
    assert tables.calibrated_on("open-accurate") == ("crema-d", "banglaser")


def test_speech_of_a_corpus_left_out_that_is_dropped_is_counted():
    rows = frame(*(row("sad", "sad", corpus="nemo", fold="nemo", other=share) for share in (0.1, 0.6, 0.2, 0.3)))
    assert tables.left_out({"m": rows})["dropped"].tolist() == [0.25]


def test_the_roc_area_is_the_share_of_pairs_in_the_right_order():
    out = {"corpus": "nemo", "fold": "nemo"}
    rows = frame(
        *(row("angry", "angry", c, **out) for c in (0.9, 0.5)), *(row("calm", "sad", c, **out) for c in (0.7, 0.3))
    )
    assert tables.left_out({"m": rows})["roc_area"].iloc[0] == pytest.approx(3 / 4)


def test_a_corpus_is_scored_among_the_emotions_that_it_has():
    out = {"corpus": "nemo", "fold": "nemo"}
    of_out = frame({**row("happy", "calm", 0.5, **out), "happy": 0.4}, row("sad", "sad", **out))
    assert tables.left_out({"m": of_out})["uar"].tolist() == [1]
    of_folds = frame({**row("happy", "calm", 0.5), "happy": 0.4}, row("sad", "sad"))
    assert tables.by_corpus({"m": of_folds})["uar"].tolist() == [1]


def test_the_calibration_error_of_a_corpus_left_out_is_among_its_emotions():
    out = {"corpus": "nemo", "fold": "nemo"}
    rows = frame(
        *({**row("happy", "happy", 0.6, **out), "sad": 0.2} for _ in range(3)), row("sad", "sad", 0.999, **out)
    )
    confidence = (3 * 0.6 / 0.8 + 1) / 4
    assert tables.left_out({"m": rows})["calibration_error"][0] == pytest.approx(1 - confidence, abs=0.01)


def test_false_alarms_are_counted_by_time_on_speech_in_which_nobody_acts():
    read = {"corpus": "read"}
    level = left_out_rows("nemo", *(("neutral", "neutral", 0.5) for _ in range(9)))
    rows = frame(
        *level,
        row("", "angry", 0.99, length_s=1.0, **read),
        row("", "neutral", 0.9, length_s=3.0, **read),
        row("", "neutral", 0.99, length_s=4.0, **read),
        row("neutral", "disgust", 0.99, corpus="labelled", length_s=1.0),
        row("calm", "neutral", 0.99, corpus="labelled", length_s=3.0),
        row("angry", "angry", corpus="acted"),
        row("neutral", "angry", corpus="acted"),
    )
    found = tables.false_alarms({"m": rows}).set_index("corpus")["negative"]
    assert found.to_dict() == pytest.approx({"read": 1 / 8, "labelled": 1 / 4})
    assert tables.by_corpus({"m": rows})["corpus"].tolist() == ["acted"]
    assert tables.false_alarms({"m": rows[rows["fold"] == "1"]})["negative"].isna().all()


def test_sounds_and_speech_lost_to_other_are_counted():
    rows = frame(
        row("other", "calm", corpus="noise", other=0.6),
        row("other", "calm", corpus="noise", other=0.5),
        row("happy", "happy", other=0.7),
        *(row("happy", "happy", other=0.1) for _ in range(3)),
    )
    found = tables.not_speech({"m": rows}).set_index(["sound", "corpus"])["called_other"]
    assert (found["other", "all"], found["other", "noise"], found["speech", "x"]) == (0.5, 0.5, 0.25)
    deaf = tables.not_speech({"m": rows.assign(other=np.nan)})
    assert deaf["called_other"].isna().all()


# The file


def test_rows_come_back_as_they_were_written_from_the_same_bytes_whatever_their_order(tmp_path):
    rows = many(0.7, 1)
    write_rows(tmp_path / "a.csv.gz", rows)
    write_rows(tmp_path / "b.csv.gz", rows.sample(frac=1, random_state=3))
    assert (tmp_path / "a.csv.gz").read_bytes() == (tmp_path / "b.csv.gz").read_bytes()
    assert (tmp_path / "a.csv.gz").read_bytes()[4:8] == b"\0" * 4, "gzip's time"
    found = read_rows(tmp_path / "a.csv.gz")
    expected = rows.sort_values(["corpus", "clip", "fold", "seed", "condition"], ignore_index=True)
    assert found["emotion"].tolist() == expected["emotion"].tolist()
    eight = [*EMOTIONS, "other", "length_s"]
    assert np.abs(found[eight].to_numpy() - expected[eight].to_numpy()).max() <= 0.00005001
    text = gzip.decompress((tmp_path / "a.csv.gz").read_bytes()).decode()
    assert text.splitlines()[0] == ",".join(COLUMNS)
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"emotion": "bored"}, "emotion is 'bored'"),
        ({"condition": "carrier pigeon"}, "condition is"),
        ({"fold": "7"}, "fold is '7'"),
        ({"fold": "nemo"}, "fold is 'nemo'"),
        ({"sex": "x"}, "sex is 'x'"),
        ({"speaker": ""}, "speaker"),
        ({"speaker": "ravdess-01", "fold": "2"}, "EmoBox"),
        ({"happy": 0.5}, "do not add up to 1"),
        ({"happy": -0.1}, "not within 0 and 1"),
        ({"happy": "much"}, "happy is 'much', not a number"),
        ({"other": 1.5}, "other"),
        ({"length_s": 0}, "length_s"),
        ({"seed": 1.5}, "seed"),
        ({"clip": "0"}, "stood before with the same fold"),
        ({"clip": "0", "seed": 2, "speaker": "x-2"}, "stood before with another"),
    ],
)
def test_a_faulty_row_is_refused_with_its_line(change, says, tmp_path):
    rows = frame(row("happy", "happy"), row("sad", "sad")).astype(object)
    for column, value in change.items():
        rows.loc[1, column] = value
    path = tmp_path / "m.csv.gz"
    with gzip.open(path, "wt") as lines:
        rows.to_csv(lines, index=False)
    with pytest.raises(UsageError, match="line 3") as raised:
        read_rows(path)
    assert says in str(raised.value)


def test_a_file_that_is_none_is_refused(tmp_path):
    path = tmp_path / "m.csv.gz"
    for content in (b"corpus,clip\n", gzip.compress(b""), gzip.compress(b"corpus,clip\nx,1\n"), b"\x1f\x8b\x08cut"):
        path.write_bytes(content)
        with pytest.raises(UsageError, match=r"m\.csv\.gz"):
            read_rows(path)
    with pytest.raises(UsageError):
        read_rows(tmp_path / "absent.csv.gz")
    with pytest.raises(UsageError, match="no row"):
        write_rows(path, frame())


# Leaks


def ravdess_rows() -> pd.DataFrame:
    name = "Actor_07/03-01-03-01-02-01-07.flac"
    return frame(row("happy", "happy", corpus="ravdess", speaker="ravdess-07", fold="4", clip=name))


CLEAN = TrainingData(
    frozenset({"ravdess-01"}), frozenset({"ravdess/Actor_01/03-01-03-01-02-01-01.flac"}), frozenset({"aa"})
)


def test_rows_without_a_leak_pass():
    refuse_leaks(ravdess_rows(), {"4": {"training": CLEAN, "teacher": CLEAN}})
    refuse_leaks(ravdess_rows().assign(audio="bb"), {"4": {"training": CLEAN}})


@pytest.mark.parametrize("part", ["training", "teacher", "calibration"])
@pytest.mark.parametrize(
    ("planted", "says"),
    [
        (TrainingData(speakers=frozenset({"ravdess-07"})), "speaker ravdess-07"),
        (TrainingData(clips=frozenset({"ravdess/Actor_07/03-01-03-01-02-01-07.flac"})), "the clip"),
        (TrainingData(clips=frozenset({"/elsewhere/copies/03-01-03-01-02-01-07.wav"})), "the clip"),
        (TrainingData(clips=frozenset({"Actor_07/03-01-03-01-02-02-07.wav"})), "the clip"),  # the identical pair
        (TrainingData(audio=frozenset({"digest"})), "the audio"),
    ],
)
def test_a_planted_leak_is_refused(part, planted, says):
    rows = ravdess_rows().assign(audio="digest")
    with pytest.raises(Leak, match=says) as raised:
        refuse_leaks(rows, {"4": {"training": CLEAN, part: planted}})
    assert part in str(raised.value) and "fold 4" in str(raised.value)


def test_a_leak_in_another_fold_is_none():
    refuse_leaks(ravdess_rows(), {"4": {"training": CLEAN}, "1": {"training": TrainingData(frozenset({"ravdess-07"}))}})


def test_a_fold_of_which_nothing_is_known_is_refused():
    for trained_on in ({}, {"1": {"training": CLEAN}}, {"4": {}}):
        with pytest.raises(Leak, match="nothing is known"):
            refuse_leaks(ravdess_rows(), trained_on)


def test_nobody_of_a_corpus_left_out_may_be_learned_from_scored_or_not():
    rows = frame(row("happy", "happy", corpus="nemo", fold="nemo", speaker="nemo-sk0", clip="SK0_happiness_1"))
    refuse_leaks(rows, {"nemo": {"training": CLEAN}})
    with pytest.raises(Leak, match="nemo-sk1"):
        refuse_leaks(rows, {"nemo": {"training": TrainingData(frozenset({"nemo-sk1"}))}})
    with pytest.raises(Leak, match="the clip SK0_happiness_1"):
        refuse_leaks(rows, {"nemo": {"training": TrainingData(clips=frozenset({"/data/nemo/SK0_happiness_1.ogg"}))}})


def test_what_was_learned_from_is_kept_beside_the_rows_and_compared_when_they_are_read(tmp_path):
    path = tmp_path / "m.csv.gz"
    learned = {
        "4": {"training": TrainingData.of([Clip(Path("/d/x/a.wav"), "sad", "x-1", "x", "aa")]), "teacher": CLEAN}
    }
    write_rows(path, ravdess_rows(), learned)
    assert read_trained_on(path) == learned
    assert len(read_rows(path)) == 1
    with pytest.raises(Leak):
        write_rows(tmp_path / "n.csv.gz", ravdess_rows(), {"4": {"teacher": TrainingData(frozenset({"ravdess-07"}))}})
    assert not (tmp_path / "n.csv.gz").exists()
    beside = tmp_path / "m.trained_on.json"
    beside.write_text(beside.read_text().replace('"ravdess-01"', '"ravdess-07"'))
    with pytest.raises(Leak, match="teacher"):
        read_rows(path)
    beside.write_text('{"4": {"training": ["x"]}}')
    with pytest.raises(UsageError, match=r"trained_on\.json"):
        read_rows(path)


# The command


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> Path:
    """The folder of a report on three models, one of which lacks all optional kinds of rows."""
    folder = tmp_path_factory.mktemp("evaluation")
    write_rows(folder / "good.csv.gz", many(0.8, 1))
    write_rows(folder / "fair.csv.gz", many(0.5, 2, ("studio", "telephone", "gsm")))
    poor = many(0.3, 3, ("telephone",), with_other=False)
    write_rows(folder / "poor.csv.gz", poor[poor["corpus"] == "ravdess"])
    assert main(["evaluate", "--probabilities", str(folder), "--out", str(folder / "out")]) == 0
    return folder / "out"


def test_the_page_has_every_table_with_every_model_and_a_dash_for_what_is_missing(report):
    page = (report / "report.md").read_text(encoding="utf-8")
    parts = page.split("\n## ")
    assert len(parts) == 14
    for part in parts:
        for model in ("good", "fair", "poor"):
            assert model in part, part.splitlines()[0]
    assert "| poor | - |" in page
    assert "nan" not in page
    assert "| model | studio | telephone | gsm |" in page
    for line in page.splitlines():
        if line.startswith("!["):
            assert (report / line.split("(")[1].rstrip(")")).read_bytes()[:4] == b"\x89PNG"


def test_the_tables_say_who_is_better(report):
    table = pd.read_csv(report / "summary.csv").set_index("model")
    uar = table["RAVDESS, UAR over folds and seeds"]
    assert uar["good"] > uar["fair"] > uar["poor"] > 0.2
    assert table.loc["good", "non-speech recognised"] > 0.8
    assert table.loc["poor", table.columns.str.contains("CREMA|MELD|calm")].isna().all()
    conditions = pd.read_csv(report / "conditions.csv")
    telephone = conditions[conditions["condition"] == "telephone"].set_index("model")["uar"]
    assert telephone.to_dict() == pytest.approx(uar.to_dict(), abs=1e-4)


def test_the_same_rows_give_the_same_tables(report, tmp_path):
    files = sorted(report.parent.glob("*.csv.gz"))
    page = evaluate(files, tmp_path)
    assert page.read_bytes() == (report / "report.md").read_bytes()
    for path in report.glob("*.csv"):
        assert path.read_bytes() == (tmp_path / path.name).read_bytes()


def test_another_corpus_may_be_the_main_one(tmp_path):
    rows = frame(row("happy", "happy"), row("sad", "happy"))
    write_rows(tmp_path / "m.csv.gz", rows)
    page = evaluate([tmp_path / "m.csv.gz"], tmp_path, "x").read_text()
    assert "0.500" in page


def test_a_folder_without_probabilities_or_with_a_leak_ends_with_a_usage_error(tmp_path, capsys):
    assert main(["evaluate", "--probabilities", str(tmp_path)]) == 2
    assert main(["evaluate", "--probabilities", str(tmp_path / "absent")]) == 2
    write_rows(tmp_path / "m.csv.gz", ravdess_rows(), {"4": {"training": CLEAN}})
    beside = tmp_path / "m.trained_on.json"
    beside.write_text(beside.read_text().replace("ravdess-01", "ravdess-07"))
    assert main(["evaluate", "--probabilities", str(tmp_path)]) == 2
    assert "ravdess-07" in capsys.readouterr().err
    assert not (tmp_path / "report.md").exists()
    with pytest.raises(UsageError, match="no probabilities"):
        evaluate([], tmp_path)
    write_rows(tmp_path / "n.csv.gz", ravdess_rows())
    with pytest.raises(UsageError, match="two files"):
        evaluate([tmp_path / "n.csv.gz"] * 2, tmp_path)

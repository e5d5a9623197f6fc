"""Evaluation: figures match their definitions, leaks are refused, and the report covers all models."""

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
from training.cli import main
from training.data.corpora import Clip
from training.data.splits import RAVDESS_FOLDS, Leak
from training.evaluation import measures, tables
from training.evaluation.report import evaluate
from training.evaluation.rows import COLUMNS, TrainingData, read_rows, read_trained_on, refuse_leaks, write_rows

FOLD_OF = {f"ravdess-{actor}": str(fold) for fold, actors in RAVDESS_FOLDS.items() if fold < 6 for actor in actors}


def row(acted: str, predicted: str, confidence: float = 0.9, **others: object) -> dict:
    """A row in which one emotion has the probability `confidence`, and the other seven share the rest."""
    probabilities = dict.fromkeys(EMOTIONS, (1 - confidence) / 7) | {predicted: confidence}
    defaults = {"corpus": "x", "clip": "1", "speaker": "x-1", "sex": "", "emotion": acted, "fold": "1", "seed": 1}
    return {**defaults, "condition": "telephone", "length_s": 2.0, **probabilities, "other": np.nan, **others}


def frame(*rows: dict) -> pd.DataFrame:
    """Return rows of different clips as a table, as read_rows does."""
    numbered = [
        {**fields, "clip": str(number)} if fields["clip"] == "1" else fields for number, fields in enumerate(rows)
    ]
    return pd.DataFrame(numbered, columns=list(COLUMNS))


def random_rows(
    skill: float, seed: int, conditions=("studio", "telephone"), copies: int = 1, with_other=True
) -> pd.DataFrame:
    """Random rows of all kinds of a model that recognises a share `skill` of the clips, with about that confidence."""
    random = np.random.default_rng(seed)
    clips = [
        ("ravdess", f"03-01-{index + 1:02d}-01-01-{take:02d}-{name[-2:]}", name, index, fold)
        for name, fold in FOLD_OF.items()
        for index in range(8)
        for take in range(copies)
    ]
    six = [index for index, emotion in enumerate(EMOTIONS) if emotion not in ("calm", "disgust")]
    clips += [
        ("nemo", f"{voice}-{index}-{repeat}", f"nemo-{voice}", index, "nemo")
        for voice in range(9)
        for index in six
        for repeat in range(copies)
    ]
    clips += [
        ("neutral-speech", f"{voice}-{repeat}", f"neutral-speech-{voice}", 0, str(voice % 5 + 1))
        for voice in range(20)
        for repeat in "ab"
    ]
    clips += [("ami", f"{voice}", f"ami-{voice}", None, str(voice % 5 + 1)) for voice in range(20)]
    clips += [("non-speech", f"{voice}", "", "other", str(voice % 5 + 1)) for voice in range(20)]
    rows = []
    for corpus, clip, speaker, emotion, fold in clips:
        for condition in conditions if corpus == "ravdess" else ("telephone",):
            target = emotion if isinstance(emotion, int) else 0
            logits = random.normal(size=8)
            logits[target if random.random() < skill else random.integers(8)] += 3
            probabilities = np.exp(logits) / np.exp(logits).sum()
            non_speech = random.beta(8, 2) if emotion == "other" else random.beta(1, 9)
            label = EMOTIONS[emotion] if isinstance(emotion, int) else emotion or ""
            sex = ("female", "male")[int(speaker[-2:]) % 2] if corpus == "ravdess" else ""
            key = (corpus, clip, speaker, sex, label, fold, 1, condition, random.uniform(0.8, 4))
            rows.append((*key, *probabilities, non_speech if with_other else np.nan))
    return pd.DataFrame(rows, columns=list(COLUMNS))


# Measures


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), min_size=1, max_size=30))
def test_measures_equal_scikit_learn(pairs):
    truth, predicted = zip(*pairs, strict=True)
    scores = tables.scored(frame(*(row(EMOTIONS[actual], EMOTIONS[guess]) for actual, guess in pairs)))
    labels = sorted(set(truth))
    options = {"labels": labels, "average": "macro", "zero_division": 0}
    assert scores["uar"] == pytest.approx(recall_score(truth, predicted, **options))
    assert scores["macro_f1"] == pytest.approx(f1_score(truth, predicted, **options))
    assert scores["accuracy"] == pytest.approx(accuracy_score(truth, predicted))


def test_seeds_are_averaged():
    first = [row("happy", "happy"), row("sad", "happy")]
    second = [{**row("happy", "happy"), "seed": 2}, {**row("sad", "sad"), "seed": 2}]
    both = pd.concat([frame(*first), frame(*second)])
    scores = tables.scored(both)
    assert (scores["uar"], scores["clips"], scores["seeds"]) == (0.75, 2, 2)


def test_interval_reflects_speaker_differences():
    def scored(accuracies: tuple[float, ...]) -> dict:
        rows = [
            row("happy", "happy" if take < 10 * accuracy else "sad", speaker=f"x-{speaker}")
            for speaker, accuracy in enumerate(accuracies)
            for take in range(10)
        ]
        return tables.scored(frame(*rows))

    equal, different = scored((0.5,) * 8), scored((1.0, 0.0) * 4)
    assert equal["uar"] == different["uar"] == 0.5
    assert equal["uar_low"] < 0.5 < equal["uar_high"]
    assert different["uar_high"] - different["uar_low"] > 1.5 * (equal["uar_high"] - equal["uar_low"])
    assert scored((0.5,) * 8) == equal


def test_posteriors_follow_ratio_of_priors():
    posteriors = np.array([[0.2, 0.1, 0.1, 0.1, 0.3, 0.1, 0.05, 0.05]])
    assert measures.with_prior(posteriors, EVEN_PRIOR) == pytest.approx(posteriors)
    adjusted = measures.with_prior(posteriors, CALL_PRIOR)[0]
    assert adjusted.sum() == pytest.approx(1)
    assert adjusted[0] / adjusted[4] == pytest.approx(0.2 * CALL_PRIOR[0] / (0.3 * CALL_PRIOR[4]))


def test_calibration_error_is_weighted_gap():
    # Six clips at 0.9, three right: gap 0.4. Four at 0.5, all right: gap 0.5.
    predictions = pd.DataFrame(
        {"confidence": [0.9] * 6 + [0.5] * 4, "correct": [True] * 3 + [False] * 3 + [True] * 4, "seed": 1}
    )
    assert measures.expected_calibration_error(predictions) == pytest.approx(0.6 * 0.4 + 0.4 * 0.5)


def test_calibration_uses_shares_of_clips():
    # Eight of ten clips are happy. Under an even prior, happy and sad have 0.5 each; happy then has 0.8.
    probabilities = dict.fromkeys(EMOTIONS, 0.0) | {"happy": 0.5, "sad": 0.5}
    rows = frame(*({**row(acted, "happy"), **probabilities} for acted in ["happy"] * 8 + ["sad"] * 2))
    result = tables.calibration({"m": rows}, "x").set_index("fold").loc["all"]
    assert result["confidence"] == pytest.approx(0.8, abs=1e-6)
    assert result["accuracy"] == 0.8
    assert result["ece"] == pytest.approx(0, abs=1e-6)


def test_coverage_keeps_most_confident_clips():
    predictions = pd.DataFrame({"confidence": [0.9, 0.8, 0.7, 0.6], "correct": [True, True, False, False]})
    accuracy, threshold = measures.accuracy_at_coverage(predictions, (1.0, 0.75, 0.5))
    assert accuracy == pytest.approx([0.5, 2 / 3, 1])
    assert threshold == pytest.approx([0.6, 0.7, 0.8])


def test_equal_confidence_does_not_depend_on_order():
    predictions = pd.DataFrame({"confidence": [0.9] * 4, "correct": [True, False, False, False]})
    for order in (predictions, predictions[::-1]):
        assert measures.accuracy_at_coverage(order, (1.0, 0.5))[0] == pytest.approx([0.25, 0.25])


# Tables


def test_folds_have_equal_weight():
    rows = frame(
        row("happy", "happy"),
        row("happy", "happy"),
        row("happy", "happy"),
        row("happy", "sad", fold="2", speaker="x-2"),
    )
    uar_by_fold = tables.by_fold({"m": rows}, "x").set_index("fold")["uar"]
    assert (uar_by_fold["1"], uar_by_fold["2"], uar_by_fold["mean"]) == (1, 0, 0.5)
    assert np.isnan(uar_by_fold["3"])


def test_results_by_sex_and_length():
    rows = frame(
        row("happy", "happy", sex="female", length_s=1.49),
        row("happy", "sad", sex="male", length_s=1.5),
        row("sad", "sad", sex="male", length_s=2.5),
        row("sad", "sad", sex="male", length_s=2.51),
    )
    assert tables.by_sex({"m": rows}, "x")["uar"].tolist() == [1, 0.5]
    assert tables.by_length({"m": rows}, "x")[["clips", "uar"]].values.tolist() == [[1, 1], [2, 0.5], [1, 1]]


def test_results_by_emotion():
    rows = frame(row("happy", "happy"), row("happy", "sad"), row("sad", "sad"))
    results = tables.by_emotion({"m": rows}, "x").set_index("emotion")
    assert results.loc["sad", ["clips", "recall", "precision"]].tolist() == [1, 1, 0.5]
    assert results.loc["sad", "f1"] == pytest.approx(2 / 3)
    assert np.isnan(results.loc["calm", "recall"])


def test_confusion_rows_are_acted_emotions():
    confusion = tables.confusion({"m": frame(row("happy", "sad"), row("happy", "sad"))}, "x")
    cell = confusion[(confusion["acted"] == "happy") & (confusion["predicted"] == "sad")].iloc[0]
    assert (cell["clips"], cell["share"]) == (2, 1) and confusion["clips"].sum() == 2


def left_out_rows(corpus, *pairs):
    """Rows of a held-out corpus from tuples of acted emotion, recognised emotion, and its probability."""
    return [
        row(acted, recognised, probability, corpus=corpus, fold=corpus, clip=f"{number}")
        for number, (acted, recognised, probability) in enumerate(pairs)
    ]


def test_threshold_comes_from_other_corpora():
    others = left_out_rows("banglaser", *(("neutral", "angry", 0.3 + number / 100) for number in range(40)))
    rows = left_out_rows(
        "nemo", ("angry", "angry", 0.95), ("fearful", "sad", 0.6), ("neutral", "sad", 0.8), ("neutral", "neutral", 0.9),
        ("happy", "calm", 0.9),
    )  # fmt: skip
    result = tables.left_out({"m": frame(*others, *rows)}).set_index("corpus").loc["nemo"]
    assert result["clips"] == 5
    # The threshold is the 95th percentile of neutral clips of the other corpus: angry with 0.67, under an even prior.
    assert (result["found"], result["false"]) == (0.5, 0.5)
    assert result["roc_area"] == pytest.approx(3 / 4)
    alone = tables.left_out({"m": frame(*rows)}).iloc[0]
    assert np.isnan(alone["found"])
    assert alone["roc_area"] == pytest.approx(3 / 4)


def test_meld_does_not_affect_thresholds():
    neutral = left_out_rows("meld", *(("neutral", "angry", 0.5) for _ in range(9)))
    assert np.isnan(tables.normal_threshold("m", frame(*neutral)))
    assert tables.calibrated_on("open-accurate") == ("crema-d", "banglaser")


def test_dropped_speech_is_counted():
    rows = frame(*(row("sad", "sad", corpus="nemo", fold="nemo", other=share) for share in (0.1, 0.6, 0.2, 0.3)))
    assert tables.left_out({"m": rows})["dropped"].tolist() == [0.25]


def test_roc_area_is_share_of_ordered_pairs():
    held_out = {"corpus": "nemo", "fold": "nemo"}
    rows = frame(
        *(row("angry", "angry", confidence, **held_out) for confidence in (0.9, 0.5)),
        *(row("calm", "sad", confidence, **held_out) for confidence in (0.7, 0.3)),
    )
    assert tables.left_out({"m": rows})["roc_area"].iloc[0] == pytest.approx(3 / 4)


def test_missing_emotions_are_not_scored():
    held_out = {"corpus": "nemo", "fold": "nemo"}
    held_out_rows = frame({**row("happy", "calm", 0.5, **held_out), "happy": 0.4}, row("sad", "sad", **held_out))
    assert tables.left_out({"m": held_out_rows})["uar"].tolist() == [1]
    fold_rows = frame({**row("happy", "calm", 0.5), "happy": 0.4}, row("sad", "sad"))
    assert tables.by_corpus({"m": fold_rows})["uar"].tolist() == [1]


def test_calibration_error_ignores_missing_emotions():
    held_out = {"corpus": "nemo", "fold": "nemo"}
    rows = frame(
        *({**row("happy", "happy", 0.6, **held_out), "sad": 0.2} for _ in range(3)),
        row("sad", "sad", 0.999, **held_out),
    )
    confidence = (3 * 0.6 / 0.8 + 1) / 4
    assert tables.left_out({"m": rows})["calibration_error"][0] == pytest.approx(1 - confidence, abs=0.01)


def test_false_alarms_are_shares_of_time():
    read = {"corpus": "read"}
    neutral = left_out_rows("nemo", *(("neutral", "neutral", 0.5) for _ in range(9)))
    rows = frame(
        *neutral,
        row("", "angry", 0.99, length_s=1.0, **read),
        row("", "neutral", 0.9, length_s=3.0, **read),
        row("", "neutral", 0.99, length_s=4.0, **read),
        row("neutral", "disgust", 0.99, corpus="labelled", length_s=1.0),
        row("calm", "neutral", 0.99, corpus="labelled", length_s=3.0),
        row("angry", "angry", corpus="acted"),
        row("neutral", "angry", corpus="acted"),
    )
    shares = tables.false_alarms({"m": rows}).set_index("corpus")["negative"]
    assert shares.to_dict() == pytest.approx({"read": 1 / 8, "labelled": 1 / 4})
    assert tables.by_corpus({"m": rows})["corpus"].tolist() == ["acted"]
    assert tables.false_alarms({"m": rows[rows["fold"] == "1"]})["negative"].isna().all()


def test_clips_classified_as_other_are_counted():
    rows = frame(
        row("other", "calm", corpus="noise", other=0.6),
        row("other", "calm", corpus="noise", other=0.5),
        row("happy", "happy", other=0.7),
        *(row("happy", "happy", other=0.1) for _ in range(3)),
    )
    shares = tables.not_speech({"m": rows}).set_index(["sound", "corpus"])["called_other"]
    assert (shares["other", "all"], shares["other", "noise"], shares["speech", "x"]) == (0.5, 0.5, 0.25)
    without_other = tables.not_speech({"m": rows.assign(other=np.nan)})
    assert without_other["called_other"].isna().all()


# The file


def test_row_file_does_not_depend_on_order(tmp_path):
    rows = random_rows(0.7, 1)
    write_rows(tmp_path / "a.csv.gz", rows)
    write_rows(tmp_path / "b.csv.gz", rows.sample(frac=1, random_state=3))
    assert (tmp_path / "a.csv.gz").read_bytes() == (tmp_path / "b.csv.gz").read_bytes()
    assert (tmp_path / "a.csv.gz").read_bytes()[4:8] == b"\0" * 4, "gzip's time"
    loaded = read_rows(tmp_path / "a.csv.gz")
    expected = rows.sort_values(["corpus", "clip", "fold", "seed", "condition"], ignore_index=True)
    assert loaded["emotion"].tolist() == expected["emotion"].tolist()
    columns = [*EMOTIONS, "other", "length_s"]
    assert np.abs(loaded[columns].to_numpy() - expected[columns].to_numpy()).max() <= 0.00005001
    text = gzip.decompress((tmp_path / "a.csv.gz").read_bytes()).decode()
    assert text.splitlines()[0] == ",".join(COLUMNS)
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize(
    ("change", "message"),
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
def test_invalid_row_error_names_line(change, message, tmp_path):
    rows = frame(row("happy", "happy"), row("sad", "sad")).astype(object)
    for column, value in change.items():
        rows.loc[1, column] = value
    path = tmp_path / "m.csv.gz"
    with gzip.open(path, "wt") as lines:
        rows.to_csv(lines, index=False)
    with pytest.raises(UsageError, match="line 3") as raised:
        read_rows(path)
    assert message in str(raised.value)


def test_invalid_file_is_refused(tmp_path):
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


def test_rows_without_leak_pass():
    refuse_leaks(ravdess_rows(), {"4": {"training": CLEAN, "teacher": CLEAN}})
    refuse_leaks(ravdess_rows().assign(audio="bb"), {"4": {"training": CLEAN}})


@pytest.mark.parametrize("part", ["training", "teacher", "calibration"])
@pytest.mark.parametrize(
    ("planted", "message"),
    [
        (TrainingData(speakers=frozenset({"ravdess-07"})), "speaker ravdess-07"),
        (TrainingData(clips=frozenset({"ravdess/Actor_07/03-01-03-01-02-01-07.flac"})), "the clip"),
        (TrainingData(clips=frozenset({"/elsewhere/copies/03-01-03-01-02-01-07.wav"})), "the clip"),
        (TrainingData(clips=frozenset({"Actor_07/03-01-03-01-02-02-07.wav"})), "the clip"),  # the identical pair
        (TrainingData(audio=frozenset({"digest"})), "the audio"),
    ],
)
def test_leak_is_refused(part, planted, message):
    rows = ravdess_rows().assign(audio="digest")
    with pytest.raises(Leak, match=message) as raised:
        refuse_leaks(rows, {"4": {"training": CLEAN, part: planted}})
    assert part in str(raised.value) and "fold 4" in str(raised.value)


def test_training_data_of_other_fold_is_no_leak():
    refuse_leaks(ravdess_rows(), {"4": {"training": CLEAN}, "1": {"training": TrainingData(frozenset({"ravdess-07"}))}})


def test_fold_without_training_data_is_refused():
    for trained_on in ({}, {"1": {"training": CLEAN}}, {"4": {}}):
        with pytest.raises(Leak, match="nothing is known"):
            refuse_leaks(ravdess_rows(), trained_on)


def test_held_out_corpus_must_not_be_trained_on():
    rows = frame(row("happy", "happy", corpus="nemo", fold="nemo", speaker="nemo-sk0", clip="SK0_happiness_1"))
    refuse_leaks(rows, {"nemo": {"training": CLEAN}})
    with pytest.raises(Leak, match="nemo-sk1"):
        refuse_leaks(rows, {"nemo": {"training": TrainingData(frozenset({"nemo-sk1"}))}})
    with pytest.raises(Leak, match="the clip SK0_happiness_1"):
        refuse_leaks(rows, {"nemo": {"training": TrainingData(clips=frozenset({"/data/nemo/SK0_happiness_1.ogg"}))}})


def test_training_data_is_stored_and_checked(tmp_path):
    path = tmp_path / "m.csv.gz"
    trained_on = {
        "4": {"training": TrainingData.of([Clip(Path("/d/x/a.wav"), "sad", "x-1", "x", "aa")]), "teacher": CLEAN}
    }
    write_rows(path, ravdess_rows(), trained_on)
    assert read_trained_on(path) == trained_on
    assert len(read_rows(path)) == 1
    with pytest.raises(Leak):
        write_rows(tmp_path / "n.csv.gz", ravdess_rows(), {"4": {"teacher": TrainingData(frozenset({"ravdess-07"}))}})
    assert not (tmp_path / "n.csv.gz").exists()
    trained_on_file = tmp_path / "m.trained_on.json"
    trained_on_file.write_text(trained_on_file.read_text().replace('"ravdess-01"', '"ravdess-07"'))
    with pytest.raises(Leak, match="teacher"):
        read_rows(path)
    trained_on_file.write_text('{"4": {"training": ["x"]}}')
    with pytest.raises(UsageError, match=r"trained_on\.json"):
        read_rows(path)


# The command


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> Path:
    """The folder of a report on three models, one of which lacks all optional kinds of rows."""
    folder = tmp_path_factory.mktemp("evaluation")
    write_rows(folder / "good.csv.gz", random_rows(0.8, 1))
    write_rows(folder / "fair.csv.gz", random_rows(0.5, 2, ("studio", "telephone", "gsm")))
    poor = random_rows(0.3, 3, ("telephone",), with_other=False)
    write_rows(folder / "poor.csv.gz", poor[poor["corpus"] == "ravdess"])
    assert main(["evaluate", "--probabilities", str(folder), "--out", str(folder / "out")]) == 0
    return folder / "out"


def test_report_covers_all_models(report):
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


def test_tables_rank_models(report):
    table = pd.read_csv(report / "summary.csv").set_index("model")
    uar = table["RAVDESS, UAR over folds and seeds"]
    assert uar["good"] > uar["fair"] > uar["poor"] > 0.2
    assert table.loc["good", "non-speech recognised"] > 0.8
    assert table.loc["poor", table.columns.str.contains("CREMA|MELD|calm")].isna().all()
    conditions = pd.read_csv(report / "conditions.csv")
    telephone = conditions[conditions["condition"] == "telephone"].set_index("model")["uar"]
    assert telephone.to_dict() == pytest.approx(uar.to_dict(), abs=1e-4)


def test_report_is_reproducible(report, tmp_path):
    files = sorted(report.parent.glob("*.csv.gz"))
    page = evaluate(files, tmp_path)
    assert page.read_bytes() == (report / "report.md").read_bytes()
    for path in report.glob("*.csv"):
        assert path.read_bytes() == (tmp_path / path.name).read_bytes()


def test_main_corpus_can_be_changed(tmp_path):
    rows = frame(row("happy", "happy"), row("sad", "happy"))
    write_rows(tmp_path / "m.csv.gz", rows)
    page = evaluate([tmp_path / "m.csv.gz"], tmp_path, "x").read_text()
    assert "0.500" in page


def test_missing_rows_and_leaks_are_usage_errors(tmp_path, capsys):
    assert main(["evaluate", "--probabilities", str(tmp_path)]) == 2
    assert main(["evaluate", "--probabilities", str(tmp_path / "absent")]) == 2
    write_rows(tmp_path / "m.csv.gz", ravdess_rows(), {"4": {"training": CLEAN}})
    trained_on_file = tmp_path / "m.trained_on.json"
    trained_on_file.write_text(trained_on_file.read_text().replace("ravdess-01", "ravdess-07"))
    assert main(["evaluate", "--probabilities", str(tmp_path)]) == 2
    assert "ravdess-07" in capsys.readouterr().err
    assert not (tmp_path / "report.md").exists()
    with pytest.raises(UsageError, match="no probabilities"):
        evaluate([], tmp_path)
    write_rows(tmp_path / "n.csv.gz", ravdess_rows())
    with pytest.raises(UsageError, match="two files"):
        evaluate([tmp_path / "n.csv.gz"] * 2, tmp_path)

"""Speaker roles, and whose emotions may be inferred: what is left of emotions that must not be."""

import json
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.classifier import Classifier
from analyzer.emotions import EMOTIONS, UNCERTAIN
from analyzer.ledger import FILE_NAME, Ledger
from analyzer.roles import MIXED, Roles, parse_roles
from tests import voices
from tests.encoders import write_wav
from tests.nights import Analyze, at_noon, contents, read_csv, read_workbook

BOTH = ("--speakers", "agent,customer")
CUSTOMER = (*BOTH, "--only", "customer")

#: Columns of emotions in recordings.csv, and further figures in the ledger (MORE_FIGURES), in its order.
FIGURES = (
    *(f"share_{emotion}" for emotion in (*EMOTIONS, UNCERTAIN)),
    *(f"mean_{emotion}" for emotion in EMOTIONS),
    *(f"peak_{emotion}_s" for emotion in EMOTIONS),
)
MORE_FIGURES = (
    *("first_third", "last_third"),
    *("passages", "passage_start_s", "passage_end_s", "passage_emotion", "passage_negative_s", "passage_mean"),
)
#: Columns of emotions in the workbook.
IN_WORKBOOK = (
    *("negative", *EMOTIONS, UNCERTAIN, "negative, first third", "negative, last third", "change"),
    *("negative passages", "strongest at"),
)


def a_side(seed: int, pitch: float) -> np.ndarray:
    return voices.call(4, [(0.3, 1.7), (2.3, 3.6)], seed=seed, pitch=pitch)


def a_dialogue(path: Path, seed: int = 0) -> Path:
    """A recording with an agent on the first channel and a customer on the second."""
    write_wav(path, np.stack([a_side(seed, 110), a_side(seed + 50, 200)]))
    at_noon(path.parent)
    return path


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One recording of each kind: two speakers, three, two identical channels, mono, silent."""
    folder = tmp_path_factory.mktemp("roles") / "calls"
    one, other, third = a_side(1, 110), a_side(2, 200), a_side(3, 150)
    write_wav(folder / "two.wav", np.stack([one, other]))
    write_wav(folder / "three.wav", np.stack([one, other, third]))
    write_wav(folder / "alike.wav", np.stack([one, one]))
    write_wav(folder / "mono.wav", one)
    write_wav(folder / "silent.wav", np.zeros((2, 16_000), np.float32))
    return at_noon(folder)


@pytest.fixture(scope="module")
def unmasked(calls: Path, analyze: Analyze) -> Path:
    output = calls.parent / "unmasked"
    assert analyze(calls, "-o", output, *BOTH) == 0
    return output


@pytest.fixture(scope="module")
def masked(calls: Path, analyze: Analyze) -> Path:
    output = calls.parent / "masked"
    assert analyze(calls, "-o", output, *CUSTOMER) == 0
    return output


def speakers(output: Path) -> dict[str, list[str]]:
    """Return the speakers of each recording, by its path below the input."""
    found: dict[str, list[str]] = {}
    for row in read_csv(output / "recordings.csv"):
        found.setdefault(row["recording"].partition("/")[2], []).append(row["speaker"])
    return found


def analysed(output: Path) -> dict[str, int]:
    return json.loads((output / "run.json").read_text())["analysed"]


def timelines(output: Path) -> list[dict[str, str]]:
    return [row for path in sorted((output / "timelines").rglob("*.csv")) for row in read_csv(path)]


def kept_figures(output: Path, role: str) -> list[str]:
    """Return the figures of a role in the ledger, each as its bytes in the file would show it."""
    with closing(Ledger(output, writable=False)) as ledger:
        told = [figures for entry in ledger.entries() for figures in (entry.figures or {}).values()]
    own = [figures for figures in told if figures["speaker"] == role and figures["talk_s"] and "masked" not in figures]
    return [json.dumps({name: figures[name] for name in (*FIGURES, *MORE_FIGURES)})[1:-1] for figures in own]


def has_emotions(output: Path, *roles: str) -> list[str]:
    """Return where, below an output folder, emotions of these roles occur."""
    found = [f"timeline {r}" for r in timelines(output) if r["speaker"] in roles and any(map(r.get, _IN_TIMELINES))]
    rows = read_csv(output / "recordings.csv")
    found += [f"recordings.csv {r}" for r in rows if r["speaker"] in roles and any(map(r.get, FIGURES))]
    book = read_workbook(output / "summary.xlsx")
    header, *cells = book["Recordings"]
    at, of_emotions = header.index("speaker"), [header.index(name) for name in IN_WORKBOOK]
    found += [f"workbook {r}" for r in cells if r[at] in roles and any(r[k] is not None for k in of_emotions)]
    header, *cells = book["Review first"]
    found += [f"to review {r}" for r in cells if r[header.index("speaker")] in roles]
    return found + [f"ledger {figures}" for role in roles for figures in kept_figures(output, role)]


_IN_TIMELINES = ("emotion", "confidence", *EMOTIONS)


# Names of speakers.


def test_roles_name_the_channels_everywhere(unmasked: Path) -> None:
    assert speakers(unmasked)["two.wav"] == ["agent", "customer"]
    rows = read_csv(unmasked / "timelines" / "calls" / "two.wav.csv")
    assert {(row["channel"], row["speaker"]) for row in rows} == {("1", "agent"), ("2", "customer")}


def test_a_channel_without_a_role_keeps_its_number(unmasked: Path) -> None:
    assert speakers(unmasked)["three.wav"] == ["agent", "customer", "channel 3"]


def test_who_cannot_be_told_apart_is_mixed(unmasked: Path) -> None:
    assert speakers(unmasked)["mono.wav"] == [MIXED]
    assert speakers(unmasked)["alike.wav"] == [MIXED]
    assert {row["speaker"] for row in read_csv(unmasked / "timelines" / "calls" / "alike.wav.csv")} == {MIXED}


def test_a_single_role_is_that_of_the_only_channel(calls: Path, tmp_path: Path, analyze: Analyze) -> None:
    assert analyze(calls, "-o", tmp_path / "out", "--speakers", "customer", "--only", "customer") == 0
    told = speakers(tmp_path / "out")
    assert told["mono.wav"] == told["alike.wav"] == ["customer"]
    assert told["two.wav"] == ["customer", "channel 2"]
    assert has_emotions(tmp_path / "out", "customer")
    assert not has_emotions(tmp_path / "out", "channel 2")


@given(st.lists(st.text("abc", min_size=1), unique=True, max_size=4), st.integers(1, 8), st.booleans())
def test_every_channel_has_a_speaker_and_no_role_is_given_twice(roles: list[str], channels: int, alike: bool) -> None:
    named = Roles(tuple(roles)).of(channels, alike and channels == 2)
    assert len(named) == channels
    assert len(set(named)) == channels or set(named) == {MIXED}
    assert all(name in roles for name in named[: len(roles)] if name != MIXED)


@given(st.text(max_size=60))
def test_roles_are_short_texts_that_differ_or_are_refused(text: str) -> None:
    try:
        roles = parse_roles(text)
    except ValueError:
        return
    assert all(role and role == role.strip() and role.isprintable() and len(role) <= 40 for role in roles)
    assert len(set(roles)) == len(roles)


# Whose emotions are inferred.


def test_only_the_customer_s_emotions_are_found_anywhere(unmasked: Path, masked: Path) -> None:
    assert has_emotions(unmasked, "agent") and has_emotions(unmasked, MIXED)
    assert has_emotions(masked, "customer")
    assert has_emotions(masked, "agent", MIXED, "channel 3") == []


def test_a_masked_channel_keeps_when_it_speaks_and_how_loud(unmasked: Path, masked: Path) -> None:
    kept = ("start", "end", "channel", "speaker", "level_db")
    assert [[r[c] for c in kept] for r in timelines(masked)] == [[r[c] for c in kept] for r in timelines(unmasked)]
    before, after = read_csv(unmasked / "recordings.csv"), read_csv(masked / "recordings.csv")
    assert [{k: v for k, v in row.items() if k not in FIGURES} for row in after] == [
        {k: v for k, v in row.items() if k not in FIGURES} for row in before
    ]
    assert all(
        row["talk_s"] and row["level_db"] for row in after if row["speaker"] == "agent" and row["status"] == "ok"
    )


def test_the_customer_s_rows_do_not_depend_on_whether_the_agent_is_masked(unmasked: Path, masked: Path) -> None:
    def own(output: Path) -> list[bytes]:
        files = contents(output).values()
        return [line for file in files for line in file.splitlines() if b",customer," in line]

    assert own(masked) == own(unmasked)
    assert len(own(masked)) > 4


@pytest.mark.parametrize(
    ("options", "heard"),
    [
        (BOTH, {"agent", "customer", "channel 3", MIXED}),
        (CUSTOMER, {"customer"}),
        ((*BOTH, "--only", "mixed"), {MIXED}),
        ((*BOTH, "--only", "customer,mixed"), {"customer", MIXED}),
    ],
)
def test_the_network_hears_nobody_else(
    calls: Path, tmp_path: Path, analyze: Analyze, monkeypatch: pytest.MonkeyPatch, options: list[str], heard: set[str]
) -> None:
    really, given_to_it = Classifier.probabilities, []

    def probabilities(self: Classifier, inputs: list[np.ndarray]) -> np.ndarray:
        given_to_it.extend(inputs)
        return really(self, inputs)

    monkeypatch.setattr(Classifier, "probabilities", probabilities)
    assert analyze(calls, "-o", tmp_path / "out", *options) == 0
    rows = timelines(tmp_path / "out")
    assert {row["speaker"] for row in rows if row["emotion"]} == heard
    # Of two identical channels both are classified, if emotions of their speaker may be inferred.
    twice = sum(row["speaker"] == MIXED for row in read_csv(tmp_path / "out" / "timelines" / "calls" / "alike.wav.csv"))
    expected = sum(row["speaker"] in heard for row in rows) + (twice if MIXED in heard else 0)
    assert len(given_to_it) == expected


@pytest.mark.parametrize(
    "options",
    [
        ["--only", "customer"],
        [*BOTH, "--only", "custmer"],
        [*BOTH, "--only", "customer,bos"],
        [*BOTH, "--only", ""],
        ["--speakers", "agent,"],
        ["--speakers", "agent,agent"],
    ],
)
def test_roles_that_cannot_be_meant_are_refused(
    calls: Path, tmp_path: Path, analyze: Analyze, options: list[str], capsys: pytest.CaptureFixture
) -> None:
    with pytest.raises(SystemExit) as refused:
        analyze(calls, "-o", tmp_path / "out", *options)
    assert refused.value.code == 2
    said = capsys.readouterr().err
    assert "--speakers" in said or "--only" in said
    assert not (tmp_path / "out").exists()


def test_channels_that_differ_where_the_model_hears_nothing_are_alike_under_every_rule(
    tmp_path: Path, analyze: Analyze
) -> None:
    said = voices.call(4, [(0.3, 3.7)], 44_100)
    write_wav(tmp_path / "calls" / "a.wav", np.stack([said, said + voices.tones(4, 15_000, rate=44_100)]), 44_100)
    for options in (BOTH, CUSTOMER):
        assert analyze(tmp_path / "calls", "-o", tmp_path / options[-1], *options) == 0
        assert speakers(tmp_path / options[-1]) == {"a.wav": [MIXED]}


# A rule that changes.


def test_a_stricter_rule_leaves_what_a_run_under_it_would_have_left(
    calls: Path, unmasked: Path, masked: Path, tmp_path: Path, analyze: Analyze
) -> None:
    output = tmp_path / "out"
    assert analyze(calls, "-o", output, *BOTH) == 0
    told_before = [figures.encode() for role in ("agent", MIXED) for figures in kept_figures(output, role)]
    assert told_before and all(figures in (output / FILE_NAME).read_bytes() for figures in told_before)
    assert analyze(calls, "-o", output, *CUSTOMER) == 0
    assert analysed(output) == {}
    assert contents(output) == contents(masked)
    assert has_emotions(output, "agent", MIXED, "channel 3") == []
    assert not any(figures in (output / FILE_NAME).read_bytes() for figures in told_before)


def test_a_stricter_rule_holds_for_recordings_that_are_gone(tmp_path: Path, analyze: Analyze) -> None:
    calls, output = tmp_path / "calls", tmp_path / "out"
    gone = a_dialogue(calls / "gone.wav")
    a_dialogue(calls / "stays.wav", seed=1)
    assert analyze(calls, "-o", output, *BOTH) == 0
    gone.unlink()
    assert analyze(calls, "-o", output, *CUSTOMER) == 0
    assert speakers(output)["gone.wav"] == ["agent", "customer"]
    assert has_emotions(output, "agent") == []
    assert len([row for row in timelines(output) if row["speaker"] == "customer" and row["emotion"]]) >= 4


def test_a_stricter_rule_holds_for_an_input_that_is_not_named_any_more(tmp_path: Path, analyze: Analyze) -> None:
    a_dialogue(tmp_path / "monday" / "a.wav")
    a_dialogue(tmp_path / "tuesday" / "a.wav", seed=1)
    assert analyze(tmp_path / "monday", "-o", tmp_path / "out", *BOTH) == 0
    assert analyze(tmp_path / "tuesday", "-o", tmp_path / "out", *CUSTOMER) == 0
    assert has_emotions(tmp_path / "out", "agent") == []


def test_a_looser_rule_listens_again_to_what_is_there(
    calls: Path, unmasked: Path, masked: Path, tmp_path: Path, analyze: Analyze
) -> None:
    output = tmp_path / "out"
    assert analyze(calls, "-o", output, *CUSTOMER) == 0
    assert analyze(calls, "-o", output, *BOTH) == 0
    assert analysed(output) == {"no_speech": 1, "ok": 4}
    assert contents(output) == contents(unmasked)
    assert analyze(calls, "-o", output, *BOTH) == 0
    assert analysed(output) == {}


def test_a_looser_rule_leaves_masked_what_is_gone(tmp_path: Path, analyze: Analyze) -> None:
    calls, output = tmp_path / "calls", tmp_path / "out"
    gone = a_dialogue(calls / "gone.wav")
    a_dialogue(calls / "stays.wav", seed=1)
    assert analyze(calls, "-o", output, *CUSTOMER) == 0
    before = contents(output, "**/gone.wav.csv")
    gone.unlink()
    assert analyze(calls, "-o", output, *BOTH) == 0
    assert contents(output, "**/gone.wav.csv") == before
    assert analysed(output) == {"ok": 1}


def test_other_names_are_told_without_listening_again(calls: Path, tmp_path: Path, analyze: Analyze) -> None:
    output, fresh = tmp_path / "out", tmp_path / "fresh"
    assert analyze(calls, "-o", output) == 0
    assert analyze(calls, "-o", output, "--speakers", "seller,buyer") == 0
    assert analysed(output) == {}
    assert speakers(output)["two.wav"] == ["seller", "buyer"]
    assert analyze(calls, "-o", fresh, "--speakers", "seller,buyer") == 0
    assert contents(output) == contents(fresh)
    assert analyze(calls, "-o", output) == 0
    assert analysed(output) == {}
    assert speakers(output)["two.wav"] == ["channel 1", "channel 2"]


def test_roles_that_were_swapped_by_mistake_are_put_right(tmp_path: Path, analyze: Analyze) -> None:
    calls, output, fresh = tmp_path / "calls", tmp_path / "out", tmp_path / "fresh"
    a_dialogue(calls / "a.wav")
    assert analyze(calls, "-o", output, "--speakers", "customer,agent", "--only", "customer") == 0
    assert analyze(calls, "-o", output, *CUSTOMER) == 0
    assert analyze(calls, "-o", fresh, *CUSTOMER) == 0
    assert contents(output) == contents(fresh)
    assert has_emotions(output, "agent") == []


# Roles of individual recordings.


def metadata(folder: Path, *lines: str) -> Path:
    path = folder / "metadata.csv"
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def test_roles_of_a_file_beat_those_of_all_and_stay(tmp_path: Path, analyze: Analyze) -> None:
    calls, output = tmp_path / "calls", tmp_path / "out"
    a_dialogue(calls / "usual.wav")
    a_dialogue(calls / "turned.wav", seed=1)
    told = metadata(tmp_path, "file,channel_1,channel_2", "turned.wav,customer,agent")
    assert analyze(calls, "-o", output, *CUSTOMER, "--metadata", told) == 0
    before = contents(output)
    assert speakers(output) == {"turned.wav": ["customer", "agent"], "usual.wav": ["agent", "customer"]}
    assert has_emotions(output, "agent") == []
    assert len({row["channel"] for row in timelines(output) if row["emotion"]}) == 2
    told.write_text("file,channel_1,channel_2\nother.wav,customer,agent\n")
    for options in (["--metadata", told], []):
        assert analyze(calls, "-o", output, *CUSTOMER, *options) == 0
        assert analysed(output) == {}
        assert contents(output) == before


def test_metadata_that_call_a_channel_the_agent_s_blank_it(tmp_path: Path, analyze: Analyze) -> None:
    calls, output = tmp_path / "calls", tmp_path / "out"
    a_dialogue(calls / "a.wav")
    assert analyze(calls, "-o", output, *CUSTOMER) == 0
    told = metadata(tmp_path, "file,channel_1,channel_2", "a.wav,supervisor,agent")
    assert analyze(calls, "-o", output, *CUSTOMER, "--metadata", told) == 0
    assert analysed(output) == {}
    assert has_emotions(output, "agent", "supervisor") == []


def test_metadata_alone_can_say_who_the_customer_is(tmp_path: Path, analyze: Analyze) -> None:
    calls, output = tmp_path / "calls", tmp_path / "out"
    a_dialogue(calls / "known.wav")
    a_dialogue(calls / "unknown.wav", seed=1)
    told = metadata(tmp_path, "file,channel_1,channel_2", "known.wav,agent,customer")
    assert analyze(calls, "-o", output, "--only", "customer", "--metadata", told) == 0
    assert has_emotions(output, "customer")
    assert has_emotions(output, "agent", "channel 1", "channel 2") == []

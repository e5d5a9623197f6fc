"""Speaker roles, and whose emotions are inferred; see also test_privacy.py."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.emotions import EMOTIONS, UNCERTAIN
from analyzer.model.classifier import Classifier
from analyzer.timeline.roles import MIXED, Roles, parse_roles
from tests.helpers import voices
from tests.helpers.dialogues import BOTH, CUSTOMER, a_dialogue, a_side, timelines
from tests.helpers.encoders import write_wav
from tests.helpers.leaks import FIGURES, IN_TIMELINES, emotions
from tests.helpers.runs import Analyze, at_noon, contents, read_csv, read_workbook
from tests.helpers.workspace import Workspace


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
    assert analyze(calls, "-o", calls.parent / "unmasked", *BOTH) == 0
    return calls.parent / "unmasked"


@pytest.fixture(scope="module")
def masked(calls: Path, analyze: Analyze) -> Path:
    assert analyze(calls, "-o", calls.parent / "masked", *CUSTOMER) == 0
    return calls.parent / "masked"


@pytest.fixture
def kinds(work: Workspace, calls: Path) -> Workspace:
    return replace(work, calls=calls)


def speakers(output: Path) -> dict[str, list[str]]:
    """Return the speakers of each recording, by its path below the input."""
    found: dict[str, list[str]] = {}
    for row in read_csv(output / "recordings.csv"):
        found.setdefault(row["recording"].partition("/")[2], []).append(row["speaker"])
    return found


# Names of speakers.


def test_roles_name_the_channels(unmasked: Path) -> None:
    """Further channels keep their numbers, and speakers that share a channel are mixed."""
    assert speakers(unmasked) == {
        "two.wav": ["agent", "customer"],
        "three.wav": ["agent", "customer", "channel 3"],
        "alike.wav": [MIXED],
        "mono.wav": [MIXED],
        "silent.wav": ["agent", "customer"],
    }
    for name, expected in (("two", {("1", "agent"), ("2", "customer")}), ("alike", {("1", MIXED)})):
        assert {(row["channel"], row["speaker"]) for row in timelines(unmasked, f"{name}.wav.csv")} == expected


def test_a_single_role_is_that_of_the_only_channel(kinds: Workspace) -> None:
    assert kinds("--speakers", "customer", "--only", "customer") == 0
    found = speakers(kinds.output)
    assert found["mono.wav"] == found["alike.wav"] == ["customer"]
    assert found["two.wav"] == ["customer", "channel 2"]
    assert emotions(kinds.output, "customer") and not emotions(kinds.output, "channel 2")


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


ONLY = "--speakers=agent,customer --only="


@pytest.mark.parametrize(
    "options",
    ["--only=customer", ONLY, f"{ONLY}custmer", f"{ONLY}customer,bos", "--speakers=agent,", "--speakers=agent,agent"],
)
def test_invalid_roles_are_refused(kinds: Workspace, options: str, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as refused:
        kinds(*options.split())
    assert refused.value.code == 2
    assert re.search("--speakers|--only", capsys.readouterr().err)
    assert not kinds.output.exists()


# Whose emotions are inferred.


def test_a_masked_channel_keeps_its_times_and_levels(unmasked: Path, masked: Path) -> None:
    before, after = (
        [
            {name: value for name, value in row.items() if name not in (*FIGURES, *IN_TIMELINES)}
            for row in timelines(output) + read_csv(output / "recordings.csv")
        ]
        for output in (unmasked, masked)
    )
    assert before == after
    assert all(row["level_db"] for row in after if row["speaker"] == "agent" and row.get("status", "ok") == "ok")


@pytest.mark.parametrize(
    ("options", "inferred"),
    [
        (BOTH, {"agent", "customer", "channel 3", MIXED}),
        (CUSTOMER, {"customer"}),
        ((*BOTH, "--only", "mixed"), {MIXED}),
        ((*BOTH, "--only", "customer,mixed"), {"customer", MIXED}),
    ],
)
def test_the_network_gets_no_other_speaker(
    kinds: Workspace, monkeypatch: pytest.MonkeyPatch, options: list[str], inferred: set[str]
) -> None:
    original, received = Classifier.probabilities, []

    def probabilities(self: Classifier, inputs: list[np.ndarray]) -> np.ndarray:
        received.extend(inputs)
        return original(self, inputs)

    monkeypatch.setattr(Classifier, "probabilities", probabilities)
    assert kinds(*options) == 0
    rows = timelines(kinds.output)
    assert {row["speaker"] for row in rows if row["emotion"]} == inferred
    rows += timelines(kinds.output, "alike.wav.csv")  # of two identical channels both are classified
    assert len(received) == sum(row["speaker"] in inferred for row in rows)


def test_channels_that_differ_only_above_the_model_s_band_are_alike_under_every_rule(work: Workspace) -> None:
    voice = voices.call(4, [(0.3, 3.7)], 44_100)
    write_wav(work.calls / "a.wav", np.stack([voice, voice + voices.tones(4, 15_000, rate=44_100)]), 44_100)
    for options in (BOTH, CUSTOMER):
        under = work.beside(options[-1])
        assert under(*options) == 0
        assert speakers(under.output) == {"a.wav": [MIXED]}


def test_the_index_and_the_workbook_count_no_agent(work: Workspace) -> None:
    """Even if emotions of both are inferred, counts over calls are those of the customers."""
    voice = a_side(1, 110)
    write_wav(work.calls / "agent only.wav", np.stack([voice, np.zeros_like(voice)]))
    assert work("--format", "xlsx,html", *BOTH) == 0
    page = (work.output / "html" / "index.html").read_text()
    ((row,),) = map(json.loads, re.findall(r'id="rows">(.*?)</script>', page, flags=re.DOTALL))
    assert "agent" in row[3] and row[7:10] == [None, None, ""]
    header, day, *_ = read_workbook(work.output / "summary.xlsx")["Days"]
    assert {day[header.index(name)] for name in (*EMOTIONS, UNCERTAIN)} == {None}


# A rule or roles that change.


def test_a_rule_applies_to_existing_recordings_in_both_directions(
    kinds: Workspace, unmasked: Path, masked: Path
) -> None:
    """A stricter rule needs no analysis."""
    steps = ((CUSTOMER, {"no_speech": 1, "ok": 4}), (BOTH, {"no_speech": 1, "ok": 4}), (BOTH, {}), (CUSTOMER, {}))
    for options, expected in steps:
        assert kinds(*options) == 0
        assert kinds.analysed() == expected
        assert kinds.contents() == contents(masked if options == CUSTOMER else unmasked)
    assert emotions(kinds.output, "agent", MIXED, "channel 3") == []


def test_a_looser_rule_leaves_masked_what_is_gone(work: Workspace) -> None:
    work.write_calls("gone.wav", "stays.wav", write=a_dialogue)
    assert work(*CUSTOMER) == 0
    before = contents(work.output, "**/gone.wav.csv")
    (work.calls / "gone.wav").unlink()
    assert work(*BOTH) == 0
    assert contents(work.output, "**/gone.wav.csv") == before
    assert work.analysed() == {"ok": 1}


def test_a_stricter_rule_holds_for_an_input_that_is_not_given_again(work: Workspace) -> None:
    work.write_calls("a.wav", write=a_dialogue)
    later = replace(work, calls=work.calls.with_name("later"))
    later.write_calls("a.wav", write=a_dialogue)
    assert work(*BOTH) == later(*CUSTOMER) == 0
    assert emotions(work.output, "agent") == []


def test_other_roles_need_no_analysis(kinds: Workspace) -> None:
    fresh, roles = kinds.beside("fresh"), ("--speakers", "seller,buyer")
    assert fresh(*roles) == 0
    for options, expected in ((), {"no_speech": 1, "ok": 4}), (roles, {}), ((), {}):
        assert kinds(*options) == 0
        assert kinds.analysed() == expected
        assert speakers(kinds.output)["two.wav"] == (["seller", "buyer"] if options else ["channel 1", "channel 2"])
        assert not options or kinds.contents() == fresh.contents()


def test_roles_that_were_swapped_by_mistake_are_corrected(work: Workspace) -> None:
    work.write_calls("a.wav", write=a_dialogue)
    fresh = work.beside("fresh")
    assert work("--speakers", "customer,agent", "--only", "customer") == 0
    assert work(*CUSTOMER) == fresh(*CUSTOMER) == 0
    assert work.contents() == fresh.contents()
    assert emotions(work.output, "agent") == []


# Roles of individual recordings.


def test_roles_of_a_recording_override_those_of_all_and_stay(work: Workspace) -> None:
    work.write_calls("usual.wav", "swapped.wav", write=a_dialogue)
    assert work(*CUSTOMER, *work.metadata("file,channel_1,channel_2", "swapped.wav,customer,agent")) == 0
    before = work.contents()
    assert speakers(work.output) == {"swapped.wav": ["customer", "agent"], "usual.wav": ["agent", "customer"]}
    assert emotions(work.output, "agent") == []
    assert len({row["channel"] for row in timelines(work.output) if row["emotion"]}) == 2
    for options in (work.metadata("file,channel_1,channel_2", "other.wav,customer,agent"), ()):
        assert work(*CUSTOMER, *options) == 0
        assert work.analysed() == {}
        assert work.contents() == before


def test_metadata_that_name_a_channel_the_agent_s_blank_it(work: Workspace) -> None:
    work.write_calls("a.wav", write=a_dialogue)
    assert work(*CUSTOMER) == 0
    assert work(*CUSTOMER, *work.metadata("file,channel_1,channel_2", "a.wav,supervisor,agent")) == 0
    assert work.analysed() == {}
    assert emotions(work.output, "agent", "supervisor") == []


def test_metadata_alone_can_name_the_customer(work: Workspace) -> None:
    work.write_calls("known.wav", "unknown.wav", write=a_dialogue)
    assert work("--only", "customer", *work.metadata("file,channel_1,channel_2", "known.wav,agent,customer")) == 0
    assert emotions(work.output, "customer")
    assert emotions(work.output, "agent", "channel 1", "channel 2") == []

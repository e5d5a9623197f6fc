"""Matches of --name-pattern, and the time limit of a search."""

import json
import pickle
import re
import signal
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.errors import UsageError
from analyzer.inputs.name_pattern import NamePattern
from tests.helpers.runs import Analyze, a_call, read_csv

#: Needs 2**n attempts for n letters before the first dot.
ENDLESS = r"(?P<queue>([a-z_]|[a-z_][a-z_])+)-(?P<date>\d{8})"
ENDLESS_NAME = "supportqueueberlin_customercallback.a-b.wav"


@pytest.mark.parametrize("text", ["", "a", r"(\d{8})", r"(?:x)", r"(?i:a)"])
def test_pattern_needs_a_named_group(text: str) -> None:
    with pytest.raises(ValueError, match="names no group"):
        NamePattern(text)


@pytest.mark.parametrize("text", ["(?P<date>", "(?P<1>a)", "(?P<a>x)(?P<a>y)", "(?<queue>a)", r"(?P<a>\h)"])
def test_invalid_expressions_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no regular expression"):
        NamePattern(text)


PATTERNS = [
    r"(?P<date>\d{8})[_-](?P<time>\d{6})",
    r"(?P<queue>[a-z]+)[-_]",
    r"(?i)(?P<queue>SALES|billing)",
    r"^(?P<site>[^/_]+)_.*?(?P<agent>\d+)(?=\D|$)",
    r"(?P<a>\w+?)(?P<b>\s*)$",
    r"(?:^|/)(?P<a>[^-]*)-(?P<b>.*)",
    r"(?<!\d)(?P<agent>\d{3})(?!\d)",
    r"(?P<a>a|ab)(?P<c>c|bcd)(?P<d>d*)",
]


@pytest.mark.parametrize("text", PATTERNS)
@given(name=st.text("abcd SALESsales-_0123456789/ü.", max_size=30))
def test_matches_agree_with_re(text: str, name: str) -> None:
    file_name = name[name.rfind("/") + 1 :]
    expected = re.search(text, file_name) or re.search(text, name)
    match = NamePattern(text).find(name)
    assert (match is None) == (expected is None)
    if match is not None and expected is not None and "date" not in expected.groupdict():
        assert match.others == {key: value for key, value in expected.groupdict().items() if value}


def test_endless_search_is_stopped() -> None:
    pattern = NamePattern(ENDLESS)
    start = time.process_time()
    assert pattern.find(ENDLESS_NAME) is None
    assert pattern.find(ENDLESS_NAME) is None  # is not tried again
    assert time.process_time() - start < 5
    assert pattern.too_long == [ENDLESS_NAME]
    match = pattern.find("sales-20261124.wav")
    assert match is not None
    assert (match.moment, match.others) == ("2026-11-24", {"queue": "sales"})


def test_many_slow_names_are_a_usage_error() -> None:
    pattern, tried = NamePattern(ENDLESS), 0
    with pytest.raises(UsageError, match="--name-pattern takes too long"):
        for number in range(10_000):
            tried = number
            pattern.find(f"{number:05d}{ENDLESS_NAME}")
    assert tried < 20


def test_pattern_can_be_pickled() -> None:
    match = pickle.loads(pickle.dumps(NamePattern(PATTERNS[0]))).find("20261124-101307.wav")
    assert match.moment == "2026-11-24 10:13:07"


def test_run_continues_after_a_slow_name(tmp_path: Path, analyze: Analyze, capsys: pytest.CaptureFixture[str]) -> None:
    calls, output = tmp_path / "calls", tmp_path / "out"
    a_call(calls / ENDLESS_NAME)
    a_call(calls / "sales-20261120.wav")
    assert analyze(calls, "-o", output, "-q", "--name-pattern", ENDLESS) == 0
    printed = capsys.readouterr().err
    assert f"--name-pattern took too long on 1 names, and does not match there: calls/{ENDLESS_NAME}" in printed
    recorded = {row["recording"]: row["recorded"] for row in read_csv(output / "recordings.csv")}
    assert recorded["calls/sales-20261120.wav"] == "2026-11-20"
    assert json.loads((output / "run.json").read_text())["analysed"] == {"ok": 2}


def test_run_with_many_slow_names_is_refused(
    tmp_path: Path, analyze: Analyze, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = tmp_path / "calls"
    calls.mkdir()
    for number in range(40):
        (calls / f"{number:02d}{ENDLESS_NAME}").write_bytes(b"RIFF")
    assert analyze(calls, "-o", tmp_path / "out", "--name-pattern", ENDLESS) == 2
    assert "--name-pattern takes too long" in capsys.readouterr().err
    assert not (tmp_path / "out" / "recordings.csv").exists()


def test_sigterm_ends_a_slow_search(tmp_path: Path, analyze: Analyze, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = a_call(tmp_path / "calls" / ENDLESS_NAME).parent
    a_call(calls / "b.wav")
    original = NamePattern.find

    def find_with_signal(pattern: NamePattern, name: str) -> object:
        signal.raise_signal(signal.SIGTERM)
        return original(pattern, name)

    monkeypatch.setattr(NamePattern, "find", find_with_signal)
    assert analyze(calls, "-o", tmp_path / "out", "--name-pattern", ENDLESS) == 143

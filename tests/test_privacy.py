"""Nothing is left of numbers that are masked, of emotions that must not be inferred, and of pruned recordings.

All tests start from the same results in all formats. The recordings of some of them do not exist any more.
"""

import re
import shutil
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import pytest

from analyzer.batch import relabel
from analyzer.commands.main import main
from analyzer.emotions import EMOTIONS, UNCERTAIN
from analyzer.report import rendering, tables
from analyzer.store import outputs
from analyzer.store.formats import EXTENSIONS, FORMATS
from analyzer.store.ledger import FILE_NAME, Ledger
from tests.helpers.dialogues import BOTH, a_dialogue, analysed
from tests.helpers.kills import killed_at
from tests.helpers.leaks import READERS, Found, emotion_texts, emotions, leaks
from tests.helpers.metadata import metadata
from tests.helpers.pages import Parsed
from tests.helpers.runs import Analyze, a_call, contents
from tests.helpers.telephone_numbers import NUMBER, PATTERN, private_calls

NUMBERS = (NUMBER, "99887766554433", "5550001")
SECRETS = ("secret", "Miller")
#: The speakers besides the customer.
OTHERS = ("agent", "mixed", NUMBER, f"caller {NUMBER}")
ALL, SOME = ("--format", ",".join(FORMATS)), ("--format", "csv,xlsx,html,jsonl")
MASK, ONLY = ("--mask-names",), ("--only", "customer")


@dataclass(frozen=True)
class Stage:
    """Results of the same calls with each of several options, and a function that analyses the calls."""

    results: dict[tuple[str, ...], Path]
    analyse: Callable[..., None]

    def copied(self, options: tuple[str, ...] = ()) -> Path:
        """Copy results to a new folder beside them, so that links in pages stay the same."""
        folder = self.results[options].parent
        return Path(shutil.copytree(self.results[options], folder / f"copy {len(list(folder.iterdir()))}"))


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory, analyze: Analyze) -> Stage:
    folder = tmp_path_factory.mktemp("privacy")
    calls = private_calls(folder / NUMBER / f"calls-{NUMBER}")
    a_call(calls / "99887766554433" / "5550001.wav", seed=3)
    secrets, gone = ("secrets/secret.wav", "secrets/gone.wav"), (f"gone/{NUMBER}.wav", "secrets/gone.wav")
    for seed, name in enumerate(dict.fromkeys(secrets + gone)):
        a_dialogue(calls / name, seed)
    rows = [f"in-{NUMBER}.wav,caller {NUMBER},,{NUMBER}", f"{gone[0]},agent,{NUMBER},{NUMBER}"]
    rows += [f"{name},,,Miller" for name in secrets]
    details = metadata(folder, "file,channel_1,channel_2,customer", *rows)

    def analyse(output: Path, *options: object) -> None:
        assert analyze(calls, "-o", output, *BOTH, "--name-pattern", PATTERN, *options) == 1
        assert analysed(output)["failed"] == 1

    before, *_ = results = [folder / "before", folder / "masked", folder / "blanked"]
    stage = Stage(dict(zip(((), MASK, ONLY), results, strict=True)), analyse)
    for options, output in stage.results.items():
        with closing(Ledger(output)) as ledger:
            ledger.state.set("key", "a" * 64)  # the same masks everywhere
            analyse(output, *options, *ALL, "--metadata", details)
            entry = next(entry for entry in ledger.entries() if entry.identity.path == "secrets/gone.wav")
            mask, reason = ledger.mask(), f"a copy of {NUMBER}.wav"
            ledger.rename(entry.identity, replace(entry, reason=mask.text(reason) if mask else reason))
    for name in gone:
        (calls / name).unlink()
    for options, output in stage.results.items():
        analyse(output, *options, *ALL)
    shutil.copy(before / FILE_NAME, before / f"{FILE_NAME}.v3")  # as after an update of the program
    (before / "timelines" / ".writing-0123456789abcdef.tmp").write_text(" ".join(NUMBERS + SECRETS))
    return stage


@dataclass(frozen=True)
class Cause:
    """Why something must not be left: results made with options `start` are pruned, or analysed with `options`."""

    options: tuple[str, ...] = ()
    prune: tuple[str, ...] = ()
    start: tuple[str, ...] = ()

    def apply(self, stage: Stage, output: Path, *formats: str) -> None:
        if self.prune:
            assert main(["prune", "-o", str(output), *self.prune]) == 0
        else:
            stage.analyse(output, *self.options, *formats)

    def left(self, stage: Stage, output: Path) -> list[Found]:
        """Return where anything is left."""
        texts = (NUMBERS if MASK[0] in self.options else ()) + (SECRETS if self.prune else ())
        if ONLY[0] not in self.options:
            return leaks(output, *texts)
        return leaks(output, *texts, *emotion_texts(stage.results[()], *OTHERS)) + emotions(output, *OTHERS)


CAUSES = {
    "masked": Cause(MASK),
    "masked from the start": Cause(MASK, start=MASK),
    "blanked": Cause(ONLY),
    "blanked from the start": Cause(ONLY, start=ONLY),
    "masked and blanked": Cause(MASK + ONLY),
    "masked, then blanked": Cause(MASK + ONLY, start=MASK),
    "pruned by name": Cause(prune=("--match", "*secret*")),
    "pruned by column": Cause(prune=("--where", "customer=Miller")),
}


def files(output: Path) -> dict[str, bytes]:
    """Return all tables and the files of all recordings, except the workbook over all recordings."""
    names = ((name, contents(output / name, "**/*.*")) for name in EXTENSIONS)
    return contents(output) | {f"{name}/{path}": file for name, below in names for path, file in below.items()}


def places(found: list[Found], names: bool = False) -> set[str]:
    """Return the files and folders of results in whose contents, or names, something was found."""
    return {place.partition("/")[0] for place, part in found if (part == "name") == names}


def test_the_search_finds_texts_and_emotions_everywhere(stage: Stage) -> None:
    before, ledgers = stage.results[()], {FILE_NAME, f"{FILE_NAME}.v3"}
    of_all = {"recordings.csv", "summary.xlsx", "timelines"}
    assert places(leaks(before, NUMBER)) >= {*EXTENSIONS, "run.json", *ledgers, *of_all} - {"png"}
    assert places(leaks(before, NUMBER), names=True) >= {*EXTENSIONS, "timelines"}
    assert all(places(leaks(before, text)) >= {"html", *ledgers} for text in NUMBERS + SECRETS)
    assert all(places(leaks(before, text)) for text in emotion_texts(before, *OTHERS))
    assert READERS.keys() == EXTENSIONS.keys() - {"png"}
    for role in OTHERS:
        assert places(emotions(before, role)) >= {*READERS, FILE_NAME, *of_all} - {"rttm"}


@pytest.mark.parametrize("formats", [ALL, ("--format", "csv"), ()], ids=["all", "csv", "default"])
@pytest.mark.parametrize("cause", CAUSES)
def test_nothing_is_left_and_the_rest_is_unchanged(stage: Stage, cause: str, formats: tuple[str, ...]) -> None:
    """Also after further runs and reports. A later option leaves the same as one from the start."""
    why, output = CAUSES[cause], stage.copied(CAUSES[cause].start)
    if why.prune:
        (output / "html" / ".writing-0123456789abcdef.tmp").write_text("half a page of secret.wav")
    why.apply(stage, output, *formats)
    assert why.left(stage, output) == []
    assert why.prune or analysed(output) == {"failed": 1}
    stage.analyse(output, *why.options, *formats)
    assert analysed(output) == {"failed": 1}
    assert main(["report", str(output), *ALL, "--match", "*"]) == 0
    assert why.left(stage, output) == []
    if why.prune:
        expected = {name: file for name, file in files(stage.results[()]).items() if "/secrets/" not in name}
        changed = {name for name, file in files(output).items() if file != expected.pop(name)}
        assert changed == {"html/index.html", "recordings.csv", "files.csv"} and not expected
    elif why.options in stage.results:
        assert files(output) == files(stage.results[why.options])


# Killed at any point.

#: The functions at which an operation is killed: at each call up to the given one.
KILLS: dict[str, list[tuple[object, str, int]]] = {
    "masked": [
        (relabel, "_delete_strays", 1),
        (Ledger, "rename_label", 1),
        (relabel, "delete_formats", 2),
        (relabel, "_move_timeline", 2),
        (Ledger, "rename", 2),
        (Ledger, "compact", 1),
        (tables, "delete", 1),
        (tables, "write_if_stale", 1),
        (rendering, "write", 2),
    ],
    "blanked": [
        (relabel, "write_timeline", 2),
        (Ledger, "amend", 2),
        (Ledger, "compact", 1),
        (tables, "delete", 1),
        (tables, "write_if_stale", 1),
        (rendering, "write", 2),
    ],
    "pruned by name": [
        (outputs, "delete", 3),
        (outputs, "remove_empty_folders", 1),
        (Ledger, "end_pruning", 2),
        (Ledger, "compact", 1),
        (tables, "write_if_stale", 1),
        (Ledger, "tables_are_fresh", 1),
    ],
}


@pytest.fixture(scope="module")
def uninterrupted(stage: Stage) -> Callable[[str], dict[str, bytes]]:
    """Return a function that returns the files after an operation that is not killed and the next run."""

    @cache
    def after(operation: str) -> dict[str, bytes]:
        output = stage.copied()
        CAUSES[operation].apply(stage, output, *SOME)
        stage.analyse(output, *CAUSES[operation].options, *SOME)
        return files(output)

    return after


@pytest.mark.parametrize(
    ("operation", "owner", "name", "call", "by_prune"),
    [
        pytest.param(operation, owner, name, call, by_prune, id=f"{operation}-{name}-{call}{'-by prune' * by_prune}")
        for operation, kills in KILLS.items()
        for owner, name, last in kills
        for call in range(1, last + 1)
        for by_prune in ((False, True) if CAUSES[operation].prune else (False,))
    ],
)
def test_a_killed_operation_is_completed_by_the_next_run(
    stage: Stage, uninterrupted: Callable, operation: str, owner: object, name: str, call: int, by_prune: bool
) -> None:
    why, output = CAUSES[operation], stage.copied()
    with killed_at(owner, name, call):
        why.apply(stage, output, *SOME)
    if by_prune:
        assert main(["prune", "-o", str(output), "--match", "nothing else"]) == 0
        assert why.left(stage, output) == []
    stage.analyse(output, *why.options, *SOME)
    assert why.left(stage, output) == []
    assert files(output) == uninterrupted(operation)


@pytest.mark.parametrize(
    ("operation", "owner", "name"),
    [("masked", tables, "delete"), ("blanked", tables, "delete"), ("pruned by name", Ledger, "compact")],
)
def test_a_killed_operation_is_completed_in_the_workbook(
    stage: Stage, operation: str, owner: object, name: str
) -> None:
    why, output = CAUSES[operation], stage.copied()
    with killed_at(owner, name, 1):
        why.apply(stage, output, *SOME)
    stage.analyse(output, *why.options, "--format", "csv")
    assert why.left(stage, output) == []


# Emotions.


def test_the_customer_s_emotions_stay_in_every_format(stage: Stage) -> None:
    before, blanked = (
        [(place, text) for place, text in emotions(stage.results[rule], "customer") if "/" in place]
        for rule in ((), ONLY)
    )
    assert before == blanked
    assert places(blanked) == {*READERS, "timelines"} - {"rttm"}


def test_a_page_without_inferred_emotions_names_none(stage: Stage) -> None:
    for rule in ((), ONLY):
        (path,) = stage.results[rule].glob("html/**/5550001.wav.html")
        page = Parsed(path)
        classes = {word for _, name, value in page.attributes if name == "class" for word in (value or "").split()}
        found = ({*re.findall("[a-z]+", page.text)} | classes) & {*EMOTIONS, UNCERTAIN}
        assert found - {UNCERTAIN} if rule == () else found <= {UNCERTAIN}  # every page has a pattern for uncertain


def test_pictures_show_whose_emotions_are_inferred(stage: Stage) -> None:
    before, blanked = (contents(stage.results[rule] / "png", "**/*.png") for rule in ((), ONLY))
    assert before.keys() == blanked.keys()
    assert all(before[name] != blanked[name] for name in before)

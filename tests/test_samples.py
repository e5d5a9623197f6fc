"""Samples for operators: the programs that read them accept them, and they agree with each other and the tool."""

import configparser
import getpass
import grp
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from analyzer.commands import config
from analyzer.commands.main import main
from analyzer.commands.options import command_line
from analyzer.errors import AnotherRun
from tests.helpers.runs import a_call, at_noon, read_csv

ROOT = Path(__file__).parent.parent
SAMPLES = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "samples").iterdir()}
GUIDES = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "docs").glob("*.md"))
TOOL = "/opt/call-emotions/.venv/bin/call-emotions"
UNITS = ("call-emotions.service", "call-emotions.timer")
TOML = SAMPLES["call-emotions.toml"]
SETTINGS: dict[str, Any] = tomllib.loads(TOML)
#: The configuration with every example set.
COMPLETE = re.sub(r"^#(?=[a-z_-]+ = )", "", TOML, flags=re.MULTILINE)
#: Times, user and command of the lines of the crontab, including the one behind a `#`.
JOBS = re.findall(r"^#?((?:[\d*/,-]+ ){5}) *(\S+) +(.+)$", SAMPLES["crontab"], flags=re.MULTILINE)


def unit(name: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(delimiters=("=",), interpolation=None)
    parser.read_string(SAMPLES[name])
    return parser


SERVICE, TIMER = map(unit, UNITS)


def arguments_of(command: str) -> list[str]:
    return shlex.split(command.partition(f"{TOOL} ")[2])


def result(*command: str | Path, **more: Any) -> tuple[int, str, str]:
    """Return the exit status, standard output and standard error of a command."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, **more)
    return done.returncode, done.stdout, done.stderr


def test_the_tool_knows_every_option_of_a_sample_command_and_of_the_guides() -> None:
    guided = [f"{TOOL} {arguments}" for arguments in re.findall(r"^    ce (?!\()(.+)$", GUIDES, flags=re.MULTILINE)]
    assert len(guided) >= 5
    for command in (*(command for *_, command in JOBS), SERVICE["Service"]["ExecStart"], *guided):
        command_line()[0].parse_args(arguments_of(command))  # exits on an unknown option


def test_cron_reads_every_line_of_the_crontab() -> None:
    assert [arguments_of(command)[0] for *_, command in JOBS] == ["analyze", "prune"]
    assert re.fullmatch(r"(#.*\n|[A-Z]+=\S+\n|\n|((\d+|\*) ){5} *\S+ +[^%\n]+\n)+", SAMPLES["crontab"])


def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    if not (systemd := shutil.which("systemd-analyze")):
        pytest.skip("systemd-analyze is not installed")
    for name in UNITS:
        (tmp_path / name).write_text(SAMPLES[name].replace(TOOL, sys.executable))
    assert result(systemd, "verify", *tmp_path.iterdir()) == (0, "", "")  # unknown keys are only warned about


def test_logrotate_accepts_its_stanza_and_rotates_the_log(tmp_path: Path) -> None:
    if not (logrotate := shutil.which("logrotate", path=f"{os.environ['PATH']}:/usr/sbin")):
        pytest.skip("logrotate is not installed")
    log, stanza = tmp_path / "log", tmp_path / "stanza"
    log.write_text("a line\n")
    own = f"{getpass.getuser()} {grp.getgrgid(os.getgid()).gr_name}"
    text = SAMPLES["logrotate"].replace("call-emotions call-emotions", own)
    stanza.write_text(text.replace(SETTINGS["log-file"], str(log)))
    stanza.chmod(0o644)
    assert result(logrotate, "--state", tmp_path / "state", "--force", stanza) == (0, "", "")
    assert (tmp_path / "log.1").read_text() == "a line\n"


def test_the_samples_agree_on_commands_times_users_and_paths() -> None:
    service, (times, user, command), (_, pruner, prune) = SERVICE["Service"], *JOBS
    assert arguments_of(command) == arguments_of(service["ExecStart"])
    assert user == pruner == service["User"] == service["Group"]
    assert re.search(rf"^{SETTINGS['log-file']} {{\n +su {user} {user}\n", SAMPLES["logrotate"], re.MULTILINE)
    minute, hour, *_ = times.split()
    assert TIMER["Timer"]["OnCalendar"] == f"*-*-* {int(hour):02}:{int(minute):02}:00"
    assert str(command_line()[0].parse_args(arguments_of(prune)).output) == SETTINGS["output"]
    assert service["ReadWritePaths"] == SETTINGS["output"]
    assert SERVICE["Unit"]["RequiresMountsFor"].split() == [*SETTINGS["inputs"], SETTINGS["output"]]
    assert Path(SETTINGS["log-file"]).parent == Path("/var/log", service["LogsDirectory"])
    assert Path(SETTINGS["metrics-file"]).parent == Path("/var/lib", service["StateDirectory"])
    assert (service["UMask"], service["ProtectSystem"], service["PrivateNetwork"]) == ("0027", "strict", "true")
    assert service["SuccessExitStatus"].split() == [str(AnotherRun.exit_status), "143"]


def test_the_sample_configuration_has_every_setting_and_its_default(tmp_path: Path) -> None:
    (tmp_path / "complete.toml").write_text(COMPLETE)
    config.apply(command_line()[1], tmp_path / "complete.toml")  # refuses unknown settings and wrong values
    actions = {config._key(a): a for a in command_line()[1]._actions if a.dest not in config._NOT_IN_FILES}
    assert set(tomllib.loads(COMPLETE)) == {*actions, *config.HOOKS}
    stated = re.findall(r"((?:^# .*\n)+)^([a-z_-]+) = ", COMPLETE, flags=re.MULTILINE)
    assert len(stated) == len(tomllib.loads(COMPLETE))
    for comment, name in stated:
        (default,) = re.findall(r"Default: (.+)", comment.replace("\n# ", " "))
        value = None if default.startswith("none") else tomllib.loads(f"value = {default}")["value"]
        value = config._converted(actions[name], value, name) if value else None  # as if false, 0 and [] were not set
        assert value == ((name in actions and actions[name].default) or None)


def configuration(folder: Path, model: Path) -> Path:
    """Write the configuration for this folder and model, and a logger that prints to a file; set both hooks."""
    text = TOML.replace('model = "default"', f'model = "{model}"').replace("#on_success", "on_success")
    for place in ("/srv/", "/var/log/", "/var/lib/"):
        text = text.replace(f'"{place}', f'"{folder}/')
    logger, only_print = folder / "logger", "/usr/bin/logger --no-act --socket-errors=off --stderr"
    logger.write_text(f'#!/bin/sh\nexec 2>>"{folder}/logged"\necho $CALL_EMOTIONS_STATUS >&2\n{only_print} "$@"\n')
    logger.chmod(0o755)
    (folder / "call-emotions.toml").write_text(text.replace("/usr/bin/logger", str(logger)))
    (folder / "calls").mkdir()
    a_call(folder / "calls" / "a.wav")
    return folder / "call-emotions.toml"


def test_doctor_accepts_the_sample_configuration(tmp_path: Path, tiny_model: Path) -> None:
    assert main(["doctor", "--config", str(configuration(tmp_path, tiny_model))]) == 0


def test_a_run_by_cron_follows_the_configuration_and_prints_only_failures(tmp_path: Path, tiny_model: Path) -> None:
    command = JOBS[0][2].replace("/etc/call-emotions.toml", str(configuration(tmp_path, tiny_model)))
    command = command.replace(TOOL, shlex.join([sys.executable, "-m", "analyzer"]))
    environment = dict(re.findall(r"^([A-Z_]+)=(\S+)$", SAMPLES["crontab"], flags=re.MULTILINE))
    shell = environment["SHELL"], "-c", command
    environment |= {"HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    bad, output, logs = tmp_path / "calls" / "bad.wav", tmp_path / "emotions", tmp_path / "call-emotions"
    bad.write_text("no audio\n" * 20)  # newer than min-age
    assert result(*shell, env=environment, cwd="/") == (0, "", "")
    statuses = {row["file"]: row["status"] for row in read_csv(output / "files.csv")}
    assert statuses == {"calls/a.wav": "ok", "calls/bad.wav": "incomplete"}
    timeline = read_csv(output / "timelines" / "calls" / "a.wav.csv")
    assert {(row["speaker"], row["emotion"]) for row in timeline} == {("mixed", "")}  # only customers have emotions
    assert {path.name for path in output.iterdir()} >= {"summary.xlsx", "html"}
    assert " INFO " in (logs / "call-emotions.log").read_text()
    metrics = re.findall(r"^# HELP call_emotions_(\w+) ", (logs / "call-emotions.prom").read_text(), re.MULTILINE)
    assert set(metrics) == set(re.findall(r"^\| `((?:last_run|known)_\w+)", GUIDES, re.MULTILINE))

    at_noon(bad.parent)
    status, printed, errors = result(*shell, env=environment, cwd="/")
    assert (status, printed) == (1, "")
    assert errors.splitlines()[-1].endswith("calls/bad.wav")
    zero, success, one, failure = (tmp_path / "logged").read_text().splitlines()
    texts = [tomllib.loads(COMPLETE)[hook][-1] for hook in config.HOOKS]
    assert [zero, one, success.split(": ")[1], failure.split(": ")[1]] == ["0", "1", *texts]

"""Sample files for operators: the tool accepts them as they are, and they are consistent."""

import argparse
import getpass
import grp
import logging
import os
import re
import shlex
import shutil
import stat
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analyzer import cli, config, logs
from analyzer.cli import main
from analyzer.options import command_line
from tests import voices
from tests.encoders import write_wav
from tests.nights import Analyze, a_call, at_noon, read_csv

SAMPLES = Path(__file__).parent.parent / "samples"
NIGHTS = (SAMPLES.parent / "docs" / "nights.md").read_text(encoding="utf-8")
CONFIGURATION = SAMPLES / "call-emotions.toml"
#: A setting of the sample configuration, set or behind a `#`.
SETTING = re.compile(r"#?([a-z][a-z_-]*) = ")


def sample(name: str) -> str:
    return (SAMPLES / name).read_text(encoding="utf-8")


def settings() -> dict[str, Any]:
    return tomllib.loads(sample("call-emotions.toml"))


def uncommented(text: str) -> str:
    """Return the sample configuration with every setting active."""
    return "\n".join(line.removeprefix("#") if SETTING.match(line) else line for line in text.splitlines())


def defaults() -> dict[str, str]:
    """Return the default of each setting according to the sample configuration: the end of the comment above it."""
    told, comment = {}, ""
    for line in sample("call-emotions.toml").splitlines():
        if match := SETTING.match(line):
            (told[match[1]],) = re.findall(r"Default: (.+)$", comment.strip())
        comment = f"{comment} {line.removeprefix('#').strip()}" if line.startswith("# ") else ""
    return told


def analyze_parser() -> argparse.ArgumentParser:
    return command_line()[1]


def options_of(parser: argparse.ArgumentParser) -> dict[str, argparse.Action]:
    """Return the options that are allowed in a configuration file, by their keys there."""
    return {config._key(a): a for a in parser._actions if a.dest not in config._NOT_IN_FILES}


def cron_jobs() -> dict[str, tuple[list[str], str, str]]:
    """Return times, user and command of the lines of the crontab, including commented ones, by the tool's command."""
    found = re.findall(r"^#?((?:[\d*/,-]+ ){5}) *(\S+) +(.+)$", sample("crontab"), flags=re.MULTILINE)
    jobs = {
        re.search(r"/call-emotions (\w+)", command)[1]: (times.split(), *rest, command)
        for times, *rest, command in found
    }
    assert len(jobs) == len(found)
    return jobs


def cron_variables() -> dict[str, str]:
    return dict(re.findall(r"^([A-Z_]+)=(\S+)$", sample("crontab"), flags=re.MULTILINE))


def unit(name: str) -> dict[str, dict[str, list[str]]]:
    """Return the settings of a systemd unit, by section; a setting that occurs repeatedly has several values."""
    sections: dict[str, dict[str, list[str]]] = {}
    for line in sample(name).splitlines():
        if section := re.fullmatch(r"\[(\w+)\]", line):
            found = sections.setdefault(section[1], {})
        elif line and not line.startswith("#"):
            key, equals, value = line.partition("=")
            assert equals
            found.setdefault(key, []).append(value)
    return sections


def service(key: str) -> str:
    (value,) = unit("call-emotions.service")["Service"][key]
    return value


def tool_arguments(command: str) -> tuple[str, list[str]]:
    """Return the path of the tool in a command, and its arguments."""
    words = shlex.split(command.partition(">")[0])
    (at,) = [k for k, word in enumerate(words) if word.endswith("/call-emotions")]
    return words[at], words[at + 1 :]


def commands() -> dict[str, str]:
    jobs = {f"crontab: {name}": command for name, (_, _, command) in cron_jobs().items()}
    return {**jobs, "service": service("ExecStart")}


# ---- commands


def test_the_crontab_analyses_and_prunes_and_the_service_analyses() -> None:
    assert set(commands()) == {"crontab: analyze", "crontab: prune", "service"}


@pytest.mark.parametrize("name", ["crontab: analyze", "crontab: prune", "service"])
def test_the_tool_knows_every_option_of_a_sample_command(name: str) -> None:
    _, arguments = tool_arguments(commands()[name])
    options = command_line()[0].parse_args(arguments)  # exits on an unknown option
    paths = [getattr(options, key, None) for key in ("config", "output") if f"--{key}" in arguments]
    assert paths
    assert all(path.is_absolute() for path in paths)


@pytest.mark.parametrize("name", ["crontab: analyze", "service"])
def test_a_night_is_told_to_be_quiet_and_where_its_configuration_is(name: str) -> None:
    options = command_line()[0].parse_args(tool_arguments(commands()[name])[1])
    assert options.quiet
    assert options.config == Path("/etc/call-emotions.toml")
    assert "/etc/call-emotions.toml" in sample("call-emotions.toml").splitlines()[0]


@pytest.mark.parametrize("name", ["crontab: analyze", "crontab: prune", "service"])
def test_commands_name_programs_by_absolute_paths(name: str) -> None:
    command = commands()[name].removeprefix("umask 027; exec ")
    assert command.startswith("/")
    named = [word for word in shlex.split(command) if "/" in word]
    assert all(word.removeprefix(">").startswith("/") for word in named)


def test_programs_of_the_system_that_the_samples_name_are_where_they_say() -> None:
    named = set(re.findall(r"/usr/bin/[\w-]+", sample("crontab") + sample("call-emotions.toml")))
    assert named == {"/usr/bin/nice", "/usr/bin/ionice", "/usr/bin/logger"}
    assert [name for name in named if not os.access(name, os.X_OK)] == []


def test_the_crontab_has_what_cron_needs() -> None:
    text = sample("crontab")
    assert set(cron_variables()) == {"SHELL", "PATH", "MAILTO"}
    for times, _, command in cron_jobs().values():
        ranges = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
        assert all(t == "*" or least <= int(t) <= most for t, (least, most) in zip(times, ranges, strict=True))
        assert "%" not in command
        assert command.startswith("umask 027; exec ")
    assert text.endswith("\n")  # cron ignores a last line without a line feed


def run_crontab(folder: Path, model: Path) -> "subprocess.CompletedProcess[str]":
    """Run the `analyze` command of the crontab as cron does, with the paths of the samples in a folder."""
    command, here = cron_jobs()["analyze"][2], sample_configuration(folder, model)
    tool = shlex.join([sys.executable, "-m", "analyzer"])
    command = command.replace(tool_arguments(command)[0], tool).replace("/etc/call-emotions.toml", str(here))
    (folder / "home").mkdir(exist_ok=True)
    environment = {**cron_variables(), "HOME": str(folder / "home"), "PYTHONPATH": str(SAMPLES.parent)}
    asked = [environment["SHELL"], "-c", command]
    return subprocess.run(asked, env=environment, cwd="/", capture_output=True, text=True, check=False)


def test_cron_mails_of_trouble_and_nothing_else(tmp_path: Path, tiny_model: Path) -> None:
    calls = tmp_path / "calls"
    calls.mkdir()
    a_call(calls / "a.wav")
    ended = run_crontab(tmp_path, tiny_model)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    assert [row["status"] for row in read_csv(tmp_path / "emotions" / "files.csv")] == ["ok"]
    assert list((tmp_path / "home").iterdir()) == []  # where ONNX Runtime would store its telemetry

    (calls / "bad.wav").write_text("Dear colleague,\n" * 20)
    at_noon(calls)
    ended = run_crontab(tmp_path, tiny_model)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.splitlines()[-1].endswith("; failed: calls/bad.wav")


def test_the_tool_knows_every_option_that_the_page_on_nights_gives_it() -> None:
    told = re.findall(r"^    ce (?!\()(.+)$", NIGHTS, flags=re.MULTILINE)
    assert len(told) >= 5
    for arguments in told:
        command_line()[0].parse_args(shlex.split(arguments))  # exits on an unknown option


def test_the_page_on_nights_installs_every_sample_where_the_samples_expect_it() -> None:
    installed = re.findall(r"^ *(?:cron: `)?install ([^\n`]*samples/[^\n`]*)", NIGHTS, flags=re.MULTILINE)
    copied = [(name, words.split()[-1]) for words in installed for name in re.findall(r"samples/(\S+)", words)]
    assert {name for name, _ in copied} == {path.name for path in SAMPLES.iterdir()}
    for name, place in copied:
        target = f"{place}{name}" if place.endswith("/") else place
        assert sample(name).splitlines()[0].startswith(f"# {target}:")


# ---- consistency


def test_crontab_and_service_run_the_same_command_as_the_same_user() -> None:
    _, user, command = cron_jobs()["analyze"]
    assert tool_arguments(command) == tool_arguments(service("ExecStart"))
    assert user == service("User") == service("Group") == cron_jobs()["prune"][1]


def test_what_is_pruned_is_what_was_analysed() -> None:
    options = command_line()[0].parse_args(tool_arguments(commands()["crontab: prune"])[1])
    assert str(options.output) == settings()["output"]


def test_the_service_may_write_what_the_configuration_says_and_sees_to_it_that_it_is_there() -> None:
    configured = settings()
    assert service("ReadWritePaths").split() == [configured["output"]]
    assert Path(configured["log-file"]).parent == Path("/var/log", service("LogsDirectory"))
    assert Path(configured["metrics-file"]).parent == Path("/var/lib", service("StateDirectory"))
    needed = unit("call-emotions.service")["Unit"]["RequiresMountsFor"][0].split()
    assert needed == [*configured["inputs"], configured["output"]]


def test_logrotate_rotates_the_log_of_the_configuration_for_its_user() -> None:
    text, user = sample("logrotate"), service("User")
    assert re.search(r"^(/\S+) \{$", text, flags=re.MULTILINE)[1] == settings()["log-file"]
    assert f"su {user} {user}" in text
    assert f"create 0640 {user} {user}" in text


def test_crontab_and_timer_begin_at_the_same_time() -> None:
    minute, hour, *rest = cron_jobs()["analyze"][0]
    (calendar,) = unit("call-emotions.timer")["Timer"]["OnCalendar"]
    assert calendar == f"*-*-* {int(hour):02}:{int(minute):02}:00"
    assert rest == ["*", "*", "*"]


# ---- the configuration


def test_the_sample_configuration_is_accepted_as_it_is() -> None:
    hooks = config.apply(parser := analyze_parser(), CONFIGURATION)
    options = parser.parse_args([])
    cli._check(parser, options)  # exits if options conflict
    assert (options.min_age, options.speakers, options.only) == (300, ("agent", "customer"), ("customer",))
    assert hooks.on_failure
    assert not hooks.on_success


def test_the_sample_configuration_is_accepted_with_every_example_set(tmp_path: Path) -> None:
    (tmp_path / "all.toml").write_text(uncommented(sample("call-emotions.toml")))
    hooks = config.apply(parser := analyze_parser(), tmp_path / "all.toml")
    options = parser.parse_args([])
    assert hooks.on_success
    assert hooks.on_failure
    examples = [options.jobs, options.cluster, options.max_hours, options.name_pattern, options.metadata]
    assert None not in (*examples, options.time_zone)


def test_the_name_pattern_of_the_sample_configuration_finds_the_times_of_the_example_calls() -> None:
    pattern = tomllib.loads(uncommented(sample("call-emotions.toml")))["name-pattern"]
    calls = sorted((SAMPLES.parent / "examples" / "calls").iterdir())
    assert calls
    assert all(re.search(pattern, path.name) for path in calls)


def test_the_sample_configuration_shows_every_setting_and_none_other_once() -> None:
    known = [*options_of(analyze_parser()), *config.HOOKS]
    shown = [match[1] for line in sample("call-emotions.toml").splitlines() if (match := SETTING.match(line))]
    assert sorted(shown) == sorted(known)
    assert set(tomllib.loads(uncommented(sample("call-emotions.toml")))) == set(known)


@pytest.mark.parametrize("name", [*options_of(analyze_parser()), *config.HOOKS])
def test_the_sample_configuration_tells_the_default_of_a_setting(name: str) -> None:
    told = defaults()[name]
    action = options_of(analyze_parser()).get(name)
    if told.startswith("none"):
        assert action is None or action.default is None
        return
    assert action is not None
    value = tomllib.loads(f"told = {told}")["told"]
    if value == []:
        assert not action.default
    else:
        assert config._converted(action, value, "told") == action.default


def test_paths_of_the_sample_configuration_are_absolute() -> None:
    every = tomllib.loads(uncommented(sample("call-emotions.toml")))
    paths = [*every["inputs"], *(every[key] for key in ("output", "metadata", "log-file", "metrics-file"))]
    assert all(Path(path).is_absolute() for path in (*paths, every["on_success"][0], every["on_failure"][0]))


def sample_configuration(folder: Path, model: Path) -> Path:
    """Write a copy of the sample configuration with its paths in a folder, and with this model."""
    text = sample("call-emotions.toml").replace('model = "default"', f'model = "{model}"')
    for place in ("/srv/", "/var/log/", "/var/lib/"):
        assert f'"{place}' in text
        text = text.replace(f'"{place}', f'"{folder}/')
    path = folder / "call-emotions.toml"
    path.write_text(text)
    return path


def test_a_night_with_the_sample_configuration_writes_what_it_says_where_it_says(
    tmp_path: Path, tiny_model: Path, analyze: Analyze, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = tmp_path / "calls"
    calls.mkdir()
    a_call(calls / "mono.wav")
    both = [voices.call(4, [(0.3, 1.7)], seed=1, pitch=110), voices.call(4, [(2, 3.7)], seed=2, pitch=200)]
    write_wav(calls / "both.wav", np.stack(both))
    at_noon(calls)
    a_call(calls / "new.wav").touch()  # newer than min-age
    monkeypatch.chdir(tmp_path)  # the working folder must not matter
    assert analyze("--config", sample_configuration(tmp_path, tiny_model), "--quiet") == 0

    files = {row["file"]: row["status"] for row in read_csv(tmp_path / "emotions" / "files.csv")}
    assert files == {"calls/both.wav": "ok", "calls/mono.wav": "ok", "calls/new.wav": "incomplete"}
    timeline = read_csv(tmp_path / "emotions" / "timelines" / "calls" / "both.wav.csv")
    assert {(row["speaker"], bool(row["emotion"])) for row in timeline} == {("agent", False), ("customer", True)}
    mixed = read_csv(tmp_path / "emotions" / "timelines" / "calls" / "mono.wav.csv")
    assert {(row["speaker"], row["emotion"]) for row in mixed} == {("mixed", "")}
    assert (tmp_path / "emotions" / "summary.xlsx").is_file()
    log = (tmp_path / "call-emotions" / "call-emotions.log").read_text()
    assert re.search(r"^\d{4}-\d\d-\d\dT\S+ INFO analysed 2 recordings", log, flags=re.MULTILINE)
    metrics = (tmp_path / "call-emotions" / "call-emotions.prom").read_text()
    assert "call_emotions_last_run_exit_status 0\n" in metrics
    written = set(re.findall(r"^# HELP call_emotions_(\w+) ", metrics, flags=re.MULTILINE))
    assert written == set(re.findall(r"^\| `((?:last_run|known)_\w+)", NIGHTS, flags=re.MULTILINE))
    assert set(re.findall(r"expr: .*call_emotions_(\w+)", NIGHTS)) < written


def test_the_command_for_a_failed_night_is_run_as_the_sample_configuration_says(
    tmp_path: Path, tiny_model: Path, analyze: Analyze
) -> None:
    (tmp_path / "calls").mkdir()
    (tmp_path / "calls" / "bad.wav").write_text("Dear colleague,\n" * 20)
    at_noon(tmp_path / "calls")
    path = sample_configuration(tmp_path, tiny_model)
    told = tmp_path / "told"
    script = tmp_path / "logger"
    script.write_text(f'#!/bin/sh\necho "$CALL_EMOTIONS_STATUS" "$@" > {shlex.quote(str(told))}\n')
    script.chmod(0o755)
    path.write_text(path.read_text().replace("/usr/bin/logger", str(script)))
    assert analyze("--config", path, "--quiet") == 1
    assert told.read_text() == "1 --tag call-emotions --priority user.err see call-emotions.log\n"


# ---- systemd

#: Keys of units that systemd knows; see systemd.unit(5), .service(5), .exec(5), .resource-control(5) and .timer(5).
KNOWN_KEYS = {
    "call-emotions.service": {
        "Unit": "Description Documentation RequiresMountsFor OnFailure",
        "Service": "Type User Group ExecStart Environment SuccessExitStatus Restart TimeoutStartSec KillMode "
        "TimeoutStopSec Nice CPUSchedulingPolicy IOSchedulingClass MemoryMax OOMPolicy UMask "
        "ProtectSystem ReadWritePaths LogsDirectory LogsDirectoryMode StateDirectory ProtectHome "
        "PrivateTmp PrivateDevices NoNewPrivileges CapabilityBoundingSet PrivateNetwork "
        "RestrictAddressFamilies ProtectClock ProtectControlGroups ProtectHostname ProtectKernelLogs "
        "ProtectKernelModules ProtectKernelTunables ProtectProc RestrictNamespaces RestrictRealtime "
        "RestrictSUIDSGID LockPersonality SystemCallArchitectures",
    },
    "call-emotions.timer": {
        "Unit": "Description",
        "Timer": "OnCalendar Persistent RandomizedDelaySec",
        "Install": "WantedBy",
    },
}


@pytest.mark.parametrize("name", KNOWN_KEYS)
def test_systemd_takes_the_units(name: str, tmp_path: Path) -> None:
    known = {section: set(keys.split()) for section, keys in KNOWN_KEYS[name].items()}
    unknown = {section: set(keys) - known.get(section, set()) for section, keys in unit(name).items()}
    assert unknown == {section: set() for section in known}
    if not (verify := shutil.which("systemd-analyze")):
        return  # the keys were compared above
    for each in KNOWN_KEYS:  # a timer is verified with its service, and a service with its program
        text = sample(each).replace(tool_arguments(service("ExecStart"))[0], sys.executable)
        (tmp_path / each).write_text(text)
    ended = subprocess.run([verify, "verify", tmp_path / name], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")  # it only warns about unknown keys


def test_the_service_is_confined() -> None:
    wanted = {"ProtectSystem": "strict", "UMask": "0027", "CapabilityBoundingSet": "", "TimeoutStartSec": "infinity"}
    wanted |= {"Type": "oneshot", "KillMode": "mixed", "OOMPolicy": "continue", "RestrictAddressFamilies": "AF_UNIX"}
    on = ("ProtectHome", "PrivateTmp", "PrivateDevices", "PrivateNetwork", "NoNewPrivileges")
    assert {key: service(key) for key in (*wanted, *on)} == wanted | dict.fromkeys(on, "true")


def test_only_another_run_and_a_stop_are_no_trouble_to_the_service() -> None:
    assert service("SuccessExitStatus").split() == ["75", "143"]


def test_the_timer_makes_up_for_nights_that_were_missed() -> None:
    timer = unit("call-emotions.timer")
    assert timer["Timer"]["Persistent"] == ["true"]
    assert timer["Install"]["WantedBy"] == ["timers.target"]


# ---- the log

#: Directives of logrotate(8) that the sample uses, and their numbers of arguments.
DIRECTIVES = dict.fromkeys(("weekly", "compress", "delaycompress", "missingok", "notifempty"), 0)
DIRECTIVES |= {"su": 2, "rotate": 1, "maxage": 1, "create": 3}


def test_logrotate_takes_its_sample(tmp_path: Path) -> None:
    text = sample("logrotate")
    block = re.fullmatch(r"(?:#.*\n)+(/\S+) \{\n((?: {4}.+\n)+)\}\n", text)
    directives = [line.split() for line in block[2].splitlines()]
    assert {name: len(values) for name, *values in directives} == DIRECTIVES
    if not (logrotate := shutil.which("logrotate", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")):
        return  # the directives were compared above
    user, group = getpass.getuser(), grp.getgrgid(os.getgid()).gr_name
    log = tmp_path / "call-emotions.log"
    log.write_text("a line\n")
    path = tmp_path / "logrotate"
    path.write_text(text.replace(block[1], str(log)).replace("call-emotions call-emotions", f"{user} {group}"))
    path.chmod(0o644)
    asked = [logrotate, "--state", tmp_path / "state", "--force", path]
    ended = subprocess.run(asked, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert (tmp_path / "call-emotions.log.1").read_text() == "a line\n"
    assert log.read_text() == ""
    assert stat.S_IMODE(log.stat().st_mode) == 0o640


@pytest.mark.parametrize("made_anew", [True, False], ids=["with create", "without create"])
def test_a_log_that_is_moved_away_goes_on_in_a_new_file(tmp_path: Path, made_anew: bool) -> None:
    log, moved = tmp_path / "call-emotions.log", tmp_path / "call-emotions.log.1"
    logs.set_up(quiet=True, file=log)
    try:
        logging.getLogger(logs.LOGGER).info("before")
        log.rename(moved)
        if made_anew:
            log.touch(0o640)
        logging.getLogger(logs.LOGGER).info("after")
    finally:
        logs.close()
    assert [line.split()[1:] for line in moved.read_text().splitlines()] == [["INFO", "before"]]
    assert [line.split()[1:] for line in log.read_text().splitlines()] == [["INFO", "after"]]


def test_a_log_that_is_moved_away_while_a_night_goes_on_is_lost_for_no_line(
    tmp_path: Path, analyze: Analyze, monkeypatch: pytest.MonkeyPatch
) -> None:
    for k in range(3):
        (tmp_path / "calls").mkdir(exist_ok=True)
        a_call(tmp_path / "calls" / f"{k}.wav", seed=k)
    log, moved = tmp_path / "a.log", tmp_path / "a.log.1"
    told = logging.getLogger(logs.LOGGER).debug

    def rotated_after_the_first(*arguments: Any, **more: Any) -> None:
        told(*arguments, **more)
        if not moved.exists():
            log.rename(moved)

    monkeypatch.setattr(logging.getLogger(logs.LOGGER), "debug", rotated_after_the_first)
    assert analyze(tmp_path / "calls", "-o", tmp_path / "out", "-v", "--log-file", log) == 0
    assert len(moved.read_text().splitlines()) == 1
    assert [line.split()[1] for line in log.read_text().splitlines()] == ["DEBUG", "DEBUG", "INFO"]


def test_the_samples_are_checked_as_the_doctor_checks_them(tmp_path: Path, tiny_model: Path, capsys: Any) -> None:
    (tmp_path / "calls").mkdir()
    a_call(tmp_path / "calls" / "a.wav")
    main(["doctor", "--config", str(sample_configuration(tmp_path, tiny_model))])
    said = capsys.readouterr().out
    assert f"ok    recordings: {tmp_path}/calls, called calls\n" in said
    assert f"ok    results: {tmp_path}/emotions can be written" in said

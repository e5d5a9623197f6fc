"""Options in a TOML file: the same names as on the command line, which takes precedence."""

import argparse
import difflib
import os
import subprocess
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analyzer.errors import UsageError
from analyzer.inputs.text_files import read_text
from analyzer.names import show

#: Read if no file is named. Commands in it are refused, since any user with write access to the folder may have put
#: them there.
FILE_NAME = "call-emotions.toml"
HOOKS = ("on_success", "on_failure")
#: Options that make no sense in a file.
_NOT_IN_FILES = frozenset(("help", "config", "version"))


@dataclass(frozen=True)
class Hooks:
    """Commands to execute after a run, each a list of the program and its arguments; empty for none."""

    on_success: tuple[str, ...] = ()
    on_failure: tuple[str, ...] = ()


def apply(parser: argparse.ArgumentParser, named: Path | None) -> Hooks:
    """Make the options of a file the defaults of a parser; return the commands to execute after the run.

    If no file is named, ./call-emotions.toml is read if it exists. Raises UsageError with what is wrong in the file.
    """
    path = named or Path(FILE_NAME)
    # Not Path.exists, which raises if this user may not enter the working folder.
    if named is None and not os.path.exists(path):
        return Hooks()
    try:
        settings = tomllib.loads(read_text(path))
    except (OSError, ValueError) as error:
        raise UsageError(f"the configuration {show(str(path))} cannot be read: {error}") from error
    hooks = {name: _parse_command(settings.pop(name), f"{path}: {name}") for name in HOOKS if name in settings}
    actions = {_key(action): action for action in parser._actions if action.dest not in _NOT_IN_FILES}
    for key, value in settings.items():
        name = key.replace("_", "-")
        if name not in actions:
            known = sorted([*actions, *HOOKS])
            close_matches = difflib.get_close_matches(name, known, 1)
            hint = f": did you mean {close_matches[0]}?" if close_matches else f"; known are {', '.join(known)}"
            raise UsageError(f"{show(str(path))}: unknown setting {show(key)}{hint}")
        action = actions[name]
        action.default = _converted(action, value, f"{show(str(path))}: {name}")
    if hooks and named is None:
        raise UsageError(f"{path}: {next(iter(hooks))} is only run from a file that is named with --config")
    return Hooks(**hooks)


def _key(action: argparse.Action) -> str:
    """Return the name of an option in a file: the same as on the command line."""
    long_options = [option for option in action.option_strings if option.startswith("--")]
    return long_options[0].removeprefix("--") if long_options else action.dest


def _converted(action: argparse.Action, value: Any, location: str) -> Any:
    """Convert a value from a file as the command line would parse it."""
    if isinstance(action, argparse._StoreTrueAction):
        if not isinstance(value, bool):
            raise UsageError(f"{location} is true or false, not {value!r}")
        return value
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        if action.nargs == "*":
            return value
        value = ",".join(value)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise UsageError(f"{location}: {value!r} is not what is asked for here")
    text = str(value)
    try:
        converted = action.type(text) if callable(action.type) else text
    except (argparse.ArgumentTypeError, ValueError) as error:
        raise UsageError(f"{location}: {error}") from error
    if action.choices is not None and converted not in action.choices:
        raise UsageError(f"{location}: {text!r} is none of {', '.join(map(str, action.choices))}")
    return [converted] if action.nargs == "*" else converted


def _parse_command(value: Any, location: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not value or not all(isinstance(item, str) for item in value):
        raise UsageError(
            f'{location} is a list of a program and its arguments, such as ["/usr/bin/logger", "all is well"]'
        )
    return tuple(value)


def run_hook(hooks: Hooks, status: int, output: Path) -> str | None:
    """Execute the command for a run that ended with this status; return what went wrong with it, or None.

    No shell is involved. The command gets the exit status and the output folder in the environment variables
    CALL_EMOTIONS_STATUS and CALL_EMOTIONS_OUTPUT.
    """
    command = hooks.on_success if status == 0 else hooks.on_failure if status in (1, 3) else ()
    if not command:
        return None
    environment = {**os.environ, "CALL_EMOTIONS_STATUS": str(status), "CALL_EMOTIONS_OUTPUT": str(output)}
    try:
        completed = subprocess.run(  # noqa: S603  # set by the operator, in a file named with --config
            command, env=environment, stdin=subprocess.DEVNULL, timeout=600, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"the command {show(command[0])} did not run: {error}"
    return f"the command {show(command[0])} ended with {completed.returncode}" if completed.returncode else None

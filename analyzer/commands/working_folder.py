"""Handling of a working folder that was deleted before the process started, or that this user may not enter."""

import argparse
import os
from pathlib import Path

from analyzer.errors import UsageError
from analyzer.names import show


def leave_if_unusable(options: argparse.Namespace) -> None:
    """Change to the root folder if the working folder is gone or this user may not enter it.

    Child processes cannot start in such a folder. Raises UsageError if an option names a relative path.
    """
    try:
        os.chdir(os.getcwd())  # each child process does the same when it starts
    except OSError:
        for text in _relative(options):
            raise UsageError(
                f"the working folder was deleted or may not be entered by this user, and {show(text)} is relative to "
                "it: give an absolute path, or start from another folder"
            ) from None
        os.chdir(os.path.abspath(os.sep))


def _relative(options: argparse.Namespace) -> list[str]:
    """Return the relative paths among the options."""
    from analyzer.audio.storage import is_address
    from analyzer.model.classifier import is_path

    named = [str(value) for value in vars(options).values() if isinstance(value, Path)]
    model = getattr(options, "model", None)
    named += [model] if model and is_path(model) else []
    for text in getattr(options, "inputs", []):
        label, _, rest = text.partition("=")
        named.append(rest if rest and "/" not in label and os.sep not in label else text)
    return [text for text in named if not os.path.isabs(text) and not is_address(text)]

"""Signals: the first stops a run at a safe point, the second stops it at once."""

import os
import signal
import subprocess
import sys

import pytest

from analyzer.runtime.signals import Stopped, StopSignals


def test_check_raises_after_a_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    with StopSignals() as stop:
        stop.check()
        os.kill(os.getpid(), signal.SIGTERM)
        done = "what was being done"
        with pytest.raises(Stopped) as stopped:
            stop.check()
    assert done
    assert stopped.value.exit_status == 143


def test_signal_ends_a_wait() -> None:
    with StopSignals() as stop, pytest.raises(Stopped) as stopped, stop.waiting():
        os.kill(os.getpid(), signal.SIGINT)
        signal.pause()
    assert stopped.value.exit_status == 130


def test_earlier_signal_ends_a_wait() -> None:
    with StopSignals() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(Stopped), stop.waiting():
            signal.pause()


def test_signal_handlers_are_restored() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with StopSignals():
        assert signal.getsignal(signal.SIGTERM) != before[1]
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_second_signal_ends_the_process() -> None:
    code = (
        "import os, signal, time\n"
        "from analyzer.runtime.signals import StopSignals\n"
        "with StopSignals():\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    time.sleep(60)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -signal.SIGTERM

"""Code that is killed at a given call of a function, and a large ledger to change."""

import random
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from analyzer.names import Identity
from analyzer.store.entry import Entry
from analyzer.store.ledger import Ledger
from analyzer.timeline.timeline import DrawingData
from tests.helpers.telephone_numbers import NUMBER


class Killed(BaseException):
    pass


@contextmanager
def killed_at(owner: object, name: str, call: int) -> Iterator[None]:
    """Kill the code in the block at the given call of a function, counted from 1."""
    really, calls = getattr(owner, name), 0

    def or_die(*arguments: object, **more: object) -> object:
        nonlocal calls
        calls += 1
        if calls == call:
            raise Killed
        return really(*arguments, **more)

    with pytest.MonkeyPatch.context() as context:
        context.setattr(owner, name, or_die)
        with pytest.raises(Killed):
            yield


def a_large_ledger(output: Path) -> None:
    """Two thousand recordings of all lengths in no order; every other one is secret."""
    rng = random.Random(1)
    with closing(Ledger(output)) as ledger:
        ledger.state.set("key", "00" * 32)
        ledger._connection.execute("PRAGMA synchronous = OFF")
        for k in range(2000):
            name = f"{k % 13}/{NUMBER}{rng.randrange(1000)}-{'secret' if k % 2 else 'open'}-{k}.wav"
            entry = Entry(Identity("calls", name), 1, 1, "ok", reason="x" * (k % 300), groups={"customer": NUMBER})
            ledger.record(entry, DrawingData(rng.randbytes(k * 7 % 5000), ()))

"""A synthetic archive that was analysed over five weeks: ledger and timelines, without recordings."""

from contextlib import closing
from datetime import date, timedelta
from pathlib import Path

import numpy as np

from analyzer.audio import envelope
from analyzer.emotions import EMOTIONS
from analyzer.names import Identity
from analyzer.store.entry import Entry
from analyzer.store.ledger import Ledger
from analyzer.store.outputs import timeline_path, write_timeline
from analyzer.timeline.channel_statistics import channel_statistics
from analyzer.timeline.timeline import DrawingData, Row, ordered

SPEAKERS = ("customer", "agent")
_LENGTH_S, _ROWS_EACH = 310.0, 30
_NEWEST, _DAYS = date(2026, 11, 24), 35
#: Number of different calls; the others repeat them.
_DISTINCT = 50


def make_archive(output: Path, count: int) -> Path:
    """Create the output folder of `count` recordings with two channels and sixty rows each.

    Only the first _DISTINCT calls differ; the others repeat them.
    """
    rng = np.random.default_rng(1)
    calls = [_rows(rng) for _ in range(_DISTINCT)]
    statistics = [
        {
            channel: channel_statistics(channel, rows, [], _LENGTH_S, speaker=speaker, masked=False)
            for channel, speaker in enumerate(SPEAKERS, start=1)
        }
        for rows in calls
    ]
    points = round(_LENGTH_S / envelope.STEP_S)
    drawing = DrawingData(envelope.pack(rng.normal(0, 0.1, (2, points, 2)).astype(np.float32)), ())
    timelines: dict[int, bytes] = {}
    with closing(Ledger(output)) as ledger:
        for number in range(count):
            day = (_NEWEST - timedelta(number % _DAYS)).isoformat()
            identity = Identity("calls", f"{day}/{number:07d}.wav")
            path = timeline_path(output, identity)
            if number < _DISTINCT:
                write_timeline(path, calls[number], SPEAKERS)
                timelines[number] = path.read_bytes()
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(timelines[number % _DISTINCT])
            entry = Entry(
                identity,
                size=2_480_058,
                mtime_ns=0,
                status="ok",
                fingerprint="0123456789abcdef",
                model="default",
                codec="wav ulaw",
                rate=8000,
                channels=2,
                length_s=_LENGTH_S,
                statistics=statistics[number % _DISTINCT],
                recorded=f"{day} {8 + number % 12:02d}:{number % 60:02d}:00",
                recorded_from="name",
                groups={"queue": f"queue {number % 12}"},
            )
            ledger.record(entry, drawing)
    return output


def _rows(rng: np.random.Generator) -> list[Row]:
    """Return the rows of a call: a turn every ten seconds on channel 1, and one on channel 2 four seconds later."""
    rows = []
    for channel in (1, 2):
        for turn in range(_ROWS_EACH):
            probabilities = tuple(
                round(float(probability), 4) for probability in rng.dirichlet([3, 2, 1, 0.5, 0.5, 0.3, 0.2, 0.4])
            )
            start = 10.0 * turn + 4.0 * channel
            rows.append(Row(start, start + 2.5, channel, EMOTIONS[int(np.argmax(probabilities))], probabilities, -25.0))
    return ordered(rows)

"""What people want to know of many recordings: counted from the ledger in one pass, day by day.

Speakers called agent are left out of everything that is counted of emotions, and so are masked ones: how employees feel
is nobody's to count. Nothing here grows with the recordings but the days, the groups, and the calls of one day.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from zoneinfo import ZoneInfo

from analyzer.emotions import EMOTIONS, UNCERTAIN
from analyzer.entry import Entry
from analyzer.figures import Figures
from analyzer.ledger import Ledger
from analyzer.names import Identity
from analyzer.report.selection import Period, Selection, newest_day, tomorrow

#: The role, and the kind of group, of which no emotions are counted.
AGENT = "agent"
LABELS = (*EMOTIONS, UNCERTAIN)
HEARD, FAILED = ("ok", "no_speech"), ("failed", "given_up")


@dataclass
class Tally:
    """Recordings counted together.

    Attributes
    ----------
    recordings, failed, waiting : number of all, of those that could not be analysed, and that are not whole yet.
    rows : number of rows that they have in recordings.csv.
    heard : number of recordings in which somebody's emotions were heard.
    upset : number of those with a negative passage.
    length_s : seconds of sound.
    emotion_s : seconds of speech whose emotions were heard, by label.
    """

    recordings: int = 0
    failed: int = 0
    waiting: int = 0
    rows: int = 0
    heard: int = 0
    upset: int = 0
    length_s: float = 0.0
    emotion_s: dict[str, float] = field(default_factory=lambda: dict.fromkeys(LABELS, 0.0))

    @property
    def talk_s(self) -> float:
        """Seconds of speech whose emotions were heard."""
        return sum(self.emotion_s.values())

    def share(self, label: str) -> float | None:
        """The share of the talk that has a label; None where nobody talked."""
        return self.emotion_s[label] / self.talk_s if self.talk_s else None

    def add(self, entry: Entry) -> None:
        """Count another recording."""
        told = counted(entry)
        self.recordings += 1
        self.failed += entry.status in FAILED
        self.waiting += entry.status == "incomplete"
        self.rows += len(entry.figures or ()) or 1
        self.heard += bool(told)
        self.upset += any(figures["passages"] for figures in told.values())
        self.length_s += (entry.length_s or 0.0) if entry.status in HEARD else 0.0
        for figures in told.values():
            for label in LABELS:
                self.emotion_s[label] += _number(figures["talk_s"]) * _number(figures[f"share_{label}"])

    def merge(self, other: "Tally") -> None:
        """Count what another tally has counted, too."""
        for name in ("recordings", "failed", "waiting", "rows", "heard", "upset", "length_s"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for label in LABELS:
            self.emotion_s[label] += other.emotion_s[label]


def counted(entry: Entry) -> dict[int, Figures]:
    """The figures of the channels whose emotions are counted, by channel."""
    if entry.status not in HEARD:
        return {}
    return {
        channel: figures
        for channel, figures in (entry.figures or {}).items()
        if not is_agent(figures["speaker"]) and not figures.get("masked") and figures["share_neutral"] is not None
    }


def is_agent(name: object) -> bool:
    """Whether a role, or a kind of group, is that of employees."""
    return str(name).casefold() == AGENT


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


@dataclass(frozen=True)
class Passage:
    """The strongest negative passage of a recording, and how its speaker sounded on the whole.

    `negative_s` are its negative seconds, each weighed by its probability; `mean` is the mean of those probabilities;
    `more` is the number of other passages in the recording; `shares` are those of the speaker's talk by label.
    """

    identity: Identity
    recorded: str
    channel: int
    speaker: str
    start_s: float
    end_s: float
    emotion: str
    negative_s: float
    mean: float
    more: int
    shares: dict[str, float]


def strongest_passage(entry: Entry, recorded: str) -> Passage | None:
    """The negative passage to listen to first; None where there is none."""
    told = {channel: figures for channel, figures in counted(entry).items() if figures["passages"]}
    if not told:
        return None
    channel, figures = max(told.items(), key=lambda item: _number(item[1]["passage_negative_s"]))
    return Passage(
        identity=entry.identity,
        recorded=recorded,
        channel=channel,
        speaker=str(figures["speaker"]),
        start_s=_number(figures["passage_start_s"]),
        end_s=_number(figures["passage_end_s"]),
        emotion=str(figures["passage_emotion"]),
        negative_s=_number(figures["passage_negative_s"]),
        mean=_number(figures["passage_mean"]),
        more=int(sum(_number(figures["passages"]) for figures in told.values())) - 1,
        shares={label: _number(figures[f"share_{label}"]) for label in LABELS},
    )


@dataclass
class Summary:
    """What a workbook tells.

    Attributes
    ----------
    period : the days that it is about.
    total : of all of them.
    days : by day, in order.
    groups : by kind of group, such as `queue`, and name, both in order.
    longest_name : characters of the longest name of a recording.
    models : number of recordings by model and fingerprint.
    review_day : the latest day on which anybody was heard; empty where there is none.
    review : the strongest passage of each recording of that day, the strongest first.
    """

    period: Period
    total: Tally
    days: dict[str, Tally]
    groups: dict[tuple[str, str], Tally]
    models: dict[tuple[str, str], int]
    review_day: str
    review: list[Passage]
    longest_name: int


def summarise(ledger: Ledger, zone: ZoneInfo, selection: Selection) -> Summary:
    """Count the recordings that are selected."""
    by_day = dict[str, Tally]()
    groups, models = dict[str, dict[tuple[str, str], Tally]](), dict[str, dict[tuple[str, str], int]]()
    latest, review, longest, limit = "", list[Passage](), 0, tomorrow(zone)
    for entry, recorded in selected(ledger, zone, selection, None):
        day, longest = recorded[:10], max(longest, len(entry.identity.shown))
        by_day.setdefault(day, Tally()).add(entry)
        for group in entry.groups.items():
            groups.setdefault(day, {}).setdefault(group, Tally()).add(entry)
        if entry.status in HEARD:
            model = (entry.model, entry.fingerprint)
            of_day = models.setdefault(day, {})
            of_day[model] = of_day.get(model, 0) + 1
        allowed = selection.period is None or selection.period.holds(day)
        if allowed and day == newest_day((day, latest), limit) and counted(entry):
            review = [] if day != latest else review
            latest = day
            if passage := strongest_passage(entry, recorded):
                review.append(passage)
    period = selection.days(newest_day(by_day, limit))
    if not period.holds(latest):
        latest, review = "", []
    days = [day for day in sorted(by_day) if period.holds(day)]
    return Summary(
        period=period,
        total=_together(by_day[day] for day in days),
        days={day: by_day[day] for day in days},
        groups=_grouped(groups.get(day, {}) for day in days),
        models=_summed(models.get(day, {}) for day in days),
        review_day=latest,
        review=sorted(review, key=lambda passage: (-passage.negative_s, passage.identity.sort_key)),
        longest_name=longest,
    )


def selected(
    ledger: Ledger, zone: ZoneInfo, selection: Selection, period: Period | None
) -> Iterator[tuple[Entry, str]]:
    """The recordings of a selection, and when they were made; of a period, or of all days where it is None."""
    for entry in ledger.entries():
        if entry.status == "skipped" or not selection.fits(entry.identity.shown):
            continue
        recorded, _ = entry.when(zone)
        if period is None or period.holds(recorded[:10]):
            yield entry, recorded


def _together(tallies: Iterator[Tally]) -> Tally:
    total = Tally()
    for tally in tallies:
        total.merge(tally)
    return total


def _grouped(days: Iterator[dict[tuple[str, str], Tally]]) -> dict[tuple[str, str], Tally]:
    found = dict[tuple[str, str], Tally]()
    for groups in days:
        for group, tally in groups.items():
            found.setdefault(group, Tally()).merge(tally)
    return dict(sorted(found.items()))


def _summed(days: Iterator[dict[tuple[str, str], int]]) -> dict[tuple[str, str], int]:
    found = dict[tuple[str, str], int]()
    for models in days:
        for model, count in models.items():
            found[model] = found.get(model, 0) + count
    return dict(sorted(found.items()))


@dataclass(frozen=True)
class Week:
    """A week from Monday on: its first day, on how many of its days there are recordings, and what was counted."""

    monday: str
    days: int
    tally: Tally

    def follows(self, other: "Week") -> bool:
        """Whether it is the week after another."""
        return date.fromisoformat(self.monday) - date.fromisoformat(other.monday) == timedelta(7)


def weeks(days: dict[str, Tally]) -> list[Week]:
    """The weeks of some days, in order; days that are not known are in none."""
    found: dict[str, list[Tally]] = {}
    for day, tally in days.items():
        if day:
            moment = date.fromisoformat(day)
            found.setdefault((moment - timedelta(moment.weekday())).isoformat(), []).append(tally)
    return [Week(monday, len(tallies), _together(iter(tallies))) for monday, tallies in sorted(found.items())]

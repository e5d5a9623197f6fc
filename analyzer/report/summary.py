"""Statistics of many recordings, counted from the ledger in one pass, day by day.

Speakers called agent and masked speakers are left out of all statistics of emotions: the emotions of employees must not
be counted. Memory grows only with the number of days and groups, and with the calls of one day.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from zoneinfo import ZoneInfo

from analyzer.emotions import EMOTIONS, UNCERTAIN
from analyzer.names import Identity
from analyzer.report.selection import Period, Selection, newest_day, tomorrow
from analyzer.store.entry import Entry
from analyzer.store.ledger import Ledger
from analyzer.timeline.channel_statistics import ChannelStatistics, EmotionStatistics

#: The speaker role, and the kind of group, whose emotions are not counted.
AGENT = "agent"
LABELS = (*EMOTIONS, UNCERTAIN)
ANALYSED, FAILED = ("ok", "no_speech"), ("failed", "given_up")


@dataclass
class Tally:
    """Counts of a set of recordings.

    Attributes
    ----------
    recordings, failed, waiting : number of all recordings, of those that could not be analysed, and of incomplete ones.
    rows : number of their rows in recordings.csv.
    analysed : number of recordings with at least one channel whose emotions are counted.
    with_negative_passage : number of those with a negative passage.
    length_s : seconds of audio in the analysed recordings.
    emotion_s : seconds of speech whose emotions are counted, by label.
    """

    recordings: int = 0
    failed: int = 0
    waiting: int = 0
    rows: int = 0
    analysed: int = 0
    with_negative_passage: int = 0
    length_s: float = 0.0
    emotion_s: dict[str, float] = field(default_factory=lambda: dict.fromkeys(LABELS, 0.0))

    @property
    def talk_s(self) -> float:
        """Seconds of speech whose emotions are counted."""
        return sum(self.emotion_s.values())

    def share(self, label: str) -> float | None:
        """Return the share of the talk with a label; None if there is no talk."""
        return self.emotion_s[label] / self.talk_s if self.talk_s else None

    def add(self, entry: Entry) -> None:
        """Count a recording."""
        counted_channels = counted(entry)
        self.recordings += 1
        self.failed += entry.status in FAILED
        self.waiting += entry.status == "incomplete"
        self.rows += len(entry.statistics or ()) or 1
        self.analysed += bool(counted_channels)
        self.with_negative_passage += any(emotions.passages for _, emotions in counted_channels.values())
        self.length_s += (entry.length_s or 0.0) if entry.status in ANALYSED else 0.0
        for channel, emotions in counted_channels.values():
            for label in LABELS:
                self.emotion_s[label] += channel.talk_s * emotions.shares[label]

    def merge(self, other: "Tally") -> None:
        """Add the counts of another tally."""
        for name in ("recordings", "failed", "waiting", "rows", "analysed", "with_negative_passage", "length_s"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for label in LABELS:
            self.emotion_s[label] += other.emotion_s[label]


def counted(entry: Entry) -> dict[int, tuple[ChannelStatistics, EmotionStatistics]]:
    """Return the statistics of the channels whose emotions are counted, by channel."""
    if entry.status not in ANALYSED:
        return {}
    return {
        channel: (found, found.emotions)
        for channel, found in (entry.statistics or {}).items()
        if found.emotions and not is_agent(found.speaker)
    }


def is_agent(name: object) -> bool:
    """Whether a speaker role, or a kind of group, is that of employees."""
    return str(name).casefold() == AGENT


@dataclass(frozen=True)
class Passage:
    """The strongest negative passage of a recording, and the emotions of its speaker over the whole recording.

    `negative_s` is its negative speech in seconds, weighted by probability; `mean` is the mean of those probabilities;
    `more` is the number of other passages in the recording; `shares` are the shares of the speaker's talk by label.
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
    """Return the strongest negative passage of a recording; None if there is none."""
    channels = counted(entry)
    strongest = [
        (emotions.strongest, channel, found, emotions)
        for channel, (found, emotions) in channels.items()
        if emotions.strongest
    ]
    if not strongest:
        return None
    best, channel, found, emotions = max(strongest, key=lambda candidate: candidate[0].negative_s)
    return Passage(
        identity=entry.identity,
        recorded=recorded,
        channel=channel,
        speaker=found.speaker,
        start_s=float(best.start),
        end_s=float(best.end),
        emotion=best.emotion,
        negative_s=best.negative_s,
        mean=best.mean,
        more=sum(emotions.passages for _, emotions in channels.values()) - 1,
        shares=dict(emotions.shares),
    )


@dataclass
class Summary:
    """Content of the summary workbook.

    Attributes
    ----------
    period : the days that it covers.
    total : tally of all these days.
    days : tallies by day, in order.
    groups : tallies by kind of group, such as `queue`, and name, both in order.
    longest_name : length of the longest name of a recording in characters.
    models : number of recordings by model and fingerprint.
    review_day : the latest day with a recording whose emotions are counted; empty if there is none.
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
    """Count the selected recordings."""
    by_day = defaultdict[str, Tally](Tally)
    by_group = defaultdict[tuple[str, str, str], Tally](Tally)  # by day, kind and name
    by_model = Counter[tuple[str, str, str]]()  # by day, model and fingerprint
    latest, review, longest, limit = "", list[Passage](), 0, tomorrow(zone)
    for entry, recorded in selected(ledger, zone, selection, None):
        day, longest = recorded[:10], max(longest, len(entry.identity.shown))
        by_day[day].add(entry)
        for kind, name in entry.groups.items():
            by_group[day, kind, name].add(entry)
        if entry.status in ANALYSED:
            by_model[day, entry.model, entry.fingerprint] += 1
        in_period = selection.period is None or selection.period.holds(day)
        if in_period and day == newest_day((day, latest), limit) and counted(entry):
            review = [] if day != latest else review
            latest = day
            if passage := strongest_passage(entry, recorded):
                review.append(passage)
    period = selection.days(newest_day(by_day, limit))
    if not period.holds(latest):
        latest, review = "", []
    days = {day: by_day[day] for day in sorted(by_day) if period.holds(day)}
    groups, models = defaultdict[tuple[str, str], Tally](Tally), Counter[tuple[str, str]]()
    for day, kind, name in sorted(by_group):
        if day in days:
            groups[kind, name].merge(by_group[day, kind, name])
    for (day, model, fingerprint), count in by_model.items():
        if day in days:
            models[model, fingerprint] += count
    return Summary(
        period=period,
        total=_sum_tallies(days.values()),
        days=days,
        groups=dict(sorted(groups.items())),
        models=dict(sorted(models.items())),
        review_day=latest,
        review=sorted(review, key=lambda passage: (-passage.negative_s, passage.identity.sort_key)),
        longest_name=longest,
    )


def selected(
    ledger: Ledger, zone: ZoneInfo, selection: Selection, period: Period | None
) -> Iterator[tuple[Entry, str]]:
    """Yield the recordings whose names match the selection, and their local times of recording.

    `period` limits their days; None means all days. Skipped files are left out.
    """
    for entry in ledger.entries():
        if entry.status == "skipped" or not selection.fits(entry.identity.shown):
            continue
        recorded, _ = entry.when(zone)
        if period is None or period.holds(recorded[:10]):
            yield entry, recorded


def _sum_tallies(tallies: Iterable[Tally]) -> Tally:
    total = Tally()
    for tally in tallies:
        total.merge(tally)
    return total


@dataclass(frozen=True)
class Week:
    """A week that starts on Monday: its first day, the number of its days with recordings, and its tally."""

    monday: str
    days: int
    tally: Tally

    def follows(self, other: "Week") -> bool:
        """Whether this week is the one after another."""
        return date.fromisoformat(self.monday) - date.fromisoformat(other.monday) == timedelta(7)


def weeks(days: dict[str, Tally]) -> list[Week]:
    """Return the weeks of the given days, in order; unknown days are left out."""
    by_monday = defaultdict[str, list[Tally]](list)
    for day, tally in days.items():
        if day:
            day_date = date.fromisoformat(day)
            by_monday[(day_date - timedelta(day_date.weekday())).isoformat()].append(tally)
    return [Week(monday, len(tallies), _sum_tallies(tallies)) for monday, tallies in sorted(by_monday.items())]

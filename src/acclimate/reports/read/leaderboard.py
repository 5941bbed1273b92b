"""Who leads, by how much, and who cannot be told apart from the leader."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Final

from acclimate.reports.read.collect import Contents, Doc, names, part, parts, words
from acclimate.reports.text import number
from acclimate.stats import Interval, MeanInterval, at_level, mean_interval, share_interval

# Rows of episodes hold the interval that the papers report.
EPISODES_ENDS: Final = ("accuracy_low", "accuracy_high")
EPISODES_LEVEL: Final = 0.95


@dataclass(frozen=True)
class BoardEntry:
    """One line of a leaderboard. ``tied``: cannot be told apart from the best; ``reach``: the ranks it could have."""

    name: str
    rank: int | None
    final: float | None
    low: float | None
    high: float | None
    tied: bool
    random: bool
    seconds: float | None = None
    seeds: int = 1
    proxies: dict[str, float | None] = field(default_factory=dict)
    reach: tuple[int, int] | None = None


@dataclass(frozen=True)
class Board:
    """A leaderboard: what was measured, which way is better, and the entries, best first."""

    metric: str
    higher: bool
    entries: list[BoardEntry]
    dataset: str = ""
    basis: str = ""

    @property
    def measured(self) -> list[BoardEntry]:
        """The entries with a final number."""
        return [entry for entry in self.entries if entry.final is not None]

    @property
    def proxies(self) -> list[str]:
        """The cheap proxies that some entry has."""
        return list(dict.fromkeys(name for entry in self.entries for name in entry.proxies))

    @property
    def tied(self) -> list[BoardEntry]:
        """The entries of the top set, the best one first."""
        return [entry for entry in self.entries if entry.tied]


def random_start(document: Doc) -> bool:
    """Say whether a row or a model began from random numbers instead of learned weights."""
    return document.get("random_start") is True or words(document, "model").startswith("random:")


def competes(row: Doc) -> bool:
    """Say whether a row may be compared with others; points of a label-efficiency curve have a section of their own."""
    return "training" not in part(row, "settings")


def boards(contents: Contents) -> list[Board]:
    """Return one leaderboard per data set, made from the result rows: where there is one model, of its protocols."""
    rows = [row for row in contents.rows if competes(row)]
    sets = dict.fromkeys(words(row, "dataset") for row in rows)
    leaderboards = [from_rows([row for row in rows if words(row, "dataset") == name], name) for name in sets]
    return [board for board in leaderboards if len(board.entries) > 1]


def ranked(document: Doc) -> Board:
    """Return the leaderboard of a ``rank.json``; the top set shares the first rank."""
    top = set(names(document, "confidence_set"))
    entries, best = [_ranked_entry(model, top) for model in parts(document, "models")], words(document, "best")
    entries.sort(key=lambda e: (e.rank is None, not e.tied, e.tied and e.name != best, e.rank or 0))
    recipe = words(document, "final")
    metric = f"validation accuracy after {recipe}" if recipe else "final score"
    return Board(metric, True, _share(entries), words(document, "data"), "rank")


def _ranked_entry(model: Doc, top: set[str]) -> BoardEntry:
    name = words(model, "model", "(no name)")
    rank = number(model.get("rank"))
    return BoardEntry(
        name=name,
        rank=None if rank is None else int(rank),
        final=number(model.get("final")),
        low=number(model.get("low")),
        high=number(model.get("high")),
        tied=model.get("in_set") is True or name in top,
        random=random_start(model),
        seconds=number(model.get("seconds")),
        proxies={key: number(value) for key, value in part(model, "proxies").items()},
    )


def _share(entries: list[BoardEntry]) -> list[BoardEntry]:
    """Give the whole top set rank 1, and everyone else one more than the entries that are truly ahead."""
    shared: list[BoardEntry] = []
    for place, entry in enumerate(entries, start=1):
        last = shared[-1] if shared else None
        if entry.tied:
            rank: int | None = 1
        elif last and not last.tied and entry.final is not None and last.final == entry.final:
            rank = last.rank
        else:
            rank = place
        shared.append(entry if entry.rank is None else replace(entry, rank=rank))
    return shared


def from_rows(rows: list[Doc], dataset: str) -> Board:
    """Return a leaderboard of (model, protocol, labels) by validation accuracy, averaged over seeds."""
    split = "val" if any(part(part(row, "metrics"), "val") for row in rows) else "test"
    groups = group(rows, ("model", "protocol", "labels"))
    estimates = [(key, members, e) for key, members in groups.items() if (e := metric_estimate(members, split))]
    estimates.sort(key=lambda item: -item[2].mean)
    keys = [key for key, _, _ in estimates]
    entries = [
        BoardEntry(
            name=_row_name(key, keys),
            rank=place,
            final=estimate.mean,
            low=estimate.low,
            high=estimate.high,
            tied=place == 1 or _overlap(estimates[0][2], estimate),
            random=any(random_start(row) for row in members),
            seconds=mean_of(members, "seconds"),
            seeds=estimate.n,
        )
        for place, (key, members, estimate) in enumerate(estimates, start=1)
    ]
    return Board(f"{'validation' if split == 'val' else 'test'} accuracy", True, _share(entries), dataset, "rows")


def _row_name(key: tuple[str, ...], keys: list[tuple[str, ...]]) -> str:
    """Name a group by its model, and by whatever else tells the groups apart."""
    extra = [key[i] for i in (1, 2) if len({other[i] for other in keys}) > 1 and key[i]]
    return " · ".join([key[0], *extra])


def _overlap(best: MeanInterval, other: MeanInterval) -> bool:
    """Say whether two estimates may be the same number: their intervals meet (careful, not sharp)."""
    if best.low is None or other.high is None:
        return best.mean == other.mean
    return other.high >= best.low


def group(rows: Iterable[Doc], keys: tuple[str, ...]) -> dict[tuple[str, ...], list[Doc]]:
    """Group rows by the text of some of their keys, in order of first appearance."""
    groups: dict[tuple[str, ...], list[Doc]] = {}
    for row in rows:
        groups.setdefault(tuple(words(row, key) for key in keys), []).append(row)
    return groups


def mean_of(rows: list[Doc], key: str) -> float | None:
    """Return the mean of a number over the rows that have it."""
    values = [value for row in rows if (value := number(row.get(key))) is not None]
    return sum(values) / len(values) if values else None


def metric_estimate(rows: list[Doc], split: str, metric: str = "accuracy") -> MeanInterval | None:
    """Return a metric's mean and interval over seeds; of a single accuracy over its images or its episodes."""
    metrics = [part(part(row, "metrics"), split) for row in rows]
    values = [value for item in metrics if (value := number(item.get(metric))) is not None]
    if not values:
        return None
    if len(values) > 1 or metric != "accuracy":
        return mean_interval(values)
    low, high = episodes_interval(metrics[0]) or images_interval(values[0], metrics[0].get("n")) or (None, None)
    return MeanInterval(values[0], low, high, 1)


def episodes_interval(metrics: Doc) -> tuple[float, float] | None:
    """Return the interval of an accuracy over episodes at the level of all others; None for other rows."""
    ends = [number(metrics.get(key)) for key in ("accuracy", *EPISODES_ENDS)]
    if any(end is None for end in ends):
        return None
    mean, low, high = (end or 0.0 for end in ends)
    return at_level(Interval(mean, low, high), EPISODES_LEVEL)[1:]


def images_interval(accuracy: float | None, images: object) -> tuple[float, float] | None:
    """Return the interval of an accuracy from the count of its images; None where one is unknown or impossible."""
    count = number(images)
    if accuracy is None or not count or count < 1 or not 0 <= accuracy <= 1:
        return None
    return share_interval(accuracy, int(count))

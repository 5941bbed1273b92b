"""The findings in plain words: who is best, who cannot be told apart, whether adapting helped."""

from __future__ import annotations

from acclimate.reports.draw.blocks import Tile
from acclimate.reports.read import efficiency, runs
from acclimate.reports.read.collect import Doc, Found, Run, part, parts, words
from acclimate.reports.read.grid import Grid
from acclimate.reports.read.leaderboard import Board, random_start
from acclimate.reports.text import LEVEL_TEXT, count, duration, figure, fixed, joined, number, signed, span


def sentences(found: Found, boards: list[Board], trust: Doc) -> list[str]:
    """Return the summary: what the program that made the folder says, or else what the numbers say.

    The program knows more than its files hold; where it spoke, the numbers speak in their own sections.
    """
    said = list(found.findings)
    if not said:
        said += [sentence for board in boards for sentence in leader(board)]
        said += [verdict] if (verdict := words(trust or found.compare, "verdict")) else []
        said += [verdict] if (verdict := words(found.curve, "verdict")) else []
        said += efficiency.verdicts(found.curve) + [kept(run) for run in runs.adapted(found)]
        said += best_recipe(runs.finetuned(found))
    return list(dict.fromkeys(said))


def leader(board: Board) -> list[str]:
    """Say who leads one leaderboard and who cannot be told apart from the leader."""
    entries = [entry for entry in board.entries if entry.final is not None]
    if not entries:
        return []
    top = entries[0]
    interval = f"{figure(top.low)} to {figure(top.high)}" if top.low is not None and top.high is not None else ""
    of = f" of {len(board.entries)}" if len(board.entries) > 1 else ""
    where = f" on {board.dataset}" if board.dataset else ""
    sure = f" ({LEVEL_TEXT} interval {interval})" if interval else " (no interval: it was measured once)"
    # Over all data sets the interval is that of the difference to the best, which this one is itself.
    if top.low is not None and top.low == top.high and top.reach:
        sure = ""
    first = f"{top.name} ranks first{of}{where}, with {_article(board.metric)} of {figure(top.final)}{sure}."
    return [first, *_peers(board, top.name, bool(interval))]


def _article(metric: str) -> str:
    return f"{'an' if metric[:1] in 'aeiouAEIOU' else 'a'} {metric}"


def _peers(board: Board, top: str, known: bool) -> list[str]:
    others = [entry.name for entry in board.entries if entry.name != top and entry.final is not None]
    peers = [entry.name for entry in board.tied if entry.name != top]
    if not others:
        return []
    if peers:
        if board.basis == "grid":
            all_tied = len(peers) == len(others)
            more = ": it takes more seeds, images or data sets to choose" if all_tied else ""
            return [f"{joined(peers)} cannot be told apart from it with these numbers{more}."]
        return [f"{joined(peers)} cannot be told apart from it with these images: any of them is a sound choice."]
    if not known:
        return ["Nothing here says how sure that order is: no intervals were measured."]
    return ["Every other candidate that was measured in full is behind it by more than chance explains."]


def kept(run: Run) -> str:
    """Say whether a run of adaptation kept what it learned, and why."""
    reason = words(run.document, "reason").rstrip(".")
    because = f": {reason}" if reason else ""
    if words(run.document, "kept") == "start":
        return f"Adaptation in {run.name} did not help, and the starting weights were kept{because}."
    return f"Adaptation in {run.name} was kept{because}."


def best_recipe(finetuned: list[Run]) -> list[str]:
    """Say which recipe came out first on validation, wherever several saw the same data and labels."""
    settings: dict[tuple[str, str], list[Run]] = {}
    for run in finetuned:
        if accuracy(run) is not None:
            settings.setdefault(runs.setting(run), []).append(run)
    if len(finetuned) == 1:
        return [_single(run) for group in settings.values() for run in group]
    return [_first(key[1], group) for key, group in settings.items() if len({runs.recipe(r) for r in group}) > 1]


def accuracy(run: Run, split: str = "val") -> float | None:
    """Return a run's accuracy on a split, or None where it was not measured."""
    return number(part(run.document, split).get("accuracy"))


def _tested(run: Run) -> str:
    test = accuracy(run, "test")
    return "" if test is None else f", and {fixed(test)} on the test split, which had no part in the choice"


def _single(run: Run) -> str:
    got, ends = fixed(accuracy(run)), runs.interval(run, "val")
    sure = f" ({LEVEL_TEXT} interval {span(*ends)})" if ends else ""
    return f"The recipe {runs.recipe(run)} reached a validation accuracy of {got}{sure}{_tested(run)}."


def _first(labels: str, group: list[Run]) -> str:
    names = runs.labels_of(group)
    best = max(group, key=lambda run: accuracy(run) or 0.0)
    ends = runs.interval(best, "val")
    sure = f" ({LEVEL_TEXT} interval {span(*ends)})" if ends else ""
    budget = f" with {efficiency.amount(labels)}" if labels else ""
    return (
        f"Of {len(group)} finetuning runs{budget}, {names[best.name]} has the highest validation accuracy: "
        f"{fixed(accuracy(best))}{sure}{_tested(best)}. {_rivals(best, group, names)}"
    )


def _rivals(best: Run, group: list[Run], names: dict[str, str]) -> str:
    ends = runs.interval(best, "val")
    if ends is None:
        return "These are single runs without intervals: small differences between them may be chance."
    met = [(run, other) for run in group if run is not best and (other := runs.interval(run, "val"))]
    close = [names[run.name] for run, (_, high) in met if high >= ends[0]]
    if close:
        return f"Its interval meets those of {joined(close)}: chance could have put them in another order."
    return "Its interval meets none of the others."


def warnings(found: Found, grid: Grid | None = None) -> list[str]:
    """Say loudly what a reader must know: models that began from random weights, files that were left out."""
    seen = [words(row, "model") for row in found.rows if random_start(row)]
    seen += [words(model, "model") for model in parts(found.rank, "models") if random_start(model)]
    seen += [words(run.document, "model") for run in found.runs if random_start(run.document)]
    seen += [grid.models[i] for i in grid.random.nonzero()[0]] if grid else []
    names = list(dict.fromkeys(filter(None, seen)))
    said = []
    if names:
        verb = "is" if len(names) == 1 else "are"
        said.append(f"{joined(names)} {verb} randomly initialised: no pretrained weights stand behind these numbers.")
    if found.elsewhere:
        said.append(
            f"Left out: the label-efficiency curves in {joined(found.elsewhere)}. One page shows one curve; "
            "make a report of each of these folders."
        )
    if found.unreadable:
        said.append(f"Left out, because they could not be read: {joined(found.unreadable)}.")
    return said


def tiles(found: Found, boards: list[Board]) -> list[Tile]:
    """Return the key figures: the best model, the size of the top set, the gain of adapting, the time."""
    made: list[Tile] = []
    if len(boards) == 1 and (entries := [e for e in boards[0].entries if e.final is not None]):
        top, tied = entries[0], len(boards[0].tied)
        note = f"{boards[0].metric} {figure(top.final)}"
        made.append(Tile("Best model" if tied == 1 else "Highest", top.name, note))
        made.append(
            Tile("Cannot be told apart", f"{tied} of {len(boards[0].entries)}", "models, the best one included")
        )
    made += _gain_tile(found)
    spent = number(found.rank.get("seconds_spent")) or number(found.rank.get("seconds"))
    total = (spent or 0.0) + sum(runs.seconds(run) or 0.0 for run in found.runs)
    if total > 0:
        made.append(Tile("Time measured", duration(total), _work(found)))
    return made


def _work(found: Found) -> str:
    amounts = ((len(found.runs), "run"), (len(found.rows), "result row"))
    return ", ".join(f"{count(n)} {name}{'s' if n > 1 else ''}" for n, name in amounts if n)


def _gain_tile(found: Found) -> list[Tile]:
    """Return the change with the fewest labels: where adapting has most to give."""
    for one in parts(found.curve, "comparisons")[:1]:
        mean, low, high = (number(part(one, "accuracy").get(key)) for key in ("mean", "low", "high"))
        note = f"{words(one, 'model')} with {efficiency.amount(words(one, 'labels'))}"
        sure = f" ({span(low, high)})" if span(low, high) else " (one seed)"
        return [Tile("Change in accuracy", signed(mean or 0.0), note + sure)]
    return []

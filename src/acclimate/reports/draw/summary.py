"""The findings in plain words: who is best, who cannot be told apart, whether adapting helped."""

from __future__ import annotations

from acclimate.reports.draw.blocks import Tile
from acclimate.reports.read import efficiency, runs
from acclimate.reports.read.collect import Contents, Doc, Run, part, parts, words
from acclimate.reports.read.grid import Grid
from acclimate.reports.read.leaderboard import Board, random_start
from acclimate.reports.text import LEVEL_TEXT, count, duration, figure, fixed, joined, number, signed, span


def sentences(contents: Contents, boards: list[Board], answer: Doc) -> list[str]:
    """Return the summary: what the program that made the folder says, or else what the numbers say.

    The program knows more than its files hold; where it spoke, the numbers speak in their own sections.
    """
    lines = list(contents.findings)
    if not lines:
        lines += [sentence for board in boards for sentence in leader(board)]
        lines += [verdict] if (verdict := words(answer or contents.compare, "verdict")) else []
        lines += [verdict] if (verdict := words(contents.curve, "verdict")) else []
        lines += efficiency.verdicts(contents.curve) + [kept(run) for run in runs.adapted(contents)]
        lines += best_recipe(runs.finetuned(contents.runs))
    return list(dict.fromkeys(lines))


def leader(board: Board) -> list[str]:
    """Say who leads one leaderboard and who cannot be told apart from the leader."""
    if not board.measured:
        return []
    top = board.measured[0]
    interval = f"{figure(top.low)} to {figure(top.high)}" if top.low is not None and top.high is not None else ""
    of = f" of {len(board.entries)}" if len(board.entries) > 1 else ""
    where = f" on {board.dataset}" if board.dataset else ""
    sure = f" ({LEVEL_TEXT} interval {interval})" if interval else " (no interval: it was measured once)"
    # Over all data sets the interval is that of the difference to the best, which this one is itself.
    if top.low is not None and top.low == top.high and top.reach:
        sure = ""
    article = "an" if board.metric[:1] in "aeiouAEIOU" else "a"
    first = f"{top.name} ranks first{of}{where}, with {article} {board.metric} of {figure(top.final)}{sure}."
    return [first, *_peers(board, top.name, bool(interval))]


def _peers(board: Board, top: str, with_intervals: bool) -> list[str]:
    others = [entry.name for entry in board.measured if entry.name != top]
    peers = [entry.name for entry in board.tied if entry.name != top]
    if not others:
        return []
    if peers:
        if board.basis == "grid":
            all_tied = len(peers) == len(others)
            more = ": it takes more seeds, images or data sets to choose" if all_tied else ""
            return [f"{joined(peers)} cannot be told apart from it with these numbers{more}."]
        return [f"{joined(peers)} cannot be told apart from it with these images: any of them is a sound choice."]
    if not with_intervals:
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
    measured = [run for run in finetuned if accuracy(run) is not None]
    if len(finetuned) == 1:
        return [f"The recipe {runs.recipe(run)} reached a validation accuracy of {_measured(run)}." for run in measured]
    settings: dict[tuple[str, str], list[Run]] = {}
    for run in measured:
        settings.setdefault(runs.setting(run), []).append(run)
    return [_first(key[1], group) for key, group in settings.items() if len({runs.recipe(r) for r in group}) > 1]


def accuracy(run: Run, split: str = "val") -> float | None:
    """Return a run's accuracy on a split, or None where it was not measured."""
    return number(part(run.document, split).get("accuracy"))


def _measured(run: Run) -> str:
    """Return a run's validation accuracy with its interval, and its test accuracy where it has one."""
    ends, test = runs.interval(run, "val"), accuracy(run, "test")
    sure = f" ({LEVEL_TEXT} interval {span(*ends)})" if ends else ""
    tested = "" if test is None else f", and {fixed(test)} on the test split, which had no part in the choice"
    return f"{fixed(accuracy(run))}{sure}{tested}"


def _first(labels: str, group: list[Run]) -> str:
    names = runs.labels_of(group)
    best = max(group, key=lambda run: accuracy(run) or 0.0)
    budget = f" with {efficiency.amount(labels)}" if labels else ""
    return (
        f"Of {len(group)} finetuning runs{budget}, {names[best.name]} has the highest validation accuracy: "
        f"{_measured(best)}. {_rivals(best, group, names)}"
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


def warnings(contents: Contents, grid: Grid | None = None) -> list[str]:
    """Say loudly what a reader must know: models that began from random weights, files that were left out."""
    documents = [*contents.rows, *parts(contents.rank, "models"), *(run.document for run in contents.runs)]
    models = [words(document, "model") for document in documents if random_start(document)]
    models += [grid.models[i] for i in grid.random.nonzero()[0]] if grid else []
    names = list(dict.fromkeys(filter(None, models)))
    lines = []
    if names:
        verb = "is" if len(names) == 1 else "are"
        lines.append(f"{joined(names)} {verb} randomly initialised: no pretrained weights stand behind these numbers.")
    if contents.elsewhere:
        lines.append(
            f"Left out: the label-efficiency curves in {joined(contents.elsewhere)}. One page shows one curve; "
            "make a report of each of these folders."
        )
    if contents.unreadable:
        lines.append(f"Left out, because they could not be read: {joined(contents.unreadable)}.")
    return lines


def tiles(contents: Contents, boards: list[Board]) -> list[Tile]:
    """Return the key figures: the best model, the size of the top set, the gain of adapting, the time."""
    figures: list[Tile] = []
    if len(boards) == 1 and boards[0].measured:
        top, tied = boards[0].measured[0], len(boards[0].tied)
        note = f"{boards[0].metric} {figure(top.final)}"
        figures.append(Tile("Best model" if tied == 1 else "Highest", top.name, note))
        share = f"{tied} of {len(boards[0].entries)}"
        figures.append(Tile("Cannot be told apart", share, "models, the best one included"))
    figures += _gain_tile(contents)
    seconds = number(contents.rank.get("seconds_spent")) or number(contents.rank.get("seconds"))
    total = (seconds or 0.0) + sum(runs.seconds(run) or 0.0 for run in contents.runs)
    if total > 0:
        amounts = ((len(contents.runs), "run"), (len(contents.rows), "result row"))
        work = ", ".join(f"{count(n)} {name}{'s' if n > 1 else ''}" for n, name in amounts if n)
        figures.append(Tile("Time measured", duration(total), work))
    return figures


def _gain_tile(contents: Contents) -> list[Tile]:
    """Return the change with the fewest labels: where adapting has most to give."""
    for one in parts(contents.curve, "comparisons")[:1]:
        mean, low, high = (number(part(one, "accuracy").get(key)) for key in ("mean", "low", "high"))
        note = f"{words(one, 'model')} with {efficiency.amount(words(one, 'labels'))}"
        sure = f" ({span(low, high)})" if span(low, high) else " (one seed)"
        return [Tile("Change in accuracy", signed(mean or 0.0), note + sure)]
    return []

"""Runs as facts: what was trained, how much of it, for how long, and what came out."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from acclimate.reports.read.collect import Contents, Doc, Run, part, parts, words
from acclimate.reports.read.leaderboard import images_interval
from acclimate.reports.text import number, percent

LIMIT = 600  # points of a curve


@dataclass(frozen=True)
class LearningCurve:
    """One line of a learning-curve chart; ``marks`` names the steps at which later stages begin.

    ``run`` is what the legend calls it; ``note`` tells apart several lines of one name.
    """

    run: str
    steps: list[float]
    values: list[float]
    marks: dict[float, str] = field(default_factory=dict)
    note: str = ""


def finetuned(runs: list[Run]) -> list[Run]:
    """Return those of the runs that end in a classifier: those with validation or test numbers."""
    return [run for run in runs if part(run.document, "val") or part(run.document, "test")]


def adapted(contents: Contents) -> list[Run]:
    """Return the runs of adaptation without labels: those that say what they kept."""
    return [run for run in contents.runs if words(run.document, "kept")]


def recipe(run: Run) -> str:
    """Return the name of what was run: the recipe, the method, or the folder."""
    name = words(run.document, "recipe") or words(part(run.document, "recipe"), "name")
    return name or words(run.document, "method") or run.name


def labels_of(runs: list[Run], with_model: bool = False) -> dict[str, str]:
    """Return a short name for each run: its recipe, and what else tells it apart.

    With ``with_model`` the model is part of every name as soon as there are two: where no column says it.
    """
    tried = [[recipe(run) for run in runs]]
    for extra in ("model", "labels"):
        tried.append([_with(name, words(r.document, extra)) for name, r in zip(tried[-1], runs, strict=True)])
    if with_model and len({words(run.document, "model") for run in runs}) > 1:
        tried = tried[1:]
    names: dict[str, str] = {}
    for i, run in enumerate(runs):
        unique = [attempt[i] for attempt in tried if attempt.count(attempt[i]) == 1]
        names[run.name] = unique[0] if unique else f"{tried[-1][i]} ({run.name})"
    return names


def _with(name: str, extra: str) -> str:
    return f"{name} · {extra}" if extra else name


def interval(run: Run, split: str) -> tuple[float, float] | None:
    """Return the interval of a run's accuracy from the count of images in the split; None if unknown."""
    return images_interval(number(part(run.document, split).get("accuracy")), part(run.document, "images").get(split))


def setting(run: Run) -> tuple[str, str]:
    """Return (data, labels): only runs that share both may be compared."""
    return words(run.document, "data"), words(run.document, "labels")


def fractions(run: Run) -> str:
    """Return what each stage trained, such as ``head 0.9%, then all 100%``."""
    phrases = []
    for stage in parts(run.document, "stages"):
        share = percent(stage.get("trainable"), stage.get("total"))
        phrases.append(" ".join(filter(None, (words(stage, "scope"), share))))
    return ", then ".join(filter(None, phrases))


def largest_share(run: Run) -> tuple[float, float] | None:
    """Return (trainable, total) of the stage that trained most, or None where nothing says."""
    pairs = [(number(s.get("trainable")), number(s.get("total"))) for s in parts(run.document, "stages")]
    shares = [(top, whole) for top, whole in pairs if top is not None and whole]
    return max(shares, default=None)


def seconds(run: Run) -> float | None:
    """Return the run's seconds, or the sum over its stages."""
    whole = number(run.document.get("seconds"))
    if whole is not None:
        return whole
    by_stage = [s for stage in parts(run.document, "stages") if (s := number(stage.get("seconds"))) is not None]
    return sum(by_stage) if by_stage else None


def _stage_of(point: Doc) -> int:
    return int(number(point.get("stage")) or 0)


def placed(points: list[Doc]) -> list[tuple[float, Doc]]:
    """Return log points or looks with steps counted over the whole run."""
    out: list[tuple[float, Doc]] = []
    offset, last, stage = 0.0, 0.0, 0  # each stage counts its steps from zero
    for point in points:
        step = number(point.get("step"))
        if step is None:
            continue
        if _stage_of(point) != stage:
            stage, offset = _stage_of(point), last
        last = max(last, step + offset)
        out.append((step + offset, point))
    return out


def curves(runs: list[Run], names: dict[str, str], key: str, objective: str | None = None) -> list[LearningCurve]:
    """Return one learning curve per run for one key of the log, of the stages with that objective.

    ``names`` holds what the legend calls each run, see `labels_of`.
    """
    lines = [_curve(run, names[run.name], key, objective) for run in runs]
    return [curve for curve in lines if curve.steps]


def final_curve(run: Run, name: str, key: str, note: str = "") -> LearningCurve:
    """Return the learning curve of a run's last stage alone, its steps counted from that stage's start."""
    last = max(0, len(parts(run.document, "stages")) - 1)
    points = [(number(p.get("step")), number(p.get(key))) for p in run.log if _stage_of(p) == last]
    pairs = [(step, value) for step, value in points if step is not None and value is not None]
    return _thin(LearningCurve(name, [step for step, _ in pairs], [value for _, value in pairs], note=note))


def _curve(run: Run, name: str, key: str, objective: str | None) -> LearningCurve:
    stages = parts(run.document, "stages")
    steps, values, marks = [], [], {}
    marked: set[int] = set()
    for step, point in placed(run.log):
        at = _stage_of(point)
        stage = stages[at] if 0 <= at < len(stages) else {}
        value = number(point.get(key))
        if value is None or (objective is not None and words(stage, "objective") != objective):
            continue
        if at not in marked and at > 0:
            name_of = ", ".join(filter(None, (words(stage, "objective"), words(stage, "scope"))))
            marks[step] = f"stage {at + 1}: {name_of or 'stage'}"
        marked.add(at)
        steps.append(step)
        values.append(value)
    return _thin(LearningCurve(name, steps, values, marks))


def _thin(curve: LearningCurve) -> LearningCurve:
    """Keep about `LIMIT` points at most: every k-th, the last one, and the starts of stages."""
    stride, last = -(-len(curve.steps) // LIMIT), len(curve.steps) - 1
    if stride <= 1:
        return curve
    keep = [i for i, s in enumerate(curve.steps) if i % stride == 0 or i == last or s in curve.marks]
    return replace(curve, steps=[curve.steps[i] for i in keep], values=[curve.values[i] for i in keep])


def objectives(runs: list[Run]) -> list[str]:
    """Return the objectives of all stages, in order of first appearance; losses of two do not compare."""
    return list(dict.fromkeys(words(stage, "objective") for run in runs for stage in parts(run.document, "stages")))

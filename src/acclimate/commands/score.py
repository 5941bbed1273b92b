"""``acclimate score``: classifiers on held-out images, training-free estimates on the training images."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from acclimate.commands.data import check_data, check_model, check_score, open_data, task_for
from acclimate.commands.shared import (
    Cache,
    Command,
    Device,
    Document,
    Precision,
    Scale,
    Seed,
    SkipBad,
    Value,
    head,
    read_settings,
    runtime_of,
)
from acclimate.commands.tables import escape, metric_table, named, notes, number, table
from acclimate.errors import InputError, ModelError

if TYPE_CHECKING:
    from rich.console import Console

BETTER = {"larger": "more", "smaller": "less", "neither": "-"}
FEW = 100  # validation images below which the uncertainty of an accuracy is said


def score(
    data: Annotated[
        str | Path, typer.Argument(help="As for embed; or a features file, .npz with x (n, d), y (n,)[, p (n, z)].")
    ],
    *,
    model: Annotated[str | None, typer.Option(help="As for embed; not needed for a features file.")] = None,
    score: Annotated[
        str,
        typer.Option(help="A classifier (knn), an estimate (logme), a protocol (knn/dino), or all; see: protocols."),
    ] = "knn",
    settings: Annotated[
        list[str] | Mapping[str, Value] | None,
        typer.Option("--set", help="A setting of a score, as NAME=VALUE: normalise=l2. Repeat it."),
    ] = None,
    scale: Scale = 1.0,
    layers: Annotated[
        str, typer.Option(help="last, a layer by name or number, last:K, several with commas, or all.")
    ] = "last",
    pooling: Annotated[str, typer.Option(help="default, cls, mean or cls+mean.")] = "default",
    seed: Seed = 0,
    device: Device = "auto",
    precision: Precision = "auto",
    cache: Cache = None,
    skip_bad: SkipBad = False,
    quiet: bool = False,
) -> Document:
    """Measure a model: classifiers on held-out images, training-free estimates on the training images.

    A classifier's number is the accuracy on held-out validation images; an estimate's comes from the training images
    alone.

    Parameters
    ----------
    score
        A classifier, an estimate, ``all`` of them, or a protocol that measures features (``knn/dino``).
    settings
        Settings of a plain score, such as ``{"normalise": "l2"}``.
    scale
        In (0, 1]: shortens a protocol of a paper.
    layers
        ``last``; a layer by name or number; ``last:K``; several with commas; ``all``. Several are measured on features
        from one forward pass, and the document says which is the best.
    pooling
        ``default``, ``cls``, ``mean`` or ``cls+mean``.

    Raises
    ------
    ModelError
        When images are given without a model; for a layer or a pooling that the model does not have.
    RecipeError
        For an unknown score or setting (the nearest one is named), or a scale that cannot be.
    """
    from acclimate.experiments.scoring.files import is_feature_file

    started, given = time.perf_counter(), read_settings(settings)
    if is_feature_file(data):
        if given or (scale, layers, pooling) != (1.0, "last", "default"):
            raise InputError(
                f"got settings, scale, layers or pooling for the features file '{data}'; expected these with images "
                "and a model"
            )
        return _of_file(Path(data), started, model=model, score=score, seed=seed)
    if model is None:
        raise ModelError(f"got '{data}' without a model; expected --model, or an .npz of features with x and y")
    runtime = runtime_of(device=device, precision=precision, cache=cache, skip_bad=skip_bad, quiet=quiet)
    check_score(score)
    check_data(data)
    check_model(model)

    from acclimate.experiments.scoring.files import notes_of
    from acclimate.experiments.scoring.models import Named, score_layers, score_once, taps_of
    from acclimate.models import choose_device, load_backbone

    choice = Named.of(score, given, scale)
    images = open_data(data, runtime)
    backbone = load_backbone(model, cache=runtime.cache)
    task = replace(task_for(images, data, seed=seed), use_test=False)
    taps = taps_of(backbone, layers, pooling)
    if len(taps) > 1:
        numbers = score_layers(task, backbone, runtime, choice, taps)
    else:
        numbers = score_once(replace(task, tap=taps[0]), backbone, runtime, choice)
    warnings = [*numbers.pop("warnings", ()), *notes_of(numbers.get("estimates", []), score)]
    n, n_val = len(task.split.train), len(task.split.val)
    return {
        **head("score", started, seed=seed, device=choose_device(device)),
        "model": backbone.name,
        "random_start": backbone.random_start,
        "score": score,
        **numbers,
        "n": n,
        "warnings": [*_warnings(n, numbers["d"], n_val, backbone.random_start), *warnings],
    }


def _of_file(path: Path, started: float, *, model: str | None, score: str, seed: int) -> Document:
    from acclimate.experiments.scoring.files import score_file

    numbers = score_file(path, score=score, seed=seed)
    return {
        **head("score", started, seed=seed, device="cpu"),
        "model": model or str(path),
        "random_start": False,
        "score": score,
        **numbers,
    }


def _warnings(n: int, d: int, n_val: int, random_start: bool) -> list[str]:
    warnings = []
    if n_val < FEW:
        half = 1.645 * (0.25 / max(n_val, 1)) ** 0.5
        warnings.append(f"only {n_val} validation images: an accuracy is uncertain by up to {100 * half:.0f} points")
    if n < d:
        warnings.append(
            f"fewer training images than feature dimensions ({n} < {d}): scores of the training part mean little"
        )
    if random_start:
        warnings.append("the model is randomly initialised, not pretrained")
    return warnings


def show(document: Document, console: Console) -> None:
    """Print the classifiers, then the estimates; or one line a layer."""
    if "layers" in document:
        _show_layers(document, console)
    else:
        _show_scores(document, console)
    notes(console, document["warnings"])


def _show_scores(document: Document, console: Console) -> None:
    values = document.get("values") or {document["score"]: document["value"]}
    rows = [{"score": name, **document["metrics"][name]["val"]} for name in values if name in document["metrics"]]
    for row in rows:
        if "accuracy_low" in row:
            row["interval"] = f"{row['accuracy_low']:.3f} to {row['accuracy_high']:.3f}"
    interval = {"interval": "95% interval"} if any("interval" in row for row in rows) else {}
    console.print(f"{named(document)}: {document['n']:,} training images, {document['d']} dimensions")
    if rows:
        metric_table(console, rows, {"score": "score"}, interval)
    _show_estimates(document["estimates"], console)


def _show_layers(document: Document, console: Console) -> None:
    console.print(f"{named(document)}, {escape(document['score'])}: {document['n']:,} training images")
    titles = {"layer": "layer", "pooling": "pooling", "d": "dimensions"}
    metric_table(console, document["layers"], titles, names=("accuracy", "log_loss"))
    console.print(f"Best on validation: [bold]{escape(document['best'])}[/] with {document['value']:.3f}")


def _show_estimates(lines: list[Document], console: Console) -> None:
    """Print the estimates, if any; those that lack something come last, in one line each."""
    rows = [
        {
            "name": line["name"],
            "value": _value(line["value"]),
            "better": BETTER[line["better"]],
            "meaning": "; ".join([line["meaning"], line["range"], *_cautions(line)]),
        }
        for line in lines
        if line["value"] is not None
    ]
    if rows:
        titles = {"name": "estimate", "value": "value", "better": "better", "meaning": "meaning and range"}
        table(console, rows, titles, whole="name")
    for line in lines:
        if line["value"] is None:
            console.print(f"no {line['name']}: {line['warning']}", style="dim", markup=False, highlight=False)


def _cautions(line: Document) -> list[str]:
    relative = ["a part of a score over a pool of models"] if line["pool_relative"] else []
    return [*relative, *([line["warning"]] if line["warning"] else [])]


def _value(value: Any) -> str:
    if isinstance(value, list):
        return "\n".join(map(_value, value))  # one under the other: a wide column would cost every row its meaning
    small = isinstance(value, float) and 0 < abs(value) < 0.001
    return f"{value:.2g}" if small else number(value)


COMMAND = Command(score, show)

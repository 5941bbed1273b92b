"""``acclimate adapt``: a pretrained model goes on learning on images without labels."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from acclimate.commands.data import check_data, check_model, counts, open_data, task_for, training_plan
from acclimate.commands.shared import (
    Cache,
    Command,
    Data,
    Device,
    Document,
    DryRun,
    Model,
    Out,
    Precision,
    Seed,
    SkipBad,
    Value,
    fresh_folder,
    head,
    one_of,
    read_settings,
    runtime_of,
)
from acclimate.commands.tables import escape, expected, named, plan, stages
from acclimate.objectives import METHODS, require_method

if TYPE_CHECKING:
    from rich.console import Console

    from acclimate.experiments.adaptation.settings import Choice


def adapt(
    data: Data,
    *,
    model: Model,
    method: Annotated[
        str,
        typer.Option(help=f"{one_of(METHODS)}."),
    ] = "byol",
    scope: Annotated[
        str | None,
        typer.Option(help="all (default), norm, bias, last:K, lora:R, re:PATTERN, or a sum such as lora:8+last:1."),
    ] = None,
    domain: Annotated[
        str,
        typer.Option(help="natural, microscopy, aerial, document or xray: flips and colours that make sense there."),
    ] = "natural",
    steps: Annotated[int | None, typer.Option(help="Optimizer steps; default: by the size of the pool.", min=1)] = None,
    batch: Annotated[int | None, typer.Option(help="Images a step; default: by pool and device.", min=2)] = None,
    lr: Annotated[float | None, typer.Option(help="Peak learning rate of the heads; default: by the batch.")] = None,
    settings: Annotated[
        list[str] | Mapping[str, Value] | None,
        typer.Option("--set", help="Any other setting, as NAME=VALUE: head_steps=0, l2_sp=0.01, ema=0.99. Repeat it."),
    ] = None,
    ignore_labels: Annotated[
        bool, typer.Option("--ignore-labels", help="Use no label, not even for the probe that watches the run.")
    ] = False,
    out: Out = None,
    dry_run: DryRun = False,
    seed: Seed = 0,
    device: Device = "auto",
    precision: Precision = "auto",
    cache: Cache = None,
    skip_bad: SkipBad = False,
    quiet: bool = False,
) -> Document:
    """Continue a model on images without labels. Hands back the start model where that did harm.

    A run folder is left with the weights that are kept. The pool is every training image and every unlabelled one,
    never validation or test, and without their near-duplicates. What is left open is chosen by
    `acclimate.experiments.adaptation.settings`; the document says what and why.

    Parameters
    ----------
    method
        An objective that needs no labels.
    scope
        Which parameters train; default all.
    domain
        What the images are: it decides about flips and colour changes.
    steps, batch, lr
        As chosen by rule where they are None.
    settings
        Any other setting of the stage (``head_steps``, ``l2_sp``, ``strength``) or of the method (``ema``).
    ignore_labels
        Leave labels alone: no kNN probe, so that only a collapse can bring the start model back.

    Returns
    -------
    The document: ``run``, ``kept``, ``reason``, ``monitors`` and what ``run.json`` says besides.
    """
    started = time.perf_counter()
    runtime = runtime_of(device=device, precision=precision, cache=cache, skip_bad=skip_bad, quiet=quiet)
    rules: dict[str, Value | None] = {"steps": steps, "batch": batch, "lr": lr}
    given = {name: value for name, value in rules.items() if value is not None} | read_settings(settings)
    check_data(data)
    check_model(model)
    require_method(method)
    images = open_data(data, runtime, dry_run=dry_run)

    from acclimate.experiments import adaptation
    from acclimate.experiments.adaptation.settings import choose, situation
    from acclimate.images import clean_pool
    from acclimate.models import choose_device, load_backbone
    from acclimate.protocols import RUN, job_of
    from acclimate.storage.store import safe_name

    backbone = load_backbone(model, cache=runtime.cache, remember=not dry_run)
    task = task_for(images, data, seed=seed)
    split = task.split
    if not dry_run:  # which touches nothing, and this remembers what images look like
        split = clean_pool(images, split, cache=runtime.cache).split
    size = backbone.preprocess.size
    circumstances = situation(backbone.module, size, pool=len(split.pool), device=choose_device(device))
    choice = choose(method, circumstances, scope=scope, domain=domain, fixed=given)
    choices = {name: {"value": _value(choice, name), "why": why} for name, why in choice.reasons.items()}
    if dry_run:
        planned = training_plan(task, backbone, runtime, choice.recipe)
        return {**head("adapt", started, seed=seed, device=choose_device(device)), **planned, "choices": choices}

    from acclimate.training import plan as plan_stages

    plan_stages(job_of(task, backbone, runtime, choice.recipe))
    folder = fresh_folder(out, f"runs/{safe_name(f'{images.name}-{backbone.name}-{choice.recipe.name}')}")
    if not quiet and not (folder / RUN).is_file():
        _print_choices(choices, 0 if ignore_labels else len(task.split.train))
    facts = adaptation.adapt(
        task, backbone, runtime, choice.recipe, folder, probe=not ignore_labels, choices=choices
    ).document
    return {
        **facts,
        **head("adapt", started, seed=seed, device=facts["device"]),
        "images": {**counts(images, task.split), **facts["images"]},
    }


def _value(choice: Choice, name: str) -> Any:
    stage = choice.recipe.stages[0]
    return stage.options.get(name, getattr(stage, name, None))


def _print_choices(choices: Mapping[str, Mapping[str, Any]], labelled: int) -> None:
    """Print the choices on stderr before the work begins, and what labels are used for."""
    lines = [f"  {name} = {choice['value']}  ({choice['why']})" for name, choice in choices.items()]
    if labelled:
        lines.append(
            f"{labelled} labels serve a kNN probe that watches the run, and nothing else; --ignore-labels: none"
        )
    print("\n".join(lines), file=sys.stderr, flush=True)


def show(document: Document, console: Console) -> None:
    """Print the stages, what is kept and why; or the plan of a dry run."""
    if document.get("dry_run"):
        plan(console, document)
        expected(console, document)
        return
    console.print(f"{named(document)} adapted with {escape(document['method'])}")
    stages(console, document)
    console.print(f"Kept: [bold]{document['kept']}[/]. {escape(document['reason'])}", highlight=False)
    console.print(f"{_monitors(document['monitors'])}. {_pool(document['images'])}", highlight=False)
    run = escape(document["run"])
    console.print(f"Run: {run}. Next: acclimate tune DATA --model {run}")


def _monitors(monitors: Document) -> str:
    before, after = monitors["start"], monitors["adapted"]
    changes = [
        f"{title} {before[name]:.{digits}f} -> {after[name]:.{digits}f}"
        for name, title, digits in (("feature_std", "feature std", 3), ("rankme", "RankMe", 1))
    ]
    text = f"{', '.join(changes)}, {monitors['neighbour_overlap']:.0%} of neighbours in common with the start model"
    return text[:1].upper() + text[1:]


def _pool(images: Document) -> str:
    dropped = images["dropped_twins"]
    twins = f"{dropped:,} near-duplicate{'' if dropped == 1 else 's'} of held-out images dropped"
    return f"Pool: {images['pool']:,} images, {twins}"


COMMAND = Command(adapt, show)

"""Commands that judge numbers which are there already: compare."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from acclimate.cli.shared import Device, Json, Seed, options_of, show


def compare(
    results: Annotated[str, typer.Argument(help="Table (.csv, .tsv, .parquet, .jsonl) or results folder.")],
    proxy: Annotated[str, typer.Option(help="Protocol that predicts, or several with commas; knn@10: a label budget.")],
    target: Annotated[str, typer.Option(help="Protocol that is predicted.")],
    dataset: Annotated[str | None, typer.Option(help="Only this data set; default: all that have both.")] = None,
    target_dataset: Annotated[str | None, typer.Option(help="Read the target on this data set.")] = None,
    metric: Annotated[str | None, typer.Option(help="Of both, or PROXY,TARGET.")] = None,
    by: Annotated[str | None, typer.Option(help="Column: groups of models, or settings of the proxy.")] = None,
    ood: Annotated[bool, typer.Option("--ood", help="Every data set predicts every other one.")] = False,
    shifts: Annotated[str | None, typer.Option(help="CSV file: dataset,shift or source,dataset,shift.")] = None,
    where: Annotated[list[str] | None, typer.Option(help="COLUMN=VALUE: keep these rows; repeatable.")] = None,
    unit: Annotated[str | None, typer.Option(help="fraction, percent or other; default: found out.")] = None,
    smaller_is_better: Annotated[
        list[str] | None, typer.Option(help="Metric of which less is better, besides log_loss and ece; repeatable.")
    ] = None,
    top: Annotated[int, typer.Option(help="The k of the top-k overlap.", min=1)] = 3,
    resamples: Annotated[int, typer.Option(help="Of bootstrap and permutations.", min=100)] = 2000,
    level: Annotated[float, typer.Option(help="Of the intervals.")] = 0.9,
    out: Annotated[Path | None, typer.Option(help="Folder that gets compare.json.")] = None,
    json: Json = False,
    seed: Seed = 0,
    device: Device = "auto",
) -> None:
    """Say whether a cheap protocol orders models as an expensive one does, from any table of results."""
    from acclimate.verbs import compare as verb

    document = verb(
        results,
        proxy=proxy,
        target=target,
        dataset=dataset,
        target_dataset=target_dataset,
        metric=metric,
        by=by,
        ood=ood,
        shifts=shifts,
        where=where or (),
        unit=unit,
        smaller_is_better=smaller_is_better or (),
        top=top,
        resamples=resamples,
        level=level,
        out=out,
        options=options_of(seed, device, json=json),
    )
    show(document, json)

"""The command line: one function per command. Parse, call the verb of the same name, print. No logic.

Nothing heavy is imported here: a verb is imported when its command runs, so that ``acclimate --help`` is instant.
"""

from __future__ import annotations

import errno
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from acclimate import __version__
from acclimate.errors import AcclimateError

if TYPE_CHECKING:
    from acclimate.verbs.options import Options

_STOPPED = 130
_FULL = (errno.ENOSPC, errno.EDQUOT)

app = typer.Typer(
    help="Pick the right pretrained vision model for your images, adapt it without labels, finetune it, and know how "
    "far to trust the answer.",
    add_completion=False,
    rich_markup_mode=None,  # importing Rich for --help would triple its time
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Data = Annotated[
    str,
    typer.Argument(help="Folder, manifest.csv, .npz, builtin:digits, data:NAME@FOLDER, torchvision:NAME or hf:NAME."),
]
Run = Annotated[str, typer.Argument(help="Folder of a finished run.")]
Model = Annotated[
    str, typer.Option(help="zoo:NAME, timm name, paper:NAME, run folder, weights, ARCH@FILE or random:ARCH.")
]
Out = Annotated[Path | None, typer.Option(help="Where to write; default: a folder under runs/.")]
Labels = Annotated[str | None, typer.Option(help="Keep only so many training labels: 10 a class, or 25%.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Resolve everything, print the plan, touch nothing.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout; logs go to stderr.")]
Seed = Annotated[int, typer.Option(help="Seed of splits, subsets, training and bootstrap.", min=0)]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]
Precision = Annotated[str, typer.Option(help="auto, 32, bf16 or 16.")]
Cache = Annotated[Path | None, typer.Option(help="Folder of decoded pixels and features; default: the user's cache.")]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="Leave out unreadable files instead of stopping.")]


def _options(
    seed: int = 0,
    device: str = "auto",
    precision: str = "auto",
    cache: Path | None = None,
    skip_bad: bool = False,
    json: bool = False,
) -> Options:
    from acclimate.verbs.options import Options

    return Options(seed=seed, device=device, precision=precision, cache=cache, skip_bad=skip_bad, quiet=json)


def _show(document: dict[str, Any], json: bool) -> None:
    from acclimate.console import show

    show(document, as_json=json)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"acclimate {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")] = False,
) -> None:
    """Choose, adapt and finetune pretrained vision models."""


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Where to write everything.")] = Path("acclimate-demo"),
    json: Json = False,
    seed: Seed = 0,
    device: Device = "auto",
    cache: Cache = None,
) -> None:
    """Run the whole story on embedded data and models, offline: rank, adapt, tune, report."""
    from acclimate.story import demo as verb

    _show(verb(out=out, options=_options(seed, device, cache=cache, json=json)), json)


@app.command()
def models(
    family: Annotated[str | None, typer.Option(help="Keep one family, such as zoo.")] = None,
    json: Json = False,
    seed: Seed = 0,
    device: Device = "auto",
) -> None:
    """List the catalogue: source, size, licence."""
    from acclimate.verbs import models as verb

    _show(verb(family=family, options=_options(seed, device, json=json)), json)


@app.command()
def check(data: Data, json: Json = False, seed: Seed = 0, device: Device = "auto", cache: Cache = None) -> None:
    """Look for corrupt files, duplicates, leaks between splits and rare classes."""
    from acclimate.verbs import check as verb

    _show(verb(data, options=_options(seed, device, cache=cache, json=json)), json)


@app.command()
def embed(
    data: Data,
    model: Model,
    out: Annotated[Path, typer.Option(help="A .npz file.")] = Path("features.npz"),
    json: Json = False,
    seed: Seed = 0,
    device: Device = "auto",
    precision: Precision = "auto",
    cache: Cache = None,
    skip_bad: SkipBad = False,
) -> None:
    """Write the features of all images to a file."""
    from acclimate.verbs import embed as verb

    options = _options(seed, device, precision, cache, skip_bad, json)
    _show(verb(data, model=model, out=out, options=options), json)


@app.command()
def score(
    data: Data,
    model: Model,
    score: Annotated[str, typer.Option(help="knn, logistic, or all.")] = "knn",
    json: Json = False,
    seed: Seed = 0,
    device: Device = "auto",
    precision: Precision = "auto",
    cache: Cache = None,
    skip_bad: SkipBad = False,
) -> None:
    """Measure one score of one model on held-out validation images."""
    from acclimate.verbs import score as verb

    options = _options(seed, device, precision, cache, skip_bad, json)
    _show(verb(data, model=model, score=score, options=options), json)


@app.command()
def tune(
    data: Data,
    model: Model,
    recipe: Annotated[
        str, typer.Option(help="linear, bn, bn-paper, finetune, staged, ssda, or a TOML file.")
    ] = "finetune",
    labels: Labels = None,
    out: Out = None,
    dry_run: DryRun = False,
    json: Json = False,
    seed: Seed = 0,
    device: Device = "auto",
    precision: Precision = "auto",
    cache: Cache = None,
    skip_bad: SkipBad = False,
) -> None:
    """Finetune a model on labelled images. Killed or stopped, the same command goes on where it was."""
    from acclimate.verbs import tune as verb

    options = _options(seed, device, precision, cache, skip_bad, json)
    _show(verb(data, model=model, recipe=recipe, labels=labels, out=out, dry_run=dry_run, options=options), json)


@app.command()
def adapt(
    data: Data,
    model: Model,
    method: Annotated[
        str,
        typer.Option(
            help="byol, simsiam, simclr, moco-v2, moco-v3, barlow, vicreg, swav, dino, mae, rotation or norm-stats."
        ),
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
        list[str] | None,
        typer.Option("--set", help="Any other setting, as NAME=VALUE: head_steps=0, l2_sp=0.01, ema=0.99. Repeat it."),
    ] = None,
    ignore_labels: Annotated[
        bool, typer.Option("--ignore-labels", help="Use no label, not even for the probe that watches the run.")
    ] = False,
    out: Out = None,
    dry_run: DryRun = False,
    json: Json = False,
    seed: Seed = 0,
    device: Device = "auto",
    precision: Precision = "auto",
    cache: Cache = None,
    skip_bad: SkipBad = False,
) -> None:
    """Continue a model on images without labels. Hands back the start model where that did harm."""
    from acclimate.verbs import adapt as verb
    from acclimate.verbs.options import read_settings

    options = _options(seed, device, precision, cache, skip_bad, json)
    document = verb(
        data,
        model=model,
        method=method,
        scope=scope,
        domain=domain,
        steps=steps,
        batch=batch,
        lr=lr,
        settings=read_settings(settings or []),
        ignore_labels=ignore_labels,
        out=out,
        dry_run=dry_run,
        options=options,
    )
    _show(document, json)


@app.command()
def rank(
    data: Data,
    models: Annotated[str, typer.Option(help="Model names with commas between.")] = "",
    zoo: Annotated[bool, typer.Option("--zoo", help="Also every embedded model.")] = False,
    top: Annotated[int, typer.Option(help="How many the final recipe is run on.", min=1)] = 3,
    final: Annotated[str, typer.Option(help="The recipe of the final round.")] = "bn",
    labels: Labels = None,
    out: Out = None,
    dry_run: DryRun = False,
    json: Json = False,
    seed: Seed = 0,
    device: Device = "auto",
    precision: Precision = "auto",
    cache: Cache = None,
    skip_bad: SkipBad = False,
) -> None:
    """Rank models: kNN and logistic regression for all, batch-norm finetuning for the best."""
    from acclimate.verbs import rank as verb

    options = _options(seed, device, precision, cache, skip_bad, json)
    names = [name.strip() for name in models.split(",") if name.strip()]
    document = verb(
        data,
        models=names,
        zoo=zoo,
        top=top,
        final=final,
        labels=labels,
        out=out,
        dry_run=dry_run,
        options=options,
    )
    _show(document, json)


@app.command()
def curve(
    data: Data,
    models: Annotated[str, typer.Option(help="Model names with commas between; the first is the base.")],
    labels: Annotated[str, typer.Option(help="Budgets: images a class, or shares of all.")] = "1,5,10,25,100%",
    seeds: Annotated[int, typer.Option(help="How often labels are drawn; intervals need 2 or more.", min=1)] = 5,
    training: Annotated[str, typer.Option(help="head (on fixed features), full (the recipe), or head,full.")] = "head",
    recipe: Annotated[str, typer.Option(help="The recipe of full: a name or a TOML file.")] = "staged",
    negative: Annotated[str, typer.Option(help="Classes against which all others count as positive.")] = "",
    tta: Annotated[str, typer.Option(help="hflip: average each test image and its mirror image; or none.")] = "hflip",
    out: Out = None,
    dry_run: DryRun = False,
    json: Json = False,
    seed: Seed = 0,
    device: Device = "auto",
    precision: Precision = "auto",
    cache: Cache = None,
    skip_bad: SkipBad = False,
) -> None:
    """Measure models with few labels, and say how many times the labels each is worth against the first."""
    from acclimate.verbs import curve as verb

    document = verb(
        data,
        models=models,
        labels=labels,
        seeds=seeds,
        training=training,
        recipe=recipe,
        negative=negative,
        tta=tta,
        out=out,
        dry_run=dry_run,
        options=_options(seed, device, precision, cache, skip_bad, json),
    )
    _show(document, json)


@app.command()
def predict(
    run: Run,
    images: Data,
    tta: Annotated[str, typer.Option(help="none, or hflip: average each image and its mirror image.")] = "none",
    out: Annotated[Path, typer.Option(help="A .csv file.")] = Path("predictions.csv"),
    json: Json = False,
    seed: Seed = 0,
    device: Device = "auto",
    precision: Precision = "auto",
    cache: Cache = None,
    skip_bad: SkipBad = False,
) -> None:
    """Write the classes of new images to a CSV file."""
    from acclimate.verbs import predict as verb

    options = _options(seed, device, precision, cache, skip_bad, json)
    _show(verb(run, images, tta=tta, out=out, options=options), json)


@app.command()
def export(
    run: Run,
    format: Annotated[str, typer.Option(help="timm or onnx.")] = "timm",
    out: Annotated[Path | None, typer.Option(help="Where to write; default: timm/ or model.onnx in the run.")] = None,
    json: Json = False,
    seed: Seed = 0,
    device: Device = "auto",
) -> None:
    """Write a run's classifier for plain timm, or as an ONNX graph that was checked."""
    from acclimate.verbs import export as verb

    _show(verb(run, format=format, out=out, options=_options(seed, device, json=json)), json)


@app.command()
def report(
    folder: Annotated[str, typer.Argument(help="A folder with runs, rows or a ranking.")],
    json: Json = False,
    seed: Seed = 0,
    device: Device = "auto",
) -> None:
    """Write one self-contained report.html from whatever a folder holds."""
    from acclimate.verbs import report as verb

    _show(verb(folder, options=_options(seed, device, json=json)), json)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code; an error of ours is one line on stderr, never a traceback."""
    command = typer.main.get_command(app)
    given = sys.argv[1:] if arguments is None else arguments
    try:
        code = command.main(args=given or ["--help"], prog_name="acclimate", standalone_mode=False)
    except AcclimateError as error:
        return _complain(str(error), error.exit_code)
    except OSError as error:
        if error.filename is None and error.errno not in _FULL:
            raise
        where = f" '{error.filename}'" if error.filename else " to the disk"
        return _complain(f"cannot read or write{where}: {error.strerror}; choose another place or make room", 2)
    except Exception as error:  # click's usage errors, whose class typer has moved about
        if not hasattr(error, "format_message"):
            raise
        return _complain(_usage(error), 2)
    if code == _STOPPED:  # typer turns Ctrl-C into this exit code
        return _complain("stopped; what is finished is kept. Give the same command again to go on", _STOPPED)
    return 0


def _usage(error: Any) -> str:
    """Return click's complaint with where to look."""
    context = getattr(error, "ctx", None)
    where = context.command_path if context else "acclimate"
    said = error.format_message()
    return f"{said}{'' if said.endswith(('.', '?')) else '.'} See '{where} --help'"


def _complain(text: str, code: int) -> int:
    print(f"acclimate: {' '.join(text.split())}", file=sys.stderr)  # whatever it was, it is one line
    return code


if __name__ == "__main__":
    sys.exit(main())

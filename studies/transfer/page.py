"""The page of the study, written from its table: ``docs/study.md`` between its marks."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from studies.transfer import design
from studies.transfer.answers import FIRST, LEVEL, OTHERS, RESAMPLES, SAME, Answers, Gain, accuracies, gains
from studies.transfer.domains import DOMAINS
from studies.transfer.table import complete

from acclimate.comparison import read_table
from acclimate.errors import DataError
from acclimate.storage.store import digest, write_atomic

if TYPE_CHECKING:
    import pandas as pd

PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "study.md"
OUTSIDE: Final = "out of domain"
GROUPS: Final = ("norm", "backbone")
MARKS: Final = ("<!-- results: begin -->", "<!-- results: end -->")
WIDTH: Final = 120  # columns of a line; a row of a table cannot break


def fill(page: Path, table: Path) -> None:
    """Write the results of a table between the marks of the page; what stands around them stays."""
    before, begin, rest = page.read_text(encoding="utf-8").partition(MARKS[0])
    _, end, after = rest.partition(MARKS[1])
    if not begin or not end:
        raise DataError(f"'{page}' has no '{MARKS[0]}' followed by '{MARKS[1]}'; put both back on lines of their own")
    write_atomic(page, f"{before}{MARKS[0]}\n{results(table)}{MARKS[1]}{after}")


def stamp(table: Path) -> str:
    """Return a line that changes with the table and with what makes the page of it: bootstraps take a while to redo."""
    here = Path(__file__).resolve().parent
    texts = [path.read_text(encoding="utf-8") for path in (table, *sorted(here.glob("*.py")))]
    return f"<!-- made from {digest(*texts)} -->"


def results(table: Path, resamples: int = RESAMPLES) -> str:
    """Return the results of a table as Markdown; `resamples` of every bootstrap.

    Raises
    ------
    DataError
        For a table with fewer than three complete models.
    """
    everything, frame = read_table(table), complete(table)
    if frame["model"].nunique() < 3:
        raise DataError(f"'{table}' has {frame['model'].nunique()} complete models; expected at least 3")
    asked = Answers(frame, resamples)
    proxies = asked.proxies()
    sections = (
        _extent(everything, frame),
        _models(frame),
        _norm_or_linear(asked),
        _in_domain(proxies),
        _out_of_domain(proxies["ood"]),
        _normalisation(asked),
        _groups(asked),
        _cannot(frame),
    )
    return "\n".join([stamp(table), *(part for section in sections for line in section for part in _wrapped(line))])


def _wrapped(line: str) -> list[str]:
    if line.startswith("|") or len(line) <= WIDTH:
        return [line]
    return textwrap.wrap(line, WIDTH, subsequent_indent="  " * line.startswith("- "), break_on_hyphens=False)


def _extent(everything: pd.DataFrame, frame: pd.DataFrame) -> list[str]:
    cells = everything[everything["split"] == "test"]
    names = design.model_names()
    per_seed = sum(1 for p in design.PROTOCOLS.values() if not p.networks) * len(names) * len(DOMAINS)
    common = cells[~cells["protocol"].isin([n for n, p in design.PROTOCOLS.items() if p.networks])]
    runs = frame[["model", "seed"]].drop_duplicates()
    seeds = ", ".join(f"{n} models with seed {seed}" for seed, n in runs.groupby("seed").size().items())
    return [
        "Written by `python -m studies.transfer --page` from `studies/transfer/results.csv`; do not edit between the",
        "marks.",
        "",
        f"{len(common):,} of {per_seed * design.SEEDS:,} cells of protocols that every network can do are measured,",
        f"and {len(cells) - len(common):,} of `bn-paper`. A model counts with a seed when all of the former are there",
        f"on all {frame['dataset'].nunique()} domains:",
        f"{seeds}. All numbers below are from these. Intervals are {LEVEL:.0%}.",
        "",
    ]


def _models(frame: pd.DataFrame) -> list[str]:
    """Say how good each model is, in the mean over domains."""
    shown = ("knn", "linear", "head", "norm", "few-shot", design.TARGET)
    values = {name: accuracies(frame, name) for name in shown}
    known = frame.drop_duplicates("model").set_index("model")
    order = sorted(known.index, key=lambda model: -values[design.TARGET][model])
    lines = [
        "## The models",
        "Test accuracy in percent, the mean over domains and seeds; best finetuned first.",
        "",
        f"| model | pretrained by | norm | parameters | {' | '.join(shown)} |",
        f"|---|---|---|--:|{'--:|' * len(shown)}",
    ]
    for model in order:
        about = known.loc[model]
        numbers = " | ".join(f"{100 * values[name][model]:.1f}" for name in shown)
        lines.append(f"| {model} | {about['family']} | {about['norm']} | {int(about['parameters']):,} | {numbers} |")
    return [*lines, ""]


def _norm_or_linear(asked: Answers) -> list[str]:
    """Answer the first question, over all domains and for each."""
    every = asked.norm_or_probes()
    over_linear, over_same = _leads(next(iter(every.values())))
    lines = [
        "## Does norm finetuning predict finetuning better than linear probing?",
        _verdict(over_linear),
        f"Against `{SAME}`, a probe that shares its kind of classifier, rate, augmentation and number of steps:",
        _verdict(over_same),
        "",
        "Spearman's rank correlation with finetuning, and norm finetuning's lead over either probe. The leads are",
        "paired over models, and over seeds where there are several.",
        "",
        f"| on | models | {FIRST} | {SAME} | norm | lead over {FIRST} | lead over {SAME} |",
        "|---|--:|--:|--:|--:|---|---|",
        *(_lead_line(title, found) for title, found in every.items()),
    ]
    paper = asked.on_networks("bn-paper")
    return [*lines, "", *([_paper(paper), ""] if paper is not None else [])]


def _lead_line(title: str, found: dict[str, Any]) -> str:
    by_name = {line["proxy"]: line for line in found["proxies"]}
    numbers = " | ".join(_number(by_name[name]["spearman"]) for name in (FIRST, SAME, "norm"))
    leads = " | ".join(_difference(lead) for lead in _leads(found))
    return f"| {title} | {found['n_models']} | {numbers} | {leads} |"


def _leads(found: dict[str, Any]) -> list[dict[str, float] | None]:
    """Return norm finetuning's leads over the two probes: the program holds these against norm finetuning."""
    behind = [_ahead(found, name) for name in (FIRST, SAME)]
    turned = {"difference": "difference", "low": "high", "high": "low"}
    return [one and {key: -one[other] for key, other in turned.items() if other in one} for one in behind]


def _ahead(found: dict[str, Any], name: str) -> dict[str, float] | None:
    line = next(line for line in found["proxies"] if line["proxy"] == name)
    lead: dict[str, float] | None = line["ahead"]["spearman"]
    return lead


def _verdict(lead: dict[str, float] | None) -> str:
    if lead is None or "low" not in lead:
        return "**Cannot tell**: the lead is undefined here."
    said = f"the lead is {_difference(lead)} in Spearman's correlation, averaged over domains"
    if lead["low"] > 0:
        return f"**Yes**: {said}."
    return f"**No, it predicts worse**: {said}." if lead["high"] < 0 else f"**It cannot be told apart**: {said}."


def _paper(found: dict[str, Any]) -> str:
    line = next(line for line in found["proxies"] if line["proxy"] == "bn-paper")
    return (
        f"The batch norms of `bn/paper` alone, which only the {found['n_models']} ResNets have: "
        f"{_number(line['spearman'])} against {_number(found['spearman'])} of linear probing on the same models, "
        f"a lead of {_difference(line['ahead']['spearman'])}."
    )


def _in_domain(found: dict[str, Any]) -> list[str]:
    """Show every proxy beside the noise ceiling and the lists that never look at the data."""
    lines = [
        "## Every proxy on its own domain",
        "The mean over domains. *Alike* is the share of pairs of models that the proxy orders as finetuning does,",
        "*regret* what its first choice costs in points of accuracy.",
        "",
        "| proxy | Spearman | Kendall | alike | regret | lead over linear |",
        "|---|---|--:|--:|--:|---|",
        *(_proxy_line(line["proxy"], line, line["ahead"]) for line in found["proxies"]),
    ]
    for key, title in (
        ("static_baseline", "*the order on the other domains*"),
        ("size_baseline", "*the largest first*"),
    ):
        if found[key] is not None:
            lines.append(_proxy_line(title, found[key], None))
    return [*lines, "", _ceiling(found["ceiling"]), ""]


def _proxy_line(title: str, line: dict[str, Any], ahead: dict[str, Any] | None) -> str:
    lead = _difference(ahead["spearman"]) if ahead else ""
    return (
        f"| {title} | {_number(line['spearman'])}{_span(line['intervals']['spearman'])} | {_number(line['kendall'])} | "
        f"{_percent(line['agreement'])} | {_number(line['regret'], 100, 1)} | {lead} |"
    )


def _ceiling(found: dict[str, Any]) -> str:
    if found["spearman"] is None:
        return f"The noise ceiling is unknown: {found['reason']}."
    return (
        f"**The noise ceiling**: finetuned with another seed, the same models would agree with their own true order at "
        f"{found['spearman']:.2f}; one run is off by {100 * found['noise']:.1f} points (standard deviation over seeds)."
    )


def _out_of_domain(ood: dict[str, Any]) -> list[str]:
    """Answer the second question: who predicts best what happens on another domain."""
    parts = list(dict.fromkeys(line["part"] for line in ood["averages"]))
    values = {(line["proxy"], line["part"]): line for line in ood["averages"]}
    lead = {line["proxy"]: line["spearman"] for line in ood["ahead"] if line["part"] == OUTSIDE}
    if OUTSIDE not in parts:
        return []
    order = sorted((FIRST, *OTHERS), key=lambda name: -(values[name, OUTSIDE]["spearman"] or -1))
    lines = [
        "## Out of domain",
        best(order, lead),
        "",
        "Spearman's correlation of a proxy on one domain with finetuning on another, the mean over ordered pairs of",
        "domains. The columns after *out of domain* are its parts by the domain that is predicted.",
        "",
        f"| proxy | {' | '.join(parts)} | lead over linear, out of domain |",
        f"|---|{'---|' * len(parts)}---|",
    ]
    for name in order:
        cells = [values[name, part] for part in parts]
        numbers = [f"{_number(one['spearman'])}{_span(one['intervals']['spearman'])}" for one in cells]
        lines.append(f"| {name} | {' | '.join(numbers)} | {_difference(lead.get(name))} |")
    return [*lines, ""]


def best(order: list[str], lead: dict[str, dict[str, float] | None]) -> str:
    """Say whether kNN and linear probing come first, and whether that is more than luck.

    Parameters
    ----------
    order
        Proxies, the highest mean correlation out of domain first.
    lead
        Proxy -> its lead over linear probing: ``difference``, and its interval ``low`` to ``high``.
    """
    frozen = {"knn", "knn-zscore", "linear", "linear-zscore", SAME}
    firsts = ", ".join(f"`{name}`" for name in order[:2])
    said = "**Yes, by the mean**" if set(order[:2]) <= frozen else "**Not by the mean**"
    clear = [
        name for name in order if (one := lead.get(name)) and ("low" in one) and (one["low"] > 0 or one["high"] < 0)
    ]
    apart = (
        f"Clearly apart from linear probing: {', '.join(f'`{name}`' for name in clear)}."
        if clear
        else "No proxy can be told apart from linear probing."
    )
    return f"Are kNN and linear probing the best predictors? {said}: {firsts} come first. {apart}"


def _normalisation(asked: Answers) -> list[str]:
    lines = [
        "## Normalised features",
        "The same classifier on features of mean 0 and deviation 1 less the one on features as they are: test accuracy",
        "in points, and the lead as a proxy on its own domain.",
        "",
        "| classifier | accuracy | Spearman |",
        "|---|---|---|",
    ]
    for name in ("knn", "linear"):
        gain = gains(asked.frame, f"{name}-zscore", name, "norm")[0]
        lead = _ahead(asked.paired(name, f"{name}-zscore"), f"{name}-zscore")
        lines.append(f"| {name} | {_points(gain)} | {_difference(lead)} |")
    return [*lines, ""]


def _groups(asked: Answers) -> list[str]:
    """Show what training adds by kind of norm and backbone, and whether proxies hold within and across these."""
    lines = [
        "## Normalisation layers and backbones",
        f"What training more than the classifier gains, in points of test accuracy over `{SAME}`:",
        "",
        "| models | n | norm finetuning | finetuning |",
        "|---|--:|---|---|",
        *(line for by in GROUPS for line in _gain_lines(asked, by)),
        "",
        "Share of the pairs of models that a proxy orders as finetuning does, pairs within one group and across two:",
        "",
        "| groups | proxy | within | across |",
        "|---|---|---|---|",
    ]
    for by in GROUPS:
        pairs = asked.within_groups(by)["pairs"]
        for inside, across in zip(pairs["within"], pairs["across"], strict=True):
            lines.append(f"| {by} | {inside['proxy']} | {_share(inside)} | {_share(across)} |")
    return [*lines, ""]


def _gain_lines(asked: Answers, by: str) -> list[str]:
    lines = []
    both = (gains(asked.frame, name, SAME, by) for name in ("norm", design.TARGET))
    for norm, tuned in zip(*both, strict=True):
        title = "all" if norm.group == "all" else f"{by}: {norm.group}"
        if norm.group != "all" or by == GROUPS[0]:
            lines.append(f"| {title} | {norm.models} | {_points(norm)} | {_points(tuned)} |")
    return lines


def _share(line: dict[str, Any]) -> str:
    found = line["interval"]
    return _percent(line["agreement"]) + (f" ({found['low']:.0%} to {found['high']:.0%})" if found else "")


def _percent(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.0%}"


def _cannot(frame: pd.DataFrame) -> list[str]:
    known = frame.drop_duplicates("model")
    counts = {by: known[by].value_counts().to_dict() for by in ("norm", "backbone")}
    told = "; ".join(f"{by}: {', '.join(f'{n} {group}' for group, n in of.items())}" for by, of in counts.items())
    few = [str(group) for of in counts.values() for group, n in of.items() if n < 5]
    return [
        f"## What {len(known)} small models cannot show",
        f"- **Backbone and norm are one thing here** ({told}):",
        "  where a group has one architecture, its numbers are that architecture's.",
        *([f"- **Groups of fewer than five models** ({', '.join(few)}) say nothing of their own."] if few else []),
        "- **Models of one architecture and one set of images are no sample of all models.** The intervals say what",
        "  another draw of such models would give, not what large networks do.",
        f"- **{sum(known['family'] == 'random')} random starts are among them.** They stretch the range, which makes",
        "  correlations larger; the first table has them left out as well.",
        f"- **The domains are {frame['dataset'].nunique()} and taken as given**: no interval covers other domains.",
        "- **Finetuning is short, and its rate one for all.** A model that needs more steps or another rate looks",
        "  worse than it is.",
        "",
    ]


def _number(value: float | None, times: float = 1, digits: int = 2) -> str:
    return "undefined" if value is None else f"{times * value:.{digits}f}"


def _span(found: dict[str, float] | None) -> str:
    return "" if found is None else f" ({found['low']:.2f} to {found['high']:.2f})"


def _difference(found: dict[str, float] | None) -> str:
    if found is None:
        return ""
    span = f" ({found['low']:+.2f} to {found['high']:+.2f})" if "low" in found else ""
    return f"{found['difference']:+.2f}{span}"


def _points(gain: Gain) -> str:
    span = f" ({100 * gain.interval.low:+.1f} to {100 * gain.interval.high:+.1f})" if gain.interval else ""
    return f"{100 * gain.mean:+.1f}{span}"

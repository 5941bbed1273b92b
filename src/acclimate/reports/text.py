"""How foreign text and numbers are written: visible, short, and harmless wherever they land."""

from __future__ import annotations

import html
import math
import unicodedata
from typing import Final, TypeAlias

from acclimate.stats import LEVEL

Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | bool | None"

LEVEL_TEXT: Final = f"{100 * LEVEL:g}%"  # of every interval of a page that its user did not ask for

# Joiners belong to the spelling of words in several scripts; every other invisible character is a trap.
_JOINERS = "\u200c\u200d"
_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
_MARKDOWN = str.maketrans({c: "\\" + c for c in "\\`*_[]|~#$"} | {"<": "&lt;", ">": "&gt;", "&": "&amp;"})


def visible(text: str) -> str:
    r"""Return the text with control, bidirectional and broken characters spelt out as ``\uXXXX``."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if unicodedata.category(c) not in _HIDDEN or c in _JOINERS else f"\\u{ord(c):04x}" for c in text)


def clean(value: Json, home: str = "") -> Json:
    """Return a copy of a JSON value: strings visible, ``home`` cut from paths, numbers finite or None."""
    if isinstance(value, str):
        return visible(value.removeprefix(home) or value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, list):
        return [clean(item, home) for item in value]
    if isinstance(value, dict):
        return {visible(key): clean(item, home) for key, item in value.items()}
    return value


def short(text: str, limit: int = 26) -> str:
    """Return the text cut in its middle to ``limit`` characters at most; both ends of a name matter."""
    if len(text) <= limit:
        return text
    head = (limit - 1) // 2
    return f"{text[:head]}…{text[len(text) - (limit - 1 - head) :]}"


def plotly(text: str, limit: int = 200) -> str:
    """Return the text for a Plotly label, which would otherwise read ``<b>`` and ``<a href>`` as markup."""
    return html.escape(short(text, limit), quote=False)


def markdown(text: str) -> str:
    """Return the text for a Markdown paragraph or table cell: no markup, no HTML, no live link, one line."""
    return text.translate(_MARKDOWN).replace("://", ":&#47;/").replace("\n", " ")


def number(value: object) -> float | None:
    """Return a finite float, or None for anything that is not a number (booleans are not numbers here)."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def fixed(value: object, digits: int = 3) -> str:
    """Return a number with a fixed count of decimals, or an en dash where there is none."""
    decimal = number(value)
    return "–" if decimal is None else f"{decimal:.{digits}f}".replace("-", "−")


def figure(value: object) -> str:
    """Return a number with the digits that matter: three decimals, or two from 10 on, where a table is in percent."""
    decimal = number(value)
    return fixed(value, 3 if decimal is None or abs(decimal) < 10 else 2)


def signed(value: float, digits: int = 3) -> str:
    """Return a number with its sign, also where it is positive."""
    return f"{value:+.{digits}f}".replace("-", "−")


def span(low: object, high: object, digits: int = 3) -> str:
    """Return an interval as ``low to high``, or nothing where one end is missing."""
    if number(low) is None or number(high) is None:
        return ""
    return f"{fixed(low, digits)} to {fixed(high, digits)}"


def count(value: object) -> str:
    """Return a whole number with thousands separated by commas, or an en dash."""
    whole = number(value)
    return "–" if whole is None else f"{whole:,.0f}"


def duration(seconds: object) -> str:
    """Return seconds as people say them: ``0.04 s``, ``12.3 s``, ``4 min 05 s``, ``2 h 10 min``."""
    total = number(seconds)
    if total is None or total < 0:
        return "–"
    if total < 1:
        return f"{total:.2g} s"
    if total < 60:
        return f"{total:.1f} s"
    whole = round(total)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def percent(part: object, whole: object) -> str:
    """Return the share as a percentage with three significant digits, such as ``0.161%``; "" if unknown."""
    top, bottom = number(part), number(whole)
    if top is None or bottom is None or bottom <= 0:
        return ""
    share = 100 * top / bottom
    return "100%" if share >= 99.95 else f"{share:.3g}%"


def joined(names: list[str], limit: int = 6) -> str:
    """Return names as a list in words: ``a``, ``a and b``, ``a, b and c``, cut with a count if long."""
    if len(names) > limit:
        return f"{', '.join(names[: limit - 1])} and {len(names) - limit + 1} more"
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"

"""The text of a scope: a sum of terms, of which ``terms`` knows what each selects. No torch."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from acclimate.errors import ScopeError, unknown

PLAIN: Final = ("all", "bias", "head", "norm", "norm:batch", "norm:paper", "stats")
# Terms with a number: what it counts, and an example.
NUMBERED: Final = {"last": ("number of blocks", "last:2"), "lora": ("rank", "lora:8")}
PATTERN: Final = "re"
_SPELLINGS: Final = sorted((*PLAIN, "last:K", "lora:R", f"{PATTERN}:PATTERN"))


@dataclass(frozen=True)
class Scope:
    """A parsed scope.

    Attributes
    ----------
    text
        As the user wrote it.
    terms
        ``(name, argument)`` pairs; the argument is ``""`` where the term takes none.
    """

    text: str
    terms: tuple[tuple[str, str], ...]

    @property
    def head_only(self) -> bool:
        """Whether nothing below the classifier trains."""
        return all(name == "head" for name, _ in self.terms)

    @property
    def statistics(self) -> bool:
        """Whether running statistics are adapted whatever trains: pass it to ``set_mode``."""
        return any(name == "stats" for name, _ in self.terms)

    @property
    def rank(self) -> int:
        """Rank of the adapters; 0 without a ``lora`` term."""
        return next((int(argument) for name, argument in self.terms if name == "lora"), 0)


def parse_scope(text: str) -> Scope:
    """Read a scope such as ``head+norm:paper`` or ``last:2``.

    Raises
    ------
    ScopeError
        For an empty text, an unknown term (the nearest known one is named), ``last`` or ``lora`` without a whole number
        of at least 1, two ranks, or a regular expression that does not compile.
    """
    plain, _, pattern = text.partition("re:")
    terms = [_parse_term(term, text) for term in plain.split("+") if term] if plain.strip("+") else []
    if pattern:
        terms.append(("re", _checked_pattern(pattern)))
    if not terms:
        raise ScopeError(f"got an empty scope {text!r}; expected a sum of {', '.join(_SPELLINGS)}, such as 'head+norm'")
    if len({argument for name, argument in terms if name == "lora"}) > 1:
        raise ScopeError(f"got scope '{text}' with two ranks; expected one 'lora:R'")
    return Scope(text, tuple(terms))


def _parse_term(term: str, text: str) -> tuple[str, str]:
    term = term.strip()
    if term in PLAIN:
        return term, ""
    name, _, argument = term.partition(":")
    if name not in NUMBERED:
        raise ScopeError(f"{unknown('scope term', term, _SPELLINGS)} (in scope '{text}')")
    counted, example = NUMBERED[name]
    if not argument.isdecimal() or len(argument) > 6 or int(argument) < 1:
        raise ScopeError(f"got scope '{term}'; expected a {counted} of at least 1, such as '{example}'")
    return name, argument


def _checked_pattern(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ScopeError(f"got scope 're:{pattern}', which is no regular expression: {error}") from None
    return pattern

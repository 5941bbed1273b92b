"""The catalogue: everything that has a name, as data. One TOML file or table each, no code, and one reader for all.

``protocols`` are ways to measure a model, ``studies`` lists of measurements, ``datasets`` those of the papers.
``models`` are good starting points among timm's models, and random starts; ``papers`` are the models that the papers
compare, and every file in ``zoo`` is the card of an embedded model. Any other timm name works too: this is a short
list to begin with, not a gate.
"""

from __future__ import annotations

from acclimate.catalogue.entry import Entry, entries, zoo_names, zoo_weights
from acclimate.catalogue.paper import Layout, PaperModel, paper_model, paper_models
from acclimate.catalogue.protocol import (
    ALIASES,
    NOUNS,
    ROW_KINDS,
    ProtocolKind,
    Want,
    check_protocol_name,
    kind_of,
    plain_names,
    protocol_card,
    protocol_cards,
    protocol_table,
    require_kind,
)
from acclimate.catalogue.read import KINDS, NamedTable, file_of, names, own_file, read, tables

__all__ = [
    "ALIASES",
    "KINDS",
    "NOUNS",
    "ROW_KINDS",
    "Entry",
    "Layout",
    "NamedTable",
    "PaperModel",
    "ProtocolKind",
    "Want",
    "check_protocol_name",
    "entries",
    "file_of",
    "kind_of",
    "names",
    "own_file",
    "paper_model",
    "paper_models",
    "plain_names",
    "protocol_card",
    "protocol_cards",
    "protocol_table",
    "read",
    "require_kind",
    "tables",
    "zoo_names",
    "zoo_weights",
]

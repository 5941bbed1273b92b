"""The catalogue: everything that has a name, as data. One TOML file or table each, no code, and one reader for all.

``protocols`` are ways to measure a model, ``studies`` lists of measurements, ``datasets`` those of the papers.
``models`` are good starting points among timm's models, and random starts; ``papers`` are the models that the papers
compare, and every file in ``zoo`` is the card of an embedded model. Any other timm name works too: this is a short
list to begin with, not a gate.
"""

from acclimate.catalogue.entry import Entry as Entry
from acclimate.catalogue.entry import Layout as Layout
from acclimate.catalogue.entry import PaperModel as PaperModel
from acclimate.catalogue.entry import entries as entries
from acclimate.catalogue.entry import paper_model as paper_model
from acclimate.catalogue.entry import paper_models as paper_models
from acclimate.catalogue.entry import zoo_names as zoo_names
from acclimate.catalogue.entry import zoo_weights as zoo_weights
from acclimate.catalogue.protocol import ALIASES as ALIASES
from acclimate.catalogue.protocol import NOUNS as NOUNS
from acclimate.catalogue.protocol import ROW_KINDS as ROW_KINDS
from acclimate.catalogue.protocol import ProtocolKind as ProtocolKind
from acclimate.catalogue.protocol import Want as Want
from acclimate.catalogue.protocol import check_protocol_name as check_protocol_name
from acclimate.catalogue.protocol import kind_of as kind_of
from acclimate.catalogue.protocol import plain_names as plain_names
from acclimate.catalogue.protocol import protocol_card as protocol_card
from acclimate.catalogue.protocol import protocol_cards as protocol_cards
from acclimate.catalogue.protocol import protocol_table as protocol_table
from acclimate.catalogue.protocol import require_kind as require_kind
from acclimate.catalogue.read import KINDS as KINDS
from acclimate.catalogue.read import NamedTable as NamedTable
from acclimate.catalogue.read import file_of as file_of
from acclimate.catalogue.read import names as names
from acclimate.catalogue.read import own_file as own_file
from acclimate.catalogue.read import read as read
from acclimate.catalogue.read import tables as tables

"""Protocols: named, cited ways to measure a model on (data, seed) -> one result row, with the same numbers for all."""

from acclimate.protocols.episodes import EpisodesProtocol as EpisodesProtocol
from acclimate.protocols.find import find_protocol as find_protocol
from acclimate.protocols.find import find_training as find_training
from acclimate.protocols.find import protocol_names as protocol_names
from acclimate.protocols.find import protocol_of as protocol_of
from acclimate.protocols.probe import ProbeProtocol as ProbeProtocol
from acclimate.protocols.protocol import Protocol as Protocol
from acclimate.protocols.recipe import RecipeProtocol as RecipeProtocol
from acclimate.protocols.row import RUN as RUN
from acclimate.protocols.row import Outcome as Outcome
from acclimate.protocols.row import close_run as close_run
from acclimate.protocols.row import is_finished as is_finished
from acclimate.protocols.row import peak_memory_mb as peak_memory_mb
from acclimate.protocols.row import result_row as result_row
from acclimate.protocols.row import run_facts as run_facts
from acclimate.protocols.row import run_recipe as run_recipe
from acclimate.protocols.task import Stated as Stated
from acclimate.protocols.task import Task as Task
from acclimate.protocols.task import job_of as job_of

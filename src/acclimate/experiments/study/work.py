"""The work: claim a group of cells, open its data and model once, extract features once, measure cell by cell.

A claim says who works on what, when several processes share a folder: a lock of the operating system on a file. The
kernel drops it when its process ends, however it ends, so that a killed worker leaves nothing to clean up and no claim
of a dead process is waited for.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
from filelock import FileLock, Timeout

from acclimate.errors import Interrupted, StudyError
from acclimate.experiments.curve.budgets import plan_budgets
from acclimate.experiments.study.inputs import Input
from acclimate.experiments.study.ledger import Ledger
from acclimate.experiments.study.plan import Cell, Group, StudyPlan, all_labels
from acclimate.images import Images, Split, decoded, load_images, make_split, open_pixels
from acclimate.models import Backbone, load_backbone
from acclimate.models.classifier import WEIGHTS
from acclimate.protocols import Task
from acclimate.storage.runtime import Runtime
from acclimate.storage.store import digest, safe_name

PAUSE = 0.1  # seconds between two looks at a claim of somebody else


@dataclass(frozen=True)
class Claims:
    """The claims of one folder; they hold between processes, and between two users of one process."""

    folder: Path

    @contextlib.contextmanager
    def attempt(self, name: str) -> Iterator[bool]:
        """Claim a name if nobody has it; give whether that worked."""
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.folder / f"{name}.lock")
        try:
            lock.acquire(blocking=False)
        except Timeout:
            yield False
            return
        try:
            yield True
        finally:
            lock.release()

    @contextlib.contextmanager
    def wait(self, name: str, *, unless: Callable[[], bool]) -> Iterator[bool]:
        """Claim a name, after others if need be; give up, with False, as soon as ``unless`` says so."""
        while not unless():
            with self.attempt(name) as claimed:
                if claimed:
                    yield not unless()
                    return
            time.sleep(PAUSE)
        yield False


@dataclass(frozen=True)
class Event:
    """Something that a user may want to see."""

    # ``open`` (a group), ``images`` (``done`` of ``total`` decoded or extracted), ``start``, ``done``, ``failed`` (a
    # cell), ``seen`` (a cell that was settled before, or by another process)
    kind: Literal["open", "images", "start", "done", "failed", "seen"]
    group: str
    cell: str = ""
    words: str = ""
    done: int = 0
    total: int = 0


Tell = Callable[[Event], None]
Opened = TypeVar("Opened")


@dataclass
class Worker:
    """One worker of a study. Several may share a folder; each cell is measured by one of them."""

    plan: StudyPlan
    ledger: Ledger
    runtime: Runtime
    tell: Tell
    # share of the groups that it leaves for later, in [0, 1), so that workers begin with different data sets
    turn: float = 0.0
    images: dict[str, Images] = field(default_factory=dict)  # the data set in hand, none or one
    broken: dict[str, Exception] = field(default_factory=dict)  # inputs that could not be opened
    settled: set[str] = field(default_factory=set)

    @property
    def claims(self) -> Claims:
        """The claims of the study's folder."""
        return Claims(self.ledger.folder / ".claims")

    def run(self) -> None:
        """Work until every cell has its row or a reason why not, whoever does it.

        Raises `StudyError` when a data set or model changed since rows of this folder were made; `Interrupted` on
        Ctrl-C.
        """
        groups = self.plan.groups()
        at = round(self.turn * len(groups))
        groups = groups[at:] + groups[:at]
        while rest := [group for group in groups if self._left(group)]:
            worked = False
            for group in rest:
                with self.claims.attempt(group.id) as got:
                    if got and (cells := self._left(group)):
                        self._group(group, cells)
                        worked = True
            if not worked:
                time.sleep(PAUSE)  # others have the rest; a claim is free again when its process ends

    def _left(self, group: Group) -> list[Cell]:
        cells = [cell for cell in group.cells if not self.ledger.settled(cell)]
        for cell in group.cells:
            if cell not in cells and cell.id not in self.settled:
                self.settled.add(cell.id)
                self.tell(Event("seen", group.id, cell.id))
        return cells

    def _group(self, group: Group, cells: Sequence[Cell]) -> None:
        """Measure cells that share data and model. What cannot be opened is the reason of all of them."""
        self.tell(Event("open", group.id, words=f"{group.model.name} on {group.data.name}"))
        try:
            images = self._images(group.data)
            backbone = self._backbone(group.model)
            self._require_same(images, backbone, group)
            tasks = {(cell.labels, cell.seed): _task(images, cell) for cell in cells}
            runtime = self._runtime(group)
            self._share(backbone, runtime, list(tasks.values()), cells)
        except (StudyError, Interrupted):
            raise
        except Exception as error:
            for cell in cells:
                self._failed(group, cell, error)
            return
        for cell in cells:
            self._cell(group, cell, tasks[cell.labels, cell.seed], backbone, runtime)

    def _cell(self, group: Group, cell: Cell, task: Task, backbone: Backbone, runtime: Runtime) -> None:
        self.tell(Event("start", group.id, cell.id, cell.words))
        about = (
            cell.model[-60:],
            cell.data[-30:],
            cell.protocol[-30:],
            cell.labels.replace("%", "pct"),
            str(cell.seed),
        )
        run = self.ledger.folder / "runs" / "-".join([*map(safe_name, about), cell.id[:8]])
        protocol = self.plan.protocol(cell.protocol).protocol
        scale = self.plan.study.scale if protocol.scalable else 1.0
        try:
            row = protocol.at_scale(scale).run(task, backbone, runtime, run, self.ledger.results).row
        except Interrupted:
            raise
        except Exception as error:
            self._failed(group, cell, error)
            return
        self.ledger.finish(cell, row)
        for weights in run.rglob(WEIGHTS):  # a study is made of many runs, and each would leave a whole network
            weights.unlink(missing_ok=True)
        self.settled.add(cell.id)
        self.tell(Event("done", group.id, cell.id, cell.words))

    def _failed(self, group: Group, cell: Cell, error: Exception) -> None:
        self.ledger.fail(cell, error)
        self.settled.add(cell.id)
        self.tell(Event("failed", group.id, cell.id, cell.words))

    def _images(self, data: Input) -> Images:
        if data.name not in self.images:
            self.images.clear()
            images = self._opened(
                data, lambda: load_images(data.given, skip_bad=self.runtime.skip_bad, cache=self.runtime.cache)
            )
            on_disk = data.given != data.name or Path(data.given).exists()
            # Two folders of one name are two data sets: rows have the path as the study has it.
            self.images[data.name] = replace(images, name=data.name) if on_disk and ":" not in data.name else images
        return self.images[data.name]

    def _backbone(self, model: Input) -> Backbone:
        size = self.plan.study.image_size
        return self._opened(model, lambda: load_backbone(model.given, image_size=size)).named(model.name)

    def _opened(self, one: Input, load: Callable[[], Opened]) -> Opened:
        """Load an input; what failed once is not tried again for every group: it may have waited for a network."""
        if one.name in self.broken:
            raise self.broken[one.name]
        try:
            return load()
        except Exception as error:
            self.broken[one.name] = error
            raise

    def _require_same(self, images: Images, backbone: Backbone, group: Group) -> None:
        name, same = group.data.name, self.ledger.require_same
        of_data = [cell for cell in self.plan.cells if cell.data == name]
        of_model = [cell for cell in self.plan.cells if cell.model == group.model.name]
        same(of_data, what="fingerprint", digest=images.fingerprint, name=name)
        same(of_model, what="weights", digest=backbone.digest, name=group.model.name)

    def _runtime(self, group: Group) -> Runtime:
        """Return where and how a group runs: its progress is told as events."""

        def progress(done: int, total: int) -> None:
            self.tell(Event("images", group.id, done=done, total=total))

        return replace(self.runtime, quiet=True, progress=progress)

    def _share(self, backbone: Backbone, runtime: Runtime, tasks: Sequence[Task], cells: Sequence[Cell]) -> None:
        """Decode once for all models and workers, and extract once for all cells that measure features.

        The first worker of a data set and input size decodes while it extracts; others wait for its pixels.
        """
        first, geometry = tasks[0], backbone.preprocess.geometry
        parts = [part for task in tasks for part in (task.split.train, task.split.val, task.split.test)]
        needed = np.unique(np.concatenate(parts))
        pixels = open_pixels(first.images, geometry, cache=self.runtime.cache)
        scored = not all(self.plan.protocol(cell.protocol).protocol.trains for cell in cells)

        def share() -> None:
            if scored:
                first.features(backbone, runtime, needed)
            else:
                decoded(first.images, geometry, cache=runtime.cache, progress=runtime.progress, indices=needed)

        name = f"pixels-{digest(first.images.fingerprint, asdict(geometry))}"
        with self.claims.wait(name, unless=lambda: bool(pixels.done[needed].all())) as alone:
            if alone:
                share()
        if not alone:
            share()


def _task(images: Images, cell: Cell) -> Task:
    split, labels = draw(images, cell.labels, cell.seed)
    return Task(images, split, seed=cell.seed, labels=labels)


def draw(images: Images, labels: str, seed: int) -> tuple[Split, str | None]:
    """Return the split that a seed draws with a label budget, and the budget as rows have it; None for all labels.

    Validation costs labels too: with few of them it has of each class at most as many images as are trained on, as in a
    curve. It stays whole where there is no test part, since it is then what rows are measured on.
    """
    split = make_split(images, seed=seed)
    if all_labels(labels):
        return split, None
    budget = plan_budgets([labels], images, split)[0][0]
    few = budget.draw(images, split, seed)
    return (few if len(split.test) else replace(few, val=split.val)), budget.labels

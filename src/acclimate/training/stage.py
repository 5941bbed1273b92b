"""THE loop: one stage, from whatever step it stands at to its end. The only training loop of the program."""

from __future__ import annotations

import contextlib
import math
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from acclimate.errors import Interrupted, TrainingError
from acclimate.models.network import classifier_names
from acclimate.models.scope import parse_scope, set_mode
from acclimate.objectives import Objective
from acclimate.storage.store import step_seed
from acclimate.training.arithmetic import Arithmetic
from acclimate.training.batches import Batches, Indices, embed
from acclimate.training.checkpoint import Best, Journal, Line, Meter, Position, save_position
from acclimate.training.job import Watch
from acclimate.training.optimizer import Anchor, set_rate
from acclimate.training.probe import LabelledFeatures, clear, fit_probe, install, scale, surely_smaller
from acclimate.training.recipe import Stage
from acclimate.training.schedule import batch_indices, learning_rate, steps_per_epoch
from acclimate.training.validation import Validation

CHECK_EVERY = 10  # steps between looks at the loss on an accelerator, where each look waits for the device
EVALUATIONS = 50  # at most, on validation, in one stage
SAVING = 20  # checkpoints take at most a twentieth of the time
LOOKS = 10  # of a watch, after the one at the start
LOG_POINTS = 60  # lines in metrics.jsonl for each stage, beside those of the evaluations


@dataclass(frozen=True)
class Done:
    """One optimizer step: its loss (None where nobody looked), its images and the seconds waited for data."""

    loss: float | None
    images: int
    waited: float


@dataclass
class StageRun:
    """One stage, ready to run: everything is built, nothing is done.

    Attributes
    ----------
    module
        What the objective's forward pass runs: the network, or its classifier alone on cached features.
    images, labels, n_classes
        Training images, every image's label, and how many classes there are.
    val
        Labelled images held out for the choice of the best step; may be empty.
    anchor, watch
        What pulls towards the start, and who looks on; None where nobody does.
    """

    stage: Stage
    index: int
    module: nn.Module
    network: nn.Module
    objective: Objective
    extra: nn.ModuleDict
    optimizer: torch.optim.Optimizer | None
    batches: Batches
    images: Indices
    labels: Tensor
    n_classes: int
    val: Indices
    arithmetic: Arithmetic
    seed: int
    folder: Path
    checkpoint_seconds: float
    anchor: Anchor | None = None
    watch: Watch | None = None

    def __post_init__(self) -> None:
        head = classifier_names(self.network)
        self._learning = [p for name, p in self.network.named_parameters() if p.requires_grad and name not in head]
        self._warming = False
        self.validation = Validation(
            self.network,
            self.module,
            self.batches,
            self.val,
            self.labels,
            "32-true" if self.stage.exact else self.arithmetic.precision,
            self.arithmetic.device.type,
            self.stage.calibrate,
        )
        self.stopped = self.kept = ""

    @property
    def per_epoch(self) -> int:
        """Optimizer steps in one epoch."""
        return steps_per_epoch(len(self.images), self.stage.batch * self.stage.accumulate)

    @property
    def steps(self) -> int:
        """Optimizer steps of the whole stage."""
        return self.stage.length(len(self.images))

    def run(self, position: Position, journal: Journal) -> Position:
        """Go on from ``position`` to the end of the stage; the network ends at its best evaluation."""
        title = f"{self.index + 1}. {self.stage.objective}, {self.stage.scope}"
        meter = journal.stage(title, steps=self.steps, done=position.step)
        before = position.seconds, position.images
        saved, pause = time.perf_counter(), self.checkpoint_seconds
        self._set_mode()
        if not position.step:
            self._log_start(position, meter, journal)
        elif self.watch is not None and self._is_evaluated(position.step):
            self._look(position.step)  # a run that was killed after a look learns again whether it had to stop
        with stop_on_interrupt() as stop:
            while position.step < self.steps and not self._exhausted(position):
                done = self.do_step(position.step)
                position.step += 1
                meter.advance(done.images, done.waited)
                self._log(position, done.loss, meter, journal)
                position.seconds, position.images = before[0] + meter.seconds, before[1] + meter.images
                if stop.is_set() or time.perf_counter() - saved > pause:
                    began = time.perf_counter()
                    self.save(position, journal)
                    saved = time.perf_counter()
                    pause = max(pause, SAVING * (saved - began)) if self.checkpoint_seconds else 0.0
                if stop.is_set():
                    raise Interrupted(
                        f"stopped at step {position.step} of {self.steps} of stage {self.index + 1}; nothing is "
                        f"lost. Give the same command again to go on (run folder: '{self.folder}')"
                    )
        if self.watch is not None:
            position.last = {name: tensor.cpu().clone() for name, tensor in self.network.state_dict().items()}
            if not all(tensor.isfinite().all() for tensor in position.last.values()) and position.best.state:
                position.last = {name: tensor.cpu() for name, tensor in position.best.state.items()}
        if position.best.state is not None and self.stage.keep == "best":
            self.network.load_state_dict(position.best.state)
        self._hold_against_probe(position)
        if self.stage.calibrate and len(self.val):
            scale(self.network, self.validation.factor())
        return position

    def _fit_probe(self, position: Position) -> Line:
        """Let the classifier be the probe, measure it, and start from zero where it is only a rival."""
        labels = self.labels.numpy()
        train, val = (LabelledFeatures(self._features(part), labels[part]) for part in (self.images, self.val))
        install(fit_probe(train, val, self.n_classes, self.seed), self.network)
        values, value = self.validation.values() if len(self.val) else ({}, math.inf)
        if len(self.val):
            position.start = Best(value, 0, self._state())
        if self.stage.probe == "rival":
            clear(self.network)
        return values

    def _features(self, part: Indices) -> npt.NDArray[np.float32]:
        if not len(part):
            return np.empty((0, 1), np.float32)
        if self.module is not self.network:  # batches are features already
            return self.batches.plain(part).cpu().numpy()
        return embed(self.network, self.batches, part, precision="32-true", device=self.arithmetic.device.type)

    def _hold_against_probe(self, position: Position) -> None:
        """End with the probe unless the network as it stands is better on validation beyond luck."""
        if position.start.state is None or not self.steps:
            return
        ended, losses = self._state(), self.validation.losses()
        self.network.load_state_dict(position.start.state)
        if surely_smaller(losses, self.validation.losses()):
            self.network.load_state_dict(ended)
        else:
            position.best, self.kept = position.start, "probe"

    def _state(self) -> dict[str, Tensor]:
        return {name: tensor.detach().clone() for name, tensor in self.network.state_dict().items()}

    def _set_mode(self) -> None:
        set_mode(self.network, bn_stats=self.stage.bn_stats, statistics=parse_scope(self.stage.scope).statistics)

    def save(self, position: Position, journal: Journal) -> None:
        """Write a checkpoint of this very moment."""
        position.network = self.network.state_dict()
        position.extra = self.extra.state_dict()
        position.optimizer = self.optimizer.state_dict() if self.optimizer else {}
        position.scaler = self.arithmetic.state_dict()
        position.journal = journal.position
        save_position(self.folder, position)

    def restore(self, position: Position) -> None:
        """Put network, heads and optimizer where the checkpoint left them."""
        self.network.load_state_dict(position.network)
        self.extra.load_state_dict(position.extra)
        if self.optimizer:
            self.optimizer.load_state_dict(position.optimizer)
        self.arithmetic.load_state_dict(position.scaler)

    def do_step(self, step: int) -> Done:
        """Do optimizer step number ``step`` (0-based) and say what it took."""
        stage = self.stage
        self._warm_heads(step < stage.head_steps)
        set_rate(self.optimizer, self._rate(step))
        losses, images, waited = [], 0, 0.0
        for part in range(stage.accumulate):
            began = time.perf_counter()
            seed = step_seed("step", self.seed, self.index, step, part)
            order = step_seed(self.seed, self.index)
            batch = batch_indices(self.images, step * stage.accumulate + part, batch=stage.batch, seed=order)
            views = self.batches.views(batch, seed)
            waited += time.perf_counter() - began
            losses.append(self._backward(views, batch, seed))
            images += len(batch)
        loss = self._checked(torch.stack(losses).sum(), step)
        if self.optimizer and not self.stopped:
            self._update(self.optimizer)
        self.objective.after_step((step + 1) / self.steps)
        return Done(loss, images, waited)

    def _rate(self, step: int) -> float:
        """Return the full rate while the heads warm up, then the schedule over what is left."""
        if step < self.stage.head_steps:
            return self.stage.lr
        steps, step = self.steps - self.stage.head_steps, step - self.stage.head_steps
        warmup = math.ceil(self.stage.warmup * steps)
        shape, drops = self.stage.schedule, self.stage.drops
        return learning_rate(step, steps, base=self.stage.lr, warmup=warmup, shape=shape, drops=drops)

    def _warm_heads(self, warming: bool) -> None:
        """Freeze the backbone, or let go of it: a random head's first gradients would wreck what it learned before."""
        if warming == self._warming:
            return
        for parameter in self._learning:
            parameter.requires_grad_(not warming)
        self._set_mode()
        self._warming = warming

    def _update(self, optimizer: torch.optim.Optimizer) -> None:
        self.arithmetic.step(optimizer, clip=self.stage.clip)
        optimizer.zero_grad(set_to_none=True)

    def _backward(self, views: list[Tensor], batch: Indices, seed: int) -> Tensor:
        """Add one batch's gradients. Dropout draws from torch's global generator: it is lent a seed, then restored."""
        device = self.arithmetic.device
        labels = self.labels[torch.from_numpy(batch)].to(device) if self.stage.needs_labels else None
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(seed)
            with self.arithmetic.autocast():
                loss = self.objective.loss(views, labels)
                if self.anchor is not None and not self._warming:
                    loss = loss + self.anchor.penalty(views[0])
                loss = loss / self.stage.accumulate
        if not self.objective.gradient_free:
            self.arithmetic.backward(loss)
        return loss.detach()

    def _checked(self, loss: Tensor, step: int) -> float | None:
        if self.arithmetic.device.type != "cpu" and step % CHECK_EVERY:
            return None
        value = float(loss)
        if not math.isfinite(value):
            rate = self._rate(step)
            if self.watch is not None:  # which has a better network to hand back
                self.stopped = f"the loss was {value} at step {step}, learning rate {rate:.2g}: lower it"
                return None
            raise TrainingError(
                f"the loss is {value} at step {step} of stage {self.index + 1} ({self.stage.objective}), learning rate "
                f"{rate:.2g}; expected a finite number. Lower 'lr' of that stage, or set 'clip'"
            )
        return value

    def _log(self, position: Position, loss: float | None, meter: Meter, journal: Journal) -> None:
        """Write a line when one is due: at the end of an epoch of a stage with validation, and now and then."""
        step = position.step
        epoch = round(step / self.per_epoch, 4)
        line: Line = {"stage": self.index, "step": step, "epoch": epoch, "loss": loss, "lr": self._rate(step - 1)}
        evaluates = self._is_evaluated(step) and (len(self.val) or self.watch is not None)
        values = self._evaluate(position) if evaluates else {}
        if evaluates or step % max(1, self.steps // LOG_POINTS) == 0:
            journal.write(line | values | meter.reading(values))

    def _log_start(self, position: Position, meter: Meter, journal: Journal) -> None:
        """Look before the first step: what comes later is held against it, a new classifier's zeros excepted."""
        if self.stage.probe != "none":
            values = self._fit_probe(position)
        elif self.watch is not None or (len(self.val) and self.index):
            values = self._evaluate(position)
        else:
            return
        rate = self._rate(0) if self.steps else 0.0
        line: Line = {"stage": self.index, "step": 0, "epoch": 0.0, "loss": None, "lr": rate}
        journal.write(line | values | meter.reading(values))

    def _is_evaluated(self, step: int) -> bool:
        """At the end of each epoch, but at most ``EVALUATIONS`` times: an epoch of few labels is a step or two."""
        rare = max(self.per_epoch, math.ceil(self.steps / EVALUATIONS))
        every = rare if self.watch is None else math.ceil(self.steps / LOOKS)
        return step % every == 0 or step == self.steps

    def _evaluate(self, position: Position) -> Line:
        """Measure the network as it stands and keep it if it is the best so far."""
        values, value = self._look(position.step) if self.watch is not None else self.validation.values()
        if value < position.best.value:
            position.best = Best(value, position.step, self._state())
        return values

    def _look(self, step: int) -> tuple[Line, float]:
        assert self.watch is not None
        precision, device = self.arithmetic.precision, self.arithmetic.device.type
        look = self.watch.look(partial(embed, self.network, self.batches, precision=precision, device=device), step)
        self.stopped = look.stop
        return {**look.values}, look.value

    def _exhausted(self, position: Position) -> bool:
        """Whether a watch has stopped the stage, or validation has not improved for ``patience`` epochs."""
        if self.stopped:
            return True
        if not self.stage.patience or position.best.state is None:
            return False
        waited = position.step - position.best.step
        return self._is_evaluated(position.step) and waited >= self.stage.patience * self.per_epoch


@contextlib.contextmanager
def stop_on_interrupt() -> Iterator[threading.Event]:
    """Turn the first Ctrl-C (or SIGTERM) into a flag that the loop reads between steps; a second one stops at once."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def ask(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

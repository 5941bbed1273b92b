"""Several workers: processes that share nothing but the study's folder. One that dies is replaced.

A worker is ``python -m acclimate.experiments.study.worker``: a line of JSON on its stdin says what to do, lines of JSON
on its stdout say what happens. It ends when its stdin does, that is, with the process that started it.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import IO, Any, Final

from acclimate.errors import StudyError, TrainingError
from acclimate.experiments.study.ledger import Ledger
from acclimate.experiments.study.plan import StudyPlan
from acclimate.experiments.study.work import Event, Tell
from acclimate.storage.runtime import Runtime

DEATHS: Final = 2  # of processes, before what they worked on is blamed
PATIENCE: Final = 30.0  # seconds to write a checkpoint when stopped
Message = tuple[int, dict[str, Any] | None]  # of a worker; None when its stdout ended


@dataclass
class Crew:
    """The workers of a study, seen from the process that started them."""

    plan: StudyPlan
    ledger: Ledger
    runtime: Runtime
    tell: Tell
    size: int
    running: dict[int, subprocess.Popen[str]] = field(default_factory=dict)
    at: dict[int, tuple[str, str]] = field(default_factory=dict)  # worker -> group and cell in its hands
    deaths: Counter[tuple[str, str]] = field(default_factory=Counter)
    inbox: queue.Queue[Message] = field(default_factory=queue.Queue)
    reported: set[str] = field(default_factory=set)

    def run(self) -> None:
        """Start the workers and wait until all are done.

        Raises the `StudyError` of a worker; `TrainingError` when workers cannot even start.
        """
        try:
            for number in range(self.size):
                self._start(number)
            while self.running:
                number, message = self.inbox.get()
                self._hear(number, message)
        finally:
            self._stop()

    def _start(self, number: int) -> None:
        threads = str(max(1, (os.cpu_count() or 1) // self.size))
        process = subprocess.Popen(
            [sys.executable, "-m", "acclimate.experiments.study.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={"OMP_NUM_THREADS": threads, **os.environ},
            start_new_session=True,  # Ctrl-C goes to us, and from us to them
        )
        self.running[number] = process
        self.at[number] = ("", "")
        assert process.stdin is not None
        assert process.stdout is not None
        threading.Thread(target=self._listen, args=(number, process.stdout), daemon=True).start()
        try:
            process.stdin.write(json.dumps(self._order(number)) + "\n")
            process.stdin.flush()
        except OSError:
            pass  # it died at once; its stdout says so

    def _order(self, number: int) -> dict[str, Any]:
        cache = str(self.runtime.cache) if self.runtime.cache else None
        runtime = {name: getattr(self.runtime, name) for name in ("device", "precision", "skip_bad")} | {"cache": cache}
        folder = str(self.ledger.folder.absolute())
        return {"plan": self.plan.document(), "folder": folder, "runtime": runtime, "turn": number / self.size}

    def _listen(self, number: int, lines: IO[str]) -> None:
        for line in lines:
            self.inbox.put((number, json.loads(line)))
        self.inbox.put((number, None))

    def _hear(self, number: int, message: Mapping[str, Any] | None) -> None:
        if message is None:
            self._ended(number)
        elif "fatal" in message:
            raise StudyError(message["fatal"])
        else:
            event = Event(**message)
            if event.kind in ("open", "start"):
                self.at[number] = (event.group, event.cell)
            if event.kind not in ("seen", "done", "failed") or event.cell not in self.reported:
                self.tell(event)
            if event.kind in ("seen", "done", "failed"):
                self.reported.add(event.cell)

    def _ended(self, number: int) -> None:
        """Let a worker go that is done; put another in the place of one that died."""
        code = self.running.pop(number).wait()
        if code == 0 or all(self.ledger.settled(cell) for cell in self.plan.cells):
            return
        self.deaths[self.at[number]] += 1
        if self.deaths[self.at[number]] >= DEATHS:
            how = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
            self._blame(*self.at[number], how)
        self._start(number)

    def _blame(self, group: str, cell: str, how: str) -> None:
        cells = [c for g in self.plan.groups() if g.id == group for c in g.cells if c.id == cell or not cell]
        if not cells:
            raise TrainingError(
                f"a worker {how} before it did anything, {DEATHS} times; run it with --workers 1 to see"
            )
        reason = (
            f"the process that worked on it {how}, {DEATHS} times; often that is a lack of memory: use fewer --workers"
        )
        for one in cells:
            if not self.ledger.settled(one):
                self.ledger.fail(one, reason)

    def _stop(self) -> None:
        """End what still runs: let it write its checkpoints, but not for ever."""
        for process in self.running.values():
            process.send_signal(signal.SIGINT)
        for process in self.running.values():
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

"""One worker process: ``python -m acclimate.experiments.study.worker``. See `acclimate.experiments.study.workers`."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from acclimate.errors import AcclimateError, Interrupted
from acclimate.experiments.study.ledger import Ledger
from acclimate.experiments.study.plan import StudyPlan
from acclimate.experiments.study.work import Worker
from acclimate.storage.runtime import Runtime

STOPPED = 130


def main() -> int:
    """Do what the first line of stdin says, and return the exit code."""
    say = _voice()
    order = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with, args=(sys.stdin.fileno(),), daemon=True).start()
    cache = order["runtime"].pop("cache")
    runtime = Runtime(**order["runtime"], cache=Path(cache) if cache else None)
    ledger = Ledger(Path(order["folder"]))
    worker = Worker(StudyPlan.of(order["plan"]), ledger, runtime, lambda event: say(asdict(event)), order["turn"])
    try:
        worker.run()
    except (KeyboardInterrupt, Interrupted):
        return STOPPED
    except AcclimateError as error:
        say({"fatal": str(error)})
    return 0


def _voice() -> Callable[[dict[str, Any]], None]:
    """Return what writes messages to our stdout, and send whatever libraries print there to stderr."""
    lines = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def say(message: dict[str, Any]) -> None:
        print(json.dumps(message), file=lines, flush=True)

    return say


def _end_with(stdin: int) -> None:
    """End this process when the one that started it has ended: what is finished is on disk."""
    while os.read(stdin, 1):  # not sys.stdin.read(): its lock would be held while this process ends
        pass
    os._exit(STOPPED)


if __name__ == "__main__":
    sys.exit(main())

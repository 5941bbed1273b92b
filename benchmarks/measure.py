"""What every benchmark gives back, what it may be told, and the machine it ran on."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Options:
    """What the command line may change.

    Attributes
    ----------
    images
        Images in the folder of benchmarks that read one; fewer are quicker and noisier.
    quick
        A tenth of the cells of ``tune_vs_lines``.
    data
        Where that finds its data sets; None: it only says what its table holds.
    """

    images: int = 2000
    quick: bool = False
    data: Path | None = None


@dataclass(frozen=True)
class Row:
    """One number against its target. ``ratio`` is always better when higher, and passes from ``target`` on.

    Attributes
    ----------
    ours, theirs
        The two measured quantities in ``unit``, taken side by side in the same run.
    """

    name: str
    ratio: float
    target: float
    ours: float
    theirs: float
    unit: str
    notes: str

    def document(self) -> dict[str, Any]:
        """Return what ``--json`` prints for this row."""
        return {
            "name": self.name,
            "ratio": round(self.ratio, 3),
            "target": self.target,
            "ours": round(self.ours, 3),
            "theirs": round(self.theirs, 3),
            "unit": self.unit,
            "passed": self.ratio >= self.target,
            "notes": self.notes,
        }


def cores() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def machine() -> dict[str, Any]:
    """Return what a reader needs to judge the numbers; ``load`` is the mean number of busy processes."""
    import torch

    return {
        "cpu": _cpu(),
        "cores": cores(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": importlib.metadata.version("torch"),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
    }


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()

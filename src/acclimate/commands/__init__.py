"""The command line, one file a command: its options, its order of work, and how its answer is printed.

The function of a file is the command and its Python verb at once: ``acclimate rank photos --zoo --seed 1`` and
``acclimate.rank("photos", zoo=True, seed=1)`` take the same arguments, with the same defaults. To add a command: a file
here with the function, its ``show`` and ``COMMAND``, and a line in ``COMMANDS``.
"""

from __future__ import annotations

from typing import Final

from acclimate.storage.runtime import VERSION as VERSION

# In the order of --help: the command, which is the name of its file too, and its function. The functions of `models`
# and `protocols` are called otherwise, since `acclimate.models` and `acclimate.protocols` are rooms.
COMMANDS: Final[dict[str, str]] = {
    "demo": "demo",
    "models": "list_models",
    "protocols": "list_protocols",
    "check": "check",
    "embed": "embed",
    "score": "score",
    "tune": "tune",
    "adapt": "adapt",
    "rank": "rank",
    "curve": "curve",
    "compare": "compare",
    "study": "study",
    "predict": "predict",
    "export": "export",
    "explain": "explain",
    "report": "report",
}


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code; an error of ours is one line on stderr, never a traceback."""
    from acclimate.commands.shell import run  # typer is no part of `import acclimate`

    return run(arguments)

"""The command line: one function per command. Parse, call the verb of the same name, print. No logic.

Nothing heavy is imported here: a verb is imported when its command runs, so that ``acclimate --help`` is instant.
To add a command: a function in a file of this folder, and its place in `COMMANDS`.
"""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer

from acclimate import __version__
from acclimate.cli import explaining, features, many, runs, studying
from acclimate.commands import COMMANDS
from acclimate.commands.shell import as_typer_takes_it, find_command, help_of
from acclimate.errors import AcclimateError

_STOPPED = 130
_FULL = (errno.ENOSPC, errno.EDQUOT)

# The commands that have no file in `commands` yet.
OLD: dict[str, Callable[..., None]] = {
    "demo": many.demo,
    "embed": features.embed,
    "score": features.score,
    "tune": runs.tune,
    "adapt": runs.adapt,
    "rank": many.rank,
    "curve": many.curve,
    "study": studying.study,
    "predict": runs.predict,
    "export": runs.export,
    "explain": explaining.explain,
}

app = typer.Typer(
    help="Pick the right pretrained vision model for your images, adapt it without labels, finetune it, and know how "
    "far to trust the answer.",
    add_completion=False,
    rich_markup_mode=None,  # importing Rich for --help would triple its time
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"acclimate {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")] = False,
) -> None:
    """Choose, adapt and finetune pretrained vision models."""


for name in COMMANDS:
    if name in OLD:
        app.command()(OLD[name])
    else:
        app.command(name, help=help_of(find_command(name)))(as_typer_takes_it(find_command(name)))


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code; an error of ours is one line on stderr, never a traceback."""
    command = typer.main.get_command(app)
    given = sys.argv[1:] if arguments is None else arguments
    try:
        code = command.main(args=given or ["--help"], prog_name="acclimate", standalone_mode=False)
    except AcclimateError as error:
        return _complain(str(error), error.exit_code)
    except OSError as error:
        if error.filename is None and error.errno not in _FULL:
            raise
        where = f" '{error.filename}'" if error.filename else " to the disk"
        return _complain(f"cannot read or write{where}: {error.strerror}; choose another place or make room", 2)
    except Exception as error:  # click's usage errors, whose class typer has moved about
        if not hasattr(error, "format_message"):
            raise
        return _complain(_usage(error), 2)
    if code == _STOPPED:  # typer turns Ctrl-C into this exit code
        return _complain("stopped; what is finished is kept. Give the same command again to go on", _STOPPED)
    return 0


def _usage(error: Any) -> str:
    """Return click's complaint with where to look."""
    context = getattr(error, "ctx", None)
    where = context.command_path if context else "acclimate"
    said = error.format_message()
    return f"{said}{'' if said.endswith(('.', '?')) else '.'} See '{where} --help'"


def _complain(text: str, code: int) -> int:
    print(f"acclimate: {' '.join(text.split())}", file=sys.stderr)  # whatever it was, it is one line
    return code

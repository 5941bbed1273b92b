"""The shell's side of the commands: a function becomes a command, its document JSON or tables, its error one line."""

from __future__ import annotations

import errno
import importlib
import inspect
import json
import math
import sys
import types
from collections.abc import Callable
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import typer

from acclimate.commands import COMMANDS
from acclimate.commands.shared import Command, Document, Json
from acclimate.errors import AcclimateError
from acclimate.storage.runtime import VERSION

_STOPPED = 130
_FULL = (errno.ENOSPC, errno.EDQUOT)
_NO_JSON = inspect.Parameter("json", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Json)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"acclimate {VERSION}")
        raise typer.Exit


def _root(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")] = False,
) -> None:
    """Choose, adapt and finetune pretrained vision models."""


def group() -> Any:
    """Return the command line as typer's group of commands."""
    app = typer.Typer(
        help="Pick the right pretrained vision model for your images, adapt it without labels, finetune it, and know "
        "how far to trust the answer.",
        add_completion=False,
        rich_markup_mode=None,  # importing Rich for --help would triple its time
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    for name in COMMANDS:
        command = find_command(name)
        app.command(name, help=help_of(command))(as_typer_takes_it(command))
    return typer.main.get_command(app)


def find_command(name: str) -> Command:
    """Return a command by its name."""
    command: Command = importlib.import_module(f"acclimate.commands.{name}").COMMAND
    return command


def help_of(command: Command) -> str:
    """Return the first paragraph of the docstring."""
    return " ".join((inspect.getdoc(command.run) or "").partition("\n\n")[0].split())


def as_typer_takes_it(command: Command) -> Callable[..., None]:
    """Return a function for typer: the arguments of the command and ``json``; it prints instead of returning."""
    python = inspect.signature(command.run).parameters

    def call(**arguments: Any) -> None:
        as_json = arguments.pop("json")
        document = command.run(**arguments, **({"quiet": as_json} if "quiet" in python else {}))
        print_document(document, command, as_json=as_json)

    call.__signature__ = inspect.Signature(_parameters(command))  # type: ignore[attr-defined]  # of any callable
    return call


def _parameters(command: Command) -> list[inspect.Parameter]:
    """Return the parameters of the shell; ``json`` comes before what all commands have at the end."""
    hints = get_type_hints(command.run, include_extras=True)
    parameters = []
    for name, parameter in inspect.signature(command.run).parameters.items():
        if name == "seed":
            parameters.append(_NO_JSON)
        if name != "quiet":
            parameters.append(parameter.replace(annotation=_first_type(hints[name])))
    return parameters


def _first_type(annotation: Any) -> Any:
    """Return what the shell gives of ``Annotated[A | B | None, ...]``: ``Annotated[A | None, ...]``."""
    kind, *details = get_args(annotation)
    if get_origin(kind) is not types.UnionType:
        return annotation
    first, *others = get_args(kind)
    return Annotated[first | None if types.NoneType in others else first, *details]


def print_document(document: Document, command: Command, *, as_json: bool) -> None:
    """Print a command's document on stdout: as JSON for programs, as tables and sentences for people."""
    if as_json:
        json.dump(_finite(document), sys.stdout, indent=1)
        sys.stdout.write("\n")
        return
    from rich.console import Console

    command.show(document, Console())


def _finite(value: Any) -> Any:
    """Return the same with NaN and infinity as null: JSON has neither."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def run(arguments: list[str] | None) -> int:
    """Run the command line, by default with the arguments of the program, and return its exit code."""
    words = sys.argv[1:] if arguments is None else arguments
    try:
        code = group().main(args=words or ["--help"], prog_name="acclimate", standalone_mode=False)
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
    message = error.format_message()
    return f"{message}{'' if message.endswith(('.', '?')) else '.'} See '{where} --help'"


def _complain(text: str, code: int) -> int:
    print(f"acclimate: {' '.join(text.split())}", file=sys.stderr)  # whatever it was, it is one line
    return code

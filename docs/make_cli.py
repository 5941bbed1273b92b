"""Write ``docs/cli.md`` from the command line itself: ``python docs/make_cli.py``. A test sees a stale page."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

from acclimate.commands.shell import group

PAGE = Path(__file__).with_name("cli.md")


def page() -> str:
    """Return the page: every command with its arguments, options, defaults and help."""
    program = group()
    summary = textwrap.fill(program.help, 120)
    parts = ["# The command line", "", "Made by `python docs/make_cli.py`; do not edit by hand.", "", summary, ""]
    for name, command in program.commands.items():
        parts += [f"## `acclimate {name}`", "", command.help, "", "| argument | default | meaning |", "|---|---|---|"]
        parts += [_line(parameter) for parameter in command.params if parameter.name != "help"]
        parts.append("")
    return "\n".join(parts)


def _line(parameter: Any) -> str:
    is_argument = parameter.param_type_name == "argument"
    name = parameter.name.upper() if is_argument else parameter.opts[0]
    silent = parameter.default is None or parameter.default is False or parameter.default == ""
    default = "required" if parameter.required else "" if silent else f"`{parameter.default}`"
    return f"| `{name}` | {default} | {parameter.help or ''} |"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")

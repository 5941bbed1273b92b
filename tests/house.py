"""Count the house: rooms, floors, and the arrows between rooms. Run: ``python tests/house.py``.

A room is a top-level part of the package, a file or a folder, or one of the three folders beside it. Room A has an
arrow to room B when some file of A imports from B. A room's floor is one more than that of the highest room it imports.
"""

from __future__ import annotations

import ast
import graphlib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "acclimate"
BESIDE = ("benchmarks", "studies", "zoo")

Arrow = tuple[str, str]


def files() -> dict[Path, str]:
    """Return every file of code and the room that it belongs to; the package's own face is one, ``__init__``."""
    inside = {path: path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in PACKAGE.rglob("*.py")}
    beside = {path: name for name in BESIDE for path in (ROOT / name).rglob("*.py")}
    return {**inside, **beside}


def imported(path: Path) -> Iterator[str]:
    """Yield the dotted name of everything that a file imports, inside of functions too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{_absolute(node, path)}.{alias.name}" for alias in node.names)


def _absolute(node: ast.ImportFrom, path: Path) -> str:
    """Return the module that a statement imports from, as an absolute name."""
    module = node.module or ""
    if not node.level:
        return module
    package = path.relative_to(PACKAGE.parent).parts[: -node.level]
    return ".".join([*package, module] if module else package)


def arrows() -> set[Arrow]:
    """Return the pairs (importing room, imported room)."""
    rooms = files()
    names = set(rooms.values())
    pairs = set()
    for path, room in rooms.items():
        for name in imported(path):
            top, _, rest = name.partition(".")
            target = rest.partition(".")[0] if top == "acclimate" else top
            if top == "acclimate" and target not in names:
                target = "__init__"  # a name of the package's face
            if target != room and (top == "acclimate" or top in BESIDE):
                pairs.add((room, target))
    return pairs


def floors(pairs: set[Arrow]) -> dict[str, int]:
    """Return each room's floor, 1 for those that import no other.

    Raises
    ------
    graphlib.CycleError
        When rooms import each other in a circle.
    """
    below = {room: {target for source, target in pairs if source == room} for room in set(files().values())}
    floor: dict[str, int] = {}
    for room in graphlib.TopologicalSorter(below).static_order():
        floor[room] = 1 + max((floor[target] for target in below[room]), default=0)
    return floor


def lines() -> int:
    """Return the number of lines of the package's Python files."""
    return sum(len(path.read_text(encoding="utf-8").splitlines()) for path in PACKAGE.rglob("*.py"))


def main() -> None:
    """Print the counts, and the rooms floor by floor."""
    pairs = arrows()
    floor = floors(pairs)
    print(f"rooms {len(floor)}, floors {max(floor.values())}, arrows {len(pairs)}, circles 0, lines {lines()}")
    for number in range(max(floor.values()), 0, -1):
        print(f"{number:>3}  {'  '.join(sorted(room for room in floor if floor[room] == number))}")


if __name__ == "__main__":
    main()

"""Where commands write: folders and files that are tried before the work begins."""

from __future__ import annotations

from pathlib import Path

from acclimate.errors import DataError


def fresh_folder(out: str | Path | None, default: str = "") -> Path:
    """Return the folder of a run, made if missing.

    Raises
    ------
    DataError
        When it cannot be written.
    """
    folder = Path(out or default)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".acclimate-write-test"
        probe.touch()
        probe.unlink()
    except OSError as error:
        in_the_way = isinstance(error, FileExistsError | NotADirectoryError)
        why = "a file is in the way" if in_the_way else error.strerror
        raise DataError(
            f"cannot write into '{folder}': {why}; expected a folder you may write to, choose one with --out"
        ) from None
    return folder


def writable_file(out: str | Path, suffix: str) -> Path:
    """Return the path of a file that a long command will write at its end, after a look whether it can.

    Raises
    ------
    DataError
        For another suffix, a folder in its place, or a folder that cannot be written.
    """
    path = Path(out)
    if path.suffix != suffix or path.is_dir():
        raise DataError(f"got --out '{out}'; expected a file name that ends in {suffix}")
    fresh_folder(path.parent)
    return path

"""What pydantic finds wrong, as one line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from acclimate.errors import unknown


def complaint(
    error: ValidationError,
    model: type[BaseModel],
    tables: Mapping[str, type[BaseModel]] | None = None,
    *,
    kind: str = "key",
) -> str:
    """Return the first thing that is wrong as one line; an unknown key, which explains others, names the nearest one.

    Parameters
    ----------
    model
        What was checked.
    tables
        Models of its parts, by the key that they stand under.
    kind
        What a key is called.
    """
    first: dict[str, Any] = dict(min(error.errors(), key=lambda e: e["type"] != "extra_forbidden"))
    if first["type"] == "extra_forbidden":
        inner = [table for part in first["loc"][:-1] if (table := (tables or {}).get(str(part)))]
        return unknown(kind, str(first["loc"][-1]), (inner or [model])[-1].model_fields)
    where = ".".join(str(part) for part in first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    got = "" if first["type"] in ("missing", "value_error") else f", got {first['input']!r}"
    return f"{where}: {message}{got}" if where else message

"""Weights files: safetensors, torch and npz, read without running anybody's code, and loaded strictly."""

from __future__ import annotations

import argparse
import itertools
import json
import pickle
import re
import warnings
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from acclimate.catalogue import Layout
from acclimate.catalogue.lookup import SUFFIXES
from acclimate.errors import ModelError
from acclimate.models.load.lean import import_timm
from acclimate.models.network import classifier_keys
from acclimate.storage.store import write_atomic

HEADER = "acclimate"
_UNREADABLE = (OSError, ValueError, TypeError, RuntimeError, LookupError, EOFError, SafetensorError, zipfile.BadZipFile)
_NESTS = ("state_dict", "model", "model_state_dict", "state_dict_ema")


def read_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors of a file by name, and what the file says of itself (empty when it says nothing).

    Torch files are read with ``weights_only=True``: a pickle that asks for anything but tensors is refused.

    Raises ModelError when the file cannot be read, is of an unknown kind, or holds no tensors.
    """
    table, header = _read(path)
    for nest in _NESTS:
        if isinstance(table.get(nest), dict):
            table = table[nest]
    tensors = {name: value for name, value in table.items() if isinstance(value, Tensor)}
    if not tensors:
        raise ModelError(f"'{path}' holds no tensors; expected a state_dict of names and tensors")
    return {name.removeprefix("module."): tensor for name, tensor in tensors.items()}, header


def read_layout(path: Path, layout: Layout) -> dict[str, Tensor]:
    """Return the tensors of an authors' checkpoint under timm's names.

    A file that is a plain table of tensors (safetensors, npz, a saved state_dict) needs no nest: only its names count.

    Raises ModelError when the file cannot be read, lacks the nest or the prefix, or two of its names become one.
    """
    table = _descended(path, layout)
    arrays = {str(name): value for name, value in table.items() if isinstance(value, Tensor | np.ndarray)}
    arrays = {name: value for name, value in arrays.items() if not any(re.match(drop, name) for drop in layout.drop)}
    strangers = [name for name in arrays if not name.startswith(layout.prefix)]
    if not arrays or strangers:
        raise ModelError(_not_laid_out(path, layout, strangers or table))
    tensors: dict[str, Tensor] = {}
    for name, value in arrays.items():
        new = name.removeprefix(layout.prefix)
        for old, replacement in layout.rename:
            new = re.sub(old, replacement, new)
        if new in tensors:
            raise ModelError(f"'{path}' holds '{new}' twice, the second time as '{name}'; expected it once")
        tensors[new] = torch.as_tensor(value)
    return tensors


def _descended(path: Path, layout: Layout) -> Mapping[Any, Any]:
    """Return the table of tensors of a file, from under the layout's nest."""
    table: Mapping[Any, Any] = _read(path)[0]
    if all(isinstance(value, Tensor | np.ndarray) for value in table.values()):
        return table
    for nest in layout.nest:
        if not isinstance(table.get(nest), Mapping):
            raise ModelError(_not_laid_out(path, layout, table))
        table = table[nest]
    return table


def _not_laid_out(path: Path, layout: Layout, got: Iterable[Any]) -> str:
    first = ", ".join(f"'{name}'" for name in itertools.islice(got, 5))
    under = f" under '{'.'.join(layout.nest)}'" if layout.nest else ""
    return (
        f"'{path}' is not laid out as '{layout.name}': expected names such as "
        f"{' and '.join(map(repr, layout.names))}{under}, got {first or 'none'}. Get the file that the "
        "catalogue names, or give another one as 'ARCH@FILE'"
    )


def _read(path: Path) -> tuple[dict[Any, Any], dict[str, Any]]:
    """Return the table at the top of a file, and what the file says of itself."""
    if path.suffix not in SUFFIXES:
        raise ModelError(f"got weights file '{path}'; expected one of {', '.join(SUFFIXES)}")
    try:
        table, header = _READERS[path.suffix](path)
    except pickle.UnpicklingError:
        raise ModelError(
            f"'{path}' holds a pickle that wants to run more than tensors; it is refused. Save the plain "
            "state_dict, best as safetensors, where you trust it"
        ) from None
    except _UNREADABLE as error:
        raise ModelError(
            f"cannot read weights from '{path}': {_reason(error)}; the file is damaged, cut short or of another "
            "kind. Get it again, best as safetensors"
        ) from None
    return table if isinstance(table, dict) else {}, header


def _reason(error: Exception) -> str:
    """Return the first sentence of what a library said; the rest of it advises to trust the file."""
    if isinstance(error, LookupError):  # a look-up inside a reader that lost its way
        return "no tensors can be found in it"
    return (str(error).splitlines() or [type(error).__name__])[0].partition(". ")[0]


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    with safe_open(str(path), framework="pt") as file:
        header = (file.metadata() or {}).get(HEADER)
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a dict)
    return tensors, json.loads(header) if header else {}


def _read_torch(path: Path) -> tuple[Any, dict[str, Any]]:
    with warnings.catch_warnings(), torch.serialization.safe_globals(_plain_data()):
        warnings.simplefilter("ignore")  # of a newer pickle protocol, which the reader takes or refuses by itself
        return torch.load(path, map_location="cpu", weights_only=True), {}


def _plain_data() -> list[Any]:
    """Return what a torch file may hold beside tensors: settings and numpy's numbers and arrays.

    Training programs of the time saved their ``argparse.Namespace`` and numpy numbers with the weights. To build these
    runs no code of the file's; numpy's makers have two names because the package that holds them was renamed.
    """
    makers = {name: np.float32(0).__reduce__()[0] for name in ("numpy.core.multiarray", "numpy._core.multiarray")}
    arrays = np.zeros(0).__reduce__()[0]
    dtypes = {type(np.dtype(code)) for code in ("?", "b", "B", "h", "H", "i", "I", "l", "L", "q", "Q", "e", "f", "d")}
    named = [(maker, f"{module}.scalar") for module, maker in makers.items()]
    return [argparse.Namespace, np.ndarray, np.dtype, *dtypes, *named, *((arrays, f"{m}._reconstruct") for m in makers)]


def _read_npz(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    if not zipfile.is_zipfile(path):
        raise ValueError("it is no zip archive, as every .npz is")
    with np.load(path, allow_pickle=False) as file:
        return {name: torch.from_numpy(file[name]) for name in file.files}, {}


_READERS = {".safetensors": _read_safetensors, ".npz": _read_npz} | dict.fromkeys(
    (".pt", ".pth", ".bin", ".ckpt", ".tar", ".torch"), _read_torch
)


def fit_positions(module: nn.Module, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors with those of positions resampled to the module's grid of patches, where theirs is another.

    These are absolute embeddings ``(1, tokens, d)`` and tables of relative positions ``(distances, heads)``; both go
    through timm's own resampling. Anything else of another shape is left for `load_strictly` to refuse.
    """
    layers, wanted = import_timm().layers, module.state_dict()
    grid = getattr(getattr(module, "patch_embed", None), "grid_size", None)
    fitted = dict(tensors)
    for name, tensor in tensors.items():
        if name not in wanted or wanted[name].shape == tensor.shape:
            continue
        shape = wanted[name].shape
        if name.endswith("relative_position_bias_table"):
            window: Any = module.get_submodule(name.rpartition(".")[0]).window_size
            fitted[name] = layers.resize_rel_pos_bias_table(tensor.float(), window, shape)
        elif name == "pos_embed" and grid is not None and tensor.ndim == 3 and tensor.shape[-1] == shape[-1]:
            classes = shape[1] - grid[0] * grid[1]
            fitted[name] = layers.resample_abs_pos_embed(tensor.float(), list(grid), num_prefix_tokens=classes)
    return fitted


def load_strictly(
    module: nn.Module, tensors: Mapping[str, Tensor], *, architecture: str, where: str, classifier: bool = True
) -> None:
    """Fill every tensor of a backbone from ``tensors``; only a classifier's may be left over, with ``classifier``.

    Raises ModelError when a tensor is missing, left over or of another shape; the first five of each are named.
    """
    wanted = module.state_dict()
    spare = _classifier_prefixes(module) if classifier else ()
    missing = [name for name in wanted if name not in tensors and not name.endswith("num_batches_tracked")]
    unexpected = [name for name in tensors if name not in wanted and not name.startswith(spare)]
    shapes = [
        f"{name} {tuple(tensors[name].shape)} for {tuple(wanted[name].shape)}"
        for name in wanted
        if name in tensors and tensors[name].shape != wanted[name].shape
    ]
    differences = {"missing": missing, "unexpected": unexpected, "wrong shape": shapes}
    if any(differences.values()):
        raise ModelError(
            f"'{where}' holds weights for another architecture than '{architecture}': "
            f"{'; '.join(_first(kind, names) for kind, names in differences.items() if names)}."
            f"{_common_prefix(missing, unexpected)} Give them with the architecture they belong to, as 'ARCH@FILE'"
        )
    module.load_state_dict({name: tensors[name] for name in wanted if name in tensors}, strict=False)


def _common_prefix(missing: list[str], unexpected: list[str]) -> str:
    """Return a sentence on the prefix under which the file has what is missing; empty when that is not the matter."""
    end = f".{missing[0]}" if missing else ""
    prefix = next((name.removesuffix(end[1:]) for name in unexpected if end and name.endswith(end)), "")
    if not prefix or not all(prefix + name in unexpected for name in missing):
        return ""
    return f" All that is missing is there under '{prefix}'; expected '{missing[0]}' without it, so cut it off."


def _first(kind: str, names: list[str]) -> str:
    return f"{kind} ({len(names)}): {', '.join(names[:5])}{', ...' if len(names) > 5 else ''}"


def _classifier_prefixes(module: nn.Module) -> tuple[str, ...]:
    """Names under which timm and torchvision keep classifiers; a module's own are looked up in its config."""
    own = getattr(module, "pretrained_cfg", {}).get("classifier") or ()
    return tuple(f"{name}." for name in ((own,) if isinstance(own, str) else own)) or ("fc.", "classifier.", "head.")


def save_weights(path: Path, network: nn.Module, card: Mapping[str, Any], *, half: bool = False) -> None:
    """Write a network as safetensors with its card in the header, by rename; ``half`` stores floats as float16."""
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    if half:
        state = {name: t.half() if t.is_floating_point() else t for name, t in state.items()}
    # One key only: safetensors writes several in random order, and equal weights shall be equal files.
    header = {HEADER: json.dumps({**card, "classifier": classifier_keys(network)})}
    write_atomic(path, safetensors.torch.save(state, metadata=header))

"""Weights files: safetensors, torch and npz, read without running anybody's code, and loaded strictly."""

from __future__ import annotations

import json
import pickle
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from acclimate.errors import ModelError
from acclimate.network import classifier_names
from acclimate.store import write_atomic

HEADER = "acclimate"
SUFFIXES = (".safetensors", ".pt", ".pth", ".bin", ".ckpt", ".npz")
_UNREADABLE = (
    OSError,
    ValueError,
    TypeError,
    RuntimeError,
    LookupError,
    EOFError,
    SafetensorError,
    zipfile.BadZipFile,
)
_NESTS = ("state_dict", "model", "model_state_dict", "state_dict_ema")


def read_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors of a file by name, and what the file says of itself (empty when it says nothing).

    Torch files are read with ``weights_only=True``: a pickle that asks for anything but tensors is refused.

    Raises
    ------
    ModelError
        When the file cannot be read, is of an unknown kind, or holds no tensors.
    """
    if path.suffix not in SUFFIXES:
        raise ModelError(f"got weights file '{path}'; expected one of {', '.join(SUFFIXES)}")
    try:
        tensors, header = _READERS[path.suffix](path)
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
    if not tensors:
        raise ModelError(f"'{path}' holds no tensors; expected a state_dict of names and tensors")
    return {name.removeprefix("module."): tensor for name, tensor in tensors.items()}, header


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


def _read_torch(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a newer pickle protocol, which the reader takes or refuses by itself
        found = torch.load(path, map_location="cpu", weights_only=True)
    for nest in _NESTS:
        if isinstance(found, dict) and isinstance(found.get(nest), dict):
            found = found[nest]
    tensors = {k: v for k, v in found.items() if isinstance(v, Tensor)} if isinstance(found, dict) else {}
    return tensors, {}


def _read_npz(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    if not zipfile.is_zipfile(path):
        raise ValueError("it is no zip archive, as every .npz is")
    with np.load(path, allow_pickle=False) as file:
        return {name: torch.from_numpy(file[name]) for name in file.files}, {}


_READERS = {".safetensors": _read_safetensors, ".npz": _read_npz} | dict.fromkeys(
    (".pt", ".pth", ".bin", ".ckpt"), _read_torch
)


def load_strictly(module: nn.Module, tensors: Mapping[str, Tensor], *, architecture: str, where: str) -> None:
    """Fill every tensor of a backbone from ``tensors``; a classifier's left-over tensors are the only ones allowed.

    Raises
    ------
    ModelError
        When a tensor is missing, left over or of another shape; the first five of each are named.
    """
    wanted = module.state_dict()
    spare = _classifier_prefixes(module)
    missing = [name for name in wanted if name not in tensors and not name.endswith("num_batches_tracked")]
    unexpected = [name for name in tensors if name not in wanted and not name.startswith(spare)]
    shapes = [
        f"{name} {tuple(tensors[name].shape)} for {tuple(wanted[name].shape)}"
        for name in wanted
        if name in tensors and tensors[name].shape != wanted[name].shape
    ]
    if missing or unexpected or shapes:
        raise ModelError(
            f"'{where}' holds weights for another architecture than '{architecture}': "
            f"{_differences(missing=missing, unexpected=unexpected, shapes=shapes)}. Give them with the "
            "architecture they belong to, as 'ARCH@FILE'"
        )
    module.load_state_dict({name: tensors[name] for name in wanted if name in tensors}, strict=False)


def _differences(*, missing: list[str], unexpected: list[str], shapes: list[str]) -> str:
    kinds = {"missing": missing, "unexpected": unexpected, "wrong shape": shapes}
    return "; ".join(_first(kind, names) for kind, names in kinds.items() if names)


def _first(kind: str, names: list[str]) -> str:
    shown = ", ".join(names[:5])
    return f"{kind} ({len(names)}): {shown}{', ...' if len(names) > 5 else ''}"


def _classifier_prefixes(module: nn.Module) -> tuple[str, ...]:
    """Names under which timm and torchvision keep classifiers; a module's own are looked up in its config."""
    own = getattr(module, "pretrained_cfg", {}).get("classifier") or ()
    return tuple(f"{name}." for name in ((own,) if isinstance(own, str) else own)) or (
        "fc.",
        "classifier.",
        "head.",
    )


def timm_state(network: nn.Module) -> dict[str, Tensor]:
    """Return the state of a network under timm's own names, contiguous, on the CPU."""
    return {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}


def save_weights(path: Path, network: nn.Module, card: Mapping[str, Any], *, half: bool = False) -> None:
    """Write a network as safetensors with its card in the header, by rename; ``half`` stores floats as float16."""
    state = timm_state(network)
    if half:
        state = {name: t.half() if t.is_floating_point() else t for name, t in state.items()}
    # One key only: safetensors writes several in random order, and equal weights shall be equal files.
    header = {HEADER: json.dumps({**card, "classifier": sorted(classifier_names(network))})}
    write_atomic(path, safetensors.torch.save(state, metadata=header))

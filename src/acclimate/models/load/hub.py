"""The model hub: whether it answers, and what to do when it does not (its own client tries again for a minute)."""

from __future__ import annotations

import contextlib
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from huggingface_hub import constants, try_to_load_from_cache

from acclimate.models.load.lean import import_timm

PATIENCE = 5.0  # seconds for one answer
HUB_FILES = ("model.safetensors", "pytorch_model.bin", "open_clip_model.safetensors", "open_clip_pytorch_model.bin")


def hub_answers() -> bool:
    """Whether the hub gives any answer at all within ``PATIENCE`` seconds; never asked in the hub's offline mode."""
    if constants.HF_HUB_OFFLINE:
        return False
    answers: list[bool] = []
    # In a thread of its own, because looking up a host's name takes no time limit.
    asking = threading.Thread(target=lambda: answers.append(_asked(constants.ENDPOINT)), daemon=True)
    asking.start()
    asking.join(PATIENCE + 1)
    return bool(answers and answers[0])


def _asked(endpoint: str) -> bool:
    try:
        urllib.request.urlopen(urllib.request.Request(endpoint, method="HEAD"), timeout=PATIENCE).close()
    except urllib.error.HTTPError:
        return True
    except urllib.error.URLError as error:
        return "CERTIFICATE" in str(error.reason)  # it answered; the hub's client may know the certificate
    except (OSError, ValueError):
        return False
    return True


@contextlib.contextmanager
def local_cache_only() -> Iterator[None]:
    """Keep the hub's client from the network: what is in its local cache is found at once, or not at all."""
    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def network_errors() -> tuple[type[Exception], ...]:
    """Return what a failed download may raise; the newer hub's client lets errors of httpx through as they are."""
    plain = (OSError, RuntimeError, ValueError)
    return (*plain, sys.modules["httpx"].HTTPError) if "httpx" in sys.modules else plain


def hub_files(architecture: str) -> list[Path]:
    """Return the files of the local cache that decide what timm loads for a name; none where it loads from elsewhere.

    Beside the weights that is the reference to their newest version: a download of another one changes it.
    """
    config = import_timm().get_pretrained_cfg(architecture)
    names = dict.fromkeys((config.hf_hub_filename, *HUB_FILES)) if config is not None and config.hf_hub_id else ()
    located = [try_to_load_from_cache(config.hf_hub_id, name) for name in names if name]
    weights = [Path(path) for path in located if isinstance(path, str)]
    return [*weights, *{path.parents[2] / "refs" / "main" for path in weights}]

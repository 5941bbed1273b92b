"""The model hub: whether it answers, and what to do when it does not (its own client tries again for a minute)."""

from __future__ import annotations

import contextlib
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator

from huggingface_hub import constants

PATIENCE = 5.0  # seconds for one answer


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

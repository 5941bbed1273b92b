"""Weights from the authors' own servers into the cache: resumed, checked, and there whole or not at all.

Only http and https are spoken, also after a redirect. A download goes to ``NAME.part`` and is renamed when its length
and its checksum are right. Of two processes that want one file, the second waits for the first; the kernel frees the
lock of one that was killed.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import sys
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from filelock import FileLock
from huggingface_hub import constants

from acclimate.errors import ModelError
from acclimate.storage.store import write_atomic

Progress = Callable[[int, int], None]
PATIENCE = 10.0  # seconds without a byte
TRIES = 3  # a broken connection is taken up again
LIMIT = 8 * 2**30  # bytes: several times the largest file of the catalogue, with the state of its optimizer
CHUNK = 2**20  # bytes
_BROKEN = (OSError, http.client.HTTPException)


def fetch(
    url: str, target: Path, *, checksum: str = "", instead: str = "NAME@FILE", progress: Progress | None = None
) -> Path:
    """Return `target`, downloaded from `url` unless it is there already.

    Raises ModelError when the file cannot be had, is no weights file or has another checksum. The text says where to
    put it by hand.

    Parameters
    ----------
    checksum
        ``sha256:HEX`` or ``md5:HEX``, its first digits or all; empty: the length alone is checked.
    instead
        What a user who has the file elsewhere may give; it ends the message of a failure.
    progress
        Called with (bytes so far, bytes in all or 0) after each chunk; default: a line on a terminal, else nothing.
    """
    if not target.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(target.with_name(f"{target.name}.lock")):
            if not target.is_file():
                return _fetched(url, target, checksum, instead, progress or _meter(target.name))
    _check(target, checksum, f"'{target}'")
    return target


def _fetched(url: str, target: Path, checksum: str, instead: str, progress: Progress) -> Path:
    part = target.with_name(f"{target.name}.part")
    try:
        _downloaded(url, part, checksum, progress)
    except _Refused as error:
        raise ModelError(
            f"cannot download '{url}': {error}. Get it elsewhere and put it at '{target}', or give '{instead}'"
        ) from None
    _check(part, checksum, f"what '{url}' gave")
    os.replace(part, target)
    _note(part).unlink(missing_ok=True)
    return target


class _Refused(Exception):
    """Why there is no file, in a few words."""


def _note(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _downloaded(url: str, part: Path, checksum: str, progress: Progress) -> None:
    if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
        raise _Refused("expected an address that begins with http:// or https://")
    if constants.HF_HUB_OFFLINE:
        raise _Refused("HF_HUB_OFFLINE says that this machine is offline")
    for attempt in range(TRIES):
        before = _size(part)
        try:
            return _attempt(url, part, checksum, progress)
        except urllib.error.HTTPError as error:
            raise _Refused(f"the server answered {error.code} {error.reason}") from None
        except _BROKEN as error:
            if attempt + 1 == TRIES or _size(part) <= before:  # a server that gave nothing will not give more at once
                raise _Refused(_reason(error, part)) from None
    raise AssertionError("the last attempt returns or raises")


def _reason(error: Exception, part: Path) -> str:
    why = str(getattr(error, "reason", None) or error)
    size = _size(part)
    rest = f"; {size / 1e6:.1f} MB are kept and the same command goes on from there" if size else ""
    return f"{why.splitlines()[0] if why else type(error).__name__}{rest}"


def _size(part: Path) -> int:
    return part.stat().st_size if part.is_file() else 0


def _attempt(url: str, part: Path, checksum: str, progress: Progress) -> None:
    """Fetch what is missing; resumed is only a version that the server can name, or that a checksum can judge."""
    start, version = _size(part), _version(part)
    if not version and not checksum:
        start = 0
    headers = {"User-Agent": "acclimate", "Accept-Encoding": "identity"}
    if start:
        headers |= {"Range": f"bytes={start}-"} | ({"If-Range": version} if version else {})
    try:
        answer = _opened(urllib.request.Request(url, headers=headers))
    except urllib.error.HTTPError as error:
        if error.code != http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE or not start:
            raise
        if error.headers.get("Content-Range") != f"bytes */{start}":  # else all of it is there
            part.unlink()
            _attempt(url, part, checksum, progress)
        return
    with answer:
        _receive(answer, part, start, progress)


def _receive(answer: Any, part: Path, start: int, progress: Progress) -> None:
    if answer.headers.get_content_type() == "text/html":
        raise _Refused("the server gave a web page, no weights")
    at = start if answer.status == http.HTTPStatus.PARTIAL_CONTENT else 0
    if at and not answer.headers.get("Content-Range", "").startswith(f"bytes {at}-"):
        raise _Refused("the server gave another part of the file than it was asked for")
    length = answer.headers.get("Content-Length")
    total = at + int(length) if length else 0
    if total > LIMIT:
        raise _Refused(f"{total / 1e9:.1f} GB are more than the {LIMIT / 1e9:.1f} GB that weights may have")
    if not at:
        part.unlink(missing_ok=True)
        _remember(part, answer.headers)
    done = _write(answer, part, at, total, progress)
    if total and done < total:  # http.client takes an early end for the end
        raise http.client.IncompleteRead(b"", total - done)


def _write(answer: Any, part: Path, at: int, total: int, progress: Progress) -> int:
    with part.open("r+b" if at else "wb") as file:
        file.seek(at)
        while chunk := answer.read(CHUNK):
            file.write(chunk)
            at += len(chunk)
            if at > LIMIT:
                raise _Refused(f"it is longer than the {LIMIT / 1e9:.1f} GB that weights may have")
            progress(at, total)
        file.flush()
        os.fsync(file.fileno())
    return at


def _remember(part: Path, headers: Any) -> None:
    """Keep the server's name of this version; a weak one ("W/...") does not promise equal bytes."""
    named = [headers.get("ETag") or "", headers.get("Last-Modified") or ""]
    version = next((name for name in named if name and not name.startswith("W/")), "")
    write_atomic(_note(part), json.dumps({"version": version}))


def _version(part: Path) -> str:
    try:
        return str(json.loads(_note(part).read_text("utf-8"))["version"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _opened(request: urllib.request.Request) -> Any:
    """Open an address; looking up a host's name takes no time limit, so it happens in a thread that can be left."""
    answers: list[Any] = []

    def ask() -> None:
        try:
            answers.append(_opener().open(request, timeout=PATIENCE))
        except (*_BROKEN, ValueError) as error:
            answers.append(error)

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(3 * PATIENCE)
    if not answers:
        raise TimeoutError(f"no answer within {3 * PATIENCE:.0f} s")
    if isinstance(answers[0], Exception):
        raise answers[0]
    return answers[0]


def _opener() -> urllib.request.OpenerDirector:
    """Return an opener without urllib's own file, ftp and data handlers, so that no redirect can lead there."""
    opener, ours = urllib.request.OpenerDirector(), urllib.request
    plain = (ours.ProxyHandler, ours.HTTPHandler, ours.HTTPSHandler, ours.HTTPErrorProcessor)
    for handler in (*plain, ours.HTTPDefaultErrorHandler, _Redirects, ours.UnknownHandler):
        opener.add_handler(handler())
    return opener


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects to http and https, and never from https down to http."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        """Return the request that follows a redirect."""
        scheme = urllib.parse.urlsplit(newurl).scheme
        if scheme not in ("http", "https") or (req.type == "https" and scheme == "http"):
            raise urllib.error.URLError(
                f"the server sends on to '{newurl}'; only https, or http from http, is followed"
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _check(file: Path, checksum: str, what: str) -> None:
    """Compare a file with a checksum; a part that does not match is thrown away, a file of the user's is not."""
    if not checksum:
        return
    kind, _, expected = checksum.partition(":")
    with file.open("rb") as opened:
        got = hashlib.file_digest(opened, kind).hexdigest()
    if got.startswith(expected.lower()):
        return
    cure = "delete it and get it again"
    if file.suffix == ".part":
        file.unlink()
        cure = "it was thrown away, try again"
    raise ModelError(f"{what} has the {kind} {got[: max(len(expected), 8)]}..., expected {expected}; {cure}")


def _meter(name: str) -> Progress:
    """Return a progress that rewrites one line of a terminal; without a terminal it is silent."""
    if not sys.stderr.isatty():
        return lambda done, total: None

    def show(done: int, total: int) -> None:
        share = f"{done / total:4.0%} of {total / 1e6:,.0f}" if total else f"{done / 1e6:,.0f}"
        print(f"\r{name}: {share} MB", end="\n" if done == total else "", file=sys.stderr, flush=True)

    return show

"""Large products by torch, and the limit on numpy's threads that goes with them."""

from __future__ import annotations

import subprocess
import sys
from threading import Event, Thread

import numpy as np
import pytest
import torch  # noqa: F401  # large products are its own where it is loaded

from acclimate.scores.probes import products
from acclimate.scores.probes.logistic import probe as logistic
from acclimate.scores.probes.logistic import softmax
from acclimate.scores.probes.products import alone, product

FLOATS = [np.float32, np.float64]


@pytest.mark.parametrize("kind", FLOATS)
@pytest.mark.parametrize("large", [False, True])
def test_both_ways_are_the_product(kind: type, large: bool) -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(7, 31)).astype(kind), rng.normal(size=(40, 31)).astype(kind)
    out = np.full((9, 40), -1, kind)
    product(a, b.T, out[1:8], large=large)
    assert product(a[:, :-1], b[:, :-1].T, large=large).dtype == kind
    assert np.allclose(out[1:8], a @ b.T, rtol=1e-5, atol=1e-5)
    assert (out[[0, 8]] == -1).all()


def threads() -> set[int]:
    return {one["num_threads"] for one in products._openblas().info()}


def test_numpy_keeps_to_one_thread_until_the_first_one_leaves() -> None:
    before = threads()
    if not before:
        pytest.skip("numpy and scipy bring no OpenBLAS here")
    entered, leave = Event(), Event()

    def other() -> None:
        with alone(True):
            entered.set()
            leave.wait(10)

    thread = Thread(target=other)
    with alone(True):
        thread.start()
        assert entered.wait(10)
        with alone(True):
            assert threads() == {1}
        assert threads() == {1}
    assert threads() == before
    leave.set()
    thread.join()
    assert threads() == before


def test_torch_is_not_loaded_for_a_product() -> None:
    code = (
        "import sys; from acclimate.scores.probes.products import LARGE, pays; "
        "print(pays(LARGE), 'torch' in sys.modules)"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert process.stdout.split() == ["False", "False"]
    assert products.pays(products.LARGE)
    assert not products.pays(products.LARGE - 1)


def test_small_problems_leave_numpy_its_threads() -> None:
    before = threads()
    with alone(False):
        assert threads() == before


def test_numpy_has_its_threads_again_after_an_error() -> None:
    before = threads()
    with pytest.raises(KeyError), alone(True):
        raise KeyError
    assert threads() == before


def test_a_large_problem_has_the_answer_of_a_small_one(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    y = np.arange(400) % 5
    x = (rng.normal(size=(5, 30))[y] + rng.normal(size=(400, 30))).astype(np.float32)
    calls: list[bool] = []
    monkeypatch.setattr(
        softmax, "product", lambda a, b, out=None, *, large: calls.append(large) or product(a, b, out, large=large)
    )
    answers = []
    for limit in (2**40, 0):
        monkeypatch.setattr(products, "LARGE", limit)
        fitted = logistic.fit(x[:300], y[:300], x[300:], y[300:], n_classes=5, seed=0)
        answers.append(fitted.predict_proba(x[300:]))
        assert set(calls) == {limit == 0}
        calls.clear()
    assert np.allclose(*answers, atol=1e-5)

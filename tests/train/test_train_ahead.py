"""Work done before its turn: in order, as far as workers reach, and failures where they belong."""

import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitspike.samples import are_bits
from bitspike.train.ahead import ahead


@given(items=st.lists(st.integers(), max_size=30), workers=st.integers(0, 4))
def test_results_come_in_the_order_of_the_items(items, workers):
    assert list(ahead(lambda item: item * 3, items, workers=workers)) == [item * 3 for item in items]


def test_threads_work_while_nobody_asks_and_not_too_far():
    begun = []
    found = ahead(lambda item: begun.append(item) or threading.current_thread().name, range(100), workers=2)
    assert next(found) != threading.current_thread().name
    deadline = time.monotonic() + 10
    while len(begun) < 5 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(begun) == 5, "twice as many as workers, and the one that was taken"
    assert next(ahead(lambda _: threading.current_thread().name, [1], workers=0)) == threading.current_thread().name


@pytest.mark.parametrize("workers", [0, 3])
def test_a_failure_comes_in_its_turn(workers):
    found = ahead(lambda item: 1 // item, [1, 1, 0, 1], workers=workers)
    assert [next(found), next(found)] == [1, 1]
    with pytest.raises(ZeroDivisionError):
        next(found)


def test_who_stops_early_leaves_no_work_behind():
    done = []

    def make(item):
        time.sleep(0.01)
        done.append(item)
        return item

    found = ahead(make, range(1000), workers=2)
    assert next(found) == 0
    found.close()
    after = len(done)
    assert after <= 10
    time.sleep(0.1)
    assert len(done) == after


@pytest.mark.parametrize("kind", [np.uint8, np.bool_, np.int64, np.float32])
def test_bits_are_told_from_other_numbers(kind):
    assert are_bits(np.array([[0, 1], [1, 1]], kind))
    assert are_bits(np.zeros((0, 3), kind))
    if kind is not np.bool_:
        assert not are_bits(np.array([0, 1, 2], kind))
    if kind in (np.int64, np.float32):
        assert not are_bits(np.array([0, -1], kind))
    if kind is np.float32:
        assert not are_bits(np.array([0, 0.5], kind))

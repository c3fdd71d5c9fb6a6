"""Products through floating point: the integers themselves, or not taken."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import networks, spatial_networks

from bitspike.convert.products import EXACT, prepared, product


@given(st.data())
def test_every_connection_delivers_the_same_when_prepared(data):
    network = data.draw(st.one_of(networks(graded=True), spatial_networks(graded=True)))
    random = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    kind = data.draw(st.sampled_from([np.uint8, np.int64]))
    for connection in network.connections:
        spikes = random.integers(0, data.draw(st.sampled_from([2, 200])), (3, connection.shape[1])).astype(kind)
        found = prepared(connection)(spikes)
        assert found.dtype == np.int64
        assert np.array_equal(found, connection.deliver(spikes.astype(np.int64)))


@pytest.mark.parametrize("limit", [*EXACT.values(), 1 << 60])
@pytest.mark.parametrize("beyond", [-1, 0, 1, 2, 3])
def test_the_ends_of_what_floats_hold(limit, beyond):
    """Odd sums around the largest that each kind of float holds: one more, and the wider kind or integers take over."""
    weights = np.array([[limit // 4 + 1, 1], [limit // 4, -limit // 4], [1, 5]], np.int64)
    spikes = np.array([[2, 2, beyond], [-2, -2, -beyond], [1, 0, 0], [0, 0, 1]], np.int64)
    columns = weights.T.tolist()
    expected = [[sum(s * w for s, w in zip(row, column, strict=True)) for column in columns] for row in spikes.tolist()]
    assert product(weights)(spikes).tolist() == expected


def test_no_samples_and_no_spikes():
    weights = np.array([[3], [-4]], np.int64)
    assert product(weights)(np.zeros((0, 2), np.uint8)).shape == (0, 1)
    assert product(weights)(np.zeros((2, 2), np.uint8)).tolist() == [[0], [0]]

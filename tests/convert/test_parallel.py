"""Connections between the same populations made one: what it delivers is the sum of what they do."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitspike.convert.connections import Conv2d, Dense, Identity, SumPool2d
from bitspike.convert.parallel import merged
from bitspike.convert.weights import BinaryWeights, IntegerWeights
from bitspike.errors import UnsupportedError

ENDS = {"source": "a", "target": "b"}


def signs(random, rows, columns):
    return BinaryWeights.pack(random.choice([-1, 1], (rows, columns)))


def conv(random, space, channels, window):
    kernel, stride, padding = window
    weights = signs(random, channels, space[0] * kernel**2)
    pairs = {"kernel": (kernel, kernel), "stride": (stride, stride), "padding": (padding, padding)}
    return Conv2d(source_shape=space, weights=weights, **pairs, **ENDS)


@st.composite
def windows(draw):
    """Two or three windows that lie inside each other, over one source, with equal targets."""
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    space = (draw(st.integers(1, 3)), draw(st.integers(3, 6)), draw(st.integers(3, 6)))
    stride, kernel, padding = draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(st.integers(0, 1))
    rims = draw(st.lists(st.integers(0, 2), min_size=1, max_size=2))
    channels = draw(st.integers(1, 4))
    found = [conv(random, space, channels, (kernel + 2 * rim, stride, padding + rim)) for rim in (0, *rims)]
    if padding == 0 and channels == space[0] and draw(st.booleans()):
        pairs = {"kernel": (kernel, kernel), "stride": (stride, stride)}
        found.insert(draw(st.integers(0, len(found))), SumPool2d(source_shape=space, **pairs, **ENDS))
    return found, random.integers(0, 2, (5, int(np.prod(space))))


@settings(max_examples=150, deadline=None)
@given(windows())
def test_windows_are_added(case):
    group, spikes = case
    (one,) = merged(group)
    assert isinstance(one, Conv2d)
    assert one.target_shape == group[0].target_shape
    assert np.array_equal(one.deliver(spikes), sum(part.deliver(spikes) for part in group))


def test_dense_weights_are_added_and_others_left_alone():
    random = np.random.default_rng(0)
    first, second = (Dense(weights=signs(random, 4, 6), **ENDS) for _ in range(2))
    late = Dense(weights=signs(random, 4, 6), delay=1, **ENDS)
    other = Dense(source="c", target="b", weights=signs(random, 4, 2))
    one, kept, last = merged([first, other, second, late])
    assert kept is other
    assert last is late
    assert isinstance(one.weights, IntegerWeights)
    assert np.array_equal(one.weights.matrix(), first.weights.matrix() + second.weights.matrix())
    assert set(np.unique(one.weights.matrix())) == {-2, 0, 2}
    assert list(merged([first, other])) == [first, other]


def test_what_cannot_be_one_is_refused():
    random = np.random.default_rng(0)
    small, wide = conv(random, (1, 8, 8), 2, (1, 1, 0)), conv(random, (1, 8, 8), 2, (1, 2, 4))
    assert small.target_shape == wide.target_shape
    with pytest.raises(UnsupportedError, match=r"connection a -> b: found windows \(1, 1\) and \(1, 1\), strides"):
        list(merged([small, wide]))
    shifted = conv(random, (1, 8, 8), 2, (3, 1, 1))
    lopsided = Conv2d(source_shape=(1, 8, 8), kernel=(3, 3), padding=(0, 2), weights=shifted.weights, **ENDS)
    with pytest.raises(UnsupportedError, match="expected equal strides, and one window inside the other"):
        list(merged([shifted, lopsided]))
    with pytest.raises(UnsupportedError, match="found several of different kinds; expected equal kinds"):
        list(merged([Identity(size=4, **ENDS), Dense(weights=signs(random, 4, 4), **ENDS)]))

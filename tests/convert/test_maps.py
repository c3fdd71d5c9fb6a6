"""Composed linear maps: one map is the chain of its nodes, exactly on whole numbers, and windows stay windows."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitspike.convert.floating.maps import Diagonal, Matrix, Window, apply, map_of, matrix_of, plus, then
from bitspike.convert.floating.nodes import Affine, Convolution, Pool, Reshape, Scale
from bitspike.errors import UnsupportedError
from bitspike.sim.floating_nodes import operator


def whole(rng, *shape):
    return rng.integers(-3, 4, shape).astype(float)


@st.composite
def windows(draw, source_shape):
    """A convolution or a sum pool that fits over `source_shape`."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    channels, height, width = source_shape
    window = draw(st.integers(1, min(3, height))), draw(st.integers(1, min(3, width)))
    stride = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    padding = draw(st.integers(0, 2)), draw(st.integers(0, 2))
    if draw(st.booleans()):
        return Pool(name="pool", source_shape=source_shape, window=window, stride=stride, padding=padding)
    groups = channels if draw(st.booleans()) else 1
    targets = groups * draw(st.integers(1, 2))
    room = [
        (size + 2 * pad - 1) // max(1, w - 1) for size, pad, w in zip(source_shape[1:], padding, window, strict=True)
    ]
    dilation = tuple(draw(st.integers(1, max(1, min(2, most)))) for most in room)
    weight = whole(rng, targets, channels // groups, *window)
    bias = whole(rng, targets)
    return Convolution(
        name="conv", source_shape=source_shape, weight=weight, bias=bias, stride=stride, padding=padding,
        dilation=dilation, groups=groups,
    )  # fmt: skip


@st.composite
def chains(draw):
    """A source shape and nodes one after the other."""
    shape = draw(st.sampled_from([(1, 5, 6), (2, 6, 6), (3, 4, 5), (2, 1, 7)]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    source, nodes = shape, []
    for _ in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from(["window", "window", "window", "scale", "affine", "reshape"]))
        size = int(np.prod(shape))
        if kind == "window" and len(shape) == 3:
            node = draw(windows(shape))
        elif kind == "affine":
            node = Affine(name="affine", weight=whole(rng, 4, size), bias=whole(rng, 4))
        elif kind == "scale":
            by_channel = draw(st.booleans())
            factor = np.broadcast_to(
                whole(rng, shape[0], *(1,) * (len(shape) - 1)) if by_channel else whole(rng, *shape), shape
            )
            node = Scale(name="scale", extents=shape, factor=factor)
        else:
            node = Reshape(name="reshape", extents=shape)
        nodes.append(node)
        shape = node.shape
    return source, nodes


@settings(max_examples=150, deadline=None)
@given(chains(), st.integers(0, 2**32 - 1))
def test_a_composed_map_is_its_nodes_one_after_the_other(chain, seed):
    source, nodes = chain
    x = np.random.default_rng(seed).integers(0, 2, (3, int(np.prod(source)))).astype(float)
    expected, linear, bias = x, Diagonal(factor=np.ones(x.shape[1])), np.zeros(x.shape[1])
    for node in nodes:
        expected = operator(node, len(x), np.float64)(expected)
        step, added = map_of(node)
        linear, bias = then(linear, step), apply(step, bias[None])[0] + added
    assert np.array_equal(apply(linear, x) + bias, expected)
    assert np.array_equal(x @ matrix_of(linear).T + bias, expected)


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_a_sum_of_maps_is_the_sum_of_their_results(data):
    shape = data.draw(st.sampled_from([(2, 4, 5), (1, 6, 3)]))
    first, _ = map_of(data.draw(windows(shape)))
    size = int(np.prod(first.target_shape))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    kinds = [Matrix(weight=whole(rng, size, int(np.prod(shape))))]
    if first.target_shape == shape:
        kinds += [Diagonal(factor=np.full(size, 3.0)), Diagonal(factor=whole(rng, size))]
    kinds.append(Window(**{name: getattr(first, name) for name in first.__slots__} | {"weight": first.weight + 1}))
    second = data.draw(st.sampled_from(kinds))
    x = rng.integers(0, 2, (2, int(np.prod(shape)))).astype(float)
    for one, other in ((first, second), (second, first)):
        assert np.array_equal(apply(plus(one, other), x), apply(one, x) + apply(other, x))


def conv(source_shape, targets=2, **more):
    kernel = more.pop("kernel", 3)
    weight = np.arange(targets * source_shape[0] * kernel * kernel, dtype=float)
    node = Convolution(
        name="c", source_shape=source_shape, weight=weight.reshape(targets, source_shape[0], kernel, kernel), **more
    )
    return map_of(node)[0]


def pool(source_shape, size=2):
    return map_of(Pool(name="p", source_shape=source_shape, window=(size, size), stride=(size, size)))[0]


def test_a_convolution_after_a_pool_is_one_strided_convolution():
    found = then(pool((2, 8, 8)), conv((2, 4, 4), padding=(1, 1)))
    assert isinstance(found, Window)
    assert (found.kernel, found.stride, found.padding) == ((6, 6), (2, 2), (2, 2))


def test_a_pool_after_a_convolution_stays_one_with_its_groups():
    assert isinstance(then(conv((1, 8, 8), padding=(1, 1)), pool((2, 8, 8))), Window)
    depthwise = map_of(Convolution(name="n", source_shape=(3, 4, 4), weight=np.ones((3, 1, 1, 1)), groups=3))[0]
    assert then(pool((3, 8, 8)), depthwise).groups == 3


@pytest.mark.parametrize("source", [(1, 9, 9), (1, 8, 8)])
def test_two_padded_convolutions_are_no_convolution(source):
    first = conv(source, targets=2, padding=(1, 1))
    assert isinstance(then(first, conv(first.target_shape, padding=(1, 1))), Matrix)


def test_a_pool_that_drops_a_row_and_is_padded_after_is_no_window():
    first = pool((1, 9, 9))
    assert isinstance(then(first, conv((1, 4, 4), padding=(1, 1))), Matrix)
    assert isinstance(then(first, conv((1, 4, 4))), Window)


def test_a_shortcut_beside_a_convolution_of_the_same_size_is_its_middle():
    same = conv((2, 4, 4), padding=(1, 1))
    found = plus(same, Diagonal(factor=np.full(32, 100.0)))
    assert isinstance(found, Window)
    assert found.weight[1, 1, 1, 1] == same.weight[1, 1, 1, 1] + 100
    assert isinstance(
        plus(conv((2, 4, 4), padding=(1, 1), kernel=3, stride=(1, 1)), Diagonal(factor=np.arange(32.0))), Matrix
    )


def test_a_matrix_that_is_too_large_is_refused_before_it_is_made():
    first = conv((1, 300, 300), padding=(1, 1), targets=1)
    with pytest.raises(UnsupportedError, match="expected at most"):
        then(first, conv((1, 300, 300), padding=(1, 1), targets=1))

"""Rounding in which errors make up for each other: less of them reaches the membrane, and nothing leaves its range."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitspike.convert.floating.cells import closed
from bitspike.convert.floating.compensate import compensated
from bitspike.convert.floating.lattice import lattice
from bitspike.convert.floating.network import Edge, FloatNetwork
from bitspike.convert.floating.nodes import Affine, Convolution, FloatInput, Neurons
from bitspike.sim.floating import simulate_float
from bitspike.sim.gram import gram_of


def seen(errors, gram):
    return float(np.einsum("ri,ij,rj->", errors, gram, errors))


def problem(seed, columns=12):
    """Weights of thirty targets, spikes of sources that often spike together, and columns of different grain."""
    rng = np.random.default_rng(seed)
    common = rng.random((200, 1)) < 0.5
    spikes = ((rng.random((200, columns)) < 0.3) | common).astype(float)
    return rng.normal(0, 40, (30, columns)), rng.choice([1.0, 2.0, 0.25], columns), spikes.T @ spikes


@pytest.mark.parametrize("seed", range(10))
def test_half_of_what_rounding_to_the_nearest_does_is_seen_at_most(seed):
    weights, steps, gram = problem(seed)
    top = np.full(len(steps), 1e6)
    found = compensated(weights, steps, -top, top, gram)
    nearest = np.rint(weights / steps)
    assert seen(found * steps - weights, gram) < 0.5 * seen(nearest * steps - weights, gram)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(1, 8))
def test_the_range_is_kept(seed, columns, limit):
    weights, steps, gram = problem(seed, columns)
    top = np.full(columns, float(limit))
    found = compensated(weights, steps, -top, top, gram)
    assert np.abs(found).max() == limit


def test_sources_that_never_meet_are_rounded_to_the_nearest():
    weights = np.random.default_rng(0).normal(0, 40, (5, 8))
    ones = np.ones(8)
    found = compensated(weights, ones, -200 * ones, 200 * ones, np.diag(np.arange(1.0, 9.0)))
    assert np.array_equal(found, np.rint(weights))


def drawn(kind, rng):
    """A map of one kind into neurons that only integrate; its weights, a row for each target or channel."""
    if kind == "conv":
        node = Convolution(
            name="w", source_shape=(2, 4, 5), weight=rng.normal(0, 1, (3, 2, 3, 2)), bias=rng.normal(0, 1, 3),
            stride=(2, 1), padding=(1, 0), dilation=(1, 2),
        )  # fmt: skip
        return node, (2, 4, 5)
    return Affine(name="w", weight=rng.normal(0, 1, (3, 8)), bias=rng.normal(0, 1, 3)), (8,)


@pytest.mark.parametrize(("kind", "alpha"), [("conv", 0.0), ("affine", 0.0), ("affine", 0.5)])
def test_the_gram_matrix_is_that_of_the_membranes(kind, alpha):
    rng = np.random.default_rng(4)
    node, shape = drawn(kind, rng)
    neurons = Neurons(name="n", extents=node.shape, alpha=alpha, beta=0.75, reset="none")
    quiet = Neurons(name="n", extents=node.shape, alpha=alpha, beta=0.75, spiking=False, reset="none")
    edges = (Edge(source="input", target="w", delay=1), Edge(source="w", target="n"))
    parts = (FloatInput(name="input", extents=shape), node)
    cell = lattice(FloatNetwork(name="g", nodes=(*parts, neurons), edges=edges, outputs=("n",))).cells[-1]
    spikes = (rng.random((20, 10, int(np.prod(shape)))) < 0.4).astype(np.uint8)
    constant = np.ones((20, 10, 1), np.uint8)
    gram = gram_of(closed(cell), {"input": spikes, "constant": constant})
    read = simulate_float(
        FloatNetwork(name="g", nodes=(*parts, quiet), edges=edges, outputs=("n",)), spikes, record="all"
    )
    membranes = read.traces["n"].v
    weights = np.concatenate([node.weight.reshape(3, -1), node.bias[:, None]], axis=1)
    if alpha:  # the bias of a current comes from the constant population, the last column is one of the membrane's
        weights = np.concatenate([weights, np.zeros((3, 1))], axis=1)
    for channel in range(3):
        expected = float((membranes.reshape(20, 10, 3, -1)[:, :, channel] ** 2).sum())
        assert weights[channel] @ gram @ weights[channel] == pytest.approx(expected, rel=1e-4)

"""Random networks that have something to leave out: duplicates, neurons that lead nowhere, common factors."""

from dataclasses import replace

import numpy as np
from hypothesis import reject
from hypothesis import strategies as st
from strategies import networks, spatial_networks
from strategies import spikes_for as input_spikes

from bitspike.convert.connections import Conv2d, Dense
from bitspike.convert.ranges import check_range
from bitspike.convert.retime import retime
from bitspike.convert.rules import check
from bitspike.convert.weights import IntegerWeights
from bitspike.errors import RangeError, UnsupportedError
from bitspike.sim.reference import run_reference

__all__ = ["any_networks", "assert_same_answers", "fits", "input_spikes", "redundant", "retimed"]


def assert_same_answers(before, after, spikes, *, membranes=True):
    """All scores are equal, and the spikes of all that is read under its old name; membranes too, where asked for.

    Membranes that are read are compared always.
    """
    left, right = run_reference(before, spikes), run_reference(after, spikes)
    assert list(before.answers()) == list(after.answers())
    for answer in before.answers():
        assert np.array_equal(left.scores(before, answer), right.scores(after, answer))
    for readout in before.readouts:
        if readout.population in right.traces:
            one, other = left.traces[readout.population], right.traces[readout.population]
            assert np.array_equal(one.spikes, other.spikes)
            if membranes or readout.kind != "spike_count":
                assert np.array_equal(one.v, other.v)


def any_networks(*, alike=False, **options):
    """Feed-forward ones with several inputs and heads, and spatial ones with recurrent connections, both redundant."""
    dense = networks(inputs=(1, 2), heads=True, populations=(1, 4), graded=True, **options)
    return st.one_of(dense, spatial_networks(graded=True, **options)).flatmap(lambda n: redundant(n, alike=alike))


def fits(network):
    """Whether the range proof holds."""
    try:
        check_range(network)
    except RangeError:
        return False
    return True


def retimed(network, max_delay=62):
    """The network in chip time; another one is drawn where a loop has fewer steps of delay than connections."""
    try:
        return retime(network, max_delay)
    except UnsupportedError as error:
        if "part of a loop with fewer steps of delay" not in str(error):
            raise
    return reject()


@st.composite
def redundant(draw, network, *, alike=False):
    """`network` with small weights, a part of them 0, copied rows and biases, common factors; else as it was.

    Args:
        draw: given by Hypothesis.
        network: a legal network.
        alike: whether all populations share decays and reset, such that thresholds can be scaled.
    """
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    copies = {p.name: _copies(p, random) for p in network.populations}
    factors = {p.name: draw(st.sampled_from([1, 2, 4, 6])) for p in network.populations}
    changed = replace(
        network,
        populations=tuple(draw(_population(p, copies[p.name], factors[p.name])) for p in network.populations),
        connections=tuple(draw(_connection(c, copies[c.target], factors[c.target])) for c in network.connections),
    )
    if alike:
        dv, reset = draw(st.sampled_from([0, 4096])), draw(st.sampled_from(["zero", "subtract"]))
        changed = changed.with_populations(
            tuple(replace(p, du=4096, dv=dv, reset=reset, vth=_simple(p, factors[p.name])) for p in changed.populations)
        )
    check(changed)
    return changed if fits(changed) else network


@st.composite
def _connection(draw, c, copies, factor):
    if not isinstance(c, Dense | Conv2d) or not draw(st.integers(0, 3)):
        return c
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    most, share = draw(st.sampled_from([1, 1, 2, 9])), draw(st.sampled_from([0.2, 0.5, 0.8]))
    matrix = random.integers(-most, most + 1, c.weights.shape) * (random.random(c.weights.shape) < share) * factor
    if len(matrix) == len(copies):
        matrix = matrix[copies]
    return replace(c, weights=IntegerWeights(values=matrix))


@st.composite
def _population(draw, p, copies, factor):
    bias = p.bias_mantissa
    if draw(st.booleans()):  # toward zero, so that it stays within its range
        bias = np.sign(bias) * (np.abs(bias) // factor * factor)
    if len(copies) == p.size:
        bias = bias[copies]
    else:
        bias = np.repeat(bias.reshape(len(copies), -1)[:, 0], p.size // len(copies))[: p.size]
    du, dv = draw(st.sampled_from([p.du, 4096])), draw(st.sampled_from([p.dv, 0, 4096]))
    return replace(p, bias_mantissa=bias, du=du, dv=dv)


def _simple(p, factor):
    """A threshold that has `factor` in common with the weights."""
    return max(1 << p.shift, factor * (p.vth % 3 + 1)) if p.spiking else p.vth


def _copies(p, random):
    """For each neuron, or each channel, the one whose weights and bias it has."""
    size = p.size if len(p.shape) == 1 or random.random() < 0.3 else p.shape[0]
    return np.where(random.random(size) < 0.5, random.integers(0, size, size), np.arange(size))

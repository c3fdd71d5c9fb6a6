"""The long proofs, run with ``python -m pytest -m slow``: the differential tests on many more networks."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lava_support import feed_forward, needs_lava
from onnx_support import assert_equal
from strategies import networks, spatial_networks, spikes_for

from bitspike.convert.retime import retime
from bitspike.errors import RangeError, UnsupportedError
from bitspike.sim.compare import first_divergence
from bitspike.sim.engines import lava, lava_models, onnx_runtime
from bitspike.sim.reference import run_reference

pytestmark = pytest.mark.slow


@settings(max_examples=1000, deadline=None)
@given(st.data())
def test_a_thousand_networks_of_every_kind_in_onnx_runtime(data):
    network = data.draw(st.one_of(networks(), spatial_networks()))
    spikes = data.draw(spikes_for(network))
    assert_equal(onnx_runtime.run(network, spikes), run_reference(network, spikes))


def one_that_fits(seed):
    """The network of `seed`, or of the next thousand, and so on, until one keeps to the chip's 24 bits."""
    while True:
        try:
            return feed_forward(seed, skips=seed % 2 == 0)
        except RangeError:
            seed += 1000


def compare_in_lava(run, network, spikes):
    """Equal, or refused for one of two reasons: too loud for a quiet gap, or a loop that no chip can have."""
    try:
        record = run(network, spikes)
    except UnsupportedError as error:
        if "kept quiet" in str(error) or "part of a loop with fewer steps" in str(error):
            return
        raise
    assert first_divergence(network, run_reference(network, spikes), record) is None


@needs_lava
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_two_hundred_networks_of_every_kind_in_lavas_models(data):
    """Windows, loops, delays, graded spikes and both resets, in streams; what is refused says why."""
    network = data.draw(spatial_networks(starts=False, graded=True))
    spikes = data.draw(spikes_for(network))
    compare_in_lava(lava_models.run, network, spikes)


@needs_lava
@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_ten_networks_of_every_kind_in_lavas_runtime(data):
    network = data.draw(spatial_networks(starts=False, graded=True, populations=(2, 3), steps=(3, 6)))
    spikes = data.draw(spikes_for(network, samples=(3, 3)))
    compare_in_lava(lava.run, network, spikes)


@needs_lava
@pytest.mark.parametrize("seed", range(200))
def test_two_hundred_feed_forward_networks_in_lavas_models(seed):
    network = one_that_fits(seed)
    spikes = (np.random.default_rng(seed).random((8, network.steps, network.input.size)) < 0.5).astype(np.uint8)
    reference = run_reference(network, spikes)
    assert first_divergence(network, reference, lava_models.run(network, spikes)) is None
    assert first_divergence(network, reference, run_reference(retime(network), spikes)) is None

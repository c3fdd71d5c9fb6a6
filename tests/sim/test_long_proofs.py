"""The long proofs, run with ``python -m pytest -m slow``: the differential tests on many more networks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lava_support import feed_forward, needs_lava
from onnx_support import assert_equal
from strategies import networks, spatial_networks, spikes_for

from bitspike.convert.retime import retime
from bitspike.errors import RangeError
from bitspike.sim.engines import lava_models, onnx_runtime
from bitspike.sim.reference import run_reference
from bitspike.sim.verify import first_divergence

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


@needs_lava
@pytest.mark.parametrize("seed", range(200))
def test_two_hundred_feed_forward_networks_in_lavas_models(seed):
    network = one_that_fits(seed)
    spikes = (np.random.default_rng(seed).random((8, network.steps, network.input.size)) < 0.5).astype(np.uint8)
    reference = run_reference(network, spikes)
    assert first_divergence(network, reference, lava_models.run(network, spikes)) is None
    assert first_divergence(network, reference, run_reference(retime(network), spikes)) is None

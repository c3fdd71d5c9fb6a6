"""Every kind of network in Lava's models and in its runtime: each spike, current and membrane is the reference's."""

import numpy as np
import pytest
from builders import chain, flip_weight
from lava_networks import KINDS
from lava_support import assert_alive, assert_same, needs_lava

from bitspike.sim.engines import lava, lava_models
from bitspike.sim.reference import run_reference
from bitspike.targets.lava.lower import lower

pytestmark = needs_lava
SLOW = pytest.mark.slow


def random_spikes(network, samples, seed=0):
    return (np.random.default_rng(seed).random((samples, network.steps, network.input_size)) < 0.4).astype(np.uint8)


@pytest.mark.parametrize("kind", KINDS)
def test_in_the_models(kind):
    network = KINDS[kind]()
    assert all(len(set(p.bias_mantissa.tolist())) > 1 and p.bias_mantissa.max() > 0 for p in network.populations)
    assert lower(network).streams
    spikes = random_spikes(network, 5)
    expected = run_reference(network, spikes)
    compared = assert_same(expected, lava_models.run(network, spikes))
    assert compared == 3 * 5 * network.steps * sum(p.size for p in network.populations)
    assert_alive(expected)


@pytest.mark.parametrize(
    "kind", [kind if kind in ("recurrent", "parts", "payloads") else pytest.param(kind, marks=SLOW) for kind in KINDS]
)
def test_in_the_runtime(kind):
    network = KINDS[kind]()
    spikes = random_spikes(network, 3, seed=1)
    expected = run_reference(network, spikes)
    assert_same(expected, lava.run(network, spikes, time_limit_s=120))
    assert_alive(expected)


def test_members_of_a_committee():
    """Each is lowered by itself: they differ by single weights, and so do their records."""
    first = chain(seed=1)
    members = [first, flip_weight(first, "hidden1", 2, 3), flip_weight(first, "hidden2", 1, 1)]
    spikes = random_spikes(first, 6)
    records = [lava_models.run(member, spikes) for member in members]
    for member, record in zip(members, records, strict=True):
        assert_same(run_reference(member, spikes), record)
    assert len({record.traces["output"].v.tobytes() for record in records}) == 3

"""A network in Lava's registers, and the processes made of them."""

from dataclasses import replace

import numpy as np
import pytest
from lava_support import feed_forward, needs_lava

from bitspike.convert.network import Dense, Input, IntegerNetwork, Population, Readout
from bitspike.convert.retime import retime
from bitspike.convert.weights import weights_of
from bitspike.errors import UnsupportedError
from bitspike.targets.lava.lower import lower


def small(**changes):
    """Two layers and a skip connection."""
    populations = (
        Population(
            name="a", shape=(2, 2), du=4096, dv=100, vth=7, bias_mantissa=np.array([1, 0, -2, 3]), bias_exponent=6
        ),
        Population(name="b", shape=(2,), du=0, dv=4096, vth=131071, bias_mantissa=np.zeros(2, np.int64)),
    )
    connections = (
        Dense(source="x", target="a", weights=weights_of(np.array([[1, -1, 1]] * 4))),
        Dense(source="a", target="b", weights=weights_of(np.array([[3, 0, 1, 2], [0, 0, 0, 1]])), exponent=2),
        Dense(source="x", target="b", weights=weights_of(np.array([[-1, -1, 0], [0, 0, -1]]))),
    )
    network = IntegerNetwork(
        name="small",
        steps=5,
        inputs=(Input(name="x", shape=(3,)),),
        populations=populations,
        connections=connections,
        readouts=(Readout(population="b", kind="membrane_last"),),
    )
    return replace(network, **changes)


def test_registers_as_text():
    assert str(lower(small())).splitlines() == [
        "lava    small latency=2 samples=stream",
        "source  x 3",
        "dense   x -> a 4x3 mixed bits=2 exponent=-7 delay=1",
        "lif     a 4 du=4095 dv=100 vth=7 start=1 bias=-2..3<<6",
        "dense   a -> b 2x4 excitatory bits=2 exponent=-4 delay=1",
        "delayed x -> b 2x3 inhibitory bits=1 exponent=-7 delay=2",
        "lif     b 2 du=-1 dv=4096 vth=131071 start=2 bias=0",
    ]


def test_lowering_is_the_same_before_and_after_retiming():
    network = small()
    assert lower(network) == lower(retime(network))
    assert lower(network) != lower(small(name="other"))


def test_a_delay_of_its_own_keeps_samples_apart():
    network = small()
    connections = (network.connections[0], replace(network.connections[1], delay=1), network.connections[2])
    unbiased = tuple(replace(p, bias_mantissa=np.zeros(p.size, np.int64)) for p in network.populations)
    program = lower(replace(network, connections=connections, populations=unbiased))
    assert not program.streams
    assert [c.delay for c in program.connections] == [1, 1, 1]


def test_reset_by_subtraction_is_refused_by_name():
    network = small()
    first = replace(network.populations[0], reset="subtract")
    with pytest.raises(UnsupportedError, match="population a: reset by subtraction; Lava's neurons reset to zero"):
        lower(replace(network, populations=(first, network.populations[1])))


def test_weights_without_an_exact_form_are_refused_by_name():
    network = small()
    odd = replace(network.connections[0], weights=weights_of(np.array([[-129, 5, 1]] * 4)))
    with pytest.raises(UnsupportedError, match=r"connection x -> a: weights -129\.\.5"):
        lower(replace(network, connections=(odd, *network.connections[1:])))


@needs_lava
def test_processes_have_the_registers_and_the_wires():
    from bitspike.targets.lava.processes import build_processes

    program = lower(small())
    spikes = np.array([[1, 0, 1]] * 12, np.uint8)
    built = build_processes(program, spikes, reset_interval=5)
    from lava.proc.dense.process import DelayDense, Dense
    from lava.proc.lif.process import LIFReset

    assert [type(s) for s in built.synapses] == [Dense, Dense, DelayDense]
    assert all(type(n) is LIFReset for n in built.neurons.values())
    assert np.array_equal(built.source.data.init, spikes.T)
    first, second = built.neurons["a"], built.neurons["b"]
    assert (first.du.init, first.dv.init, first.vth.init, first.bias_exp.init) == (4095, 100, 7, 6)
    assert first.bias_mant.init.tolist() == [1, 0, -2, 3]
    assert (second.du.init, second.dv.init) == (-1, 4096)
    for neuron, offset in ((first, 2), (second, 3)):
        assert neuron.proc_params["reset_interval"] == 5
        assert neuron.proc_params["reset_offset"] == offset
    for synapse, c in zip(built.synapses, program.connections, strict=True):
        assert np.array_equal(synapse.weights.init, c.synapses.mantissas)
        assert synapse.proc_params["num_weight_bits"] == c.synapses.bits
        assert synapse.proc_params["weight_exp"] == c.synapses.exponent
        assert synapse.proc_params["sign_mode"].value == c.synapses.sign_mode
    assert (built.synapses[2].delays.init == 1).all()
    assert len(second.a_in.in_connections) == 2


@needs_lava
@pytest.mark.parametrize("seed", range(3))
def test_random_networks_build(seed):
    from bitspike.targets.lava.processes import build_processes

    network = feed_forward(seed, skips=True)
    built = build_processes(lower(network), np.zeros((4, network.input.size), np.uint8), reset_interval=4)
    assert list(built.neurons) == [p.name for p in network.populations]
    assert len(built.synapses) == len(network.connections)

"""A network in Lava's registers, and the processes made of them."""

from dataclasses import replace

import numpy as np
import pytest
from lava_support import feed_forward, needs_lava
from small import SPIKES, dense, network_of, population

from bitspike.convert.connections import Conv2d, Dense, Identity, SumPool2d
from bitspike.convert.network import Input, IntegerNetwork, Population, Readout
from bitspike.convert.retime import retime
from bitspike.convert.weights import weights_of
from bitspike.errors import UnsupportedError
from bitspike.targets.lava.encode import effective
from bitspike.targets.lava.lower import lower
from bitspike.targets.lava.program import ConvConnection, DenseConnection, SparseConnection


def added_by(c):
    """What each synapse of a lowered connection adds, (targets, sources)."""
    if isinstance(c, DenseConnection):
        return effective(c.synapses)
    matrix = np.zeros(c.size, np.int64)
    matrix[c.targets, c.sources] = effective(c.synapses)
    return matrix


def identity(size):
    return Identity(source="input", target="a", size=size)


def ones(*shape):
    return weights_of(np.ones(shape, int))


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
        "caution b: du 0, which is register -1 to Lava: Loihi 1 has 0 to 4095",
        "caution b: dv 4096: the registers of Loihi 1 have 12 bits, 0 to 4095",
    ]


def test_lowering_is_the_same_before_and_after_retiming():
    network = small()
    assert lower(network) == lower(retime(network))
    assert lower(network) != lower(small(name="other"))


def test_a_delay_of_its_own_puts_a_quiet_gap_between_samples():
    network = small()
    connections = (network.connections[0], replace(network.connections[1], delay=1), network.connections[2])
    unbiased = tuple(replace(p, bias_mantissa=np.zeros(p.size, np.int64)) for p in network.populations)
    program = lower(replace(network, connections=connections, populations=unbiased))
    assert (program.streams, program.gap, program.quiet) == (True, 1, True)
    assert [s.name for s in program.sources] == ["x", "quiet"]
    assert [(c.name, c.delay) for c in program.connections] == [
        ("x -> a", 1), ("a -> b", 1), ("x -> b", 1), ("quiet -> a", 1)
    ]  # fmt: skip


def test_weights_of_nine_bits_become_a_sum():
    network = small()
    matrix = np.array([[-129, 255, 1], [-256, 7, 255], [0, -200, 129], [3, -3, 3]])
    odd = replace(network.connections[0], weights=weights_of(matrix))
    program = lower(replace(network, connections=(odd, *network.connections[1:])))
    parts = [added_by(c) for c in program.connections if c.name == "x -> a"]
    assert len(parts) == 3
    assert np.array_equal(sum(parts), matrix)


def test_few_synapses_take_less_memory_as_a_list():
    """20 of 1600 weights: a sparse synapse holds 6 bits of its target's index besides."""
    matrix = np.zeros((40, 40), np.int64)
    matrix[::2, 7] = 1
    read = (Readout(population="b", kind="spike_count"),)
    several = [population("a", 40), population("b", 40)]
    network = network_of(several, [identity(40), dense("a", "b", matrix)], read, shape=(40,))
    first, second = lower(network).connections
    assert isinstance(first, SparseConnection)
    assert isinstance(second, SparseConnection)
    assert str(second) == "sparse  a -> b 40x40 synapses=20 excitatory bits=1 exponent=-7 delay=1"
    assert np.array_equal(added_by(second), matrix)
    assert np.array_equal(added_by(first), np.eye(40))
    full = dense("a", "b", np.ones((40, 40), int))
    assert isinstance(lower(replace(network, connections=(identity(40), full))).connections[1], DenseConnection)


def window(kind, **more):
    """A network of one window."""
    shape = more["source_shape"]
    connection = kind(source="input", target="out", **more)
    return network_of([population("out", *connection.target_shape)], [connection], SPIKES, shape=shape)


def test_a_window_as_text_and_as_a_kernel():
    weights = np.arange(-8, 4).reshape(2, 6)
    network = window(
        Conv2d, source_shape=(1, 5, 4), weights=weights_of(weights), kernel=(3, 2), stride=(2, 1), padding=(0, 1)
    )
    program = lower(network)
    assert str(program).splitlines()[1:] == [
        "source  input 4x5x1",
        "conv    input -> out 4x5x1->5x2x2 kernel=2x3 stride=1x2 padding=1x0 weights=-8..3 delay=1",
        "lif     out 5x2x2 du=4095 dv=4096 vth=1 start=1 bias=0",
        "caution out: dv 4096: the registers of Loihi 1 have 12 bits, 0 to 4095",
    ]
    (conv,) = program.connections
    assert conv.kernel.shape == (2, 2, 3, 1)
    assert np.array_equal(conv.kernel[1, :, :, 0].T[::-1, ::-1].ravel(), weights[1])


def test_a_pool_is_a_kernel_of_ones_with_a_group_for_each_channel():
    (pool,) = lower(window(SumPool2d, source_shape=(3, 4, 4), kernel=(2, 2), stride=(2, 2), exponent=3)).connections
    assert isinstance(pool, ConvConnection)
    assert pool.groups == 3
    assert pool.kernel.shape == (3, 2, 2, 1)
    assert (pool.kernel == 8).all()


@pytest.mark.parametrize(
    "network",
    [
        window(SumPool2d, source_shape=(130, 2, 2), kernel=(2, 2)),
        window(SumPool2d, source_shape=(1, 1, 3), kernel=(1, 1), padding=(0, 128)),
        window(Conv2d, source_shape=(1, 1, 200), kernel=(1, 130), weights=weights_of(np.ones((1, 130), int))),
        window(Conv2d, source_shape=(1, 3, 3), kernel=(2, 2), weights=weights_of(np.full((1, 4), 3)), exponent=7),
        window(Conv2d, source_shape=(1, 3, 3), kernel=(2, 2), weights=weights_of(np.array([[-131, 7, 1, 0]]))),
    ],
    ids=["groups", "padding", "kernel", "exponent", "nine bits"],
)
def test_what_lavas_conv_would_get_wrong_is_written_synapse_by_synapse(network):
    """It keeps its geometry in 8 bits with a sign, ignores exponents, and a chip has no wider weights."""
    (connection,) = network.connections
    every = np.eye(connection.shape[1], dtype=np.int64)
    program = lower(network)
    assert all(isinstance(c, SparseConnection | DenseConnection) for c in program.connections)
    assert np.array_equal(sum(added_by(c) for c in program.connections), connection.deliver(every).T)


def test_a_delayed_window_reads_a_relay():
    late = Conv2d(source="input", target="out", source_shape=(1, 3, 3), kernel=(2, 2), delay=4, weights=ones(2, 4))
    other = Conv2d(source="input", target="out", source_shape=(1, 3, 3), kernel=(2, 2), weights=ones(2, 4))
    network = network_of([population("out", 2, 2, 2)], [late, other], SPIKES, shape=(1, 3, 3))
    program = lower(network)
    assert [n.name for n in program.neurons] == ["input_wait4", "out"]
    assert [(c.name, c.kind, c.delay) for c in program.connections] == [
        ("input_wait4 -> out", "conv", 1), ("input -> out", "conv", 1), ("input -> input_wait4", "sparse", 4)
    ]  # fmt: skip


def test_processes_of_ours_are_told():
    network = small()
    first = replace(network.populations[0], reset="subtract", spike="graded", shift=1)
    program = lower(replace(network, populations=(first, network.populations[1])))
    assert not program.hardware
    assert program.cautions[:2] == (
        "a: reset by subtraction, which Lava's neurons have not: a process of ours",
        "a: graded spikes, which Lava's LIF has not: a process of ours",
    )
    assert [c.message_bits for c in program.connections] == [0, 16, 0]
    assert "lif     a 4 du=4095 dv=100 vth=7 start=1 bias=-2..3<<6 reset=subtract graded shift=1" in str(program)
    assert str(program).startswith("lava    small latency=2 samples=stream hardware=no\n")
    assert lower(network).hardware


def test_registers_that_every_chip_has_need_no_caution():
    network = small()
    last = replace(network.populations[1], du=1, dv=4095)
    assert lower(replace(network, populations=(network.populations[0], last))).cautions == ()


def test_what_circulates_too_loud_for_a_quiet_gap_has_runs_of_its_own():
    loud = dense("a", "a", [[255, 255], [-255, -255]], delay=1, exponent=6)
    network = network_of([population("a", 2, du=4096, vth=1)], [dense("input", "a", np.ones((2, 3), int)), loud],
                         (Readout(population="a", kind="spike_count"),))  # fmt: skip
    assert lower(network).gap is None
    biased = network.with_populations((replace(network.populations[0], bias_mantissa=np.array([700, 1])),))
    with pytest.raises(UnsupportedError, match=r"a bias .*; nor can a gap .* be kept quiet: population a"):
        lower(biased)


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
    assert np.array_equal(built.sources["x"].data.init, spikes.T)
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

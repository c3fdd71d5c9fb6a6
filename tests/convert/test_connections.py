"""Every kind of connection: what it delivers against torch's own operators, and that all its methods agree."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bitspike.convert.connections import Conv2d, Dense, Identity, SumPool2d
from bitspike.convert.network import Input, IntegerNetwork, Population, Readout
from bitspike.convert.ranges import check_range
from bitspike.convert.retime import retime
from bitspike.convert.rules import check, find_faults
from bitspike.convert.store import load, save
from bitspike.convert.weights import weights_of
from bitspike.errors import UnsupportedError, UsageError
from bitspike.sim.compare import first_divergence
from bitspike.sim.counts import count
from bitspike.sim.reference import run_reference

pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))


@st.composite
def windows(draw):
    groups = draw(st.sampled_from([1, 2]))
    source = (groups * draw(st.integers(1, 2)), draw(st.integers(1, 7)), draw(st.integers(1, 7)))
    geometry = {
        "source": "a", "target": "b", "source_shape": source, "stride": draw(pairs), "dilation": draw(pairs),
        "padding": draw(st.tuples(st.integers(0, 2), st.integers(0, 2))), "exponent": draw(st.integers(0, 2)),
        "kernel": draw(pairs),
    }  # fmt: skip
    if draw(st.booleans()):
        connection = SumPool2d(**geometry)
    else:
        rows, columns = groups * draw(st.integers(1, 2)), source[0] // groups * int(np.prod(geometry["kernel"]))
        random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        weights = weights_of(
            random.choice([-1, 1], (rows, columns)) if draw(st.booleans()) else random.integers(-9, 9, (rows, columns))
        )
        connection = Conv2d(**geometry, weights=weights, groups=groups)
    assume(min(connection.target_shape) >= 1)
    return connection


def torch_says(connection, spikes):
    """The same by torch, in float64, where all of these sums are exact."""
    torch = pytest.importorskip("torch")
    images = torch.tensor(spikes.reshape(-1, *connection.source_shape), dtype=torch.float64)
    channels = connection.source_shape[0]
    if isinstance(connection, Conv2d):
        kernels, groups = torch.tensor(connection.kernels(), dtype=torch.float64), connection.groups
    else:
        kernels = torch.full((channels, 1, *connection.kernel), float(1 << connection.exponent), dtype=torch.float64)
        groups = channels
    out = torch.nn.functional.conv2d(
        images,
        kernels,
        stride=connection.stride,
        padding=connection.padding,
        dilation=connection.dilation,
        groups=groups,
    )
    assert tuple(out.shape[1:]) == connection.target_shape
    return out.reshape(len(spikes), -1).numpy().astype(np.int64)


@given(connection=windows(), seed=st.integers(0, 2**32 - 1))
def test_windows_deliver_what_torch_delivers(connection, seed):
    sources = connection.shape[1]
    spikes = np.random.default_rng(seed).integers(0, 2, (3, sources))
    assert np.array_equal(connection.deliver(spikes), torch_says(connection, spikes))


@given(connection=windows())
def test_all_methods_speak_of_the_same_synapses(connection):
    agree(connection)


@pytest.mark.parametrize(
    "connection",
    [
        Dense(source="a", target="b", weights=weights_of(np.arange(-6, 6).reshape(3, 4)), exponent=2),
        Identity(source="a", target="b", size=4, weight=-3, exponent=1),
        Identity(source="a", target="b", size=4),
    ],
)
def test_so_do_those_of_the_other_kinds(connection):
    agree(connection)


def agree(connection):
    """The matrix, delivered one source at a time, explains bounds, fan-out and inputs."""
    targets, sources = connection.shape
    matrix = connection.deliver(np.eye(sources, dtype=np.int64)).T
    low, high = connection.bounds()
    assert np.array_equal(low, np.minimum(matrix, 0).sum(axis=1))
    assert np.array_equal(high, np.maximum(matrix, 0).sum(axis=1))
    synapses = np.zeros(sources, np.int64)
    for neuron in range(targets):
        found, weights = connection.inputs_of(neuron)
        assert len(set(found.tolist())) == len(found)
        row = np.zeros(sources, np.int64)
        row[found] = weights
        assert np.array_equal(row, matrix[neuron])
        synapses[found] += 1
    assert np.array_equal(connection.fan_out(), synapses)


def network():
    """Convolution, pooling, a recurrent population, a shortcut and a dense read-out."""
    random = np.random.default_rng(3)

    def population(name, shape, **neuron):
        bias = random.integers(-3, 1, int(np.prod(shape)))
        return Population(
            name=name, shape=shape, bias_mantissa=bias, bias_exponent=4, **({"dv": 500, "vth": 1} | neuron)
        )

    def bits(rows, columns):
        return weights_of(random.choice([-1, 1], (rows, columns)))

    return check(
        IntegerNetwork(
            name="kinds",
            steps=8,
            inputs=(Input(name="input", shape=(2, 6, 6)),),
            populations=(
                population("conv", (4, 6, 6)),
                population("pool", (4, 3, 3)),
                population("again", (36,)),
                population("output", (5,), vth=131071),
            ),
            connections=(
                Conv2d(
                    source="input",
                    target="conv",
                    source_shape=(2, 6, 6),
                    kernel=(3, 3),
                    padding=(1, 1),
                    weights=bits(4, 18),
                ),
                SumPool2d(source="conv", target="pool", source_shape=(4, 6, 6), kernel=(2, 2), stride=(2, 2)),
                Dense(source="pool", target="again", weights=bits(36, 36)),
                Dense(source="again", target="again", weights=bits(36, 36), delay=1),
                Identity(source="pool", target="again", size=36, weight=2, delay=2),
                Dense(source="again", target="output", weights=bits(5, 36)),
            ),
            readouts=(Readout(population="output", kind="membrane_sum"),),
        )
    )


def spikes(samples=4, seed=0):
    return (np.random.default_rng(seed).random((samples, 8, 72)) < 0.4).astype(np.uint8)


def test_the_text_form_of_every_kind():
    lines = [line.split(" #")[0] for line in str(network()).splitlines() if "->" in line]
    assert lines == [
        "conv    input -> conv 2x6x6->4x6x6 window=3x3 padding=1x1 bits=1 values={-1,+1} exponent=0 delay=0",
        "pool    conv -> pool 4x6x6->4x3x3 window=2x2 stride=2x2 exponent=0 delay=0",
        "dense   pool -> again 36x36 bits=1 values={-1,+1} exponent=0 delay=0",
        "dense   again -> again 36x36 bits=1 values={-1,+1} exponent=0 delay=1",
        "identity pool -> again 36 weight=+2 exponent=0 delay=2",
        "dense   again -> output 5x36 bits=1 values={-1,+1} exponent=0 delay=0",
    ]


def test_every_kind_is_stored(tmp_path):
    save(network(), tmp_path / "net.safetensors")
    assert load(tmp_path / "net.safetensors") == network()


def test_a_recurrent_network_in_chip_time_gives_the_same():
    quiet = network()
    chip = retime(quiet)
    assert chip.latencies() == {"input": 0, "conv": 1, "pool": 2, "again": 3, "output": 4}
    assert [c.delay for c in chip.connections] == [1, 1, 1, 1, 3, 1]
    check_range(quiet)
    record = run_reference(quiet, spikes())
    assert record.traces["again"].spikes.any()
    assert first_divergence(quiet, record, run_reference(chip, spikes())) is None


def test_a_loop_that_is_too_fast_for_a_chip_is_refused():
    base = network()
    back = Dense(source="again", target="pool", weights=weights_of(np.ones((36, 36), int)), delay=1)
    fast = check(replace(base, connections=(*base.connections, back)))
    with pytest.raises(UnsupportedError, match="part of a loop with fewer steps of delay than connections"):
        retime(fast)
    slow = replace(base, connections=(*base.connections, replace(back, delay=2)))
    chip = retime(check(slow))
    assert first_divergence(slow, run_reference(slow, spikes()), run_reference(chip, spikes())) is None


def test_no_sample_gives_no_input():
    for connection in network().connections:
        targets, sources = connection.shape
        assert connection.deliver(np.zeros((0, sources), np.int64)).shape == (0, targets)


def test_operations_are_counted_for_every_kind():
    base = network()
    record = run_reference(base, spikes())
    counts = count(base, record)
    for p in counts.populations:
        expected = np.zeros(record.samples, np.int64)
        for c in base.incoming(p.population):
            sent = record.inputs if c.source == "input" else record.traces[c.source].spikes
            for neuron in range(c.shape[0]):
                expected += sent[:, :, c.inputs_of(neuron)[0]].sum(axis=(1, 2), dtype=np.int64)
        assert np.array_equal(p.synaptic_operations, expected)


def test_shapes_that_do_not_fit_are_faults():
    base = network()
    conv, pool, *rest = base.connections

    def faults(*connections):
        return "; ".join(find_faults(replace(base, connections=connections)))

    assert "it gives shape (4, 4, 4); conv has (4, 6, 6)" in faults(replace(conv, padding=(0, 0)), pool, *rest)
    assert "it reads shape (4, 3, 12); conv has (4, 6, 6)" in faults(
        conv, replace(pool, source_shape=(4, 3, 12)), *rest
    )
    assert "the window does not fit" in faults(conv, replace(pool, kernel=(9, 9)), *rest)
    huge = replace(pool, kernel=(3000, 3000), padding=(3000, 3000), stride=(9000, 9000))
    assert "a window of 3000x3000; expected at most 65536 places" in faults(conv, huge, *rest)
    assert "padding 0 or more, were expected" in faults(replace(conv, stride=(0, 1)), pool, *rest)
    assert "a size of 35; expected (36, 36)" in faults(conv, pool, *rest[:2], replace(rest[2], size=35), rest[3])
    assert "weight 300; expected -256..255" in faults(conv, pool, *rest[:2], replace(rest[2], weight=300), rest[3])
    with pytest.raises(UsageError, match="3 groups; expected a divisor of both numbers of channels"):
        replace(conv, groups=3)
    with pytest.raises(UsageError, match="weights of 18 columns; expected 12"):
        replace(conv, kernel=(2, 3))
    with pytest.raises(UsageError, match=r"stride \(1,\); expected 2 integers"):
        replace(conv, stride=(1,))

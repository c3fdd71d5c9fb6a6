"""Partitions against a count of single synapses, and each limit of a chip met exactly and passed by one."""

from dataclasses import replace

import numpy as np
import pytest
from builders import chain
from hypothesis import HealthCheck, Phase, event, given, settings
from recount import recount
from small import SPIKES, dense, network_of, population
from strategies import networks, spatial_networks

from bitspike.convert.connections import Conv2d, Identity
from bitspike.convert.network import Readout
from bitspike.convert.retime import retime
from bitspike.convert.weights import weights_of
from bitspike.errors import UnsupportedError
from bitspike.targets.chips import Figure, chip
from bitspike.targets.partition import LimitError, partition
from bitspike.targets.partition.loads import RESOURCES

TINY = chip("tiny")
REGISTERS = ("bias_max", "bias_exponent_max", "state_bits", "accumulator_bits", "payload_bits")
#: The small chip with cores that hold most random networks, and registers that hold all.
ROOMY = replace(
    TINY, synapse_bits=Figure(value=6144, source="test", grade="made up"),
    input_axons=Figure(value=96, source="test", grade="made up"), **dict.fromkeys(REGISTERS),
)  # fmt: skip


def with_limits(known=TINY, **limits):
    """A chip with other figures; None takes one away."""
    figures = {n: v if v is None else Figure(value=v, source="test", grade="made up") for n, v in limits.items()}
    return replace(known, **figures)


def check_partition(found):
    """Every neuron on one core, no limit exceeded, what is told is what is counted, bounds in order."""
    for p in found.network.populations:
        assert sorted(n for c in found.cores for x in c.pieces if x.population == p.name for n in x.neurons) == list(
            range(p.size)
        )
        assert found.core_of(p.name).min() >= 0
    counted = recount(found)
    assert [core.used() for core in found.cores] == counted
    for core in found.cores:
        assert core.neurons > 0
        assert all(used <= (found.chip.limit(name) or used) for name, used in core.used().items())
    assert 1 <= found.lower_bound <= found.core_count <= found.chip.cores.value
    assert found.first_fit is None or found.core_count <= found.first_fit
    told = found.as_json()
    assert told["total"]["neurons"] == sum(p.size for p in found.network.populations)
    for name in ("synapse_bits", "input_axons", "output_axons"):
        assert told["total"][name] == sum(core[name] for core in counted)


@settings(
    max_examples=25,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow],
)
@given(network=networks(populations=(1, 5), neurons=24, starts=False, graded=True))
def test_random_networks(network):
    try:
        found = partition(network, ROOMY)
    except (LimitError, UnsupportedError) as error:
        event(f"refused: {type(error).__name__}")
        return
    event(f"{min(found.core_count, 4)} cores or more" if found.core_count > 3 else f"{found.core_count} cores")
    check_partition(found)


@settings(
    max_examples=25,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow],
)
@given(network=spatial_networks(populations=(1, 4), starts=False))
def test_random_networks_of_all_kinds(network):
    try:
        found = partition(network, with_limits(ROOMY, synapse_formats=8))
    except (LimitError, UnsupportedError) as error:
        event(f"refused: {type(error).__name__}")
        return
    event(", ".join(sorted({way for core in found.cores for _, way in core.storage})))
    check_partition(found)


@pytest.mark.parametrize("name", ["loihi1", "loihi2"])
def test_dense_and_recurrent_layers_over_several_cores(name):
    random = np.random.default_rng(5)
    matrices = [random.choice([-1, 1], shape) for shape in ((700, 60), (700, 700), (40, 700))]
    network = network_of(
        [population("a", 700, vth=5), population("out", 40)],
        [dense("input", "a", matrices[0]), dense("a", "a", matrices[1], delay=1), dense("a", "out", matrices[2])],
        SPIKES,
        shape=(60,),
    )
    found = partition(network, name)
    assert found.core_count == found.lower_bound == 2
    check_partition(found)


def convolution(channels=6, size=7, **more):
    """A convolution and a read-out of all of its neurons."""
    random = np.random.default_rng(2)
    first = Conv2d(
        source="input", target="a", source_shape=(2, size, size), kernel=(3, 3), **more,
        weights=weights_of(random.choice([-1, 1], (channels, 18))),
    )  # fmt: skip
    shape = first.target_shape
    out = random.choice([-1, 1], (2, int(np.prod(shape))))
    return network_of(
        [population("a", *shape), population("out", 2)],
        [first, dense("a", "out", out)],
        SPIKES,
        shape=(2, size, size),
    )


def test_a_convolution_shares_its_weights_inside_a_core():
    found = partition(convolution(), "loihi1")
    assert [dict(core.storage)["input -> a"] for core in found.cores] == ["shared"]
    own = partition(convolution(), with_limits(chip("loihi1"), shared_axon_slots=None, shared_places=None))
    assert [dict(core.storage)["input -> a"] for core in own.cores] == ["indexed"]
    assert found.cores[0].synapse_bits < own.cores[0].synapse_bits
    assert (found.cores[0].input_axons, own.cores[0].input_axons) == (49 + 150, 98 + 150)
    check_partition(found)
    check_partition(own)


def test_tiles_of_a_convolution_are_boxes_with_explicit_neurons():
    one_channel = with_limits(ROOMY, neurons=20, input_axons=300, output_axons=80, cores=100)
    found = partition(convolution(channels=2), one_channel)
    pieces = [piece for core in found.cores for piece in core.pieces if piece.index is not None]
    assert pieces
    assert all(not piece.neurons.flags.writeable for piece in pieces)
    check_partition(found)


def dense_to_the_brim():
    """16 neurons with 32 inputs: all neurons, all input axons and, at 64 bits an axon, all memory of a small core."""
    matrix = np.ones((16, 32), np.int64)
    matrix[::2] = -1
    return network_of([population("out", 16)], [dense("input", "out", matrix)], SPIKES, shape=(32,))


def fan_to_the_brim():
    """16 neurons with a synapse each to two populations: 32 output axons."""
    return network_of(
        [population("a", 16), population("b", 16), population("out", 16)],
        [Identity(source="input", target="a", size=16), Identity(source="a", target="b", size=16),
         Identity(source="a", target="out", size=16)],
        SPIKES,
        shape=(16,),
    )  # fmt: skip


def groups_to_the_brim():
    """Two pairs of decays, two thresholds, and three formats."""
    first = Identity(source="input", target="a", size=2)
    return network_of(
        [population("a", 2, dv=1), population("out", 2, vth=2)],
        [first, Identity(source="a", target="out", size=2, weight=-3), replace(first, target="out", weight=2)],
        SPIKES,
        shape=(2,),
    )


def test_a_network_that_fits_one_core_to_the_last_bit_neuron_and_axon():
    found = partition(dense_to_the_brim(), with_limits(cores=1))
    core = found.cores[0]
    assert (core.neurons, core.synapse_bits, core.input_axons) == (16, 2048, 32)
    assert found.core_count == found.lower_bound == found.first_fit == 1
    check_partition(found)


@pytest.mark.parametrize(
    ("network", "resource", "limit", "cores"),
    [
        (dense_to_the_brim(), "neurons", 16, 1),
        (dense_to_the_brim(), "synapse_bits", 2048, 1),
        (fan_to_the_brim(), "output_axons", 32, 1),
        (groups_to_the_brim(), "decay_groups", 2, 1),
        (groups_to_the_brim(), "threshold_groups", 2, 1),
        (groups_to_the_brim(), "synapse_formats", 3, 1),
    ],
)
def test_one_less_takes_another_core_or_is_refused(network, resource, limit, cores):
    room = {} if resource != "output_axons" else {"neurons": 48, "input_axons": 48, "index_widths": (0, 6)}
    held = partition(network, with_limits(cores=cores, **room))
    assert max(core.used()[resource] for core in held.cores) == limit
    less = room | {resource: limit - 1}
    assert partition(network, with_limits(**less)).core_count == cores + 1
    with pytest.raises(LimitError) as caught:
        partition(network, with_limits(cores=cores, **less))
    proved = "" if resource == "synapse_formats" else " or more"
    assert str(caught.value) == (
        f"network small does not fit tiny: network: {cores + 1} cores{proved}, limit {cores} "
        "(fewer neurons or synapses would help: `bitspike optimise --pass prune`; or 2 chips)"
    )


@pytest.mark.parametrize(
    ("network", "resource", "limit"),
    [(dense_to_the_brim(), "input_axons", 32), (dense_to_the_brim(), "synapse_bits", 512),
     (fan_to_the_brim(), "output_axons", 2), (groups_to_the_brim(), "synapse_formats", 2)],
)  # fmt: skip
def test_what_one_neuron_needs_alone_is_refused_by_name(network, resource, limit):
    assert partition(network, with_limits(cores=64, **{resource: limit})).core_count
    with pytest.raises(LimitError) as caught:
        partition(network, with_limits(cores=64, **{resource: limit - 1}))
    [broken] = caught.value.violations
    assert (broken.resource, broken.used, broken.limit) == (RESOURCES[resource], limit, limit - 1)
    assert broken.thing.startswith("population ")
    assert "one neuron" in broken.thing
    assert broken.help in str(caught.value)


def lone(weight=1, exponent=0, **neuron):
    """One neuron with one synapse."""
    c = Identity(source="input", target="out", size=1, weight=weight, exponent=exponent)
    return network_of([population("out", 1, **neuron)], [c], SPIKES, shape=(1,))


@pytest.mark.parametrize(
    ("fits", "too_much", "message"),
    [
        (lone(bias=1023), lone(bias=-1024), "1024 of bias mantissa, limit 1023"),
        (lone(bias=1, bias_exponent=6), lone(bias=1, bias_exponent=7), "7 of bias exponent, limit 6"),
        (lone(vth=7), lone(vth=8), "4 bits of threshold, limit 3"),
        (lone(weight=127), lone(weight=128), "15 bits of summed input, limit 14"),
        (lone(vth=1, dv=0, bias=60), lone(vth=1, dv=0, bias=70, bias_exponent=6), "bits of state, limit 12"),
    ],
)
def test_registers(fits, too_much, message):
    known = with_limits(threshold_bits=3, accumulator_bits=14, state_bits=12)
    if "state" not in message:
        known = replace(known, state_bits=None)
    if "summed" not in message:
        known = replace(known, accumulator_bits=None)
    assert partition(fits, known).core_count == 1
    with pytest.raises(LimitError, match=message) as caught:
        partition(too_much, known)
    assert [v.thing for v in caught.value.violations] == ["population out"]


@pytest.mark.parametrize(
    ("fits", "too_much", "message"),
    [
        (dense("input", "out", [[-128, 127]]), dense("input", "out", [[-129, 127]]), "9 bits for weights -129..127"),
        (dense("input", "out", [[255, 1]]), dense("input", "out", [[255, 1]], exponent=1), "for weights 2..510"),
    ],
)
def test_weights(fits, too_much, message):
    known = replace(with_limits(weight_exponents=(-7, 0)), accumulator_bits=None)
    network = network_of([population("out", 1)], [fits], SPIKES, shape=(2,))
    assert partition(network, known).core_count == 1
    with pytest.raises(LimitError, match=message):
        partition(replace(network, connections=(too_much,)), known)


def test_graded_spikes_need_a_payload():
    out = population("out", 1)
    network = network_of(
        [population("a", 1, spike="graded"), out],
        [Identity(source="input", target="a", size=1, weight=60), Identity(source="a", target="out", size=1)],
        SPIKES, shape=(1,),
    )  # fmt: skip
    assert partition(network, with_limits(payload_bits=6)).core_count == 1
    with pytest.raises(LimitError, match=r"population a: 6 bits of payload, limit 5 \(binary spikes, or a larger"):
        partition(network, with_limits(payload_bits=5))
    with pytest.raises(LimitError, match="population a: 6 bits of payload, limit 0"):
        partition(network, "loihi1")


def test_long_delays_go_over_relays():
    network = network_of(
        [population("a", 2), population("out", 2)],
        [Identity(source="input", target="a", size=2), Identity(source="a", target="out", size=2, delay=12)],
        SPIKES, shape=(2,),
    )  # fmt: skip
    found = partition(network, "tiny")
    assert [p.name for p in found.network.populations] == ["a", "a_relay1", "out"]
    assert max(c.delay for c in found.network.connections) == 7
    assert partition(network, "loihi1").network == retime(network)
    check_partition(found)


def test_every_violation_is_told_at_once():
    matrix = np.ones((3, 40), np.int64) * np.array([[-129], [127], [1]])
    network = network_of(
        [population("a", 3, bias=2000, vth=1 << 16), population("out", 1, bias_exponent=7)],
        [dense("input", "a", matrix), dense("a", "out", [[1, -1, 1]])],
        SPIKES, shape=(40,),
    )  # fmt: skip
    with pytest.raises(LimitError) as caught:
        partition(network, with_limits(threshold_bits=16, neurons=1, cores=3))
    told = [f"{v.thing}: {v.used} {v.resource}, limit {v.limit}" for v in caught.value.violations]
    assert told == [
        "population a: 2000 of bias mantissa, limit 1023",
        "population a: 17 bits of threshold, limit 16",
        "population a: 20 bits of summed input, limit 16",
        "population out: 7 of bias exponent, limit 6",
        "connection input -> a: 9 bits for weights -129..127, exactly, limit 8",
        "population a: one neuron: 40 input axons, limit 32",
        "network: 4 cores or more, limit 3",
    ]
    assert str(caught.value).count("; ") == 7
    assert str(caught.value).endswith("`bitspike optimise --pass prune`; or 2 chips)")
    again = caught.value.__reduce__()
    assert str(again[0](*again[1])) == str(caught.value)


def test_what_is_not_published_is_not_checked_and_said():
    network = chain((2000, 300, 4), bias=False)
    found = partition(network, "loihi2")
    assert found.unchecked() == (
        "input_axons", "output_axons", "decay_groups", "threshold_groups", "synapse_formats", "accumulator_bits",
    )  # fmt: skip
    assert "not published of loihi2, and not checked: input axons, output axons, decay groups" in str(found)
    assert any(line.startswith("assumed: ") and "index widths" in line for line in str(found).splitlines())
    bare = with_limits(**{name: None for name, f in TINY.figures().items() if name not in ("cores", "neurons")})
    few = partition(chain((30, 20, 4)), bare)
    assert [core.synapse_bits for core in few.cores] == [0, 0]


def test_the_table():
    network = chain((40, 30, 10))
    known = with_limits(ROOMY, threshold_groups=2, cores=16)
    found = partition(network, known)
    lines = str(found).splitlines()
    assert lines[0] == "chain on tiny: 3 cores of 16; lower bound 3 (by neurons); first-fit 3"
    assert lines[1].split()[:3] == ["core", "neurons", "synapse"]
    assert len(lines) == 1 + 1 + 3 + 2 + 1
    assert "100%" in lines[2]
    assert lines[5].split()[:3] == ["all", "40", "83%"]
    assert lines[5].endswith("pieces on 3 cores")
    assert lines[6].split() == ["limit", "16", "6,144", "96", "32", "2", "2", "3", "a", "core"]
    check_partition(found)


def test_a_partition_is_a_value():
    network = chain()
    assert partition(network, ROOMY) == partition(network, ROOMY)
    assert partition(network, ROOMY) != partition(chain(seed=1), ROOMY)
    with pytest.raises(ValueError, match="read-only"):
        partition(network, ROOMY).cores[0].pieces[0].neurons[0] = 1


def test_readouts_may_lie_on_several_cores():
    network = chain((6, 40), readout="membrane_sum")
    found = partition(network, with_limits(ROOMY, output_axons=64))
    assert found.core_count == 3
    assert network.readouts == (Readout(population="output", kind="membrane_sum"),)
    check_partition(found)

"""The integer network: a value, its rules, its text form."""

import dataclasses
from dataclasses import replace

import numpy as np
import pytest
from builders import chain

from bitspike.convert.network import Dense, Input, IntegerNetwork
from bitspike.convert.rules import check, find_faults
from bitspike.convert.weights import BinaryWeights, IntegerWeights, weights_of
from bitspike.errors import NetworkError, UsageError


def test_equality_is_by_content_and_edits_make_new_values():
    first, second = chain(seed=3), chain(seed=3)
    assert first == second
    assert hash(first) == hash(second)
    assert first.digest() == second.digest()
    other = replace(first, steps=first.steps + 1)
    assert other != first
    assert first.steps == 10
    with pytest.raises(dataclasses.FrozenInstanceError):
        first.steps = 3


def test_one_changed_weight_bit_or_bias_makes_another_network():
    network = chain()
    connection = network.connections[0]
    matrix = connection.weights.matrix()
    matrix[2, 3] *= -1
    flipped = replace(connection, weights=weights_of(matrix))
    assert replace(network, connections=(flipped, *network.connections[1:])) != network
    population = network.populations[1]
    mantissa = population.bias_mantissa.copy()
    mantissa[0] += 1
    changed = replace(population, bias_mantissa=mantissa)
    assert (
        network.with_populations((network.populations[0], changed, network.populations[2])).digest() != network.digest()
    )


def test_arrays_are_copies_that_cannot_be_written():
    mantissa = np.zeros(3, np.int32)
    population = replace(chain().populations[0], shape=(3,), bias_mantissa=mantissa)
    mantissa[0] = 5
    assert population.bias_mantissa[0] == 0
    with pytest.raises(ValueError, match="read-only"):
        population.bias_mantissa[0] = 1


def test_text_form_has_one_line_a_node():
    """Text in, text out: the digests pin the weights and biases of this seed too."""
    assert str(chain((3, 2, 2), steps=7)).splitlines() == [
        "network chain steps=7 collapse=map",
        "input   input shape=3",
        "dense   input -> hidden1 2x3 bits=1 values={-1,+1} exponent=0 delay=0 #d17b2b1a",
        "lif     hidden1 shape=2 du=4096 dv=300 vth=2 reset=zero start=0 bias=1..2<<6 #7b2ed675",
        "dense   hidden1 -> output 2x2 bits=1 values={-1,+1} exponent=0 delay=0 #c4e3e28c",
        "lif     output shape=2 du=4096 dv=300 vth=131071 reset=zero start=0 bias=-2..2<<6 #5a1c496c",
        "readout output membrane_sum",
    ]


def test_every_fault_is_reported_at_once():
    network = chain((3, 2, 2))
    hidden, output = network.populations
    broken = replace(
        network,
        steps=0,
        populations=(
            replace(hidden, dv=5000, vth=-1, bias_exponent=9, start=-1),
            replace(output, name="out put", shape=(0,), reset="never"),
        ),
    )
    with pytest.raises(NetworkError) as caught:
        check(broken)
    text = str(caught.value)
    for part in (
        "steps 0; expected 1..",
        "hidden1: dv 5000; expected 0..4096",
        "hidden1: vth -1; expected 0..131071",
        "hidden1: bias exponent 9; expected 0..7",
        "hidden1: start -1; expected 0..1048576",
        "name 'out put': expected letters",
        "shape (0,); expected positive extents",
        "reset 'never'; expected zero or subtract",
        "connection hidden1 -> output: no population 'output'",
        "readout: no population 'output'",
    ):
        assert part in text
    assert len(caught.value.faults) >= 10


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"source": "output", "target": "hidden1"},
            "delay 0, and hidden1 is computed before output; expected feed-forward order, or a delay",
        ),
        ({"source": "hidden1", "target": "input"}, "the input cannot be a target"),
        ({"exponent": 8}, "exponent 8; expected 0..7"),
        ({"delay": 63}, "delay 63; expected 0..62"),
        ({"weights": weights_of(np.ones((1, 2), int))}, "weights of shape (1, 2); expected (2, 2) (targets, sources)"),
    ],
)
def test_each_rule_of_a_connection(change, message):
    network = chain((3, 2, 2))
    changed = replace(network.connections[1], **change)
    assert any(
        message in fault for fault in find_faults(replace(network, connections=(network.connections[0], changed)))
    )


def test_hostile_sizes_and_labels_are_faults_and_not_crashes():
    network = chain((3, 2, 2))
    hidden, output = network.populations
    huge = network.with_populations((replace(hidden, shape=(1 << 70,)), replace(output, start=10**12)))
    faults = "; ".join(find_faults(replace(huge, collapse="map\nnetwork")))
    assert "expected positive extents and at most 16777216 neurons" in faults
    assert "start 1000000000000; expected 0..1048576" in faults
    assert "collapse label 'map\\nnetwork'" in faults


def test_names_twice_connections_twice_and_spiking_readouts_are_faults():
    network = chain((3, 2, 2))
    hidden, output = network.populations
    doubled = replace(network, inputs=(Input(name="hidden1", shape=(3,)),))
    assert any("'hidden1' is used 2 times" in fault for fault in find_faults(doubled))
    twice = replace(network, connections=(*network.connections, network.connections[1]))
    assert any("2 of delay 0; expected one" in fault for fault in find_faults(twice))
    spiking = network.with_populations((hidden, replace(output, vth=5)))
    assert any("output has vth 5; expected 131071" in fault for fault in find_faults(spiking))
    wide = network.with_populations((replace(hidden, bias_mantissa=np.array([5000, 0])), output))
    assert any("bias mantissa 0..5000; expected -4096..4095" in fault for fault in find_faults(wide))


@pytest.mark.parametrize("columns", [1, 63, 64, 65, 200])
@pytest.mark.parametrize("low", [-1, 0])
def test_bits_pack_and_unpack(columns, low):
    matrix = np.random.default_rng(columns).choice([low, 1], (5, columns))
    packed = BinaryWeights.pack(matrix, low=low)
    assert packed.words.shape == (5, -(-columns // 64))
    assert packed.shape == (5, columns)
    assert np.array_equal(packed.matrix(), matrix)
    assert BinaryWeights(words=packed.words, columns=columns, low=low) == packed


def test_bit_k_of_word_j_is_the_synapse_from_neuron_64_j_plus_k():
    matrix = np.full((1, 70), -1)
    matrix[0, [1, 66]] = 1
    assert BinaryWeights.pack(matrix).words.tolist() == [[2, 4]]


def test_numbers_become_plain_integers_or_are_refused():
    population = chain().populations[0]
    assert type(replace(population, dv=np.int64(7)).dv) is int
    assert replace(population, shape=[np.int32(9)]).shape == (9,)
    with pytest.raises(UsageError, match=r"population hidden1: dv 0\.5; expected an integer"):
        replace(population, dv=0.5)
    with pytest.raises(UsageError, match=r"population hidden1: shape 9; expected integers"):
        replace(population, shape=9)
    with pytest.raises(UsageError, match=r"network chain: steps '3'; expected an integer"):
        replace(chain(), steps="3")
    with pytest.raises(UsageError, match=r"connection input -> hidden1: delay None; expected an integer"):
        replace(chain().connections[0], delay=None)


def test_weights_that_cannot_be_are_refused():
    with pytest.raises(UsageError, match="expected one bit a weight"):
        BinaryWeights.pack([[0, 2]])
    with pytest.raises(UsageError, match="bits beyond column 3"):
        BinaryWeights(words=np.array([[8]], np.uint64), columns=3)
    with pytest.raises(UsageError, match=r"weights in -257\.\.0; expected -256\.\.255"):
        IntegerWeights(values=np.array([[-257, 0]]))
    with pytest.raises(UsageError, match="float64; expected integers"):
        IntegerWeights(values=np.array([[0.5]]))


def test_the_densest_form_is_chosen():
    assert isinstance(weights_of([[-1, 1]]), BinaryWeights)
    assert weights_of([[0, 1]]).low == 0
    assert weights_of([[0, -3]]).bits == 2
    assert isinstance(weights_of(np.zeros((0, 3), int)), IntegerWeights)


def test_parts_are_found_by_name():
    network = chain()
    assert network.population("hidden2").size == 7
    assert [c.name for c in network.incoming("hidden2")] == ["hidden1 -> hidden2"]
    assert [c.name for c in network.outgoing("hidden2")] == ["hidden2 -> output"]
    with pytest.raises(UsageError, match="no population 'hidden9'; there are hidden1, hidden2, output"):
        network.population("hidden9")
    assert isinstance(network, IntegerNetwork)
    assert isinstance(network.connections[0], Dense)

"""Quantising: what is on the lattice stays there, what is not moves little and is counted, the rest is told."""

import json
from itertools import pairwise

import numpy as np
import pytest

import bitspike
from bitspike.convert.floating.network import Edge, FloatNetwork
from bitspike.convert.floating.nodes import Affine, Convolution, FloatInput, Neurons
from bitspike.convert.ranges import check_range
from bitspike.errors import RangeError, UnsupportedError, UsageError
from bitspike.samples import SpikeData
from bitspike.sim.floating import simulate_float
from bitspike.sim.quantise import quantise
from bitspike.sim.reference import run_reference
from bitspike.sim.whole_window import run_window

STEPS = 12


def network(rng, *, sizes=(10, 16, 5), quantum=0.0, recurrent=False, **settings):
    """Affine maps and populations one after the other; weights normal, or multiples of `quantum`."""

    def weights(*shape):
        drawn = rng.normal(0, 0.6, shape)
        return np.rint(drawn / quantum) * quantum if quantum else drawn

    nodes, edges = [FloatInput(name="input", extents=sizes[:1])], []
    source = "input"
    for number, (before, size) in enumerate(pairwise(sizes)):
        name = f"n{number}"
        nodes.append(
            Affine(
                name=f"w{number}", weight=weights(size, before), bias=weights(size) if quantum else 0.1 * weights(size)
            )
        )
        edges += [Edge(source=source, target=f"w{number}"), Edge(source=f"w{number}", target=name)]
        if recurrent:
            nodes.append(Affine(name=f"r{number}", weight=0.5 * weights(size, size)))
            edges += [Edge(source=name, target=f"r{number}", delay=1), Edge(source=f"r{number}", target=name)]
        nodes.append(Neurons(name=name, extents=(size,), **({"beta": 0.9} | settings)))
        source = name
    return FloatNetwork(name="drawn", nodes=tuple(nodes), edges=tuple(edges), outputs=(source,))


def spikes(samples=80, neurons=10, seed=5):
    return (np.random.default_rng(seed).random((samples, STEPS, neurons)) < 0.4).astype(np.uint8)


@pytest.mark.parametrize("recurrent", [False, True])
@pytest.mark.parametrize(
    "settings",
    [
        {"reset": "value"},
        {"reset": "subtract", "reset_late": True},
        {"alpha": 0.7, "reset": "subtract", "reset_late": True},
    ],
)
def test_the_report_counts_what_both_networks_do(settings, recurrent):
    source = network(np.random.default_rng(2), recurrent=recurrent, **settings)
    data = spikes()
    labels = np.arange(80) % 5
    result = quantise(source, data, labels=labels)
    assert not result.notes
    assert [part.samples for part in result.parts] == [60, 20]
    record = simulate_float(source, data, record="all", dtype="float32")
    found = run_reference(result.network, data)
    for part, rows in zip(result.parts, (slice(0, 60), slice(60, 80)), strict=True):
        for move in part.spikes:
            before, after = record.traces[move.population].spikes[rows], found.traces[move.population].spikes[rows]
            assert (move.before, move.after) == (before.sum(), after.sum())
            assert move.differing == np.count_nonzero(before != after)
            assert move.places == before.size
            assert move.differing < 0.15 * move.before
        assert part.right_before == np.sum(record.predictions()[rows] == labels[rows])
        assert part.right_after == np.sum(found.predictions(result.network)[rows] == labels[rows])
    check_range(result.network)


def test_weights_of_few_values_do_not_move():
    source = network(np.random.default_rng(3), quantum=0.25, beta=1.0, reset="value")
    result = quantise(source, spikes())
    assert max(move.most for move in result.connections) < 1e-6
    assert result.tried < 10


def test_eight_bits_move_less_than_three():
    source = network(np.random.default_rng(4), sizes=(10, 32, 5), reset="value")
    wide, narrow = (quantise(source, spikes(), bits=bits) for bits in (8, 3))
    assert max(move.bits for move in narrow.connections) <= 3
    assert sum(m.differing for m in wide.parts[0].spikes) < sum(m.differing for m in narrow.parts[0].spikes)


def test_a_readout_without_a_threshold_is_read_by_its_membrane():
    nodes = network(np.random.default_rng(6)).nodes
    last = Neurons(name="n1", extents=(5,), beta=0.9, spiking=False, reset="none")
    source = FloatNetwork(
        name="m", nodes=(*nodes[:-1], last), edges=network(np.random.default_rng(6)).edges, outputs=("n1",)
    )
    for readout in ("membrane_sum", "membrane_last"):
        result = quantise(source, spikes(), readout=readout)
        assert result.network.readout.kind == readout
        assert result.part("calibration").agreeing >= 57
        assert [move.population for move in result.parts[0].spikes] == ["n0"]


def test_a_membrane_that_could_leave_its_register_gets_a_smaller_scale():
    source = network(np.random.default_rng(7), sizes=(400, 300), beta=1.0, reset="subtract")
    result = quantise(source, spikes(8, 400))
    check_range(result.network)
    assert result.populations[0].vth < 255 / np.abs(source.nodes[1].weight).max()


def test_no_scale_at_all_is_told():
    source = network(np.random.default_rng(7), sizes=(4, 3), beta=1.0, reset="subtract")
    nodes = tuple(Neurons(name="n0", extents=(3,), beta=1.0, drift=1e9) if n.name == "n0" else n for n in source.nodes)
    with pytest.raises(RangeError, match="n0: a bias of"):
        quantise(FloatNetwork(name="far", nodes=nodes, edges=source.edges, outputs=("n0",)), spikes(8, 4))


def test_prints_and_json():
    result = quantise(
        network(np.random.default_rng(2), reset="subtract", residual_held=True), spikes(), labels=np.zeros(80, int)
    )
    text = str(result)
    for words in (
        "input -> n0",
        "differ",
        "held out: 20 samples x 12 steps",
        "accuracy",
        "approximated: n0: a membrane",
    ):
        assert words in text
    data = json.loads(json.dumps(result.as_json()))
    assert data["digest"] == result.network.digest()
    assert data["parts"][0]["accuracy_before"] == result.parts[0].right_before / 60
    assert str(bitspike.quantise) == str(quantise)
    with pytest.raises(UnsupportedError, match="strict"):
        quantise(result.source, spikes(), strict=True)


def test_held_out_samples_are_not_searched_on():
    source = network(np.random.default_rng(2))
    data = SpikeData(name="some", spikes=spikes(), labels=np.arange(80) % 5)
    result = quantise(source, data, held_out=spikes(30, seed=9), held_out_labels=np.zeros(30))
    assert [part.samples for part in result.parts] == [80, 30]
    again = quantise(source, data, held_out=spikes(30, seed=10))
    assert again.network == result.network
    assert again.part("held out").accuracy_after is None
    assert result.part("calibration").accuracy_before is not None


def test_mistakes_are_told():
    source = network(np.random.default_rng(2))
    for arguments, line in (
        ({"calibration": spikes(neurons=9)}, r"calibration of shape \(80, 12, 9\); expected \(samples, steps, 10\)"),
        ({"calibration": spikes() * 2}, "numbers other than 0 and 1"),
        ({"calibration": spikes()[:0]}, "calibration of shape"),
        ({"calibration": spikes(), "bits": 9}, "bits 9"),
        ({"calibration": spikes(), "labels": [1, 2]}, "labels of shape"),
        ({"calibration": spikes(), "held_out": spikes(neurons=3)}, "held_out of shape"),
    ):
        with pytest.raises(UsageError, match=line):
            quantise(source, **arguments)


@pytest.mark.parametrize("backward", [False, True])
def test_the_engine_of_the_search_is_the_reference_engine(backward):
    rng = np.random.default_rng(11)
    nodes = (
        FloatInput(name="input", extents=(2, 5, 5)),
        Convolution(name="c", source_shape=(2, 5, 5), weight=rng.normal(0, 0.5, (3, 2, 3, 3)), stride=(2, 2)),
        Neurons(name="n0", extents=(3, 2, 2), beta=0.9, reset="subtract", reset_late=True),
        Affine(name="w", weight=rng.normal(0, 1, (4, 12)), bias=rng.normal(0, 1, 4)),
        Neurons(name="n1", extents=(4,), alpha=0.5, beta=0.8),
        Affine(name="back", weight=rng.normal(0, 1, (12, 4))),
    )
    pairs = [("input", "c", 0), ("c", "n0", 0), ("n0", "w", 0), ("w", "n1", 0)]
    if backward:
        pairs += [("n1", "back", 0), ("back", "n0", 1)]
    edges = tuple(Edge(source=a, target=b, delay=d) for a, b, d in pairs)
    source = FloatNetwork(name="images", nodes=nodes, edges=edges, outputs=("n1",))
    data = spikes(24, 50)
    result = quantise(source, data)
    fired, _ = run_window(result.network, data)
    found = run_reference(result.network, data)
    assert all(np.array_equal(fired[name], trace.spikes) for name, trace in found.traces.items())
    assert sum(int(fired[name].sum()) for name in found.traces) > 100


def test_several_inputs_and_several_outputs():
    rng = np.random.default_rng(8)
    nodes = [FloatInput(name="left", extents=(4,)), FloatInput(name="right", extents=(2, 3))]
    edges = []
    for number, (source, size) in enumerate((("left", 4), ("right", 6))):
        nodes += [
            Affine(name=f"w{number}", weight=rng.normal(0, 1, (3, size))),
            Neurons(name=f"n{number}", extents=(3,), beta=0.9),
        ]
        edges += [Edge(source=source, target=f"w{number}"), Edge(source=f"w{number}", target=f"n{number}")]
    source = FloatNetwork(name="two", nodes=tuple(nodes), edges=tuple(edges), outputs=("n0", "n1"))
    data = spikes(40)
    result = quantise(source, data)
    assert [entry.shape for entry in result.network.inputs] == [(4,), (2, 3)]
    assert list(result.network.answers()) == ["n0", "n1"]
    record = simulate_float(source, {"left": data[..., :4], "right": data[..., 4:]}, record="all", dtype="float32")
    found = run_reference(result.network, data)
    total = sum(int(np.count_nonzero(record.traces[n].spikes != found.traces[n].spikes)) for n in ("n0", "n1"))
    assert total == sum(move.differing for part in result.parts for move in part.spikes)
    assert total < 0.1 * sum(int(record.traces[n].spikes.sum()) for n in ("n0", "n1"))

"""Cells: networks whose numbers are on the lattice already come through it with every spike."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from bitspike.convert.floating.cells import CONSTANT, closed
from bitspike.convert.floating.lattice import lattice
from bitspike.convert.floating.maps import Diagonal, Window
from bitspike.convert.floating.names import named
from bitspike.convert.floating.network import Edge, FloatNetwork
from bitspike.convert.floating.nodes import Affine, Convolution, Delay, FloatInput, Neurons, Pool, Reshape, Scale
from bitspike.convert.floating.rounding import Choice, fitted, round_cell
from bitspike.convert.floating.split import split
from bitspike.convert.network import Identity, Input, IntegerNetwork, Readout
from bitspike.convert.rules import check
from bitspike.errors import UnsupportedError
from bitspike.sim.floating import simulate_float
from bitspike.sim.reference import run_reference

#: Halves stay whole numbers of 1/64 for so many steps.
STEPS = 6


def quarters(rng, *shape):
    return rng.integers(-3, 4, shape) / 4


def two_layers(seed=0, *, recurrent=False, bias=True, **settings):
    """Six inputs and two populations of eight, with weights and biases that are multiples of 1/4."""
    rng = np.random.default_rng(seed)
    settings = {"beta": 0.5, "threshold": 0.75} | settings
    nodes = [FloatInput(name="input", extents=(6,))]
    edges = []
    for number, (source, size) in enumerate((("input", 6), ("n0", 8))):
        nodes.append(Affine(name=f"w{number}", weight=quarters(rng, 8, size), bias=quarters(rng, 8) if bias else 0.0))
        nodes.append(Neurons(name=f"n{number}", extents=(8,), **settings))
        edges += [Edge(source=source, target=f"w{number}"), Edge(source=f"w{number}", target=f"n{number}")]
        if recurrent:
            nodes.insert(-1, Affine(name=f"r{number}", weight=quarters(rng, 8, 8)))
            edges += [
                Edge(source=f"n{number}", target=f"r{number}", delay=1),
                Edge(source=f"r{number}", target=f"n{number}"),
            ]
    return FloatNetwork(name="two", nodes=tuple(nodes), edges=tuple(edges), outputs=("n1",))


def integers(plan, scale=12):
    """The integer network with one scale everywhere."""
    plan = fitted(plan)
    built = [round_cell(cell, Choice(scale=scale if cell.origin else 1)) for cell in plan.cells]
    assert all(move.most < 1e-12 for one in built for move in one.moves)
    return check(
        IntegerNetwork(
            name=plan.name,
            steps=STEPS,
            inputs=tuple(Input(name=entry.name, shape=entry.shape) for entry in plan.inputs),
            populations=tuple(one.population for one in built),
            connections=tuple(c for one in built for c in one.connections),
            readouts=(Readout(population=plan.outputs[0], kind="spike_count"),),
        )
    )


def assert_same_spikes(network, plan, scale=12, samples=40):
    size = sum(entry.size for entry in network.inputs)
    spikes = (np.random.default_rng(1).random((samples, STEPS, size)) < 0.5).astype(np.uint8)
    record = simulate_float(network, spikes, record="all")
    found = run_reference(integers(plan, scale), spikes)
    total = 0
    for cell in plan.cells:
        if cell.origin:
            expected = record.traces[cell.origin].spikes[:, :, cell.neurons]
            assert np.array_equal(found.traces[cell.name].spikes, expected), cell.name
            total += int(expected.sum())
    assert total > 50


EXACT = [
    {"reset": reset, "reset_late": late}
    for reset, late in (("value", False), ("value", True), ("subtract", False), ("subtract", True), ("none", False))
]


@pytest.mark.parametrize(
    ("convention", "alpha", "recurrent"), list(itertools.product(EXACT, (0.0, 0.5), (False, True)))
)
def test_conventions_are_exact_with_and_without_current(convention, alpha, recurrent):
    network = two_layers(alpha=alpha, recurrent=recurrent, **convention)
    plan = lattice(network, strict=True)
    assert not plan.notes
    assert_same_spikes(network, plan)


@pytest.mark.parametrize("late_current", [False, True])
def test_gains_thresholds_and_drifts_of_each_neuron_are_folded(late_current):
    network = two_layers(
        alpha=0.5, threshold=np.array([0.5, 1.0, 0.25, 0.5] * 2), gain=np.array([1.0, 2.0] * 4), input_gain=0.5,
        drift=0.25, reset="subtract", late_current=late_current, bias=not late_current,
    )  # fmt: skip
    assert_same_spikes(network, lattice(network, strict=True), scale=16)


def test_a_reset_value_where_the_membrane_rests_is_exact():
    network = two_layers(reset_value=0.5, drift=0.25, threshold=1.25, at_rest=True)
    assert_same_spikes(network, lattice(network, strict=True))
    with pytest.raises(UnsupportedError, match="begins where it resets to"):
        lattice(two_layers(reset_value=0.5, threshold=1.25), strict=True)


def test_a_bias_of_a_current_comes_from_a_population_that_fires_in_every_step():
    plan = lattice(two_layers(alpha=0.5), strict=True)
    assert plan.cells[0].name == CONSTANT
    assert {link.source for link in plan.cells[1].links} == {"input", CONSTANT}
    assert lattice(two_layers(alpha=0.5, bias=False)).cells[0].name == "n0"


NEARLY = {
    "swallowed": {"reset_late": True, "reset_swallows": True},
    "held back": {"reset": "subtract", "residual_held": True},
    "only above": {"strict": False},
    "at rest": {"reset": "subtract", "at_rest": True, "drift": 0.25},
    "a step late": {"reset_late": True, "reset_value": 0.25, "at_rest": True, "drift": 0.125},
}


@pytest.mark.parametrize("words", NEARLY)
def test_what_is_only_nearly_so_is_noted_or_refused(words):
    network = two_layers(**NEARLY[words])
    assert words in lattice(network).notes[0]
    with pytest.raises(UnsupportedError, match=words):
        lattice(network, strict=True)


def test_neurons_with_different_decays_are_split_and_relayed():
    beta = np.array([0.5, 0.0, 0.5, 1.0, 0.5, 0.0, 1.0, 0.5])
    network = two_layers(beta=beta, recurrent=True, reset="subtract", reset_late=True)
    plan = split(lattice(network, strict=True))
    assert [cell.name for cell in plan.cells] == ["n0_0", "n0_1", "n0_2", "n1_0", "n1_1", "n1_2", "n1"]
    assert_same_spikes(network, plan)
    spikes = (np.random.default_rng(1).random((20, STEPS, 6)) < 0.5).astype(np.uint8)
    relayed = run_reference(integers(plan), spikes).traces["n1"].spikes
    assert np.array_equal(relayed, simulate_float(network, spikes).output)
    assert split(lattice(two_layers())).cells[0].name == "n0"


def test_more_pairs_of_decays_than_populations_are_put_together():
    network = two_layers(beta=np.linspace(0.5, 0.85, 8))
    plan = split(lattice(network), most=4)
    assert [cell.size for cell in plan.cells if cell.origin == "n0"] == [2, 2, 2, 2]
    first = next(cell for cell in plan.cells if cell.name == "n0_0")
    assert first.dv == round(4096 * (1 - np.mean(first.beta)))
    assert plan.notes == tuple(f"n{k}: 8 different pairs of decays are put together in 4 populations" for k in (0, 1))
    with pytest.raises(UnsupportedError, match="8 different pairs of decays"):
        split(lattice(network), most=4, strict=True)


def images(*, shortcut=True):
    """A convolution, a pool before a convolution beside a shortcut, and a matrix behind a delay."""
    rng = np.random.default_rng(3)
    nodes = (
        FloatInput(name="input", extents=(2, 6, 6)),
        Convolution(name="c0", source_shape=(2, 6, 6), weight=quarters(rng, 4, 2, 3, 3), padding=(1, 1)),
        Neurons(name="n0", extents=(4, 6, 6), beta=0.5, threshold=0.75, reset="subtract", reset_late=True),
        Pool(name="p0", source_shape=(4, 6, 6), window=(2, 2), stride=(2, 2)),
        Convolution(name="c1", source_shape=(4, 3, 3), weight=quarters(rng, 4, 4, 3, 3), padding=(1, 1)),
        Scale(name="s", extents=(4, 3, 3), factor=0.5),
        Neurons(name="n1", extents=(4, 3, 3), beta=0.5, threshold=0.75),
        Reshape(name="flat", extents=(36,)),
        Delay(name="d", extents=(36,), steps=2),
        Affine(name="w", weight=quarters(rng, 5, 36)),
        Neurons(name="n2", extents=(5,), beta=1.0, threshold=0.75),
    )
    pairs = [
        ("input", "c0"),
        ("c0", "n0"),
        ("n0", "p0"),
        ("p0", "c1"),
        ("c1", "n1"),
        ("n1", "flat"),
        ("flat", "d"),
        ("d", "w"),
        ("w", "n2"),
    ]
    pairs += [("p0", "s"), ("s", "n1")] if shortcut else []
    if not shortcut:
        nodes = tuple(node for node in nodes if node.name != "s")
    return FloatNetwork(
        name="images", nodes=nodes, edges=tuple(Edge(source=a, target=b) for a, b in pairs), outputs=("n2",)
    )


def test_pools_shortcuts_and_delays_become_single_connections():
    network = images(shortcut=False)
    plan = lattice(network, strict=True)
    first, own, second, last = (link for cell in plan.cells for link in closed(cell).links)
    assert isinstance(first.map, Window)
    assert isinstance(own.map, Diagonal)
    assert isinstance(second.map, Window)
    assert (second.map.stride, second.map.padding, second.map.kernel) == ((2, 2), (2, 2), (6, 6))
    assert last.delay == 2
    assert_same_spikes(network, plan)
    assert_same_spikes(images(), lattice(images(), strict=True))
    found = integers(plan)
    assert {type(c).__name__ for c in found.connections} == {"Conv2d", "Identity", "Dense"}
    assert next(c for c in found.connections if isinstance(c, Identity)).weight == -6


def test_flat_populations_take_the_shape_of_their_convolution():
    network = images(shortcut=False)
    flat = replace(
        network, nodes=tuple(replace(n, extents=(n.size,)) if isinstance(n, Neurons) else n for n in network.nodes)
    )
    plan = fitted(lattice(flat, strict=True))
    assert [cell.shape for cell in plan.cells] == [(4, 6, 6), (4, 3, 3), (5,)]
    assert_same_spikes(flat, plan)


def test_loops_without_neurons_membranes_and_thresholds_of_nothing_are_refused():
    network = two_layers()
    looped = replace(network, edges=(*network.edges, Edge(source="w1", target="w1", delay=1)))
    with pytest.raises(UnsupportedError, match="w1: part of a loop"):
        lattice(looped)
    quiet = [replace(n, spiking=False) if n.name == "n0" else n for n in network.nodes]
    with pytest.raises(UnsupportedError, match="n0: its membrane enters"):
        lattice(replace(network, nodes=tuple(quiet)))
    with pytest.raises(UnsupportedError, match="a threshold of 0"):
        lattice(two_layers(threshold=0.0))
    with pytest.raises(UnsupportedError, match="output w1: a affine; expected neurons"):
        lattice(replace(network, outputs=("w1",)))


def test_names_that_a_network_may_not_have_are_changed_or_refused():
    network = two_layers()
    nodes = tuple(replace(node, name=node.name.replace("n", "1.")) for node in network.nodes)
    edges = tuple(Edge(source=e.source.replace("n", "1."), target=e.target.replace("n", "1.")) for e in network.edges)
    odd = FloatNetwork(name="odd", nodes=nodes, edges=edges, outputs=("1.1",))
    plan = named(lattice(odd))
    assert [cell.name for cell in plan.cells] == ["n_1_0", "n_1_1"]
    check(integers(plan))
    assert named(lattice(network)) is not None
    clash = tuple(replace(node, name={"1.0": "a.b", "1.1": "a_b"}.get(node.name, node.name)) for node in nodes)
    renamed = {"1.0": "a.b", "1.1": "a_b"}
    moved = tuple(Edge(source=renamed.get(e.source, e.source), target=renamed.get(e.target, e.target)) for e in edges)
    with pytest.raises(UnsupportedError, match="the same when only letters"):
        named(lattice(FloatNetwork(name="clash", nodes=clash, edges=moved, outputs=("a_b",))))

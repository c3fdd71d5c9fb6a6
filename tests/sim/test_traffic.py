"""Messages and hops against an independent slow count: loops over spikes, targets and cores."""

import numpy as np
import pytest
from assigned import Scattered
from builders import chain, spikes_for
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import networks, spatial_networks

from bitspike.sim.reference import run_reference
from bitspike.sim.traffic import arrivals, hops, routes, traffic
from bitspike.targets.mesh import Mesh
from bitspike.targets.placement import place
from bitspike.targets.reach import fan_out_by_core, synapses_by_core


def destinations(assigned, name, neuron):
    """The cores that a spike is sent to, once for each connection with a target there."""
    found = set()
    for number, c in enumerate(assigned.network.outgoing(name)):
        for target in range(c.shape[0]):
            sources, weights = c.inputs_of(target)
            if any(w or c.kind != "dense" for s, w in zip(sources, weights, strict=True) if s == neuron):
                found.add((number, int(assigned.core_of(c.target)[target])))
    return [core for _, core in found]


def slow_messages(assigned, record):
    """By sample: messages by (core, core), and by core those from outside (core -1)."""
    network = assigned.network
    populations = {p.name for p in network.populations}
    to = {(n.name, i): destinations(assigned, n.name, i) for n in network.nodes() for i in range(n.size)}
    found = []
    for sample in range(record.samples):
        counts = {}
        for node in network.nodes():
            for step in range(record.steps):
                for neuron in range(node.size):
                    if record.spikes_of(network, node.name)[sample, step, neuron]:
                        begin = int(assigned.core_of(node.name)[neuron]) if node.name in populations else -1
                        for end in to[node.name, neuron]:
                            counts[begin, end] = counts.get((begin, end), 0) + 1
        found.append(counts)
    return found


def compare(network, *, cores, seed):
    """Every figure of the traffic of a random run against the slow count."""
    assigned = Scattered(network=network, core_count=cores, seed=seed)
    spikes = spikes_for(network, samples=2, seed=seed)
    record = run_reference(network, spikes)
    found = traffic(assigned, [record])
    slow = slow_messages(assigned, record)
    mesh = Mesh(rows=2, columns=3, cores_per_tile=2)
    placement = place(found.between(), mesh, starts=1)
    travelled = hops(found, placement)
    for sample, counts in enumerate(slow):
        assert found.messages()[sample] == sum(n for (begin, _), n in counts.items() if begin >= 0)
        assert found.entering()[sample] == sum(n for (begin, _), n in counts.items() if begin < 0)
        across = down = within = 0
        for (begin, end), n in counts.items():
            if begin >= 0:
                (row, column), (to_row, to_column) = (
                    divmod(int(placement.places[core]) // 2, 3) for core in (begin, end)
                )
                across, down = across + n * abs(column - to_column), down + n * abs(row - to_row)
                within += n * ((row, column) == (to_row, to_column))
        assert (travelled.east_west[sample], travelled.north_south[sample]) == (across, down)
        assert travelled.within_tile[sample] == within
    for begin in range(cores):
        for end in range(cores):
            assert found.between()[begin, end] == sum(counts.get((begin, end), 0) for counts in slow)
    assert found.into().tolist() == [sum(counts.get((-1, end), 0) for counts in slow) for end in range(cores)]
    assert travelled.spike_hops.sum() == placement.spike_hops.placed
    compare_arrivals(found, placement, slow)
    in_two = traffic(assigned, [run_reference(network, spikes[:1]), run_reference(network, spikes[1:])])
    assert np.array_equal(in_two.spikes, found.spikes)


def compare_arrivals(found, placement, slow):
    """Messages by destination core and their hops, against the same slow count."""
    spots = [divmod(int(place) // 2, 3) for place in placement.places]
    for end, one in enumerate(arrivals(found, placement)):
        assert one.core == str(end)
        for sample, counts in enumerate(slow):
            to = {begin: n for (begin, there), n in counts.items() if there == end}
            assert one.entering[sample] == to.pop(-1, 0)
            assert one.messages[sample] == sum(to.values())
            down, across = (
                sum(n * abs(spots[begin][axis] - spots[end][axis]) for begin, n in to.items()) for axis in (0, 1)
            )
            assert (one.east_west[sample], one.north_south[sample]) == (across, down)


@pytest.mark.parametrize("seed", range(3))
def test_messages_of_a_chain_equal_the_slow_count(seed):
    compare(chain((7, 6, 5, 3), seed=seed, vth=1), cores=4, seed=seed)


@settings(max_examples=20, deadline=None)
@given(network=networks(graded=True, inputs=(1, 2)), cores=st.integers(1, 5), seed=st.integers(0, 99))
def test_messages_of_random_networks_equal_the_slow_count(network, cores, seed):
    compare(network, cores=cores, seed=seed)


@settings(max_examples=20, deadline=None)
@given(network=spatial_networks(steps=(1, 4)), cores=st.integers(1, 5), seed=st.integers(0, 99))
def test_messages_of_convolutions_and_loops_equal_the_slow_count(network, cores, seed):
    compare(network, cores=cores, seed=seed)


@settings(max_examples=30, deadline=None)
@given(network=spatial_networks(), cores=st.integers(1, 4), seed=st.integers(0, 99))
def test_synapses_by_core_equal_those_of_every_target(network, cores, seed):
    assigned = Scattered(network=network, core_count=cores, seed=seed)
    total = {node.name: np.zeros((node.size, cores), np.int64) for node in network.nodes()}
    for c in network.connections:
        core_of = assigned.core_of(c.target)
        expected = np.zeros((c.shape[1], cores), np.int64)
        for target in range(c.shape[0]):
            for source in c.inputs_of(target)[0]:
                expected[source, core_of[target]] += 1
        assert np.array_equal(expected.sum(axis=1), c.fan_out())
        if c.kind == "dense":
            for source, core in np.ndindex(*expected.shape):
                expected[source, core] *= np.any(c.effective()[core_of == core, source])
        assert np.array_equal(synapses_by_core(c, core_of, cores), expected)
        total[c.source] += expected
    found = fan_out_by_core(assigned)
    assert all(np.array_equal(found[name].synapses, total[name]) for name in total)


def test_neurons_with_the_same_cores_share_a_route():
    network = chain((7, 6, 5, 3))
    assigned = Scattered(network=network, core_count=1)
    found = routes(assigned)
    assert found.sources.tolist() == [-1, 0, 0]
    assert found.axons.tolist() == [[1], [0], [1]]
    assert set(found.route_of["output"].tolist()) == {1}


def test_hops_say_what_they_are_as_json():
    network = chain((7, 6, 5, 3), vth=1)
    assigned = Scattered(network=network, core_count=3)
    found = traffic(assigned, [run_reference(network, spikes_for(network))])
    table = hops(found, place(found.between(), Mesh(rows=1, columns=3))).as_json()
    assert set(table) == {"messages", "within_tile", "east_west", "north_south", "spike_hops", "entering"}
    assert table["spike_hops"]["total"] == table["east_west"]["total"] + table["north_south"]["total"]

"""The time of a step against a slow computation in plain loops over spikes, synapses and neurons."""

from dataclasses import replace

import numpy as np
import pytest
from assigned import Scattered
from builders import chain, spikes_for
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import networks, spatial_networks

from bitspike.convert.retime import retime
from bitspike.errors import UsageError
from bitspike.sim.reference import run_reference
from bitspike.sim.step_time import core_times, has_times, step_time, work
from bitspike.sim.traffic import routes, traffic
from bitspike.targets.chips import chip
from bitspike.targets.mesh import Mesh
from bitspike.targets.placement import place


def listens(c, core_of, core):
    """By target neuron in `core`: sources with a synapse there, and whether their axon is there."""
    here = [n for n in range(c.shape[0]) if core_of[n] == core]
    synapses = [(n, int(s), int(w)) for n in here for s, w in zip(*c.inputs_of(n), strict=True)]
    if c.kind != "dense":
        return [s for _, s, _ in synapses]
    heard = {s for _, s, w in synapses if w}
    return [s for _, s, _ in synapses if s in heard]


def slow_work(assigned, record):
    """Operations and active updates by (sample, step, core)."""
    network = assigned.network
    late = network.latencies()
    operations, active = {}, {}
    for c in network.connections:
        fired = record.spikes_of(network, c.source)
        for core in range(assigned.core_count):
            sources = listens(c, assigned.core_of(c.target), core)
            for sample, step, source in np.argwhere(fired != 0).tolist():
                key = sample, step + late[c.source], core
                operations[key] = operations.get(key, 0) + sources.count(source)
    for p in network.populations:
        trace, core_of = record.traces[p.name], assigned.core_of(p.name)
        for sample, step, neuron in np.ndindex(record.samples, record.steps, p.size):
            if any(a[sample, step, neuron] for a in (trace.u, trace.v, trace.spikes)):
                key = sample, step + late[p.name], int(core_of[neuron])
                active[key] = active.get(key, 0) + 1
    return operations, active


def compare_work(network, cores, seed):
    assigned = Scattered(network=network, core_count=cores, seed=seed)
    record = run_reference(network, spikes_for(network, samples=2, seed=seed))
    done = work(assigned, record)
    operations, active = slow_work(assigned, record)
    assert done.operations.shape[1] == record.steps + max(network.latencies().values())
    for place_ in np.ndindex(*done.operations.shape):
        assert done.operations[place_] == operations.get(place_, 0)
        assert done.active[place_] == active.get(place_, 0)
    assert done.neurons.sum() == sum(p.size for p in network.populations)


@settings(max_examples=15, deadline=None)
@given(network=networks(), cores=st.integers(1, 4), seed=st.integers(0, 99))
def test_work_of_random_networks_equals_the_slow_count(network, cores, seed):
    compare_work(network, cores, seed)


@settings(max_examples=15, deadline=None)
@given(network=spatial_networks(steps=(1, 4)), cores=st.integers(1, 4), seed=st.integers(0, 99))
def test_work_of_convolutions_and_loops_equals_the_slow_count(network, cores, seed):
    compare_work(network, cores, seed)


def placed(cores=3, chip_name="loihi1"):
    """A chain in chip time, its record, a placement and the time."""
    network = retime(chain((7, 6, 5, 3), vth=1))
    assigned = Scattered(network=network, core_count=cores)
    record = run_reference(network, spikes_for(network))
    placement = place(traffic(assigned, [record]).between(), Mesh(rows=1, columns=3))
    return assigned, record, placement, chip(chip_name)


def timed(assigned, records, placement, loihi):
    """The time of runs one behind the other."""
    return step_time([core_times(assigned, r, loihi) for r in records], routes(assigned), placement, loihi)


def test_a_step_is_the_busiest_core_the_farthest_message_and_the_barrier():
    assigned, record, placement, loihi = placed()
    found = timed(assigned, [record], placement, loihi)
    operations, active = slow_work(assigned, record)
    neurons = np.bincount(np.concatenate([assigned.core_of(p.name) for p in assigned.network.populations]))
    barrier = 113 + (placement.tiles - 1) / 2 * (465 - 113)
    late = assigned.network.latencies()
    for sample, step in np.ndindex(*found.serial_ns.shape):
        travel = 0.0
        for c in assigned.network.connections:
            window = step - late[c.source]
            if c.source == "input" or not 0 <= window < record.steps:
                continue
            for neuron in np.flatnonzero(record.spikes_of(assigned.network, c.source)[sample, window]):
                begin = int(placement.places[assigned.core_of(c.source)[neuron]])
                ends = {int(placement.places[core]) for core in assigned.core_of(c.target)}
                travel = max([travel, *(2.1 + 4.1 * abs(begin - end) for end in ends)])
        cores = []
        for core in range(3):
            done, held = operations.get((sample, step, core), 0), active.get((sample, step, core), 0)
            cores.append((3.5 * done, 8.4 * held + 5.3 * (neurons[core] - held)))
        serial = max(synapses + updates for synapses, updates in cores) + travel + barrier
        together = max(max(pair) for pair in cores) + travel + barrier
        assert found.serial_ns[sample, step] == pytest.approx(serial, rel=1e-12)
        assert found.together_ns[sample, step] == pytest.approx(together, rel=1e-12)
    assert (found.window, found.latency, found.steps) == (10, 3, 13)
    twice = timed(assigned, [record, record], placement, loihi)
    assert np.array_equal(twice.serial_ns, np.concatenate([found.serial_ns] * 2))


def test_what_is_printed_follows_from_the_steps():
    assigned, record, placement, loihi = placed()
    found = timed(assigned, [record], placement, loihi)
    table = found.as_json()
    assert table["serial"]["step_ns_mean"] == pytest.approx(found.serial_ns.mean())
    assert table["serial"]["inference_ns_worst"] == pytest.approx(found.serial_ns.sum(axis=1).max())
    assert table["together"]["inferences_per_second"] == pytest.approx(1e9 / found.together_ns.sum(axis=1).mean())
    assert (found.together_ns <= found.serial_ns).all()
    text = str(found)
    assert "an inference of 10 steps and 3 of latency" in text
    assert "not included: waiting in the mesh" in text
    assert "Davies et al. 2018, table 2" in text


def test_a_chip_without_times_is_refused():
    assigned, record, placement, _ = placed()
    with pytest.raises(UsageError, match="chip loihi2: no published synaptic_operation_ns, active_update_ns"):
        core_times(assigned, record, chip("loihi2"))
    assert not has_times(chip("loihi2"))
    partly = replace(chip("loihi1"), spike_ns=None)
    with pytest.raises(UsageError, match="chip loihi1: no published spike_ns; expected them for the time of a step"):
        step_time([core_times(assigned, record, chip("loihi1"))], routes(assigned), placement, partly)


def test_one_tile_waits_for_the_shortest_barrier():
    assigned, record, placement, loihi = placed(cores=1)
    assert placement.tiles == 1
    assert timed(assigned, [record], placement, loihi).barrier_ns == 113

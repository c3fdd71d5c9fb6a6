"""What a run does on a chip's cores: the parts belong together, and what nobody published is not made up."""

from dataclasses import replace

import numpy as np
import pytest
from assigned import Scattered
from builders import chain, spikes_for

from bitspike.convert.retime import retime
from bitspike.samples import SpikeData
from bitspike.sim.count_run import count_run
from bitspike.sim.energy import price
from bitspike.sim.mapped import hop_weights, map_run, mesh_of
from bitspike.targets.chips import chip
from bitspike.targets.mesh import Mesh
from bitspike.targets.partition import partition
from bitspike.targets.prices import price_list
from bitspike.targets.reach import fan_out_by_core


@pytest.fixture(scope="module")
def example():
    network = retime(chain((12, 30, 20, 4), vth=1))
    spikes = spikes_for(network, samples=6)
    return Scattered(network=network, core_count=9), SpikeData(name="random", spikes=spikes, labels=np.zeros(6, int))


def test_the_parts_belong_together(example):
    assigned, data = example
    found = map_run(assigned, data=data, chip=chip("loihi1"), seed=2)
    assert found.placement.mesh == Mesh(rows=4, columns=8, cores_per_tile=4)
    assert found.placement.weights == hop_weights("loihi1") == (3.0, 4.0)
    assert found.hops.spike_hops.sum() == found.placement.spike_hops.placed
    weighted = 3 * found.hops.east_west.sum() + 4 * found.hops.north_south.sum()
    assert weighted == found.placement.cost.placed < found.placement.cost.random
    assert found.time.serial_ns.shape == (6, 13)
    counts = count_run(assigned.network, data=data)
    assert (found.hops.messages + found.hops.entering >= counts.messages).all()


def test_neither_chunks_nor_engines_change_anything(example):
    assigned, data = example
    whole, parts = (map_run(assigned, data=data, chip=chip("loihi1"), chunk=chunk) for chunk in (None, 2))
    other = map_run(assigned, data=data, chip=chip("loihi1"), engine_name="reference")
    assert whole.as_json() == parts.as_json() == other.as_json()


def test_energy_prices_what_was_mapped(example):
    assigned, data = example
    found = map_run(assigned, data=data, chip=chip("loihi1"))
    counts = count_run(assigned.network, data=data)
    energy = price(counts, price_list("loihi1"), placed=found.placed())
    events = {term.event: term.events for term in energy.terms}
    assert events["hop_east_west"] == found.hops.east_west.mean()
    assert events["hop_north_south"] == found.hops.north_south.mean()
    assert found.placed().cores == 9
    assert found.placed().step_time_us == pytest.approx(found.time.serial_ns.mean() / 1000)


def test_a_chip_without_mesh_and_times_gets_messages_alone(example):
    assigned, data = example
    found = map_run(assigned, data=data, chip=chip("loihi2"))
    assert (mesh_of(chip("loihi2")), found.placement, found.hops, found.time) == (None, None, None, None)
    assert found.placed() is None
    assert set(found.as_json()) == {"samples", "messages", "entering"}
    assert "placement: none, the mesh of loihi2 is not published" in str(found)
    assert "time: none, the times of loihi2 are not published" in str(found)
    assert hop_weights("loihi2") == (1.0, 1.0)


def test_a_chip_with_a_mesh_alone_is_placed_and_not_timed(example):
    assigned, data = example
    found = map_run(assigned, data=data, chip=replace(chip("loihi1"), spike_ns=None))
    assert found.placement is not None
    assert found.time is None
    assert found.placed().step_time_us is None


def test_what_is_printed(example):
    assigned, data = example
    text = str(map_run(assigned, data=data, chip=chip("tiny")))
    assert "messages of an inference, mean of 6:" in text
    assert "placement on 2x4 tiles of 2 cores, seed 0:" in text
    assert "messages stay in their tile;" in text
    assert "time that the busiest core" in text


@pytest.mark.parametrize("sizes", [(12, 9, 7, 4), (20, 30, 12, 3)])
def test_a_partition_counts_the_same_axons(sizes):
    """Where weights are not shared, a core's input axons are those that messages are sent to."""
    parts = partition(chain(sizes, vth=1), "tiny")
    assert parts.core_count > 1
    assert all(way != "shared" for core in parts.cores for _, way in core.storage)
    fans = fan_out_by_core(parts).values()
    assert [sum(int(fan.axons[:, n].sum()) for fan in fans) for n in range(parts.core_count)] == [
        core.input_axons for core in parts.cores
    ]


def test_a_partition_is_mapped_as_it_is():
    parts = partition(chain((12, 9, 7, 4), vth=1), "tiny")
    spikes = spikes_for(parts.network, samples=3)
    found = map_run(parts, data=SpikeData(name="random", spikes=spikes, labels=np.zeros(3, int)), chip=parts.chip)
    assert found.cores == parts.core_count == len(found.placement.places)
    assert found.time.latency == max(p.start for p in parts.network.populations)

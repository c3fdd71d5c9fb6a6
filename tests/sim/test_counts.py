"""Counts of every kind of network against an independent slow count, in chunks, from any engine, and as files."""

import csv
import json

import numpy as np
import pytest
from assigned import Scattered
from builders import chain
from builders import spikes_for as random_spikes
from hypothesis import given, settings
from hypothesis import strategies as st
from slow_count import slow_count
from strategies import KINDS, networks, spatial_networks, spikes_for

from bitspike.cli import main
from bitspike.convert.connections import Conv2d, Dense, Identity, SumPool2d
from bitspike.convert.network import DECAY_ONE, Input, IntegerNetwork, Population
from bitspike.convert.retime import retime
from bitspike.convert.store import save
from bitspike.convert.weights import weights_of
from bitspike.errors import UsageError
from bitspike.samples import SpikeData
from bitspike.sim.count_run import chunk_size, count_run
from bitspike.sim.counts import QUANTITIES, count
from bitspike.sim.counts_file import COLUMNS, per_sample, write_counts
from bitspike.sim.placed import counted_run
from bitspike.sim.reference import run_reference
from bitspike.sim.traffic import arrivals, hops, traffic
from bitspike.targets.mesh import Mesh
from bitspike.targets.placement import place

ANY = st.one_of(networks(graded=True, heads=True, inputs=(1, 2)), spatial_networks(graded=True), spatial_networks())
CONNECTION_QUANTITIES = ("spikes", "synaptic_operations", "effective_operations", "weight_bits_read")


def assert_equals_the_slow_count(network, spikes):
    record = run_reference(network, spikes)
    counts = count(network, record)
    for sample, slow in enumerate(slow_count(network, record)):
        assert counts.input_spikes[sample] == slow["input", "spikes"]
        for p in counts.populations:
            found = {q: int(getattr(p, q)[sample]) for q in QUANTITIES}
            assert found == {q: slow[p.population, q] for q in QUANTITIES}, p.population
        for number, c in enumerate(counts.connections):
            found = {q: int(getattr(c, q)[sample]) for q in CONNECTION_QUANTITIES}
            assert found == {q: slow[number, q] for q in CONNECTION_QUANTITIES}, c.name
        sums = sum(slow[number, "spikes"] for number in range(len(counts.connections)))
        assert counts.messages[sample] == sums
    return counts


@settings(max_examples=15, deadline=None)
@given(st.data())
def test_counts_are_the_slow_count(data):
    network = data.draw(ANY)
    assert_equals_the_slow_count(network, data.draw(spikes_for(network, samples=(1, 2))))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_a_hundred_networks_of_each_kind(kind, data):
    network = data.draw(spatial_networks(kinds=(kind,), graded=True))
    counts = assert_equals_the_slow_count(network, data.draw(spikes_for(network, samples=(1, 3))))
    assert {c.kind for c in counts.connections} <= {kind, "dense"}


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(st.data())
def test_a_hundred_networks_of_any_shape(data):
    network = data.draw(ANY)
    assert_equals_the_slow_count(network, data.draw(spikes_for(network, samples=(1, 3))))


def data_for(network, samples=5, **options):
    return SpikeData(
        name="random", spikes=random_spikes(network, samples=samples, **options), labels=np.zeros(samples, np.int64)
    )


def assert_same(one, other):
    assert per_sample(one) == per_sample(other)


@pytest.mark.parametrize("engine", ["reference", "fast", "onnx"])
@pytest.mark.parametrize("chunk", [1, 2, None])
def test_engines_and_chunks_change_nothing(engine, chunk):
    network = chain(vth=1)
    data = data_for(network)
    whole = count(network, run_reference(network, data.spikes))
    assert_same(count_run(network, data=data, engine_name=engine, chunk=chunk), whole)


def test_a_chunk_is_as_large_as_its_memory():
    network = chain((100, 200, 4), steps=50)
    assert chunk_size(network, 50) == (1 << 28) // (48 * 50 * 304)
    assert chunk_size(network, 10**9) == 1


def test_chip_time_changes_only_the_barriers():
    network = chain((7, 6, 5, 3), vth=1, bias=False)
    chip = retime(network)
    spikes = random_spikes(network)
    here, there = (count(n, run_reference(n, spikes)) for n in (network, chip))
    for quantity in QUANTITIES:
        assert np.array_equal(here.total(quantity), there.total(quantity)), quantity
    assert (here.barrier_steps, there.barrier_steps) == (10, 10 + max(chip.latencies().values()))


@pytest.mark.parametrize(
    ("connection", "stored", "nonzero", "bits"),
    [
        (Dense(source="a", target="b", weights=weights_of([[1, -1], [1, 1]])), [2, 2], [2, 2], 1),
        (Dense(source="a", target="b", weights=weights_of([[1, 0], [0, 0]])), [2, 2], [1, 0], 1),
        (Dense(source="a", target="b", weights=weights_of([[1, 0], [-1, 1]])), [2, 2], [2, 1], 2),
        (Dense(source="a", target="b", weights=weights_of([[-7, -1], [0, -2]])), [2, 2], [1, 2], 3),
        (Identity(source="a", target="b", size=2, weight=-5), [1, 1], [1, 1], 3),
        (Identity(source="a", target="b", size=2, weight=0), [1, 1], [0, 0], 1),
        (SumPool2d(source="a", target="b", source_shape=(1, 2, 2), kernel=(2, 2)), [1] * 4, [1] * 4, 1),
        (
            Conv2d(
                source="a", target="b", source_shape=(1, 1, 3), kernel=(1, 2), weights=weights_of([[3, 0], [-1, 1]])
            ),
            [2, 4, 2],
            [2, 3, 1],
            3,
        ),
    ],
)
def test_synapses_and_their_bits(connection, stored, nonzero, bits):
    assert connection.fan_out().tolist() == stored
    assert connection.nonzero_fan_out().tolist() == nonzero
    assert connection.weight_bits == bits


def test_forgotten_states_are_not_moved():
    """Of 3 neurons in 10 steps, without a spike: the accumulator, and each register that lasts."""
    for du, dv, bits in ((DECAY_ONE, DECAY_ONE, 16), (DECAY_ONE, 5, 40), (5, 5, 64)):
        network = IntegerNetwork(
            name="still",
            steps=10,
            inputs=(Input(name="input", shape=(1,)),),
            populations=(Population(name="n", shape=(3,), du=du, dv=dv, vth=1, bias_mantissa=np.zeros(3, int)),),
            connections=(Dense(source="input", target="n", weights=weights_of([[1]] * 3)),),
            readouts=(),
        )
        counts = count(network, run_reference(network, np.zeros((1, 10, 1), np.uint8)))
        assert counts.total("state_bits_read").tolist() == counts.total("state_bits_written").tolist() == [30 * bits]


def test_the_csv_holds_every_number(tmp_path):
    network = chain(vth=1)
    counts = count_run(network, data=data_for(network, 2))
    text = write_counts(counts, tmp_path / "counts.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(text.splitlines()))
    assert list(rows[0]) == ["sample", "part", "name", *COLUMNS]
    assert len(rows) == 3 * (2 + 3 + 3)
    by_key = {(row["sample"], row["part"], row["name"]): row for row in rows}
    hidden = counts.populations[0]
    for quantity in QUANTITIES:
        values = getattr(hidden, quantity)
        assert by_key["1", "population", "hidden1"][quantity] == str(values[1])
        assert by_key["total", "population", "hidden1"][quantity] == str(values.sum())
    connection = by_key["0", "connection", "input -> hidden1"]
    assert connection["effective_operations"] == str(counts.connections[0].effective_operations[0])
    assert connection["updates"] == ""
    assert by_key["0", "network", "chain"]["barrier_steps"] == "10"


def test_messages_of_each_core_have_rows_of_their_own(tmp_path):
    """On three cores of two tiles: what the file says of each is what the slow count of test_traffic checks."""
    network = chain((7, 6, 5, 3), vth=1)
    assigned = Scattered(network=network, core_count=3)
    sent = traffic(assigned, [run_reference(network, random_spikes(network))])
    placement = place(sent.between(), Mesh(rows=1, columns=2, cores_per_tile=2))
    found, whole = arrivals(sent, placement), hops(sent, placement)
    counts = count(network, run_reference(network, random_spikes(network)))
    text = write_counts(counts, tmp_path / "counts.csv", arrivals=found).read_text(encoding="utf-8")
    rows = {(row["sample"], row["part"], row["name"]): row for row in csv.DictReader(text.splitlines())}
    for one in found:
        assert rows["0", "core", one.core]["core_messages"] == str(one.messages[0])
        assert rows["total", "core", one.core]["entering"] == str(one.entering.sum())
        assert rows["total", "core", one.core]["hops_east_west"] == str(one.east_west.sum())
        assert rows["0", "core", one.core]["updates"] == ""
    assert rows["total", "network", "chain"]["core_messages"] == str(whole.messages.sum())
    assert rows["total", "network", "chain"]["hops_east_west"] == str(whole.east_west.sum())
    assert whole.east_west.sum() > 0
    assert rows["0", "population", "hidden1"]["hops_east_west"] == ""
    assert per_sample(counts, arrivals=found)["parts"][0]["core_messages"] == whole.messages.tolist()


def test_the_command_writes_each_core(tmp_path, capsys):
    """A network on one core of Loihi, and a committee of two, whose members have cores of their own."""
    network = chain((7, 6, 5, 3), vth=1)
    np.savez(tmp_path / "data.npz", spikes=random_spikes(network, samples=2), labels=np.zeros(2, np.int64))
    save(network, tmp_path / "net.safetensors")
    arguments = ["--data", str(tmp_path / "data.npz"), "--counts", str(tmp_path / "counts.json")]
    assert main(["energy", str(tmp_path / "net.safetensors"), *arguments]) == 0
    run = counted_run(network, data=data_for(network, 2), chip="loihi1")
    parts = json.loads((tmp_path / "counts.json").read_text(encoding="utf-8"))["parts"]
    (core,) = [part for part in parts if part["part"] == "core"]
    assert core["name"] == "0"
    assert core["core_messages"] == run.placed.hops.messages.tolist()
    assert core["entering"] == run.placed.hops.entering.tolist()
    (tmp_path / "two").mkdir()
    for number in range(2):
        save(network, tmp_path / "two" / f"member-{number}.safetensors")
    assert main(["energy", str(tmp_path / "two"), *arguments]) == 0
    parts = json.loads((tmp_path / "counts.json").read_text(encoding="utf-8"))["parts"]
    assert [part["name"] for part in parts if part["part"] == "core"] == ["0/0", "1/0"]
    assert parts[0]["core_messages"] == (2 * run.placed.hops.messages).tolist()
    assert main(["energy", str(tmp_path / "net.safetensors"), *arguments, "--no-place"]) == 0
    parts = json.loads((tmp_path / "counts.json").read_text(encoding="utf-8"))["parts"]
    assert not [part for part in parts if part["part"] == "core" or "core_messages" in part]


def test_the_json_holds_every_sample(tmp_path):
    network = chain(vth=1)
    counts = count_run(network, data=data_for(network, 3))
    found = json.loads(write_counts(counts, tmp_path / "counts.json").read_text(encoding="utf-8"))
    assert found == per_sample(counts)
    assert found["format"] == "bitspike counts 1"
    spikes = [part["spikes"] for part in found["parts"] if part["name"] == "hidden2"]
    assert spikes == [counts.populations[1].spikes.tolist()]


def test_another_ending_is_refused(tmp_path):
    network = chain()
    counts = count_run(network, data=data_for(network, 1))
    with pytest.raises(UsageError, match=r"ending '\.txt'; expected \.csv or \.json"):
        write_counts(counts, tmp_path / "counts.txt")
    assert list(tmp_path.iterdir()) == []


def test_sums_in_json():
    network = chain()
    counts = count_run(network, data=data_for(network))
    assert counts.as_json()["synaptic_operations"]["total"] == int(counts.total("synaptic_operations").sum())
    assert counts.operations("dense").tolist() == counts.total("synaptic_operations").tolist()
    assert counts.operations("conv").tolist() == [0] * 5

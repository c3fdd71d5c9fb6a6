"""Each form of a convolution is the reference, whatever it would be chosen for; and what chooses among them."""

import numpy as np
import pytest
from fast_support import GEOMETRIES, assert_equal, windowed

from bitspike.convert.connections import Conv2d, Dense
from bitspike.convert.network import Input, IntegerNetwork, Population, Readout
from bitspike.convert.weights import weights_of
from bitspike.sim.fast import choice, delivery, sources
from bitspike.sim.fast.choice import Choice
from bitspike.sim.reference import run_reference

ONE_GROUP = {name: geometry for name, geometry in GEOMETRIES.items() if "groups" not in geometry}


@pytest.fixture
def chosen(monkeypatch):
    """Take one form wherever it exists; what was taken."""
    taken = []

    def take(form):
        def pick(_, works):
            taken.append(form if form in works else "events")
            return taken[-1]

        monkeypatch.setattr(Choice, "pick", pick)
        monkeypatch.setattr(delivery, "counts_bits", lambda: True)
        for name in ("_TARGET", "_COUNTED"):  # where several connections meet, the least work decides
            monkeypatch.setattr(delivery, name, 0)
        return taken

    return take


def geometry_of(name, shape, low, random):
    geometry = dict(ONE_GROUP[name])
    out, kernel = geometry.pop("out"), geometry["kernel"]
    weights = weights_of(random.choice([low, 1], (out, shape[0] * kernel[0] * kernel[1])))
    return Conv2d(source="input", target="one", source_shape=shape, weights=weights, exponent=1, **geometry)


@pytest.mark.parametrize("name", ONE_GROUP)
@pytest.mark.parametrize("low", [-1, 0])
def test_planes(name, low, chosen, monkeypatch):
    """More rows than a vector has bits, and targets that fill no vector; one connection and several."""
    taken = chosen("planes")
    made = []
    make_planes = delivery.make_planes
    monkeypatch.setattr(delivery, "make_planes", lambda *given: made.append(1) or make_planes(*given))
    conv = geometry_of(name, (4, 9, 8), low, np.random.default_rng(2))
    spikes = (np.random.default_rng(3).random((70, 4, 288)) < np.linspace(0, 1, 70)[:, None, None]).astype(np.uint8)
    assert_equal(windowed(conv), spikes, tile=70)
    assert set(taken) == {"planes"}
    assert_equal(windowed(conv, loop=True), spikes[:5], tile=3)
    assert made


def stacked(conv, delay):
    """A convolution whose source's channels lie side by side, for it ends a window itself."""
    channels = conv.source_shape[0]
    random = np.random.default_rng(5)
    point = Conv2d(
        source="input", target="zero", source_shape=conv.source_shape, kernel=(1, 1),
        weights=weights_of(random.choice([-1, 1], (channels, channels))),
    )  # fmt: skip
    populations = (
        Population(
            name=name, shape=shape, dv=900, vth=vth, bias_mantissa=random.integers(-9, 99, np.prod(shape), np.int32)
        )
        for name, shape, vth in (("zero", conv.source_shape, 1), ("one", conv.target_shape, 3), ("two", (7,), 9))
    )
    size = conv.shape[0]
    return IntegerNetwork(
        name="stacked",
        steps=4,
        inputs=(Input(name="input", shape=conv.source_shape),),
        populations=tuple(populations),
        connections=(
            point,
            Conv2d(source="zero", target="one", source_shape=conv.source_shape, kernel=conv.kernel, stride=conv.stride,
                   padding=conv.padding, dilation=conv.dilation, weights=conv.weights, exponent=1, delay=delay),
            Dense(source="one", target="two", weights=weights_of(random.choice([-1, 1], (7, size)))),
        ),
        readouts=(Readout(population="two", kind="spike_count"),),
    )  # fmt: skip


@pytest.mark.parametrize("shape", [(1, 9, 8), (3, 7, 11), (16, 6, 10), (32, 9, 8), (64, 5, 6), (70, 8, 9)], ids=str)
@pytest.mark.parametrize("name", ONE_GROUP)
@pytest.mark.parametrize("case", [(-1, 0, "words"), (0, 1, "words"), (-1, 1, "events")], ids=str)
def test_channels_side_by_side(name, shape, case, chosen):
    """Runs that end within a word and with one, with padding and without; every activity; chunks of a sample."""
    low, delay, form = case
    taken = chosen(form)
    network = stacked(geometry_of(name, shape, low, np.random.default_rng(2)), delay)
    size = network.input_size
    spikes = (np.random.default_rng(3).random((6, 4, size)) < np.linspace(0, 1, 6)[:, None, None]).astype(np.uint8)
    assert run_somewhere(network, spikes)
    assert_equal(network, spikes, tile=3, chunk=3)
    gaps = network.connections[1].dilation[1] > 1
    assert (form in taken) == (form == "events" or shape[0] == 1 or not gaps)


@pytest.mark.parametrize("form", ["words", "planes", "events"])
@pytest.mark.parametrize(
    ("shape", "view"), [((16, 4, 4), (1, 16, 16)), ((32, 4, 6), (32, 8, 3)), ((4, 8, 6), (16, 4, 3))]
)
def test_a_source_seen_in_another_shape(form, shape, view, chosen):
    """A window may see the neurons of a population as other channels and places than those that they were made as."""
    chosen(form)
    random = np.random.default_rng(4)
    spread, seen = (
        Conv2d(source=source, target=target, source_shape=of, kernel=kernel,
               weights=weights_of(random.choice([-1, 1], (out, of[0] * kernel[0] * kernel[1]))))
        for source, target, of, kernel, out in (
            ("input", "zero", (2, *shape[1:]), (1, 1), shape[0]), ("zero", "one", view, (3, 2), 32)
        )
    )  # fmt: skip
    network = IntegerNetwork(
        name="views",
        steps=4,
        inputs=(Input(name="input", shape=spread.source_shape),),
        populations=tuple(
            Population(name=c.target, shape=c.target_shape, dv=900, vth=1, bias_mantissa=np.zeros(c.shape[0], np.int32))
            for c in (spread, seen)
        ),
        connections=(spread, seen),
        readouts=(Readout(population="one", kind="spike_count"),),
    )
    spikes = (random.random((5, 4, network.input_size)) < 0.5).astype(np.uint8)
    assert run_somewhere(network, spikes)
    assert_equal(network, spikes)


def test_targets_seen_in_other_shapes():
    """Two windows end in a population, which each sees as other channels and places; and a third in its own."""
    random = np.random.default_rng(6)
    ends = [
        Conv2d(source=source, target="one", source_shape=of, kernel=(1, 1),
               weights=weights_of(random.choice(kinds, (out, of[0]))))
        for source, of, out, kinds in (
            ("a", (2, 4, 4), 16, (-1, 1)), ("b", (1, 16, 16), 1, (-3, 5)), ("a", (2, 4, 4), 16, (-1, 1)),
            ("b", (4, 8, 8), 4, (0, 1)),
        )
    ]  # fmt: skip
    network = IntegerNetwork(
        name="ends",
        steps=4,
        inputs=(Input(name="a", shape=(2, 4, 4)), Input(name="b", shape=(1, 16, 16))),
        populations=(Population(name="one", shape=(16, 4, 4), dv=900, vth=1, bias_mantissa=np.zeros(256, np.int32)),),
        connections=tuple(ends),
        readouts=(Readout(population="one", kind="spike_count"),),
    )
    spikes = (random.random((5, 4, network.input_size)) < 0.5).astype(np.uint8)
    assert run_somewhere(network, spikes)
    assert_equal(network, spikes)


def run_somewhere(network, spikes):
    """Whether neurons behind the convolution spike, so that equality is not claimed on silence."""
    return run_reference(network, spikes).traces["one"].spikes.any()


def test_the_least_work_is_picked_until_it_was_timed(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(choice.time, "perf_counter", lambda: now[0])
    picked = Choice()
    works = {"events": 8.0, "planes": 10.0, "words": 100.0}
    seconds = {"events": 8.0, "planes": 3.0, "words": 1.0}

    def run(took=None):
        name = picked.pick(works)

        def work():
            now[0] += seconds[name] if took is None else took

        picked.timed(name, works[name], work)
        return name

    assert run(50) == "events"  # the least work; its time is not learnt, for it may have been compiled
    assert run() == "events"  # 1 for a unit of work: planes may be twice as fast, and words would still be slower
    assert [run(50), run()] == ["planes", "planes"]  # 0.3 for a unit; with half of that words would take 15
    assert run(90) == "planes"  # something else ran meanwhile
    assert [run() for _ in range(200)] == ["planes"] * 200
    assert "events" in {run() for _ in range(600)}  # tried again
    works["planes"] = 1000.0
    assert [run() for _ in range(3)] == ["events"] * 3


@pytest.mark.parametrize("size", [32, 64, 96, 1600])
def test_places_of_spikes(size):
    """Words with no bit, some, more than a vector of places holds, and all."""
    random = np.random.default_rng(size)
    spikes = (random.random((9, size)) < np.linspace(0, 1, 9)[:, None]).astype(np.uint8)
    words = np.packbits(spikes, axis=1, bitorder="little").view(np.uint32)
    offsets, active = np.zeros(10, np.int64), np.zeros(9, np.int64)
    sources.measure_bits(words, offsets, active)
    places = np.full(offsets[-1] + sources.BEYOND, -1, np.int32)
    sources.list_bits(words, offsets, places, size)
    for row, (begin, count) in enumerate(zip(offsets.tolist(), active.tolist(), strict=False)):
        assert np.array_equal(places[begin : begin + count], np.flatnonzero(spikes[row]))
        assert set(places[begin + count : offsets[row + 1]].tolist()) <= {size}

"""The fast engine is the reference, on every value of every population, for all networks, tiles and threads."""

import numpy as np
import pytest
from fast_support import GEOMETRIES, assert_equal, windowed
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import networks, spatial_networks, spikes_for

from bitspike.convert.connections import Conv2d, Dense, SumPool2d
from bitspike.convert.network import Input, IntegerNetwork, Population, Readout
from bitspike.convert.weights import weights_of
from bitspike.errors import RangeError, UsageError
from bitspike.sim.fast.run import FastEngine, run_fast
from bitspike.sim.reference import run_reference

ANY = st.one_of(networks(graded=True, inputs=(1, 2), heads=True), spatial_networks(graded=True), spatial_networks())


@settings(max_examples=150)
@given(st.data())
def test_every_kind_of_network(data):
    network = data.draw(ANY)
    spikes = data.draw(spikes_for(network, samples=(1, 5)))
    tile, chunk = (data.draw(st.sampled_from([None, 1, 2, 5])) for _ in range(2))
    assert_equal(network, spikes, tile=tile, chunk=chunk, threads=data.draw(st.integers(1, 3)))


@pytest.mark.slow
@settings(max_examples=3000)
@given(st.data())
def test_thousands_of_networks(data):
    network = data.draw(ANY)
    assert_equal(network, data.draw(spikes_for(network)), threads=1)


def wide(recurrent: bool) -> IntegerNetwork:
    """Channels over groups, more targets than a block, and decays of both states."""
    random = np.random.default_rng(3)
    conv = Conv2d(
        source="input", target="one", source_shape=(4, 9, 7), kernel=(3, 2), stride=(2, 1), padding=(1, 1), groups=2,
        weights=weights_of(random.choice([-1, 1], (6, 12))),
    )  # fmt: skip
    one = Population(name="one", shape=conv.target_shape, du=700, dv=90, vth=2, reset="subtract",
                     bias_mantissa=random.integers(-30, 30, conv.shape[0]))  # fmt: skip
    size = 1500
    two = Population(name="two", shape=(size,), du=4096, dv=300, vth=6, bias_mantissa=np.zeros(size, np.int32))
    loops = [Dense(source="two", target="one", delay=2, weights=weights_of(random.choice([0, 1], (one.size, size))))]
    return IntegerNetwork(
        name="wide",
        steps=12,
        inputs=(Input(name="input", shape=(4, 9, 7)),),
        populations=(one, two),
        connections=(
            conv,
            Dense(source="one", target="two", weights=weights_of(random.choice([-1, 1], (size, one.size)))),
            *(loops if recurrent else []),
        ),
        readouts=(Readout(population="two", kind="spike_count"),),
    )


@pytest.mark.parametrize("recurrent", [False, True])
@pytest.mark.parametrize("rate", [0.02, 0.5])
def test_populations_wider_than_a_block(recurrent, rate):
    spikes = (np.random.default_rng(5).random((7, 12, 252)) < rate).astype(np.uint8)
    network = wide(recurrent)
    assert_equal(network, spikes)
    assert run_fast(network, spikes).traces["two"].spikes.any() or rate < 0.1


def test_only_what_is_asked_for_is_recorded():
    spikes = (np.random.default_rng(5).random((3, 12, 252)) < 0.5).astype(np.uint8)
    network = wide(recurrent=False)
    record = run_fast(network, spikes, record=["two"])
    assert list(record.traces) == ["two"]
    assert np.array_equal(record.scores(network), run_reference(network, spikes).scores(network))
    with pytest.raises(UsageError, match="no population 'three'"):
        run_fast(network, spikes, record=["three"])


def test_a_network_without_a_proof_is_refused():
    network = IntegerNetwork(
        name="far",
        steps=4000,
        inputs=(Input(name="input", shape=(300,)),),
        populations=(Population(name="one", shape=(1,), dv=0, vth=131071, bias_mantissa=np.zeros(1, np.int32)),),
        connections=(Dense(source="input", target="one", weights=weights_of(np.full((1, 300), 100))),),
        readouts=(Readout(population="one", kind="membrane_last"),),
    )
    with pytest.raises(RangeError, match="population one: membrane v can reach"):
        run_fast(network, np.ones((1, 4000, 300), np.uint8))


@settings(max_examples=80)
@given(st.data())
def test_a_stream_in_pieces_is_one_run(data):
    network = data.draw(ANY)
    spikes = data.draw(spikes_for(network, samples=(1, 3)))
    names, states = [p.name for p in network.populations], data.draw(st.booleans())
    stream = FastEngine(network).stream(samples=len(spikes), steps=spikes.shape[1])
    parts, at = [], 0
    while at < spikes.shape[1]:
        end = at + data.draw(st.integers(1, 4))
        parts.append(stream.feed(spikes[:, at:end], record=names, states=states))
        at = end
    assert stream.step == spikes.shape[1]
    expected = run_reference(network, spikes)
    for name in names:
        start = expected.latency[name]
        for quantity in ("spikes", "u", "v") if states else ("spikes",):
            found = np.concatenate([getattr(part[name], quantity) for part in parts], axis=1)[:, start:]
            assert np.array_equal(found, getattr(expected.traces[name], quantity)[:, : found.shape[1]])


def test_a_stream_refuses_what_was_not_proved_and_what_does_not_fit():
    engine = FastEngine(wide(recurrent=True))
    stream = engine.stream(samples=2, steps=5)
    stream.feed(np.zeros((2, 3, 252), np.uint8))
    with pytest.raises(UsageError, match="stream at step 3; expected at most 5 steps"):
        stream.feed(np.zeros((2, 3, 252), np.uint8))
    with pytest.raises(UsageError, match=r"spikes of shape \(1, 1, 252\), up to 0; expected 0 and 1, \(2, st"):
        stream.feed(np.zeros((1, 1, 252), np.uint8))
    with pytest.raises(UsageError, match="stream of 0 samples and 1 steps"):
        engine.stream(samples=0, steps=1)


@pytest.mark.parametrize("sources", [3, 255, 256, 2500])
@pytest.mark.parametrize("low", [-1, 0])
def test_counters_of_any_height(sources, low):
    """All spikes at once, few, and none; more than a byte and than eleven bits of them; targets that fill no column."""
    random = np.random.default_rng(sources)
    weights = random.choice([low, 1], (301, sources))
    weights[0], weights[1] = 1, low
    network = IntegerNetwork(
        name="counts",
        steps=4,
        inputs=(Input(name="input", shape=(sources,)),),
        populations=(Population(name="one", shape=(301,), dv=4096, vth=131071, bias_mantissa=np.zeros(301, np.int32)),),
        connections=(Dense(source="input", target="one", weights=weights_of(weights), exponent=2),),
        readouts=(Readout(population="one", kind="membrane_sum"),),
    )
    spikes = (random.random((3, 4, sources)) < np.array([1.0, 0.9, 0.01, 0.0])[:, None]).astype(np.uint8)
    assert_equal(network, spikes)
    assert run_fast(network, spikes).traces["one"].v[0, 0, 0] == 64 * 4 * sources


@pytest.mark.parametrize("name", GEOMETRIES)
@pytest.mark.parametrize("values", [(-1, 1), (0, 1), (-15, 2), (-100, 127)], ids=str)
def test_windows_of_every_shape(name, values):
    """Few spikes, most, and all: more than a byte holds; weights of one bit, a few and eight; loops, and none."""
    random = np.random.default_rng(2)
    geometry = dict(GEOMETRIES[name])
    out, kernel = geometry.pop("out"), geometry["kernel"]
    weights = random.choice(values, (out, 4 // geometry.get("groups", 1) * kernel[0] * kernel[1]))
    conv = Conv2d(
        source="input", target="one", source_shape=(4, 9, 8), weights=weights_of(weights), exponent=1, **geometry
    )
    spikes = (random.random((3, 4, 288)) < np.array([0.03, 0.9, 1])[:, None, None]).astype(np.uint8)
    for loop in (False, True):
        assert_equal(windowed(conv, loop=loop), spikes, tile=2)


def test_pooling_of_many_channels():
    pool = SumPool2d(source="input", target="one", source_shape=(40, 5, 5), kernel=(2, 2), stride=(2, 2))
    spikes = (np.random.default_rng(3).random((2, 4, 1000)) < 0.4).astype(np.uint8)
    assert_equal(windowed(pool), spikes)

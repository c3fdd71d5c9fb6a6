"""Fan-in in parts: text in, text out, every trace on random networks, and what has no parts."""

from dataclasses import replace

import numpy as np
import pytest
from builders import chain, spikes_for
from hypothesis import HealthCheck, Phase, event, given, reject, settings
from hypothesis import strategies as st
from redundant import fits, input_spikes
from small import SPIKES, dense, network_of, population, shortened
from strategies import networks, spatial_networks

from bitspike.convert.connections import Conv2d, Identity, SumPool2d
from bitspike.convert.network import VTH_MAX, Dense, Readout
from bitspike.convert.passes.fan_in import fan_in, fan_in_of
from bitspike.convert.passes.fan_in_binary import fan_in_binary
from bitspike.convert.passes.split import split
from bitspike.convert.passes.sums import Stage, binary_stages
from bitspike.convert.retime import retime
from bitspike.convert.rules import check
from bitspike.convert.weights import IntegerWeights, weights_of
from bitspike.errors import UnsupportedError, UsageError
from bitspike.sim.compare import first_divergence
from bitspike.sim.reference import run_reference

READ = (Readout(population="hidden1", kind="spike_count"),)
MEMBRANE = (Readout(population="out", kind="membrane_sum"),)


def assert_same_traces(before, after, spikes):
    """Spikes, currents and membranes of every population of `before`, aligned by latency."""
    one, other = run_reference(before, spikes), run_reference(after, spikes)
    assert first_divergence(before, one, other) is None
    for answer in before.answers():
        assert np.array_equal(one.scores(before, answer), other.scores(after, answer))


def two_sources(**neuron):
    """`out` has 3 + 3 sources, which do not come within the same step."""
    return network_of(
        [population("a", 3), population("out", 2, vth=VTH_MAX, dv=300, du=500, **neuron)],
        [
            dense("input", "a", [[1, 1, -1], [1, -1, 1], [1, 1, 1]]),
            dense("input", "out", [[3, -2, 1], [-1, 1, 0]], delay=2, exponent=3),
            dense("a", "out", [[1, -1, 1], [-1, -1, -1]], exponent=1),
        ],
        MEMBRANE,
    )


def test_graded_relays_as_text():
    assert shortened(fan_in(two_sources(), 4)) == [
        "network small steps=6",
        "input   input shape=3",
        "dense   input -> a 3x3 bits=1 values={-1,+1} exponent=0 delay=0",
        "lif     a shape=3 du=4096 dv=4096 vth=1 reset=zero start=0 bias=0",
        "dense   input -> out_sum0 4x3 bits=2 values=-3..+3 exponent=2 delay=2",
        "lif     out_sum0 shape=4 du=4096 dv=4096 vth=1 reset=zero start=0 spike=graded shift=0 bias=1..1<<0",
        "dense   a -> out_sum1 4x3 bits=1 values={-1,+1} exponent=0 delay=0",
        "lif     out_sum1 shape=4 du=4096 dv=4096 vth=1 reset=zero start=0 spike=graded shift=0 bias=1..1<<0",
        "dense   out_sum0 -> out 2x4 bits=1 values=-1..+1 exponent=1 delay=0",
        "dense   out_sum1 -> out 2x4 bits=1 values=-1..+1 exponent=1 delay=0",
        "lif     out shape=2 du=500 dv=300 vth=131071 reset=zero start=0 bias=0",
        "readout out membrane_sum",
    ]


@pytest.mark.parametrize(
    ("divide", "sources"), [(fan_in, 8), (fan_in, 30), (fan_in, 89), (fan_in_binary, 60), (fan_in_binary, 89)]
)
def test_every_neuron_does_what_it_did(divide, sources):
    network = chain((90, 40, 5), du=700, dv=300)
    spikes = spikes_for(network, rate=0.6, samples=20)
    after = divide(network, sources)
    assert len(after.populations) > 2
    assert check(after) is after
    assert_same_traces(network, after, spikes)
    assert_same_traces(network, retime(after), spikes)
    assert max(fan_in_of(after, p).max() for p in after.populations) <= sources


def test_a_part_of_one_sign_has_relays_of_that_sign_only():
    network = network_of(
        [population("out", 2, vth=VTH_MAX)], [dense("input", "out", [[1, 0, 1, 1], [1, 1, 1, 0]])], MEMBRANE, shape=(4,)
    )
    after = fan_in(network, 2)
    assert [p.size for p in after.populations] == [2, 2, 2]
    assert [c.shape for c in after.connections if c.target == "out"] == [(2, 2), (2, 2)]
    assert_same_traces(network, after, spikes_for(network, rate=0.8, samples=20))


def test_digits_to_the_base_eight():
    assert binary_stages(0) == (Stage(place=0, units=0),)
    assert binary_stages(3) == (Stage(place=0, units=3),)
    assert binary_stages(40) == (Stage(place=3, units=5), Stage(place=0, units=7))
    assert [s.place for s in binary_stages(4096)] == [12, 9, 6, 3, 0]
    assert [s.place for s in binary_stages(12288)] == [12, 10, 8, 6, 4, 2, 0]


@pytest.mark.parametrize("weight", [1, 5, -3, 255])
def test_digits_add_up_at_every_sum(weight):
    """A run in which every number of sources fires, from none to all."""
    network = network_of(
        [population("out", 1, vth=VTH_MAX)],
        [dense("input", "out", np.full((1, 60), weight), exponent=1)],
        MEMBRANE,
        shape=(60,),
    )
    network = replace(network, steps=61)
    spikes = np.tril(np.ones((61, 60), np.uint8), -1)[None]
    after = fan_in_binary(network, 58)
    assert run_reference(network, spikes).traces["out"].v[0, :, 0].tolist() == [k * weight * 128 for k in range(61)]
    assert_same_traces(network, after, spikes)


def convolution():
    """Two parts of a convolution's source, and a pool that stays as it is."""
    random = np.random.default_rng(7)
    kernels = [weights_of(random.choice([-1, 1], (3, channels * 4))) for channels in (16, 8)]
    ends = {"target": "out", "kernel": (2, 2), "padding": (1, 1), "stride": (2, 1)}
    return network_of(
        [population("a", 16, 3, 4), population("b", 8, 3, 4), population("out", 3, 2, 5, vth=VTH_MAX)],
        [
            Conv2d(source="input", target="a", source_shape=(1, 3, 4), kernel=(1, 1), weights=weights_of([[1]] * 16)),
            Conv2d(source="input", target="b", source_shape=(1, 3, 4), kernel=(1, 1), weights=weights_of([[1]] * 8)),
            Conv2d(source="a", source_shape=(16, 3, 4), weights=kernels[0], **ends),
            Conv2d(source="b", source_shape=(8, 3, 4), weights=kernels[1], **ends),
            dense("input", "out", random.integers(-2, 3, (30, 12))),
        ],
        MEMBRANE,
        shape=(1, 3, 4),
    )


@pytest.mark.parametrize(("divide", "sources"), [(fan_in, 80), (fan_in_binary, 80)])
def test_windows_go_to_one_part_or_another(divide, sources):
    network = convolution()
    after = divide(network, sources)
    assert fan_in_of(network, network.population("out")).max() > sources
    assert all(fan_in_of(after, p).max() <= sources for p in after.populations)
    assert {c.groups for c in after.incoming("out")} == {3}
    spikes = spikes_for(network, rate=0.5, samples=20)
    assert_same_traces(network, after, spikes)
    assert_same_traces(network, retime(after, 3), spikes)


def test_a_wide_window_wants_its_source_split():
    with pytest.raises(UnsupportedError, match="connection a -> out: a window of 64 sources, limit 60; a source of"):
        fan_in(convolution(), 60)
    network = split(convolution(), 96)
    after = fan_in(network, 60)
    assert_same_traces(network, after, spikes_for(network, rate=0.5, samples=10))


def test_parts_of_parts():
    network = network_of(
        [population("out", 2, vth=VTH_MAX)],
        [dense("input", "out", np.random.default_rng(1).integers(-3, 4, (2, 60)))],
        MEMBRANE,
        shape=(60,),
    )
    after = fan_in(network, 6)
    assert max(fan_in_of(after, p).max() for p in after.populations) <= 6
    assert max(retime(after).latencies().values()) == 3
    assert_same_traces(network, retime(after), spikes_for(network, samples=20))


def loop(delay=1):
    """8 sources from outside, 3 from itself."""
    random = np.random.default_rng(5)
    return network_of(
        [population("a", 3, dv=200, vth=2), population("out", 2)],
        [
            dense("input", "a", random.choice([-1, 1], (3, 8))),
            dense("a", "a", random.choice([-1, 1], (3, 3)), delay=delay),
            dense("a", "out", random.choice([-1, 1], (2, 3))),
        ],
        SPIKES,
        shape=(8,),
    )


def test_a_loop_stays_as_it_is_and_can_be_retimed():
    after = fan_in(loop(), 7)
    assert [c.delay for c in after.connections if c.source == c.target == "a"] == [1]
    assert_same_traces(loop(), retime(after), spikes_for(loop(), samples=20, rate=0.6))


@pytest.mark.parametrize(
    ("network", "sources", "message"),
    [
        (
            loop(),
            2,
            r"population a: a neuron of 11 sources; parts of at most 2 leave 11 \(what is in a loop, a pool, or",
        ),
        (retime(chain()), 8, "network chain: in chip time; expected no start: fan-in first, retime then"),
        (
            network_of([population("out", 1)], [dense("input", "out", [[-256, 1, 1]])], SPIKES),
            2,
            "connection input -> out: a weight of -256, whose opposite is no weight; expected -255..255",
        ),
    ],
)
def test_what_has_no_parts_is_refused(network, sources, message):
    with pytest.raises(UnsupportedError, match=message):
        fan_in(network, sources)


def test_digits_need_room_and_binary_spikes():
    seven = network_of([population("hidden1", 2)], [dense("input", "hidden1", [[7] * 12] * 2)], READ, shape=(12,))
    with pytest.raises(
        UnsupportedError, match="population hidden1: a relay reads 8 others beside its part; expected mo"
    ):
        fan_in_binary(seven, 8)
    graded = network_of(
        [population("a", 3, spike="graded"), population("out", 1)],
        [dense("input", "a", [[1, 2, 1]] * 3), dense("a", "out", [[1, 1, 1]])],
        SPIKES,
    )
    with pytest.raises(
        UnsupportedError, match="connection a -> out: graded spikes; expected binary ones, or the pass f"
    ):
        fan_in_binary(graded, 2)
    with pytest.raises(UsageError, match="sources 1; expected 2 or more"):
        fan_in(graded, 1)


def test_a_matrix_that_would_be_too_large_is_refused(monkeypatch):
    monkeypatch.setattr("bitspike.convert.passes.sums._WEIGHTS_MAX", 100)
    with pytest.raises(
        UnsupportedError, match="population hidden1: relays of its 9 sums in a matrix of 9x18; expected"
    ):
        fan_in(chain((12, 9, 4)), 8)


def test_nothing_to_divide_gives_the_same_object():
    network = chain()
    assert fan_in(network) is network
    assert fan_in_binary(network, 12) is network


def test_a_network_of_identities_and_pools_has_nothing_to_divide():
    network = network_of(
        [population("a", 1, 1, 2), population("out", 2)],
        [SumPool2d(source="input", target="a", source_shape=(1, 2, 4), kernel=(2, 2), stride=(2, 2)),
         Identity(source="a", target="out", size=2)],
        SPIKES,
        shape=(1, 2, 4),
    )  # fmt: skip
    with pytest.raises(UnsupportedError, match="population a: a neuron of 4 sources; parts of at most 3 leave 4"):
        fan_in(network, 3)


def milder(network):
    """`network` without the one weight that has no opposite."""
    return replace(
        network,
        connections=tuple(
            replace(c, weights=IntegerWeights(values=np.maximum(c.weights.matrix(), -255)))
            if isinstance(c, Dense | Conv2d) and c.weights.matrix().min(initial=0) < -255
            else c
            for c in network.connections
        ),
    )


def wide_networks(graded):
    """Feed-forward ones whose neurons have many sources, and spatial ones with loops."""
    matrices = networks(populations=(1, 3), neurons=40, inputs=(1, 2), starts=False, graded=graded)
    return st.one_of(matrices, matrices, spatial_networks(starts=False, graded=graded)).map(milder)


@settings(
    max_examples=60,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
@given(st.sampled_from([fan_in, fan_in, fan_in_binary]), st.data())
def test_the_claim_on_random_networks(divide, data):
    network = data.draw(wide_networks(divide is fan_in))
    widest = max(int(fan_in_of(network, p).max()) for p in network.populations)
    least = max(4 if divide is fan_in else widest - widest // 4, 2)
    sources = data.draw(st.integers(least, max(widest - 1, least)))
    try:
        after = divide(network, sources)
    except UnsupportedError as error:
        event(f"refused: {str(error).partition(': ')[2][:9]}")
        return
    event(f"{divide.__name__}: {'narrow' if after is network else 'divided'}")
    assert check(after) is after
    assert divide(after, sources) is after
    assert all(fan_in_of(after, p).max() <= sources for p in after.populations)
    if not fits(after):
        reject()
    spikes = data.draw(input_spikes(network))
    assert_same_traces(network, after, spikes)
    try:
        chip = retime(after)
    except UnsupportedError as error:
        event(f"not retimed: {str(error)[-24:]}")
        return
    assert_same_traces(network, chip, spikes)

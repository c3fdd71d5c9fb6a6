"""Each known cause, planted in an engine of its own, is named; what is none of them is not."""

from dataclasses import replace

import numpy as np
import pytest
from builders import chain, spikes_for

from bitspike.convert.connections import Conv2d, Dense
from bitspike.convert.network import VTH_MAX, Input, IntegerNetwork, Population, Readout
from bitspike.convert.weights import weights_of
from bitspike.samples import SpikeData
from bitspike.sim.causes import find_reason
from bitspike.sim.record import Record, Trace
from bitspike.sim.reference import run_reference, truncate
from bitspike.sim.verify import verify

NETWORK = chain((12, 9, 7, 4), steps=20)
SPIKES = spikes_for(NETWORK, samples=5)


def engine(decay=truncate, strict=True, membrane_first=False, populations=None):
    """A step written again, with one mistake, in some populations."""

    def rule(p, u, v, a, **_):
        ours = populations is None or p.name in populations
        cut = decay if ours else truncate
        old = u
        u = cut(u * (4096 - p.du), 12) + 64 * a
        v = cut(v * (4096 - p.dv), 12) + (old if membrane_first and ours else u) + p.bias
        s = v > 64 * p.vth if strict or not ours else v >= 64 * p.vth
        return u, np.where(s, 0 if p.reset == "zero" else v - 64 * p.vth, v), s.astype(np.int64)

    return rule


def reason(network, other, spikes=SPIKES):
    left = run_reference(network, spikes)
    assert any(not np.array_equal(left.traces[n].v, other.traces[n].v) for n in left.traces)
    sample = next(
        s for s in range(len(spikes)) for n in left.traces if (left.traces[n].v[s] != other.traces[n].v[s]).any()
    )
    return find_reason(network, left, other, sample)


@pytest.mark.parametrize("where", [None, "hidden1", "hidden2"])
@pytest.mark.parametrize(
    ("mistake", "cause"),
    [
        ({"decay": lambda x, n: x >> n}, "floor instead of truncation"),
        ({"decay": lambda x, n: np.rint(x / 2**n).astype(np.int64)}, "rounding to the nearest instead of truncation"),
        ({"membrane_first": True}, "the membrane before the current"),
    ],
)
def test_another_arithmetic(mistake, cause, where):
    rule = engine(**mistake, populations=None if where is None else {where})
    found = reason(NETWORK, run_reference(NETWORK, SPIKES, rule=rule))
    assert found.cause == cause
    assert found.where == ("" if where is None else where)
    assert found.samples == 5


def test_at_the_threshold():
    network = IntegerNetwork(
        name="counter",
        steps=9,
        inputs=(Input(name="input", shape=(3,)),),
        populations=(Population(name="one", shape=(2,), dv=0, vth=2, bias_mantissa=np.zeros(2, np.int32)),),
        connections=(Dense(source="input", target="one", weights=weights_of([[1, 1, -1], [1, 1, 1]])),),
        readouts=(Readout(population="one", kind="spike_count"),),
    )
    spikes = (np.random.default_rng(1).random((4, 9, 3)) < 0.5).astype(np.uint8)
    found = reason(network, run_reference(network, spikes, rule=engine(strict=False)), spikes)
    assert str(found) == ">= instead of > at the threshold, everywhere, explains every value of 4 samples"


def test_the_other_reset_in_one_population():
    other = NETWORK.with_populations(
        tuple(replace(p, reset="subtract") if p.name == "hidden2" else p for p in NETWORK.populations)
    )
    found = reason(NETWORK, run_reference(other, SPIKES))
    assert (found.cause, found.where) == ("the other reset", "hidden2")


@pytest.mark.parametrize(("offset", "told"), [(1, "1 step late"), (2, "2 steps late")])
def test_an_offset_of_a_population(offset, told):
    record = run_reference(NETWORK, SPIKES)

    def moved(array):
        return np.concatenate([np.zeros_like(array[:, :offset]), array[:, :-offset]], axis=1)

    last = list(record.traces)[-1]
    trace = record.traces[last]
    late = Trace(spikes=moved(trace.spikes), u=moved(trace.u), v=moved(trace.v))
    other = Record(engine="x", inputs=SPIKES, traces={**record.traces, last: late}, latency=record.latency)
    found = reason(NETWORK, other)
    assert (found.cause, found.where) == (told, last)


@pytest.mark.parametrize("where", ["", "hidden2"])
@pytest.mark.parametrize(("offset", "told"), [(1, "1 step early"), (3, "3 steps early")])
def test_a_population_that_is_early_has_answered_silence_at_the_end(offset, told, where):
    record = run_reference(NETWORK, SPIKES)
    longer = run_reference(NETWORK, np.pad(SPIKES, ((0, 0), (0, offset), (0, 0))))
    traces = {
        name: Trace(spikes=t.spikes[:, offset:], u=t.u[:, offset:], v=t.v[:, offset:])
        for name, t in longer.traces.items()
        if where in ("", name)
    }
    assert traces[where or "output"].v[:, -1].any()
    other = Record(engine="x", inputs=SPIKES, traces={**record.traces, **traces}, latency=record.latency)
    found = reason(NETWORK, other)
    assert (found.cause, found.where) == (told, where)


def large_states(dv=40):
    """One population whose membranes need all their 24 bits, and leave them where the input says so."""
    return IntegerNetwork(
        name="large",
        steps=40,
        inputs=(Input(name="input", shape=(4,)),),
        populations=(
            Population(name="sum", shape=(3,), dv=dv, vth=VTH_MAX, bias_mantissa=np.array([3, -5, 7], np.int32)),
        ),
        connections=(Dense(source="input", target="sum", weights=weights_of([[85, -80, 3, 1]] * 3), exponent=5),),
        readouts=(Readout(population="sum", kind="membrane_last"),),
    )


def test_rounding_in_single_precision():
    """Products of 23 and 12 bits in the 24 bits of a single-precision number, truncated after they were rounded."""

    def single(x, n):
        return np.trunc(x.astype(np.float32) / np.float32(1 << n)).astype(np.int64)

    spikes = np.zeros((4, 40, 4), np.uint8)
    spikes[:, :, 0] = np.random.default_rng(0).random((4, 40)) < 0.5
    network = large_states()
    found = reason(network, run_reference(network, spikes, rule=engine(decay=single)), spikes)
    assert str(found) == "a decay in single-precision floating point, everywhere, explains every value of 4 samples"


def wrapped(v):
    return (v + 2**23) % 2**24 - 2**23


def clipped(v):
    return np.clip(v, 1 - 2**23, 2**23 - 1)


def register(limit):
    """A step in which the membrane is what `limit` makes of it; the current stays within its register."""

    def rule(p, u, v, a, **_):
        v = limit(v + 64 * a + p.bias)
        s = v > 64 * p.vth
        return 64 * a, np.where(s, 0, v), s.astype(np.int64)

    return rule


@pytest.mark.parametrize(
    ("source", "ours", "theirs", "cause"),
    [
        (0, lambda v: v, wrapped, "a state that wraps around 24 bits"),
        (1, lambda v: v, wrapped, "a state that wraps around 24 bits"),
        (1, lambda v: v, clipped, "a state that is clipped at 24 bits"),
        (1, clipped, wrapped, "a state that wraps around 24 bits"),
        (1, wrapped, clipped, "a state that is clipped at 24 bits"),
    ],
)
def test_registers_that_overflow(source, ours, theirs, cause):
    """Input 0 drives membranes up, 1 down; up, what is clipped still spikes, as what is not."""
    network = large_states(dv=0)
    spikes = np.zeros((2, 60, 4), np.uint8)
    spikes[0, :, source] = 1
    spikes[1, ::3, source] = 1
    left, other = (run_reference(network, spikes, rule=register(limit)) for limit in (ours, theirs))
    assert (left.traces["sum"].v[0] != other.traces["sum"].v[0]).any()
    found = find_reason(network, left, other, 0)
    assert (found.cause, found.where, found.samples) == (cause, "", 2)


def test_a_membrane_that_wraps_where_lava_clips_it():
    network = large_states(dv=0)
    spikes = np.zeros((2, 60, 4), np.uint8)
    spikes[:, :, 1] = 1
    left = run_reference(network, spikes, overflow="lava")
    other = run_reference(network, spikes, rule=register(wrapped))
    assert str(find_reason(network, left, other, 0)).startswith("a state that wraps around 24 bits, everywhere")


def convolution(kernel=(3, 3)):
    random = np.random.default_rng(4)
    size = kernel[0] * kernel[1]
    conv = Conv2d(
        source="input", target="maps", source_shape=(2, 6, 6), kernel=kernel, padding=(1, 1),
        weights=weights_of(random.choice([-1, 1], (3, 2 * size))),
    )  # fmt: skip
    maps = Population(
        name="maps", shape=conv.target_shape, dv=512, vth=2, bias_mantissa=np.zeros(conv.shape[0], np.int32)
    )
    return IntegerNetwork(
        name="maps",
        steps=5,
        inputs=(Input(name="input", shape=(2, 6, 6)),),
        populations=(maps,),
        connections=(conv,),
        readouts=(Readout(population="maps", kind="spike_count"),),
    )


@pytest.mark.parametrize(
    ("turned", "cause"),
    [(lambda k: k[:, :, ::-1, ::-1], "a flipped kernel"), (lambda k: k.transpose(0, 1, 3, 2), "a transposed kernel")],
)
def test_kernels(turned, cause):
    network = convolution()
    conv = network.connections[0]
    kernels = conv.weights.matrix().reshape(3, 2, 3, 3)
    other = replace(network, connections=(replace(conv, weights=weights_of(turned(kernels).reshape(3, -1))),))
    spikes = (np.random.default_rng(0).random((3, 5, 72)) < 0.3).astype(np.uint8)
    assert reason(network, run_reference(other, spikes), spikes).cause == cause


def test_a_delay():
    first = NETWORK.connections[1]
    other = replace(
        NETWORK,
        connections=tuple(replace(c, delay=1) if c is first else c for c in NETWORK.connections),
    )
    found = reason(NETWORK, run_reference(other, SPIKES))
    assert (found.cause, found.where) == ("a delay of one step more", first.name)


def test_one_wrong_weight_is_none_of_them_and_said_so():
    first = NETWORK.connections[0]
    weights = first.weights.matrix().copy()
    weights[2, 3] = -weights[2, 3]
    changed = (replace(first, weights=weights_of(weights)), *NETWORK.connections[1:])
    other = replace(NETWORK, connections=changed)
    data = SpikeData(name="random", spikes=SPIKES, labels=np.zeros(len(SPIKES), np.int64))
    result = verify(NETWORK, data=data, engines=["reference"], against={"copy": other})
    assert result.engines[1].reason is None
    assert "reason: none of the known causes explains all of it" in str(result)
    assert result.as_json()["engines"][1]["reason"] is None

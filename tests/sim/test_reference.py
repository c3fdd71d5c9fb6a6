"""The reference engine against worked examples; it is the definition, so the expected values are by hand."""

from dataclasses import replace

import numpy as np
import pytest
from builders import chain, spikes_for

from bitspike.convert.network import Dense, Input, IntegerNetwork, Population, Readout
from bitspike.convert.weights import weights_of
from bitspike.errors import RangeError
from bitspike.sim.reference import run_reference, step, truncate


def neuron(**changes):
    defaults = {"name": "n", "shape": (1,), "du": 4096, "dv": 0, "vth": 1, "bias_mantissa": np.zeros(1, int)}
    return Population(**(defaults | changes))


def single(weight=1, *, delay=0, exponent=0, **changes):
    return IntegerNetwork(
        name="single",
        steps=4,
        inputs=(Input(name="input", shape=(1,)),),
        populations=(neuron(**changes),),
        connections=(
            Dense(source="input", target="n", weights=weights_of([[weight]]), delay=delay, exponent=exponent),
        ),
        readouts=(Readout(population="n", kind="spike_count"),),
    )


def drive(network, spikes):
    trace = run_reference(network, np.array(spikes, np.uint8).reshape(1, -1, 1)).traces["n"]
    return [array[0, :, 0].tolist() for array in (trace.spikes, trace.u, trace.v)]


def test_truncation_is_toward_zero():
    assert truncate(np.array([-4097, -4096, -4095, -1, 0, 1, 4095, 4096]), 12).tolist() == [-1, -1, 0, 0, 0, 0, 0, 1]


def test_the_threshold_is_strict_and_the_reset_is_to_zero():
    assert drive(single(), [1, 1, 1, 1]) == [[0, 1, 0, 1], [64, 64, 64, 64], [64, 0, 64, 0]]


def test_reset_by_subtraction_keeps_the_rest():
    assert drive(single(3, reset="subtract", vth=2), [1, 1, 0, 0]) == [
        [1, 1, 0, 0],
        [192, 192, 0, 0],
        [64, 128, 128, 128],
    ]


def test_decays_are_in_4096ths_and_truncate():
    # v: 64, then trunc(64 * 3996 / 4096) = 62, trunc(62 * 3996 / 4096) = 60, 58
    assert drive(single(dv=100), [1, 0, 0, 0])[2] == [64, 62, 60, 58]
    assert drive(single(-1, dv=100), [1, 0, 0, 0])[2] == [-64, -62, -60, -58]
    # u: 64, 48, 36, 27 with du = 1024; v integrates it without leak
    assert drive(single(du=1024, vth=100), [1, 0, 0, 0])[1:] == [[64, 48, 36, 27], [64, 112, 148, 175]]


def test_bias_exponent_and_delay():
    assert drive(single(vth=100, bias_mantissa=np.array([-3]), bias_exponent=2), [0, 0, 0, 0])[2] == [
        -12,
        -24,
        -36,
        -48,
    ]
    assert drive(single(vth=100, exponent=3), [1, 0, 0, 0])[1] == [512, 0, 0, 0]
    assert drive(single(vth=100, delay=2), [1, 1, 0, 1])[1] == [0, 0, 64, 64]


def test_start_clears_the_state_and_shifts_the_window():
    network = single(vth=100, bias_mantissa=np.array([5]), start=1, delay=1)
    record = run_reference(network, np.array([1, 0, 0, 0], np.uint8).reshape(1, 4, 1))
    assert record.latency == {"input": 0, "n": 1}
    assert record.traces["n"].v[0, :, 0].tolist() == [69, 74, 79, 84]


def test_leaving_a_register_is_an_error_that_names_the_place():
    p = neuron()
    wide = np.array([[1 << 15]])
    zero = np.zeros((1, 1), np.int64)
    with pytest.raises(
        RangeError, match="population n, step 7: synaptic input reaches 32768; the register holds 32767"
    ):
        step(p, zero, zero, wide, when=7)
    with pytest.raises(RangeError, match="membrane v reaches 8388671"):
        step(replace(p, vth=131071), zero, np.array([[(1 << 23) - 1]]), np.array([[1]]))
    with pytest.raises(RangeError, match="current u reaches"):
        step(replace(p, du=0), np.array([[(1 << 23) - 1]]), zero, np.array([[1]]))


def test_lava_mode_wraps_u_once_and_clips_v():
    p = neuron(vth=131071, du=0)
    zero, top = np.zeros((1, 1), np.int64), np.array([[(1 << 23) - 1]])
    u, v, _ = step(p, top, zero, np.array([[1]]), overflow="lava")
    assert (u.item(), v.item()) == ((1 << 23) - 1 + 64 - (1 << 24), -((1 << 23) - 63))
    _, v, _ = step(replace(p, du=4096, vth=131071), zero, top, np.array([[1000]]), overflow="lava")
    assert v.item() == 0  # clipped to 2^23 - 1, which is over 64 * 131071, so that it spikes


def test_samples_do_not_influence_each_other():
    network = chain()
    spikes = spikes_for(network, samples=6)
    together = run_reference(network, spikes)
    for k in range(6):
        alone = run_reference(network, spikes[k : k + 1])
        for name, trace in alone.traces.items():
            for quantity in ("spikes", "u", "v"):
                assert np.array_equal(getattr(trace, quantity)[0], getattr(together.traces[name], quantity)[k])


@pytest.mark.parametrize("kind", ["spike_count", "membrane_sum", "membrane_last"])
def test_readouts_are_integers_and_ties_go_to_the_lowest_class(kind):
    network = chain(readout=kind)
    record = run_reference(network, spikes_for(network))
    trace = record.traces["output"]
    expected = {"spike_count": trace.spikes.sum(1), "membrane_sum": trace.v.sum(1), "membrane_last": trace.v[:, -1]}[
        kind
    ]
    assert np.array_equal(record.scores(network), expected)
    assert record.scores(network).dtype == np.int64
    silent = run_reference(chain(readout=kind, bias=False), np.zeros((2, 10, 12), np.uint8))
    assert silent.predictions(chain(readout=kind)).tolist() == [0, 0]

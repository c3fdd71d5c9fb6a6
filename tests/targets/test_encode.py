"""Lava's weight registers: exact or refused, and what Lava's own synapse makes of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from lava_support import needs_lava

from bitspike.convert.network import Dense
from bitspike.convert.weights import IntegerWeights, weights_of
from bitspike.errors import UnsupportedError
from bitspike.targets.lava.encode import WEIGHT_BITS, WEIGHT_EXPONENTS, SignMode, Synapses, effective, encode


def dense(matrix, exponent=0, delay=1):
    return Dense(source="a", target="b", weights=weights_of(np.array(matrix)), exponent=exponent, delay=delay)


def encoded(connection):
    return encode(connection.effective(), connection.name)


@pytest.mark.parametrize(
    ("matrix", "exponent", "mantissas", "registers"),
    [
        ([[-1, 1]], 0, [[-128, 128]], (2, -7, SignMode.MIXED)),
        ([[-1, 1]], 7, [[-128, 128]], (2, 0, SignMode.MIXED)),
        ([[-1, 0, 1]], 0, [[-128, 0, 128]], (2, -7, SignMode.MIXED)),
        ([[0, 1]], 0, [[0, 128]], (1, -7, SignMode.EXCITATORY)),
        ([[1, 1]], 0, [[128, 128]], (1, -7, SignMode.EXCITATORY)),
        ([[-1, -1]], 0, [[-128, -128]], (1, -7, SignMode.INHIBITORY)),
        ([[-1, 0]], 1, [[-128, 0]], (1, -6, SignMode.INHIBITORY)),
        ([[0, 0]], 3, [[0, 0]], (1, 0, SignMode.EXCITATORY)),
        ([[255, 1]], 0, [[255, 1]], (8, 0, SignMode.EXCITATORY)),
        ([[-255, 0]], 0, [[-255, 0]], (8, 0, SignMode.INHIBITORY)),
        ([[-128, 127]], 0, [[-256, 254]], (8, -1, SignMode.MIXED)),
        ([[-256, 254]], 0, [[-256, 254]], (8, 0, SignMode.MIXED)),
        ([[-64, 63]], 0, [[-128, 126]], (8, -1, SignMode.MIXED)),
        ([[-256, -256]], 7, [[-256, -256]], (1, 7, SignMode.MIXED)),
    ],
)
def test_registers(matrix, exponent, mantissas, registers):
    bits, weight_exp, mode = registers
    found = encoded(dense(matrix, exponent))
    assert found == Synapses(mantissas=np.array(mantissas), bits=bits, exponent=weight_exp, sign_mode=mode)
    assert np.array_equal(effective(found), np.array(matrix) << exponent)


@pytest.mark.parametrize("matrix", [[[-129, 1]], [[-1, 255]], [[-256, 127]], [[-256, -255]], [[-1, 128]]])
def test_what_needs_nine_bits_is_refused_by_name(matrix):
    with pytest.raises(
        UnsupportedError, match=r"connection a -> b: weights -\d+..-?\d+ have no exact form in Lava's 8"
    ):
        encoded(dense(matrix))


@given(
    matrix=st.one_of(
        arrays.arrays(np.int16, arrays.array_shapes(min_dims=2, max_dims=2, max_side=5), elements=st.integers(*limits))
        for limits in ((-256, 255), (-128, 127), (-2, 1), (0, 255), (-255, 0), (-256, -250))
    ),
    shift=st.integers(0, 4),
    exponent=st.integers(0, 7),
)
def test_exact_or_refused_and_refused_only_where_nothing_fits(matrix, shift, exponent):
    matrix = (matrix >> shift) << shift
    connection = Dense(source="a", target="b", weights=IntegerWeights(values=matrix), exponent=exponent)
    wide = matrix.astype(np.int64)
    one_sign = wide.min() >= 0 or (wide.max() <= 0 and wide.min() > -256)
    while wide.any() and not (wide & 1).any():
        wide >>= 1
    fits = one_sign or (wide.min() >= -128 and wide.max() <= 127)
    if not fits:
        with pytest.raises(UnsupportedError):
            encoded(connection)
        return
    found = encoded(connection)
    assert np.array_equal(effective(found), connection.effective())
    assert found.bits in WEIGHT_BITS
    assert found.exponent in WEIGHT_EXPONENTS
    assert -256 <= found.mantissas.min() <= found.mantissas.max() <= 255


def test_an_exponent_that_drops_bits_has_no_value_of_its_own():
    lossy = Synapses(mantissas=np.array([[3, 4]]), bits=8, exponent=-1, sign_mode=SignMode.EXCITATORY)
    assert effective(lossy) is None


def lava_output(model, spikes):
    """What Lava's Dense sends in the step after `spikes`."""
    from bitspike.sim.engines.lava_models import Wire

    model.s_in, model.a_out = Wire(spikes), Wire(spikes)
    model.run_spk()
    model.run_spk()
    return model.a_out.recv()


@needs_lava
def test_lavas_dense_adds_the_effective_weights_of_any_registers():
    from bitspike.sim.engines.lava_models import synapse_model
    from bitspike.targets.lava.program import DenseConnection
    from bitspike.targets.lava.repair import import_lava

    import_lava()
    random = np.random.default_rng(5)
    clipped = truncated = compared = 0
    for case in range(600):
        mode = SignMode(case % 3 + 1)
        low, high = {SignMode.MIXED: (-300, 300), SignMode.EXCITATORY: (0, 300), SignMode.INHIBITORY: (-300, 1)}[mode]
        mantissas = random.integers(low, high, random.integers(1, 9, 2))
        synapses = Synapses(
            mantissas=mantissas,
            bits=int(random.choice(WEIGHT_BITS)),
            exponent=int(random.integers(0, 8)),
            sign_mode=mode,
        )
        if case % 2:
            synapses = Synapses(mantissas=mantissas & -32, bits=6, exponent=-int(random.integers(1, 5)), sign_mode=mode)
        expected = effective(synapses)
        if expected is None:
            continue
        scaled = mantissas * 2.0**synapses.exponent
        clipped += bool((mantissas > 255).any() or (mantissas < -256).any())
        truncated += not np.array_equal(expected, scaled)
        model = synapse_model(DenseConnection(source="a", target="b", synapses=synapses, delay=1))
        spikes = random.integers(0, 2, mantissas.shape[1])
        assert np.array_equal(lava_output(model, spikes), expected @ spikes)
        compared += len(expected)
    assert clipped > 50
    assert truncated > 200
    assert compared > 1500


@needs_lava
@pytest.mark.parametrize("delay", [1, 2, 5])
def test_lavas_synapses_add_the_networks_weights(delay):
    from bitspike.sim.engines.lava_models import Wire, synapse_model
    from bitspike.targets.lava.program import DenseConnection
    from bitspike.targets.lava.repair import import_lava

    import_lava()
    random = np.random.default_rng(6)
    for case in range(150):
        low, high = [(-1, 1), (0, 1), (-1, 0), (-1, -1), (0, 0), (-128, 127), (0, 255), (-255, 0), (-7, 3)][case % 9]
        connection = dense(random.integers(low, high + 1, random.integers(1, 12, 2)), int(random.integers(0, 8)), delay)
        model = synapse_model(DenseConnection(source="a", target="b", synapses=encoded(connection), delay=delay))
        steps = random.integers(0, 2, (12, connection.weights.shape[1]))
        model.s_in, model.a_out = Wire(steps[0]), Wire(steps[0])
        for t, spikes in enumerate(steps):
            model.s_in.send(spikes)
            model.run_spk()
            arriving = connection.effective() @ steps[t - delay] if t >= delay else 0
            assert np.array_equal(model.a_out.recv(), np.broadcast_to(arriving, connection.weights.shape[0]))

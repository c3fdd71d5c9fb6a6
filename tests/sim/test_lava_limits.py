"""Where the chip is stricter than Lava's models: what they run without a word is refused, with the limit."""

from dataclasses import replace

import numpy as np
import pytest
from lava_support import needs_lava
from small import SPIKES, dense, network_of, population

from bitspike.api import lower as lower_checked
from bitspike.convert.network import IntegerNetwork
from bitspike.errors import NetworkError, RangeError
from bitspike.sim.engines import lava_models
from bitspike.sim.run import simulate
from bitspike.targets.lava.lower import lower
from bitspike.targets.lava.repair import import_lava
from bitspike.targets.lava.script import write

ONES = np.ones((1, 6, 3), np.uint8)


def heavy(weight):
    """Three inputs of `weight` << 6 each, and a neuron that forgets at once."""
    return network_of([population("out", 1)], [dense("input", "out", [[weight] * 3], exponent=6)], SPIKES)


@needs_lava
def test_the_accumulator_of_21_bits(tmp_path):
    """170 * 3 * 64 = 32640 fits; 171 does not, and Lava adds it up to the end."""
    assert simulate(heavy(170), ONES, engine_name="lava-models").traces["out"].u.max() == 64 * 32640
    too_heavy = heavy(171)
    assert lava_models.run(too_heavy, ONES).traces["out"].u.max() == 64 * 32832
    message = "population out: synaptic input can reach 32832; the register holds 32767"
    for refuse in (
        lambda: simulate(too_heavy, ONES, engine_name="lava-models"),
        lambda: lower_checked(too_heavy),
        lambda: write(too_heavy, tmp_path / "network.py"),
    ):
        with pytest.raises(RangeError, match=message):
            refuse()


@needs_lava
def test_the_state_of_24_bits():
    """Lava wraps a current; a proof that holds for 6 steps fails for 600."""
    network = network_of(
        [population("out", 1, du=0, vth=131071)], [dense("input", "out", [[255] * 3])], SPIKES
    )  # fmt: skip
    assert simulate(network, ONES, engine_name="lava-models").traces["out"].u.max() == 6 * 64 * 765
    with pytest.raises(RangeError, match="current u can reach 29376000; the register holds 8388607"):
        simulate(network, np.ones((1, 600, 3), np.uint8), engine_name="lava-models")
    assert lava_models.run(network, np.ones((1, 600, 3), np.uint8)).traces["out"].u.min() < 0


@needs_lava
def test_the_bias_of_13_bits():
    """Lava's register has 16, and what does not fit comes out as another number: 40000 as -25536."""
    import_lava()
    (neurons,) = lower(heavy(1)).neurons
    assert lava_models.lif_model(replace(neurons, bias_mant=np.array([40000])), 10, 1).bias_mant.tolist() == [-25536]
    for bias, found in ((4096, r"0\.\.4096"), (-4097, r"-4097\.\.0")):
        with pytest.raises(NetworkError, match=rf"bias mantissa {found}; expected -4096\.\.4095"):
            lower(faulty(population("out", 1, bias=bias)))


@pytest.mark.parametrize(
    ("neuron", "message"),
    [
        ({"bias_exponent": 8}, "bias exponent 8; expected 0..7"),
        ({"vth": 131072}, "vth 131072; expected 0..131071"),
        ({"du": 4097}, "du 4097; expected 0..4096"),
        ({"dv": -1}, "dv -1; expected 0..4096"),
    ],
)
def test_registers_of_a_population(neuron, message):
    with pytest.raises(NetworkError, match=message):
        lower(faulty(population("out", 1, **neuron)))


@pytest.mark.parametrize(("synapse", "message"), [({"exponent": 8}, "exponent 8"), ({"delay": 63}, "delay 63")])
def test_registers_of_a_synapse(synapse, message):
    with pytest.raises(NetworkError, match=message):
        lower(faulty(population("out", 1), **synapse))


def faulty(p, **synapse):
    """A network that is not checked before it is lowered."""
    legal = heavy(1)
    return IntegerNetwork(
        name="faulty",
        steps=6,
        inputs=legal.inputs,
        populations=(p,),
        connections=(dense("input", "out", [[1, 1, 1]], **synapse),),
        readouts=legal.readouts,
    )

"""Populations that read their own spikes: compiled where one dense connection leads back, and exact."""

import numpy as np
import pytest

from bitspike.convert.connections import Dense
from bitspike.convert.network import Input, IntegerNetwork, Population, Readout
from bitspike.convert.weights import weights_of
from bitspike.sim.fast.run import FastEngine
from bitspike.sim.fast.session import Session
from bitspike.sim.reference import run_reference

STEPS = 11


def recurrent(values, *, size=300, delay=1, exponent=0, vth=9, du=4096, twice=False) -> IntegerNetwork:
    """One population with a loop, or two loops, read by another."""
    random = np.random.default_rng(4)
    loops = [
        Dense(source="one", target="one", delay=steps, exponent=exponent,
              weights=weights_of(random.choice(values, (size, size))))
        for steps in ((delay, delay + 1) if twice else (delay,))
    ]  # fmt: skip
    return IntegerNetwork(
        name="recurrent",
        steps=STEPS,
        inputs=(Input(name="input", shape=(50,)),),
        populations=(
            Population(name="one", shape=(size,), du=du, dv=500, vth=vth, bias_mantissa=random.integers(-9, 60, size)),
            Population(name="two", shape=(7,), dv=4096, vth=131071, bias_mantissa=np.zeros(7, np.int32)),
        ),
        connections=(
            Dense(source="input", target="one", weights=weights_of(random.choice([-1, 1], (size, 50)))),
            *loops,
            Dense(source="one", target="two", weights=weights_of(random.choice([-1, 1], (7, size)))),
        ),
        readouts=(Readout(population="two", kind="membrane_sum"),),
    )


def assert_equal(network) -> None:
    spikes = (np.random.default_rng(6).random((5, STEPS, 50)) < np.array([0, 0.1, 0.3, 0.6, 1])[:, None, None]).astype(
        np.uint8
    )
    expected, engine = run_reference(network, spikes), FastEngine(network)
    assert 0.02 < expected.traces["one"].spikes.mean() < 0.98
    for chunk in (None, 1, 4):
        for record in (None, ["two"]):
            found = engine.run(spikes, record=record, chunk=chunk, tile=3).traces
            for name in record or ("one", "two"):
                for quantity in ("spikes", "u", "v"):
                    one, other = getattr(found[name], quantity), getattr(expected.traces[name], quantity)
                    assert np.array_equal(one, other), (name, quantity, chunk)


@pytest.mark.parametrize("values", [(-1, 1), (0, 1), (-3, 5), (-20, 19)], ids=str)
@pytest.mark.parametrize("delay", [1, 3])
def test_loops_are_compiled_and_exact(values, delay, monkeypatch):
    """Weights of one bit and of several; more events than eight planes count; states that need 32 bits among others."""
    monkeypatch.setattr(Session, "_step_by_step", None)
    assert_equal(recurrent(values, delay=delay, exponent=1))


def test_currents_that_stay(monkeypatch):
    monkeypatch.setattr(Session, "_step_by_step", None)
    assert_equal(recurrent((-1, 1), du=900, size=33))


def test_two_loops_go_step_by_step():
    assert_equal(recurrent((-1, 1), twice=True))

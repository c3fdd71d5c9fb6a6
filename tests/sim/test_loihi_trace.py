"""A trace recorded on a real Loihi 2, replayed.

``lif_lava_loihi_fixed.csv`` of the NIR paper (BSD-3-Clause): one neuron, weight 10, `du` register 4095, `dv` 163,
`vth` 25, 1000 steps; columns are input spike, membrane, output spike. The input of a step arrives in the one after it.
"""

import os
from pathlib import Path

import numpy as np
import pytest

import bitspike
from bitspike.convert.network import Dense, Input, IntegerNetwork, Population, Readout
from bitspike.convert.retime import in_chip_time
from bitspike.convert.weights import weights_of
from bitspike.sim.reference import run_reference

DATA = Path(os.environ.get("BITSPIKE_DATA") or Path(bitspike.__file__).parents[2] / "shared" / "data")
FOLDER = DATA / "nir" / "01_lif_traces"
#: What a membrane of the chip reads in the step in which its neuron fires; the equations say 0.
JUST_FIRED = 128


def recorded(name):
    path = FOLDER / name
    if not path.exists():
        pytest.skip(f"{name} is not here; set BITSPIKE_DATA to the folder that holds nir/01_lif_traces")
    return np.loadtxt(path, delimiter=",")


@pytest.fixture(scope="module")
def neuron():
    return IntegerNetwork(
        name="one neuron",
        steps=1000,
        inputs=(Input(name="input", shape=(1,)),),
        populations=(Population(name="lif", shape=(1,), du=4096, dv=163, vth=25, bias_mantissa=np.zeros(1, np.int64)),),
        connections=(Dense(source="input", target="lif", weights=weights_of(np.array([[10]])), delay=1),),
        readouts=(Readout(population="lif", kind="spike_count"),),
    )


@pytest.mark.parametrize(("name", "fired"), [("lif_lava_loihi_fixed.csv", JUST_FIRED), ("lif_lava_cpu_fixed.csv", 0)])
def test_the_reference_follows_the_recorded_neuron_at_every_step(neuron, name, fired):
    trace = recorded(name)
    assert trace.shape == (1000, 3)
    spikes_in, membrane, spikes_out = trace.T
    assert in_chip_time(neuron)
    ours = run_reference(neuron, spikes_in.reshape(1, -1, 1).astype(np.uint8)).traces["lif"]
    spikes, v = ours.spikes[0, :, 0], ours.v[0, :, 0]
    assert spikes_in.sum() == 34
    assert np.array_equal(spikes, spikes_out)
    assert np.flatnonzero(spikes).tolist() == [461, 511, 711, 761]
    assert np.array_equal(np.where(spikes == 1, fired, v), membrane)
    assert np.all(v[spikes == 1] == 0)

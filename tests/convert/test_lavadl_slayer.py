"""Files that lava-dl's own training library exports, against what that library computes: every spike of every layer."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from lava_support import needs_lava_dl

from bitspike.convert.formats import import_file
from bitspike.convert.lavadl.input_neurons import read_input_neurons
from bitspike.errors import FileError
from bitspike.sim.run import simulate

pytestmark = [
    needs_lava_dl,
    pytest.mark.skipif(not (find_spec("torch") and find_spec("matplotlib")), reason="needs torch and matplotlib"),
]


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A folder with the files of all kinds."""
    folder = tmp_path_factory.mktemp("slayer")
    script = Path(__file__).parent / "lavadl_slayer.py"
    command = [sys.executable, str(script), str(folder), "conv", "recurrent", "kwta"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return folder


def steps_first(array):
    """(samples, ..., steps) as (samples, steps, neurons)."""
    return np.moveaxis(array, -1, 1).reshape(len(array), array.shape[-1], -1)


def test_convolutions_pool_and_flatten(exported):
    """A grouped convolution, decays that are no power of two, and an input layer whose spikes the network takes."""
    network = import_file(exported / "conv.net", steps=20).network
    recorded = np.load(exported / "conv.npz")
    record = simulate(network, steps_first(recorded["y0"]).astype(np.uint8), ranges="watched")
    for name, entry in zip(("layer1", "layer2", "layer3", "layer4"), ("y1", "y2", "y3", "y5"), strict=True):
        expected = steps_first(recorded[entry])
        assert np.array_equal(record.traces[name].spikes, expected), name
        assert 0.1 < expected.mean() < 0.6
    neurons = read_input_neurons(exported / "conv.net")
    assert (neurons.weight, neurons.bias, neurons.dv, neurons.vth) == (32, 6, 819, 32)


def test_recurrence_and_delays(exported):
    network = import_file(exported / "recurrent.net", steps=20).network
    recorded = np.load(exported / "recurrent.npz")
    assert {c.delay for c in network.incoming("layer2")} == {1, 2, 3, 4}
    record = simulate(network, steps_first(recorded["x"]).astype(np.uint8), ranges="watched")
    for name, entry in (("layer1", "y0"), ("layer2", "y1")):
        expected = steps_first(recorded[entry])
        assert np.array_equal(record.traces[name].spikes, expected), name
        assert 0.1 < expected.mean() < 0.6
    # The last block gives its membrane, in units of a threshold of 64.
    assert np.array_equal(record.traces["layer3"].v / 4096, steps_first(recorded["y2"]))


def test_a_kwta_layer_is_nothing_in_the_file(exported):
    with pytest.raises(FileError, match=r"is not a NetX file \(no layer of it has an entry\)"):
        import_file(exported / "kwta.net", steps=20)

"""What lava-dl recorded and shipped, reproduced from Python and from the command line; skips without the data."""

import json

import numpy as np
import pytest
from shared_data import shared

from bitspike.api import encode, import_file, load_data
from bitspike.cli import main
from bitspike.convert.connections import Conv2d
from bitspike.convert.lavadl.input_neurons import read_input_neurons
from bitspike.convert.weights import IntegerWeights
from bitspike.sim.run import simulate

TINY, MNIST_NETWORK, MNIST = "lavadl/tinynet", "lavadl/trained_mnist_network.net", "mnist"
CONVOLUTIONS = "lava_conv"


def recorded(folder, name):
    """A record (1, channels, height, width, steps) as (steps, neurons), without its step 0, in which nothing is yet."""
    values = np.load(folder / f"{name}.npy")
    assert not values[..., 0].any() or name == "current"
    return np.moveaxis(values[0], -1, 0).reshape(values.shape[-1], -1)[1:]


@pytest.fixture(scope="module")
def drive(tmp_path_factory):
    """The recorded drive of the input neurons, from (width, height, channels) to ours, as a file for ``--data``."""
    path = tmp_path_factory.mktemp("tiny") / "drive.npz"
    bias = np.load(shared(TINY) / "input_bias.npy")
    np.savez(path, drive=bias.transpose(2, 1, 0)[None].astype(np.int64))
    return path


def test_tinynet_layer_by_layer(drive):
    folder = shared(TINY)
    network = import_file(folder / "tiny.net", steps=15).network
    data = encode(drive, folder / "tiny.net", steps=15)
    assert np.array_equal(data.spikes[0], recorded(folder, "input"))
    record = simulate(network, data)
    # Its current decays at once, so what is recorded is the summed input of the step.
    assert np.array_equal(record.traces["layer1"].u[0], 64 * recorded(folder, "current"))
    assert np.array_equal(record.traces["layer1"].spikes[0], recorded(folder, "layer1"))
    assert np.array_equal(record.traces["layer2"].spikes[0], recorded(folder, "output"))
    assert [recorded(folder, name).size for name in ("input", "layer1", "output")] == [11520, 12960, 540]
    assert [int(recorded(folder, name).sum()) for name in ("input", "layer1", "output")] == [6783, 1633, 92]
    # The record has them as Lava's convolution wants them: (channels, x, y, sources), flipped.
    kernels = np.load(folder / "layer1_kernel.npy")[:, ::-1, ::-1].transpose(0, 3, 2, 1)
    assert np.array_equal(network.connections[0].kernels(), kernels)
    assert np.array_equal(network.populations[0].bias_mantissa, np.repeat(np.load(folder / "layer1_bias.npy"), 36))
    assert str(read_input_neurons(folder / "tiny.net")) == "3x16x16, drive 36 * value + 34, dv=1024 vth=25"


def test_tinynet_from_the_command_line(drive, tmp_path, capsys):
    folder = shared(TINY)
    net, record = tmp_path / "tiny.safetensors", tmp_path / "record.npz"
    assert main(["import", str(folder / "tiny.net"), "--out", str(net), "--steps", "15", "--json"]) == 0
    assert "input neurons" in json.loads(capsys.readouterr().out)["notes"][0]
    simulated = ["simulate", str(net), "--data", str(drive), "--input-layer", str(folder / "tiny.net")]
    assert main([*simulated, "--out", str(record), "--json"]) == 0
    arrays = np.load(record)
    for entry, name in (("inputs", "input"), ("layer1.spikes", "layer1"), ("layer2.spikes", "output")):
        assert np.array_equal(arrays[entry][0], recorded(folder, name))


def test_mnist_from_the_command_line(tmp_path, capsys):
    """The first 200 images; the coding is lava-dl's: a neuron that adds the pixel up, 32 steps."""
    net = tmp_path / "mnist.safetensors"
    assert main(["import", str(shared(MNIST_NETWORK)), "--out", str(net), "--steps", "32", "--json"]) == 0
    simulated = ["simulate", str(net), "--data", f"mnist:{shared(MNIST)}", "--encoder", "current", "--samples", "200"]
    assert main([*simulated, "--json"]) == 2
    assert capsys.readouterr().err.rstrip().endswith("--ranges watched runs it without the proof")
    assert main([*simulated, "--ranges", "lava", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"] == 0.98


@pytest.mark.slow
def test_mnist_on_the_first_2000_images():
    network = import_file(shared(MNIST_NETWORK), steps=32).network
    data = load_data(f"mnist:{shared(MNIST)}", steps=32, encoder="current").first(2000)
    accuracy = simulate(network, data, ranges="lava").accuracy(network, data.labels)
    assert accuracy == 0.9405


@pytest.mark.parametrize("number", [3, 4, 5])
def test_convolutions_of_lava(number):
    """Lava's own convolution flips its kernels and has (width, height, channels); its record is of 32-bit floats."""
    found = np.load(shared(CONVOLUTIONS) / f"gt_conv_paris_{number}.npz")
    kernels = found["weights"][:, ::-1, ::-1, :].transpose(0, 3, 2, 1)
    image = found["input"].transpose(2, 1, 0)
    pairs = {name: tuple(found[name][::-1].tolist()) for name in ("stride", "padding", "dilation")}
    connection = Conv2d(
        source="a", target="b", source_shape=image.shape, kernel=kernels.shape[2:], groups=int(found["groups"]),
        weights=IntegerWeights(values=kernels.reshape(len(kernels), -1)), **pairs,
    )  # fmt: skip
    expected = found["out_gt"].transpose(2, 1, 0)
    assert connection.target_shape == expected.shape
    scale = 1 << 30
    delivered = connection.deliver(np.rint(image * scale).astype(np.int64).reshape(1, -1)) / scale
    assert np.abs(delivered.reshape(expected.shape) - expected).max() < 2e-3

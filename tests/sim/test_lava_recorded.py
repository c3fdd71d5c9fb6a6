"""What Lava, lava-dl and a real Loihi 2 recorded, reproduced by the lowering; skips without the data."""

from dataclasses import replace

import numpy as np
import pytest
from lava_support import assert_alive, assert_same, needs_lava
from shared_data import shared
from small import network_of, population

from bitspike.api import encode, import_file, load_data
from bitspike.convert.connections import Conv2d
from bitspike.convert.network import Dense, Input, IntegerNetwork, Population, Readout
from bitspike.convert.weights import IntegerWeights, weights_of
from bitspike.sim.engines import lava, lava_models
from bitspike.sim.reference import run_reference
from bitspike.targets.lava.lower import lower
from bitspike.targets.lava.repair import import_lava

pytestmark = needs_lava
TINY, MNIST_NETWORK, MNIST = "lavadl/tinynet", "lavadl/trained_mnist_network.net", "mnist"
#: What a membrane of the chip reads in the step in which its neuron fires; the equations say 0.
JUST_FIRED = 128


def recorded(folder, name):
    """A record (1, channels, height, width, steps) as (steps, neurons), without its step 0, in which nothing is yet."""
    values = np.load(folder / f"{name}.npy")
    return np.moveaxis(values[0], -1, 0).reshape(values.shape[-1], -1)[1:]


@pytest.mark.parametrize("run", [lava_models.run, pytest.param(lava.run, marks=pytest.mark.slow)])
def test_tinynet_of_lava_dl(tmp_path, run):
    """Two convolutions with biases in both, 15 steps: 11,520 inputs, 12,960 and 540 spikes of layers, all the same."""
    folder = shared(TINY)
    network = import_file(folder / "tiny.net", steps=15).network
    bias = np.load(folder / "input_bias.npy")
    np.savez(tmp_path / "drive.npz", drive=bias.transpose(2, 1, 0)[None].astype(np.int64))
    data = encode(tmp_path / "drive.npz", folder / "tiny.net", steps=15)
    program = lower(network)
    assert [c.kind for c in program.connections] == ["conv", "conv"]
    assert np.array_equal(program.connections[0].kernel, np.load(folder / "layer1_kernel.npy"))
    record = run(network, data.spikes)
    assert np.array_equal(record.traces["layer1"].u[0], 64 * recorded(folder, "current"))
    assert np.array_equal(record.traces["layer1"].spikes[0], recorded(folder, "layer1"))
    assert np.array_equal(record.traces["layer2"].spikes[0], recorded(folder, "output"))


@pytest.mark.parametrize("number", [3, 4, 5])
def test_convolutions_of_lava(number):
    """The lowered connection is the one that Lava recorded with; its sums are exact, and near the record's floats."""
    import_lava()
    found = np.load(shared("lava_conv") / f"gt_conv_paris_{number}.npz")
    kernels = found["weights"][:, ::-1, ::-1, :].transpose(0, 3, 2, 1)
    width, height, channels = found["input"].shape
    pairs = {name: tuple(found[name][::-1].tolist()) for name in ("stride", "padding", "dilation")}
    weights = IntegerWeights(values=kernels.reshape(len(kernels), -1))
    connection = Conv2d(
        source="input", target="out", source_shape=(channels, height, width), kernel=kernels.shape[2:],
        groups=int(found["groups"]), weights=weights, **pairs,
    )  # fmt: skip
    read = (Readout(population="out", kind="spike_count"),)
    network = network_of(
        [population("out", *connection.target_shape)], [connection], read, shape=(channels, height, width)
    )
    (conv,) = lower(network).connections
    assert conv.kind == "conv"
    assert np.array_equal(conv.kernel, found["weights"])
    assert conv.output_shape == found["out_gt"].shape
    for name in pairs:
        assert getattr(conv, name) == tuple(found[name].tolist())
    # Payloads of 24 bits in place of the image's floats.
    scale = 256
    image = np.rint(found["input"] * scale).astype(np.int32)
    model = lava_models.synapse_model(replace(conv, message_bits=24))
    model.s_in, model.a_out = lava_models.Wire(image), lava_models.Wire(image)
    model.run_spk()
    model.run_spk()
    sent = model.a_out.recv()
    exact = connection.deliver(image.transpose(2, 1, 0).reshape(1, -1).astype(np.int64))
    assert np.abs(exact).max() < 1 << 23
    assert np.array_equal(sent.transpose(2, 1, 0).ravel(), exact[0])
    rounding = np.abs(kernels).sum(axis=(1, 2, 3)).max() / (2 * scale)
    assert np.abs(sent / scale - found["out_gt"]).max() < rounding + 2e-3


@pytest.mark.parametrize(("name", "fired"), [("lif_lava_loihi_fixed.csv", JUST_FIRED), ("lif_lava_cpu_fixed.csv", 0)])
def test_the_neuron_that_a_loihi_2_recorded(name, fired):
    """1000 steps; on the chip an input arrives in the step after it, as in the lowered network."""
    spikes_in, membrane, spikes_out = np.loadtxt(shared(f"nir/01_lif_traces/{name}"), delimiter=",").T
    network = IntegerNetwork(
        name="one neuron",
        steps=1000,
        inputs=(Input(name="input", shape=(1,)),),
        populations=(Population(name="lif", shape=(1,), du=4096, dv=163, vth=25, bias_mantissa=np.zeros(1, np.int64)),),
        connections=(Dense(source="input", target="lif", weights=weights_of(np.array([[10]])), delay=1),),
        readouts=(Readout(population="lif", kind="spike_count"),),
    )
    registers = [str(line) for line in lower(network).neurons]
    assert registers == ["lif     lif 1 du=4095 dv=163 vth=25 start=0 bias=0"]
    trace = lava_models.run(network, spikes_in.reshape(1, -1, 1).astype(np.uint8)).traces["lif"]
    assert np.array_equal(trace.spikes[0, :, 0], spikes_out)
    assert spikes_out.sum() == 4
    assert np.array_equal(np.where(trace.spikes[0, :, 0] == 1, fired, trace.v[0, :, 0]), membrane)


def test_a_network_that_lava_dl_trained_saturates_as_lavas_model_does():
    """784-128-64-10, three MNIST images: membranes leave 24 bits, and the reference's ``lava`` mode follows."""
    network = import_file(shared(MNIST_NETWORK), steps=32).network
    data = load_data(f"mnist:{shared(MNIST)}", steps=32, encoder="current")
    expected = run_reference(network, data.spikes[:3], overflow="lava")
    compared = assert_same(expected, lava_models.run(network, data.spikes[:3]))
    assert compared == 3 * 3 * 32 * (128 + 64 + 10)
    assert max(int(np.abs(trace.v).max()) for trace in expected.traces.values()) == (1 << 23) - 1
    assert_alive(expected)

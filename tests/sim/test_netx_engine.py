"""lava-dl's own reader of NetX files against the reference engine."""

from dataclasses import replace

import h5py
import numpy as np
import pytest
from lava_support import assert_alive, assert_same, feed_forward, needs_lava_dl

from bitspike.convert import netx_file
from bitspike.convert.network import Conv2d, Dense, Input, IntegerNetwork, Population, Readout, SumPool2d
from bitspike.convert.retime import retime
from bitspike.convert.weights import weights_of
from bitspike.errors import EngineError, FileError, UnsupportedError
from bitspike.sim.engines import netx
from bitspike.sim.reference import run_reference

pytestmark = needs_lava_dl


def layers(seed=0, sizes=(24, 16, 12, 8), steps=12):
    """A chain of one-bit layers with biases of whole weights, as NetX holds them."""
    random = np.random.default_rng(seed)
    names = ["input", *(f"layer{k}" for k in range(1, len(sizes)))]
    populations, connections = [], []
    for k in range(1, len(sizes)):
        populations.append(
            Population(
                name=names[k],
                shape=(sizes[k],),
                du=(4096, 700, 4095)[k % 3],
                dv=(300, 4096, 20)[k % 3],
                vth=k + 1,
                bias_mantissa=random.integers(-1, 3, sizes[k]),
                bias_exponent=6,
            )
        )
        matrix = random.choice([-1, 1], (sizes[k], sizes[k - 1]))
        connections.append(Dense(source=names[k - 1], target=names[k], weights=weights_of(matrix)))
    return IntegerNetwork(
        name="layers",
        steps=steps,
        inputs=(Input(name="input", shape=(sizes[0],)),),
        populations=tuple(populations),
        connections=tuple(connections),
        readouts=(Readout(population=names[-1], kind="spike_count"),),
    )


def write_by_hand(network, path):
    """The smallest file that lava-dl reads: an input without neurons, then dense layers."""
    with h5py.File(path, "w") as file:
        first = file.create_group("layer/0")
        first["type"], first["shape"] = np.array([b"input"]), np.array([network.input.size])
        for index, (p, c) in enumerate(zip(network.populations, network.connections, strict=True), 1):
            layer = file.create_group(f"layer/{index}")
            layer["type"], layer["shape"] = b"dense", np.array([p.size])
            layer["weight"], layer["bias"] = c.effective(), p.bias_mantissa
            neuron = layer.create_group("neuron")
            neuron["type"], neuron["iDecay"], neuron["vDecay"] = "CUBA", p.du, p.dv
            neuron["vThMant"], neuron["refDelay"], neuron["gradedSpike"] = p.vth, 1, False
    return path


def random_spikes(network, samples, seed=1):
    return (np.random.default_rng(seed).random((samples, network.steps, network.input.size)) < 0.4).astype(np.uint8)


def test_a_stream_of_samples_from_a_file_written_by_hand(tmp_path):
    network = layers()
    spikes = random_spikes(network, 20)
    expected = run_reference(network, spikes)
    record = netx.run(network, spikes, file=write_by_hand(network, tmp_path / "hand.net"), time_limit_s=180)
    assert record.engine == "netx"
    assert record.latency == {"input": 0, "layer1": 1, "layer2": 2, "layer3": 3}
    assert assert_same(expected, record) == 3 * 20 * 12 * (16 + 12 + 8)
    assert_alive(expected)


def test_a_file_that_our_writer_made():
    network = layers(seed=2)
    spikes = random_spikes(network, 20)
    expected = run_reference(network, spikes)
    assert_same(expected, netx.run(network, spikes, time_limit_s=180))
    assert_alive(expected)


def test_a_file_of_other_layers_is_refused(tmp_path):
    network = layers(sizes=(6, 5, 4))
    file = write_by_hand(layers(sizes=(6, 5, 3)), tmp_path / "other.net")
    with pytest.raises(
        EngineError, match=r"^netx: .*other.net: layers of \[5, 3\] neurons; network layers has \[5, 4\]$"
    ):
        netx.run(network, random_spikes(network, 1), file=file, time_limit_s=120)


def grid(*, bias=True, steps=10):
    """Convolution with stride and padding, sum pool, grouped convolution, flatten, dense: a square of no symmetry."""
    random = np.random.default_rng(7)

    def kernels(rows, columns):
        return weights_of(random.choice([-1, 1], (rows, columns)))

    def neurons(name, *shape, **fixed):
        size = int(np.prod(shape))
        bias_mantissa = random.integers(-1, 2, size) if bias else np.zeros(size, np.int64)
        found = {"du": 900, "dv": 300, "vth": 1, "bias_mantissa": bias_mantissa, "bias_exponent": 6}
        return Population(name=name, shape=shape, **found | fixed)

    channel = np.repeat(random.integers(-1, 3, 4), 20) if bias else np.zeros(80, np.int64)
    return IntegerNetwork(
        name="grid",
        steps=steps,
        inputs=(Input(name="input", shape=(2, 8, 7)),),
        populations=(
            neurons("first", 4, 4, 5, bias_mantissa=channel), neurons("pool", 4, 2, 5, du=4096, vth=0),
            neurons("second", 2, 2, 4), neurons("out", 6, dv=20),
        ),
        connections=(
            Conv2d(source="input", target="first", source_shape=(2, 8, 7), kernel=(3, 3), stride=(2, 1), padding=(1, 0),
                   weights=kernels(4, 18)),
            SumPool2d(source="first", target="pool", source_shape=(4, 4, 5), kernel=(2, 1), stride=(2, 1), exponent=1),
            Conv2d(source="pool", target="second", source_shape=(4, 2, 5), kernel=(1, 2), groups=2, exponent=2,
                   weights=kernels(2, 4)),
            Dense(source="second", target="out", weights=kernels(6, 16), exponent=1),
        ),
        readouts=(Readout(population="out", kind="spike_count"),),
    )  # fmt: skip


def test_convolutions_a_pool_and_a_flatten_that_our_writer_made(tmp_path):
    network = grid()
    netx_file.write(network, tmp_path / "grid.net")
    assert netx_file.read(tmp_path / "grid.net") == network
    with h5py.File(tmp_path / "grid.net") as file:
        assert [file[f"layer/{k}/type"][()] for k in range(6)] == [
            b"input", b"conv", b"conv", b"conv", b"flatten", b"dense"
        ]  # fmt: skip
        assert file["layer/1/bias"].shape == (4,)
        assert file["layer/3/bias"].shape == (4, 2, 2)
    spikes = random_spikes(network, 8)
    expected = run_reference(network, spikes)
    record = netx.run(network, spikes, file=tmp_path / "grid.net", time_limit_s=180)
    assert assert_same(expected, record) == 3 * 8 * 10 * (80 + 40 + 16 + 6)
    assert all(0 < trace.spikes.mean() < 1 for trace in expected.traces.values())


def test_recurrence_and_delays_that_our_writer_made():
    """Each sample runs alone, since spikes would outlive it."""
    chain = layers(seed=3, sizes=(9, 7, 6, 5), steps=10)
    random = np.random.default_rng(3)
    back = Dense(source="layer2", target="layer2", weights=weights_of(random.choice([-1, 1], (6, 6))), delay=1)
    late = (replace(chain.connections[0], delay=3), *chain.connections[1:], back)
    silent = tuple(replace(p, bias_mantissa=np.zeros(p.size, np.int64), vth=0) for p in chain.populations)
    network = replace(chain, connections=late, populations=silent)
    spikes = random_spikes(network, 3)
    expected = run_reference(network, spikes)
    assert_same(expected, netx.run(network, spikes, time_limit_s=180))
    assert all(0 < trace.spikes.mean() < 1 for trace in expected.traces.values())
    with pytest.raises(UnsupportedError, match="connection layer2 -> layer2 has a delay of 1"):
        netx.run(replace(network, populations=chain.populations), spikes)


def test_branches_are_refused():
    network = feed_forward(1, skips=True)
    with pytest.raises(UnsupportedError, match="population layer2: fed by layer1, input; NetX is written as a chain"):
        netx.run(network, random_spikes(network, 1))
    with pytest.raises(UnsupportedError, match="network layers: in chip time; expected it as it was trained"):
        netx.run(retime(layers()), random_spikes(layers(), 1))


def test_a_missing_file_is_told(tmp_path):
    network = layers()
    with pytest.raises(FileError, match="no such file"):
        netx.run(network, random_spikes(network, 1), file=tmp_path / "none.net")

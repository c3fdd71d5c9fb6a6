"""lava-dl's own reader of NetX files against the reference engine."""

from dataclasses import replace

import h5py
import numpy as np
import pytest
from lava_support import assert_alive, assert_same, feed_forward, needs_lava_dl

from bitspike.convert.network import Dense, Input, IntegerNetwork, Population, Readout
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
    pytest.importorskip("bitspike.convert.netx_file")
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


def test_branches_are_refused():
    network = feed_forward(1, skips=True)
    with pytest.raises(UnsupportedError, match="network random1: not a chain of layers"):
        netx.run(network, random_spikes(network, 1))
    chain = layers()
    late = (replace(chain.connections[0], delay=3), *chain.connections[1:])
    silent = tuple(replace(p, bias_mantissa=np.zeros(p.size, np.int64)) for p in chain.populations)
    with pytest.raises(UnsupportedError, match="network layers: not a chain of layers"):
        netx.run(replace(chain, connections=late, populations=silent), random_spikes(chain, 1))


def test_a_missing_file_is_told(tmp_path):
    network = layers()
    with pytest.raises(FileError, match="no such file"):
        netx.run(network, random_spikes(network, 1), file=tmp_path / "none.net")

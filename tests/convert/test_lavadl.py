"""lava-dl's own NetX files: each layer by a rule written down here once more, and everything else refused by name."""

import h5py
import numpy as np
import pytest
from lavadl_files import conv_layer, dense_layer, input_layer, lava_dl_file, neuron

from bitspike import api
from bitspike.convert import netx_file
from bitspike.convert.connections import SumPool2d
from bitspike.convert.formats import import_file
from bitspike.convert.lavadl.input_neurons import InputNeurons, read_input_neurons
from bitspike.convert.network import VTH_MAX
from bitspike.sim.run import simulate

FIRST = [[2, -4, 6], [8, 0, -126]]


def truncated(x):
    return np.sign(x) * (np.abs(x) >> 12)


class Neurons:
    """lava-dl's CUBA neuron, in plain integers; parameters per neuron."""

    def __init__(self, size, du, dv, vth, bias):
        self.du, self.dv, self.vth, self.bias = (np.broadcast_to(np.asarray(x), size) for x in (du, dv, vth, bias))
        self.u, self.v = np.zeros(size, np.int64), np.zeros(size, np.int64)

    def step(self, a):
        self.u = truncated(self.u * (4096 - self.du)) + (a << 6)
        self.v = truncated(self.v * (4096 - self.dv)) + self.u + (self.bias << 6)
        fired = self.v > self.vth << 6
        self.v = np.where(fired, 0, self.v)
        return fired.astype(np.int64)


def correlated(kernels, image, *, stride=1, padding=0, dilation=1):
    """Cross-correlation of (channels, sources, h, w) with (sources, H, W), one product at a time."""
    padded = np.pad(image, ((0, 0), (padding, padding), (padding, padding)))
    outputs, _, height, width = kernels.shape
    rows = (padded.shape[1] - dilation * (height - 1) - 1) // stride + 1
    columns = (padded.shape[2] - dilation * (width - 1) - 1) // stride + 1
    found = np.zeros((outputs, rows, columns), np.int64)
    for o, y, x in np.ndindex(found.shape):
        patch = padded[
            :, y * stride : y * stride + dilation * (height - 1) + 1 : dilation,
            x * stride : x * stride + dilation * (width - 1) + 1 : dilation,
        ]  # fmt: skip
        found[o, y, x] = int((patch * kernels[o]).sum())
    return found


def random_spikes(shape, seed=0):
    return (np.random.default_rng(seed).random(shape) < 0.4).astype(np.uint8)


@pytest.mark.parametrize("texts", [True, False])
def test_dense_layers(tmp_path, texts):
    path = tmp_path / "a.net"
    layers = [
        input_layer(3),
        dense_layer(FIRST, bias=np.array([3.0, -1.0], "f4")),
        dense_layer([[2, -2]], **{"neuron/vThMant": VTH_MAX, "neuron/type": "LOIHI", "delay": 0}),
    ]
    lava_dl_file(path, layers, texts=texts)
    network = netx_file.read(path, steps=9)
    assert str(network).splitlines()[1:] == [
        "input   input shape=3",
        f"dense   input -> layer1 2x3 bits=7 values=-126..+8 exponent=0 delay=0 "
        f"#{network.connections[0].weights.digest()[:8]}",
        "lif     layer1 shape=2 du=1024 dv=128 vth=80 reset=zero start=0 bias=-1..3<<6 #b8f6377e",
        f"dense   layer1 -> layer2 1x2 bits=2 values=-2..+2 exponent=0 delay=0 "
        f"#{network.connections[1].weights.digest()[:8]}",
        "lif     layer2 shape=1 du=1024 dv=128 vth=131071 reset=zero start=0 bias=0",
        "readout layer2 membrane_sum",
    ]
    assert network.steps == 9
    netx_file.write(network, tmp_path / "b.net")
    assert netx_file.read(tmp_path / "b.net") == network
    lava_dl_file(path, layers[1:], texts=texts)
    assert netx_file.read(path, steps=9) == network


def test_a_stack_of_every_kind_of_layer(tmp_path):
    """Convolution, pool, grouped convolution, flatten, recurrent, dense: spikes by the rules of this file."""
    random = np.random.default_rng(3)

    def even(*shape):
        return 2 * random.integers(-9, 10, shape)

    first, grouped = even(4, 2, 3, 3), even(4, 2, 2, 2)
    dense, back, last = even(6, 16), even(6, 6), even(3, 6)
    bias = random.integers(-3, 9, 4)
    pool = {"type": "pool", "weight": np.full((1, 1, 2, 2, 1), 64, "f4"), "stride": np.array([2, 2])}
    path = lava_dl_file(
        tmp_path / "a.net",
        [
            input_layer(2, 6, 6),
            conv_layer(first[..., None], (4, 6, 6), padding=np.array([1, 1]), bias=bias, **neuron(vThMant=30)),
            conv_layer(first, (4, 3, 3), groups=None, **pool),
            conv_layer(grouped, (4, 2, 2), groups=2, **neuron(vThMant=20)),
            {"type": "flatten", "shape": np.array([16])},
            dense_layer(dense, type="dense_rec", weight_rec=back.astype("f4"), **neuron(vThMant=10)),
            dense_layer(last, **neuron(iDecay=4096, vThMant=4)),
        ],
    )
    imported = import_file(path, steps=12)
    assert not imported.notes
    assert [type(c).__name__ for c in imported.network.connections] == [
        "Conv2d", "SumPool2d", "Conv2d", "Dense", "Dense", "Dense"
    ]  # fmt: skip
    spikes = random_spikes((1, 12, 72))
    record = simulate(imported.network, spikes, ranges="watched")
    populations = [
        Neurons((4, 6, 6), 1024, 128, 30, bias[:, None, None]), Neurons((4, 3, 3), 1024, 128, 80, 0),
        Neurons((4, 2, 2), 1024, 128, 20, 0), Neurons(6, 1024, 128, 10, 0), Neurons(3, 4096, 128, 4, 0),
    ]  # fmt: skip
    ones = np.ones((1, 1, 2, 2), np.int64)
    before, expected = np.zeros(6, np.int64), []
    for t in range(12):
        s1 = populations[0].step(correlated(first, spikes[0, t].reshape(2, 6, 6).astype(np.int64), padding=1))
        s2 = populations[1].step(64 * np.concatenate([correlated(ones, s1[c : c + 1], stride=2) for c in range(4)]))
        halves = [correlated(grouped[2 * g : 2 * g + 2], s2[2 * g : 2 * g + 2]) for g in range(2)]
        s3 = populations[2].step(np.concatenate(halves))
        before = populations[3].step(dense @ s3.ravel() + back @ before)
        expected.append([s1.ravel(), s2.ravel(), s3.ravel(), before, populations[4].step(last @ before)])
    for index, name in enumerate(("layer1", "layer2", "layer3", "layer4", "layer5")):
        found = record.traces[name].spikes[0]
        assert np.array_equal(found, np.array([row[index] for row in expected])), name
        assert 0 < found.mean() < 1, name


def test_channels_with_parameters_of_their_own_become_populations(tmp_path):
    """Decays of each channel, through a grouped convolution, a flatten and a recurrent layer."""
    random = np.random.default_rng(4)
    first, second = random.integers(-9, 10, (4, 1, 2, 2)), random.integers(-9, 10, (2, 2, 2, 2))
    dense, back, last = (random.integers(-9, 10, shape) for shape in ((5, 18), (5, 5), (2, 5)))
    last[0] = np.abs(last[0])
    du, dv = np.array([4096, 900, 4096, 900]), np.array([100, 100, 100, 2000])
    slow = np.array([700, 4096, 700, 700, 4096])
    path = lava_dl_file(
        tmp_path / "a.net",
        [
            conv_layer(first, (4, 4, 4), **neuron(iDecay=du, vDecay=dv, vThMant=9)),
            conv_layer(second, (2, 3, 3), groups=2, **neuron(iDecay=np.array([3000]), vThMant=6)),
            {"type": "flatten", "shape": np.array([18])},
            dense_layer(dense, type="dense_rec", weight_rec=back, bias=np.arange(5), **neuron(iDecay=slow, vThMant=8)),
            dense_layer(last, **neuron(vThMant=5)),
        ],
    )
    network = netx_file.read(path, steps=15, input_shape=(1, 5, 5))
    assert [p.name for p in network.populations] == [
        "layer1_0", "layer1_1", "layer1_2", "layer2", "layer3_0", "layer3_1", "layer4"
    ]  # fmt: skip
    assert [p.size for p in network.populations] == [32, 16, 16, 18, 3, 2, 2]
    spikes = random_spikes((1, 15, 25))
    record = simulate(network, spikes, ranges="watched")
    column = (slice(None), None, None)
    populations = [
        Neurons((4, 4, 4), du[column], dv[column], 9, 0), Neurons((2, 3, 3), 3000, 128, 6, 0),
        Neurons(5, slow, 128, 8, np.arange(5)), Neurons(2, 1024, 128, 5, 0),
    ]  # fmt: skip
    before, expected = np.zeros(5, np.int64), []
    for t in range(15):
        s1 = populations[0].step(correlated(first, spikes[0, t].reshape(1, 5, 5).astype(np.int64)))
        halves = [correlated(second[g : g + 1], s1[2 * g : 2 * g + 2]) for g in range(2)]
        s2 = populations[1].step(np.concatenate(halves))
        before = populations[2].step(dense @ s2.ravel() + back @ before)
        expected.append([s1.ravel(), s2.ravel(), before, populations[3].step(last @ before)])

    def sent(name):
        return record.traces[name].spikes[0]

    first_layer = np.array([row[0] for row in expected]).reshape(15, 4, 16)
    assert np.array_equal(sent("layer1_0").reshape(15, 2, 16), first_layer[:, [0, 2]])
    assert np.array_equal(sent("layer1_1"), first_layer[:, 1])
    assert np.array_equal(sent("layer1_2"), first_layer[:, 3])
    assert np.array_equal(sent("layer2"), np.array([row[1] for row in expected]))
    third = np.array([row[2] for row in expected])
    assert np.array_equal(sent("layer3_0"), third[:, [0, 2, 3]])
    assert np.array_equal(sent("layer3_1"), third[:, [1, 4]])
    assert np.array_equal(sent("layer4"), np.array([row[3] for row in expected]))
    assert 0 < sent("layer4").mean() < 1


@pytest.mark.parametrize(
    ("delay", "late"),
    [
        (np.array(3), lambda s, t, n: s(t - 3)),
        (np.array([0.0, 2.0, 5.0], "f4"), None),
        (np.array([1, 0, 0, 7]), lambda s, t, n: np.array([s(t - 1)[0], s(t)[1], s(t)[2], s(t - 7)[3]])),
    ],
)
def test_delays(tmp_path, delay, late):
    """One number delays the layer, one for each target its input, one for each source its spikes."""
    random = np.random.default_rng(5)
    weights, last = random.integers(-20, 21, (3, 4)), random.integers(-9, 10, (2, 3))
    path = lava_dl_file(
        tmp_path / "a.net",
        [dense_layer(weights, delay=delay, **neuron(vThMant=20)), dense_layer(last, **neuron(vThMant=5))],
    )
    network = netx_file.read(path, steps=25)
    spikes = random_spikes((1, 25, 4))
    record = simulate(network, spikes, ranges="watched")
    hidden, out = Neurons(3, 1024, 128, 20, 0), Neurons(2, 1024, 128, 5, 0)

    def s(t):
        return spikes[0, t].astype(np.int64) if t >= 0 else np.zeros(4, np.int64)

    for t in range(25):
        if late is None:
            a = np.array([weights[n] @ s(t - d) for n, d in enumerate((0, 2, 5))])
        else:
            a = weights @ late(s, t, None)
        fired = hidden.step(a)
        assert np.array_equal(record.traces["layer1"].spikes[0, t], fired)
        assert np.array_equal(record.traces["layer2"].spikes[0, t], out.step(last @ fired))
    assert 0 < record.traces["layer2"].spikes.mean() < 1


def test_an_average_is_read_as_the_summed_spikes_of_each_group(tmp_path):
    weights = np.random.default_rng(6).integers(-9, 10, (6, 5))
    layers = [dense_layer(weights, **neuron(vThMant=4)), {"type": "average", "shape": np.array([2, 1, 1])}]
    imported = import_file(lava_dl_file(tmp_path / "a.net", layers), steps=20)
    assert imported.notes == ("layer 1: an average, read as the summed spikes of each of its 2 groups",)
    record = simulate(imported.network, random_spikes((4, 20, 5)))
    counts = record.traces["layer1"].spikes.reshape(4, 20, 2, 3).sum(axis=(1, 3), dtype=np.int64)
    assert np.array_equal(record.scores(imported.network), 64 * counts)
    assert len(np.unique(counts)) > 2


def test_a_layer_without_neurons_sums_up_as_lava_dls_loader_has_it(tmp_path):
    bare = {key: value for key, value in dense_layer(FIRST).items() if not key.startswith("neuron/")}
    imported = import_file(lava_dl_file(tmp_path / "a.net", [bare]), steps=6)
    assert imported.notes == (
        "layer 0 has no neurons; it gets those that lava-dl's loader gives it, whose current sums up their input and "
        "never decays (iDecay 0, vDecay 4096, no threshold)",
    )
    spikes = random_spikes((2, 6, 3))
    expected = 64 * spikes.sum(axis=1, dtype=np.int64) @ np.array(FIRST).T
    assert np.array_equal(simulate(imported.network, spikes).scores(imported.network), expected)


def test_a_pool_whose_weights_are_no_power_of_two_is_a_convolution(tmp_path):
    pool = {"type": "pool", "shape": np.array([2, 2, 2]), "weight": np.full((1, 1, 2, 2), 6, "f4"), "stride": 2}
    path = lava_dl_file(tmp_path / "a.net", [input_layer(2, 4, 4), pool | neuron()])
    (connection,) = netx_file.read(path, steps=2).connections
    assert (connection.kind, connection.groups, connection.kernels().tolist()) == ("conv", 2, [[[[6, 6], [6, 6]]]] * 2)
    lava_dl_file(path, [input_layer(2, 4, 4), pool | neuron() | {"weight": np.full((1, 1, 2, 2), 4, "f4")}])
    (connection,) = netx_file.read(path, steps=2).connections
    assert isinstance(connection, SumPool2d)
    assert connection.exponent == 2


def test_biases_of_neurons_are_in_lavas_order(tmp_path):
    """lava-dl's loader takes them as (width, height, channels)."""
    bias = np.arange(12).reshape(3, 2, 2)
    layer = conv_layer(np.full((2, 1, 1, 1), 2), (2, 2, 3), bias=bias)
    network = netx_file.read(lava_dl_file(tmp_path / "a.net", [input_layer(1, 2, 3), layer]), steps=2)
    assert network.populations[0].bias_mantissa.tolist() == [
        bias[x, y, c] for c in (0, 1) for y in (0, 1) for x in range(3)
    ]


def test_weights_beyond_8_bits_get_an_exponent(tmp_path):
    network = netx_file.read(lava_dl_file(tmp_path / "a.net", [dense_layer([[510, -4, 0]])]), steps=2)
    assert network.connections[0].exponent == 1
    assert network.connections[0].effective().tolist() == [[510, -4, 0]]


def test_a_note_tells_what_lava_dls_loader_would_change(tmp_path):
    imported = import_file(lava_dl_file(tmp_path / "a.net", [dense_layer([[-1, 0]])]), steps=2)
    assert imported.network.connections[0].effective().tolist() == [[-1, 0]]
    assert imported.notes == (
        "layer 0: lava-dl's loader turns weight [0, 0] from -1 into -0.5; expected weights of both signs, or of at "
        "least 0, and none odd beyond 127; the network has the weights of the file",
    )
    both = dense_layer([[2, -2]], type="dense_rec", weight_rec=np.array([[-3]]))
    assert import_file(lava_dl_file(tmp_path / "b.net", [both]), steps=2).notes == ()


OLD = {"neuron/type": "LOIHI", "neuron/scaleRho": 10.0, "neuron/tauRho": 0.5, "neuron/theta": 5120, "neuron/wgtExp": 0}


def test_a_last_layer_of_several_kinds_is_read_off_all_of_them(tmp_path):
    layer = dense_layer(np.arange(12).reshape(4, 3), **neuron(vDecay=np.array([1, 1, 1, 4096]), vThMant=3))
    network = netx_file.read(lava_dl_file(tmp_path / "a.net", [layer]), steps=9)
    record = simulate(network, random_spikes((2, 9, 3)))
    counts = [record.traces[name].spikes.sum(axis=1) for name in ("layer1_0", "layer1_1")]
    assert np.array_equal(record.scores(network), np.hstack(counts))
    assert record.scores(network).shape == (2, 4)


def test_old_files(tmp_path):
    """Those of lava-dl's predecessor: more keys, a window, and a threshold that is said twice."""
    path = lava_dl_file(tmp_path / "a.net", [dense_layer(FIRST, **OLD)])
    with h5py.File(path, "a") as file:
        file["simulation/Ts"], file["simulation/tSample"] = 2, 64
    imported = import_file(path)
    assert imported.network.steps == 32
    assert imported.notes == ("the window of 32 steps is that of the file's simulation/tSample",)
    assert import_file(path, steps=32) == type(imported)(network=imported.network)


def test_input_neurons(tmp_path):
    drives = neuron(iDecay=4096, vDecay=1024, vThMant=25)
    layers = [
        input_layer(1, 2, 2, weight=np.array([36.0]), bias=np.array([34.0]), **drives),
        {"type": "flatten", "shape": np.array([4])},
        dense_layer([[2] * 4]),
    ]
    imported = import_file(lava_dl_file(tmp_path / "a.net", layers), steps=9)
    assert imported.notes == (
        "layer 0: input neurons (1x2x2, drive 36 * value + 34, dv=1024 vth=25) stay outside: the network begins with "
        "their spikes, and `--input-layer` with this file makes them of values",
    )
    neurons = read_input_neurons(tmp_path / "a.net")
    assert neurons == InputNeurons(shape=(1, 2, 2), weight=36, bias=34, dv=1024, vth=25)
    values = np.array([[[[-1, 0], [0.4, 1]]]])
    assert neurons.drive(values).tolist() == [[[[-2, 34], [48, 70]]]]
    spikes = neurons.spikes(neurons.drive(values), 9)
    v, expected = np.zeros(4, np.int64), []
    for _ in range(9):
        v = truncated(v * 3072) + 64 * np.array([-2, 34, 48, 70])
        expected.append(v > 25 * 64)
        v = np.where(expected[-1], 0, v)
    assert np.array_equal(spikes[0], expected)
    np.savez(tmp_path / "x.npz", values=values, labels=np.array([1]))
    np.savez(tmp_path / "d.npz", drive=neurons.drive(values))
    for name, label in (("x.npz", 1), ("d.npz", 0)):
        data = api.encode(tmp_path / name, tmp_path / "a.net", steps=9)
        assert np.array_equal(data.spikes, spikes)
        assert (data.shape, data.labels.tolist()) == ((1, 2, 2), [label])

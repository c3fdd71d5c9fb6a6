"""Layers of NetX files beyond dense ones: written, read back, equal; what NetX cannot say is refused by name."""

from dataclasses import replace

import h5py
import numpy as np
import pytest

from bitspike.convert import netx_file
from bitspike.convert.network import Conv2d, Dense, Identity, Input, IntegerNetwork, Population, Readout, SumPool2d
from bitspike.convert.netx_layers import numbers
from bitspike.convert.netx_weights import refuse_changed
from bitspike.convert.rules import check
from bitspike.convert.weights import weights_of
from bitspike.errors import FileError, UnsupportedError


def population(random, name, shape, *, by_channel):
    size = int(np.prod(shape))
    bias = random.integers(-9, 10, shape[0] if by_channel else size) * 16
    mantissa = np.repeat(bias, size // len(bias))
    decays = {"du": int(random.integers(0, 4097)), "dv": int(random.integers(0, 4097))}
    return Population(
        name=name, shape=shape, vth=int(random.integers(0, 9)), bias_mantissa=mantissa, bias_exponent=2, **decays
    )


def weights(random, rows, columns):
    """Both signs, one bit or more."""
    matrix = random.choice([[-1, 1], list(range(-9, 10))][random.integers(2)], (rows, columns))
    matrix[0, :2] = 1, -1
    return weights_of(matrix)


def stack(seed, *, recurrent=None):
    """Random windows, then dense layers; every other seed delays or has a recurrent layer."""
    random = np.random.default_rng(seed)
    shape = (int(random.choice([2, 4])), int(random.integers(5, 9)), int(random.integers(5, 9)))
    names, connections, populations = ["input"], [], []
    entry = Input(name="input", shape=shape)
    for kind in random.choice(["conv", "pool"], int(random.integers(1, 4))):
        kernel = tuple(int(random.integers(1, min(3, extent) + 1)) for extent in shape[1:])
        geometry = {
            "source": names[-1], "target": f"p{len(names)}", "source_shape": shape, "kernel": kernel,
            "stride": tuple(random.integers(1, 3, 2).tolist()), "padding": tuple(random.integers(0, 2, 2).tolist()),
            "exponent": int(random.integers(0, 8)),
        }  # fmt: skip
        if kind == "pool":
            connection = SumPool2d(**geometry)
        else:
            groups, channels = int(random.choice([1, 2])), int(random.choice([2, 4]))
            columns = shape[0] // groups * kernel[0] * kernel[1]
            connection = Conv2d(**geometry, groups=groups, weights=weights(random, channels, max(columns, 2))
                                if columns > 1 else weights_of(random.choice([-1, 1], (channels, 1))))  # fmt: skip
        shape = connection.target_shape
        connections.append(connection)
        populations.append(population(random, connection.target, shape, by_channel=bool(random.integers(2))))
        names.append(connection.target)
    size = int(np.prod(shape))
    for width in random.integers(2, 9, int(random.integers(1, 4))).tolist():
        name = f"p{len(names)}"
        back = random.random() < 0.4 if recurrent is None else recurrent
        delay = 0 if back else int(random.choice([0, 0, 5]))
        one = Dense(source=names[-1], target=name, weights=weights(random, width, max(size, 2)), delay=delay)
        own = Dense(source=name, target=name, weights=weights(random, width, width), delay=1)
        connections += [one, own] if back else [one]
        populations.append(population(random, name, (width,), by_channel=False))
        names.append(name)
        size = width
    return check(
        IntegerNetwork(
            name="stack", steps=7, inputs=(entry,), populations=tuple(populations), connections=tuple(connections),
            readouts=(Readout(population=names[-1], kind="spike_count"),),
        )
    )  # fmt: skip


def writable(network):
    """Whether the file can hold every matrix: NetX's own optimiser changes a few."""
    for p in network.populations:
        matrices = [c.effective() for c in network.incoming(p.name) if isinstance(c, Dense)]
        if matrices:
            refuse_changed(p.name, *matrices)
    return True


@pytest.mark.parametrize("seed", range(24))
def test_round_trip(tmp_path, seed):
    network = stack(seed)
    assert writable(network)
    path = tmp_path / "a.net"
    netx_file.write(network, path)
    assert netx_file.read(path) == network


def test_the_stacks_have_every_kind():
    kinds = {c.kind for seed in range(24) for c in stack(seed).connections}
    assert kinds == {"conv", "pool", "dense"}
    assert any(c.source == c.target for seed in range(24) for c in stack(seed).connections)
    assert any(c.delay == 5 for seed in range(24) for c in stack(seed).connections)


def test_numbers_of_layers():
    assert numbers(["dense", "dense"]) == [1, 2]
    assert numbers(["conv", "pool", "dense", "dense"]) == [1, 2, 4, 5]


def small(**changes):
    """A convolution of 1x4x4 and a dense layer; `changes` are other connections."""
    silent = {"dv": 100, "vth": 1}
    found = {
        "conv": Conv2d(source="input", target="conv", source_shape=(1, 4, 4), kernel=(2, 2),
                       weights=weights_of([[1, -1, 1, 1], [1, 1, -1, 1]])),
        "dense": Dense(source="conv", target="out", weights=weights_of(np.resize([1, -1], (3, 18)))),
    } | changes  # fmt: skip
    return IntegerNetwork(
        name="small",
        steps=4,
        inputs=(Input(name="input", shape=(1, 4, 4)),),
        populations=(
            Population(name="conv", shape=(2, 3, 3), bias_mantissa=np.arange(18), bias_exponent=6, **silent),
            Population(name="out", shape=(3,), bias_mantissa=np.zeros(3, np.int64), **silent),
        ),
        connections=tuple(found.values()),
        readouts=(Readout(population="out", kind="spike_count"),),
    )


def test_what_lava_dl_reads(tmp_path):
    path = tmp_path / "a.net"
    netx_file.write(small(), path)
    with h5py.File(path) as file:
        assert [file[f"layer/{k}/type"][()] for k in range(4)] == [b"input", b"conv", b"flatten", b"dense"]
        assert [file[f"layer/{k}/shape"][()].tolist() for k in range(4)] == [[1, 4, 4], [2, 3, 3], [18], [3]]
        assert file["layer/1/weight"][()].tolist() == [[[[1, -1], [1, 1]]], [[[1, 1], [-1, 1]]]]
        assert file["layer/1/bias"][()].transpose(2, 1, 0).ravel().tolist() == list(range(18))
        assert [file[f"layer/1/{key}"][()].tolist() for key in ("stride", "padding", "dilation", "groups")] == [
            [1, 1], [0, 0], [1, 1], 1
        ]  # fmt: skip


def test_refusals_by_name(tmp_path):
    ends = {"source": "conv", "target": "out"}
    base = small()
    conv, dense = base.connections
    back = Dense(source="out", target="out", weights=weights_of(np.resize([1, -1], (3, 3))), delay=1)
    own = Dense(source="conv", target="conv", weights=weights_of(np.resize([1, -1], (18, 18))), delay=1)
    late = Conv2d(**ends, source_shape=(2, 3, 3), kernel=(3, 3), weights=weights_of(np.ones((3, 18), int)))
    after = replace(
        base.with_populations((base.populations[0], replace(base.populations[1], shape=(3, 1, 1)))),
        connections=(Dense(source="input", target="conv", weights=weights_of(np.resize([1, -1], (18, 16)))), late),
    )
    same = base.with_populations((base.populations[0], replace(base.populations[0], name="out")))
    for network, expected in [
        (replace(base, connections=(replace(conv, delay=1), dense)),
         "connection input -> conv: delay 1 of a convolution, which NetX leaves out"),
        (replace(base, connections=(*base.connections, replace(back, delay=2))),
         "connection out -> out: NetX has one dense one to itself, of delay 1"),
        (replace(base, connections=(conv, replace(dense, delay=2), back)),
         "connection conv -> out: delay 2 into a recurrent layer, which NetX delays, too"),
        (replace(base, connections=(*base.connections, own)),
         "connection conv -> conv: recurrent after a convolution; NetX has dense ones"),
        (after, "connection conv -> out: a convolution after a dense layer; NetX has only the reverse"),
        (replace(same, connections=(conv, Identity(**ends, size=18))),
         "connection conv -> out: of kind identity; NetX has dense and conv"),
    ]:  # fmt: skip
        with pytest.raises(UnsupportedError) as caught:
            netx_file.write(check(network), tmp_path / "a.net")
        assert str(caught.value) == expected
    assert not list(tmp_path.iterdir())


def test_one_exponent_for_the_two_matrices_of_a_recurrent_layer():
    """NetX chooses it for both together, so that one of few signs can be right beside the other, or wrong."""
    refuse_changed("a", [[2, -2]], [[-3]])
    refuse_changed("a", [[1, -1]], [[0]])
    with pytest.raises(UnsupportedError, match=r"connection a: lava-dl's loader turns weight \[0, 0\] from -1 into"):
        refuse_changed("a", [[-1]], [[-1]])
    with pytest.raises(UnsupportedError, match="all weights are 0"):
        refuse_changed("a", [[0]], [[0]])


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (b'"shape":[2,3,3]', b'"shape":[2,3,4]', "population conv: bias of shape"),
        (b'"shape":[2,3,3]', b'"shape":[9999999,9999999]', "population conv: shape (9999999, 9999999); expected 1 to"),
        (b'"kernel":[2,2]', b'"kernel":[2,3]', "connection input -> conv: weights of 4 columns; expected 6"),
        (
            b'"stride":[1,1]',
            b'"stride":[2,1]',
            "connection input -> conv: it gives shape (2, 2, 3); conv has",
        ),
        (b'"groups":1', b'"groups":7', "connection input -> conv: 7 groups; expected a divisor of both"),
        (b'"type":"conv"', b'"type":"pool"', "connection 0: keys columns, delay,"),
        (b'"type":"conv"', b'"type":"dense"', "layer 1: weight is int16 of 4 dimensions; expected int16 of 2"),
    ],
)
def test_a_forged_description_is_told(tmp_path, old, new, expected):
    path = tmp_path / "a.net"
    netx_file.write(small(), path)
    with h5py.File(path, "a") as file:
        text = file["bitspike/network"][()]
        assert text.count(old) >= 1
        del file["bitspike/network"]
        file["bitspike/network"] = text.replace(old, new, 1)
    with pytest.raises(FileError) as caught:
        netx_file.read(path)
    assert caught.value.problem.startswith(expected)

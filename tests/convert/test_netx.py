"""NetX files: what lava-dl reads is what the network says, and everything else is refused by name.

That Lava runs such a file as the reference engine runs the network is tested with the engine ``netx``.
"""

import importlib.metadata
import importlib.util
import json
import sys
from dataclasses import replace

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitspike.convert import netx_file
from bitspike.convert.network import VTH_MAX, Dense, Input, IntegerNetwork, Population, Readout
from bitspike.convert.netx_weights import effective_weights, optimised, refuse_changed
from bitspike.convert.rules import check
from bitspike.convert.weights import weights_of
from bitspike.errors import BitspikeError, FileError, NetworkError, UnsupportedError

INSTALL = "lava-dl is not installed; run: bitspike doctor --install lava"


def random_chain(seed, *, sizes=(6, 5, 4, 3), bias=True, readout="membrane_sum", steps=12):
    """A chain whose matrices hold both signs, with whole biases, mixed exponents and decays."""
    random = np.random.default_rng(seed)
    names = ["input", "a", "b", "c"]
    populations, connections = [], []
    for index, size in enumerate(sizes[1:], start=1):
        last = index == len(sizes) - 1
        populations.append(
            Population(
                name=names[index],
                shape=(size,) if size % 2 else (2, size // 2),
                du=int(random.integers(0, 4097)),
                dv=int(random.integers(0, 4097)),
                vth=VTH_MAX if last and readout != "spike_count" else int(random.integers(0, 5)),
                bias_mantissa=16 * random.integers(-9, 10, size) if bias else np.zeros(size, int),
                bias_exponent=int(random.integers(2, 8)),
            )
        )
        values = [[-1, 1], range(-9, 10), range(-100, 101)][random.integers(3)]
        matrix = random.choice(list(values), (size, sizes[index - 1]))
        matrix[0, :2] = 1, -1
        weights = weights_of(matrix)
        exponent = int(random.integers(0, 7)) if np.abs(matrix).max() == 1 else 0
        connections.append(Dense(source=names[index - 1], target=names[index], weights=weights, exponent=exponent))
    network = IntegerNetwork(
        name=f"chain {seed}",
        steps=steps,
        inputs=(Input(name="input", shape=(sizes[0] // 2, 2)),),
        populations=tuple(populations),
        connections=tuple(connections),
        readouts=(Readout(population=names[len(sizes) - 1], kind=readout),),
        collapse="sample(7)",
    )
    return check(network)


def tiny(matrix=((1, -1, 1), (-1, 1, 1)), *, exponent=0, delay=0, **changes):
    """Two populations; the keywords change the first and the connection into it."""
    hidden = {"name": "hidden", "shape": (2,), "dv": 1024, "vth": 1, "bias_mantissa": np.array([64, -128])} | changes
    first = Dense(source="input", target="hidden", weights=weights_of(matrix), exponent=exponent, delay=delay)
    return IntegerNetwork(
        name="tiny",
        steps=4,
        inputs=(Input(name="input", shape=(3,)),),
        populations=(
            Population(**hidden),
            Population(name="out", shape=(1,), du=2048, dv=1000, vth=VTH_MAX, bias_mantissa=np.array([0])),
        ),
        connections=(first, Dense(source="hidden", target="out", weights=weights_of([[1, -1]]))),
        readouts=(Readout(population="out", kind="membrane_last"),),
    )


def message(network, path):
    with pytest.raises(BitspikeError) as caught:
        netx_file.write(network, path)
    assert not list(path.parent.iterdir())
    return str(caught.value)


def told(path, **options):
    with pytest.raises(FileError) as caught:
        netx_file.read(path, **options)
    assert "\n" not in str(caught.value)
    assert caught.value.path == str(path)
    return caught.value.problem


def replaced(path, name, value):
    """Replace a dataset of an HDF5 file."""
    with h5py.File(path, "a") as file:
        if name in file:
            del file[name]
        if value is not None:
            file[name] = value


@pytest.fixture(scope="module")
def tiny_bytes(tmp_path_factory):
    path = tmp_path_factory.mktemp("netx") / "tiny.net"
    netx_file.write(tiny(), path)
    return path.read_bytes()


@pytest.fixture
def written(tmp_path, tiny_bytes):
    path = tmp_path / "tiny.net"
    path.write_bytes(tiny_bytes)
    return path


@pytest.mark.parametrize("seed", range(16))
def test_round_trip(tmp_path, seed):
    network = random_chain(seed)
    path = tmp_path / "a.net"
    netx_file.write(network, path)
    assert netx_file.read(path) == network
    assert netx_file.read(path, steps=12) == network
    with h5py.File(path) as file:
        for index, c in enumerate(network.connections, start=1):
            assert np.array_equal(file[f"layer/{index}/weight"][()], c.effective())


LAYOUT = """\
bitspike/digest |S64 ()
bitspike/format |S13 ()
bitspike/network |S564 ()
bitspike/sha256 |S251 ()
bitspike/version |S1 ()
layer/0/shape int64 (1,)
layer/0/type |S5 ()
layer/1/bias int32 (2,)
layer/1/neuron/gradedSpike bool ()
layer/1/neuron/iDecay int64 ()
layer/1/neuron/refDelay int64 ()
layer/1/neuron/type |S4 ()
layer/1/neuron/vDecay int64 ()
layer/1/neuron/vThMant int64 ()
layer/1/shape int64 (1,)
layer/1/type |S5 ()
layer/1/weight int16 (2, 3)
layer/2/neuron/gradedSpike bool ()
layer/2/neuron/iDecay int64 ()
layer/2/neuron/refDelay int64 ()
layer/2/neuron/type |S4 ()
layer/2/neuron/vDecay int64 ()
layer/2/neuron/vThMant int64 ()
layer/2/shape int64 (1,)
layer/2/type |S5 ()
layer/2/weight int16 (1, 2)"""


def test_layout(written):
    """The golden layout of a tiny network's file; a change here is a change of the format."""
    lines, values = [], {}

    def visit(name, item):
        if isinstance(item, h5py.Dataset):
            lines.append(f"{name} {item.dtype} {item.shape}")
            values[name] = item[()]

    with h5py.File(written) as file:
        file.visititems(visit)
    assert "\n".join(sorted(lines)) == LAYOUT
    assert [values[f"layer/1/neuron/{key}"] for key in ("iDecay", "vDecay", "vThMant", "refDelay")] == [
        4096, 1024, 1, 1
    ]  # fmt: skip
    assert (values["layer/0/type"], values["layer/1/type"], values["layer/1/neuron/type"]) == (
        b"input", b"dense", b"CUBA"
    )  # fmt: skip
    assert values["layer/1/bias"].tolist() == [1, -2]
    assert values["bitspike/format"] == b"bitspike.netx"


def test_writing_twice_gives_the_same_bytes(written, tmp_path):
    netx_file.write(tiny(), tmp_path / "again.net")
    assert (tmp_path / "again.net").read_bytes() == written.read_bytes()


def test_refusals_by_name(tmp_path):
    path = tmp_path / "new" / "a.net"
    path.parent.mkdir()
    for network, expected in [
        (tiny(reset="subtract"), "population hidden: reset 'subtract'; Lava's neuron has only a reset to zero"),
        (tiny(start=1), "population hidden: start 1; NetX has none: export the network before it is retimed"),
        (tiny(bias_mantissa=np.array([63, 0])),
         "population hidden: a bias in parts of a weight unit, or too large; NetX has only the bias exponent 6: "
         "expected multiples of 64 with mantissas in -4096..4095"),
        (tiny(bias_mantissa=np.array([4095, 0]), bias_exponent=7),
         "population hidden: a bias in parts of a weight unit, or too large; NetX has only the bias exponent 6: "
         "expected multiples of 64 with mantissas in -4096..4095"),
        (tiny([[-1] * 3] * 2),
         "connection input -> hidden: lava-dl's loader turns weight [0, 0] from -1 into 0; "
         "expected weights of both signs, or of at least 0, and none odd beyond 127"),
        (tiny([[0, -1, 0]] * 2),
         "connection input -> hidden: lava-dl's loader turns weight [0, 1] from -1 into -0.5; "
         "expected weights of both signs, or of at least 0, and none odd beyond 127"),
        (tiny([[0] * 3] * 2), "connection input -> hidden: all weights are 0, on which lava-dl's loader fails"),
        (tiny([[129, -1, 0]] * 2),
         "connection input -> hidden: lava-dl's loader gives it 9 weight bits; the chip has 8"),
        (tiny([[255, -2, 0]] * 2),
         "connection input -> hidden: lava-dl's loader turns weight [0, 0] from 255 into 254; "
         "expected weights of both signs, or of at least 0, and none odd beyond 127"),
        (tiny([[3, -3, 0]] * 2, exponent=7),
         "connection input -> hidden: weights in -384..384; lava-dl's loader holds -256..255"),
        (replace(tiny(), readouts=(Readout(population="hidden", kind="spike_count"),)),
         "readout hidden; NetX reads the last layer, out"),
    ]:  # fmt: skip
        assert message(network, path) == expected
    skip = Dense(source="input", target="out", weights=weights_of([[1, 1, -1]]))
    both = replace(tiny(), connections=(*tiny().connections, skip))
    assert message(both, path) == (
        "population out: fed by hidden, input; NetX is written as a chain, and expects hidden alone"
    )
    none = replace(tiny(), connections=(tiny().connections[0],))
    assert message(none, path) == (
        "population out: fed by nothing; NetX is written as a chain, and expects hidden alone"
    )
    with pytest.raises(NetworkError, match="vth -1"):
        netx_file.write(tiny(vth=-1), path)


def test_an_old_file_stays_where_writing_fails(written):
    before = written.read_bytes()
    with pytest.raises(UnsupportedError):
        netx_file.write(tiny(start=1), written)
    assert written.read_bytes() == before
    assert [p.name for p in written.parent.iterdir()] == ["tiny.net"]


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        ([[1, -1]], [[1, -1]]),
        ([[1, 0]], [[1, 0]]),
        ([[2, -2]], [[2, -2]]),
        ([[-128, 128]], [[-128, 128]]),
        ([[255, 1]], [[255, 1]]),
        ([[-1, -1]], [[0, 0]]),
        ([[-1, 0]], [[-0.5, 0]]),
        ([[255, -255]], [[254, -255]]),
    ],
)
def test_effective_weights(matrix, expected):
    assert effective_weights(matrix).tolist() == expected


def lava_module(distribution, path):
    """A module of Lava or lava-dl that stands alone, loaded from its file: importing the packages takes a repair."""
    try:
        file = importlib.metadata.distribution(distribution).locate_file(path)
    except importlib.metadata.PackageNotFoundError:
        pytest.skip(INSTALL)
    name = f"alone_{path.rsplit('/', 1)[-1].removesuffix('.py')}"
    spec = importlib.util.spec_from_file_location(name, file)
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def lava():
    return (
        lava_module("lava-dl", "lava/lib/dl/netx/utils.py"),
        lava_module("lava-nc", "lava/utils/weightutils.py"),
    )


@st.composite
def matrices(draw):
    """Integer matrices in range, often of one sign, of few values, or multiples of a power of two."""
    low = draw(st.integers(-256, 255))
    high = draw(st.integers(low, 255))
    unit = 1 << draw(st.integers(0, 7))
    shape = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    pool = draw(st.sampled_from([[low, high], [low, 0, high], [-1, 1], [-1, 0], [-1], [0, 1], None]))
    values = st.integers(low, high) if pool is None else st.sampled_from(pool)
    flat = draw(st.lists(values, min_size=shape[0] * shape[1], max_size=shape[0] * shape[1]))
    return (np.array(flat) // unit * unit).reshape(shape)


@settings(max_examples=200, deadline=None)
@given(matrix=matrices())
def test_the_model_is_lava_dls_own_optimiser(lava, matrix):
    netx, dense = lava
    if not matrix.any():
        with np.errstate(all="ignore"), pytest.raises(OverflowError):
            netx.optimize_weight_bits(matrix)
        with pytest.raises(UnsupportedError):
            optimised(matrix)
        return
    with np.errstate(all="ignore"):
        mantissas, bits, exponent, _ = netx.optimize_weight_bits(matrix)
    ours = optimised(matrix)
    assert np.array_equal(ours.mantissas, mantissas)
    assert (ours.bits, ours.exponent) == (bits, exponent)
    mode = dense.determine_sign_mode(mantissas)
    kept = dense.truncate_weights(dense.clip_weights(mantissas, mode, num_bits=8), mode, bits)
    found = effective_weights(matrix)
    assert np.array_equal(found, kept * 2.0**exponent)
    if np.array_equal(found, matrix) and bits <= 8:
        refuse_changed("a -> b", matrix)
    else:
        with pytest.raises(UnsupportedError, match="connection a -> b: "):
            refuse_changed("a -> b", matrix)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("layer/1/weight", None, "layer 1 has no weight"),
        ("layer/2/neuron/vDecay", None, "layer 2 has no neuron/vDecay"),
        ("layer/1/bias", None, "layer 1 has no bias"),
        ("layer/0/shape", None, "layer 0 has no shape"),
        ("layer/1/weight", np.array([[1, -1, 1], [-1, -1, 1]], "i2"), "layer 1: weight is not what was written"),
        ("layer/1/weight", np.array([[1, -1, 1], [-1, 0.5, 1]]), "layer 1: weight is not what was written"),
        ("layer/1/bias", np.array([1, 0], "i4"), "layer 1: bias is not what was written"),
        ("layer/2/bias", np.array([0], "i4"), "unexpected entry /layer/2/bias"),
        ("layer/1/neuron/vThMant", np.array(7),
         "layer 1: neuron/vThMant is not what the network's description tells of"),
        ("layer/1/neuron/vThMant", np.array([1]), "layer 1: neuron/vThMant is int64 (1,); expected int64 ()"),
        ("layer/1/neuron/iDecay", np.array(4096.0), "layer 1: neuron/iDecay is float64 (); expected int64 ()"),
        ("layer/1/type", b"conv5", "layer 1: type is not what the network's description tells of"),
        ("layer/3/type", b"dense", "unexpected entry /layer/3/type"),
        ("layer/1/delay", np.array(3), "unexpected entry /layer/1/delay"),
        ("simulation/Ts", np.array(1), "unexpected entry /simulation/Ts"),
        ("bitspike/version", b"2", "format bitspike.netx 2; this bitspike reads bitspike.netx 1"),
        ("bitspike/digest", None, "/bitspike/digest is missing or no text"),
        ("bitspike/digest", b"0" * 64, "/bitspike/digest is not what the network's description tells of"),
        ("bitspike/network", b"[", "is not a readable NetX file (Expecting value: line 1 column 2 (char 1))"),
        ("bitspike/network", b"{}", "the network's description lacks 'populations'"),
    ],
)  # fmt: skip
def test_a_changed_entry_is_named(written, name, value, expected):
    replaced(written, name, value)
    assert told(written) == expected


def test_forged_weights_and_descriptions(written):
    """Where the hashes fit too, the integers must still be what the description says."""
    original = written.read_bytes()
    with h5py.File(written) as file:
        text = file["bitspike/network"][()]
    forged = np.array([[1, 1, -1], [-1, 1, 1]], "i2")
    half = np.array([[1, -1, 1], [-1, 0.5, 1]])
    for name, value, expected in [
        ("layer/1/weight", forged, "/bitspike/digest is not what the network's description tells of"),
        ("layer/1/weight", half, "layer 1: weight is float64 of 2 dimensions; expected int16 of 2 dimensions"),
        ("layer/1/weight", forged * 3, "weights other than -1 and 1; expected one bit a weight"),
        ("layer/1/bias", np.array([1, 2, 3], "i4"), "population hidden: bias of shape (3,); expected (2,)"),
        ("bitspike/network", text.replace(b'"steps":4', b'"steps":5'),
         "/bitspike/digest is not what the network's description tells of"),
        ("bitspike/network", text.replace(b'"exponent":0', b'"exponent":2', 1),
         "layer 1: weight is not a multiple of 2^2, as the network's description tells"),
        ("bitspike/network", text.replace(b'"exponent":0', b'"exponent":-2', 1),
         "layer 1: weight: exponent -2; expected 0..7"),
        ("bitspike/network", text.replace(b'"start":0', b'"start":1', 1),
         "population hidden: start 1; NetX has none: export the network before it is retimed"),
    ]:  # fmt: skip
        written.write_bytes(original)
        replaced(written, name, value)
        with h5py.File(written) as file:
            hashes = json.loads(file["bitspike/sha256"][()])
            hashes |= {name: netx_file._sha256(file[name][()]) for name in hashes}
        replaced(written, "bitspike/sha256", json.dumps(hashes, sort_keys=True, separators=(",", ":")).encode())
        assert told(written) == expected


def test_files_from_elsewhere(tmp_path):
    path = tmp_path / "a.net"
    assert told(path) == "no such file"
    path.write_bytes(b"no HDF5")
    assert told(path).startswith("is not a readable NetX file (Unable to synchronously open file (file signature")
    with h5py.File(path, "w") as file:
        file["node/type"] = "NIRGraph"
    assert told(path) == "is not a NetX file (no layer of it has an entry)"
    assert told(tmp_path) == "is not a file"


def test_the_window_is_the_files_own(written):
    assert told(written, steps=9) == "holds a network with a window of 4 steps; 9 were asked for"


@pytest.mark.parametrize("share", [0.01, 0.3, 0.6, 0.999])
def test_truncated_files(written, share):
    data = written.read_bytes()
    written.write_bytes(data[: int(len(data) * share)])
    assert told(written).startswith("is not a readable NetX file (")


def test_damaged_files(written):
    """Whatever three bytes are changed: the network, or one line."""
    data = np.frombuffer(written.read_bytes(), np.uint8)
    random = np.random.default_rng(0)
    seen = set()
    for _ in range(100):
        changed = data.copy()
        changed[random.integers(0, len(data), 3)] = random.integers(0, 256, 3)
        written.write_bytes(changed.tobytes())
        try:
            found = netx_file.read(written)
        except FileError as error:
            found = str(error)
        assert found == tiny() or "\n" not in found
        seen.add(type(found))
    assert seen == {IntegerNetwork, str}


def test_links_are_not_followed(written, tmp_path):
    original = written.read_bytes()
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["w"] = np.array([[1, -1]], "i2")
    for link, kind in ((h5py.ExternalLink("other.h5", "w"), "an external link"), (h5py.SoftLink("/x"), "a soft link")):
        written.write_bytes(original)
        replaced(written, "layer/2/weight", None)
        replaced(written, "layer/2/weight", link)
        assert told(written) == f"layer/2/weight is {kind}; expected everything in the file itself"

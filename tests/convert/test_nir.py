"""NIR files: the integers come back, a plain reader sees the same spikes, and nothing is said that is not meant."""

from dataclasses import replace
from pathlib import Path

import h5py
import nir
import numpy as np
import pytest
from nir_support import euler

from bitspike.convert import nir_file
from bitspike.convert.network import VTH_MAX, Dense, Input, IntegerNetwork, Population, Readout
from bitspike.convert.nir_checks import find_faults, metadata_faults
from bitspike.convert.nir_form import NirForm
from bitspike.convert.nir_graph import fields_of
from bitspike.convert.retime import retime
from bitspike.convert.rules import check
from bitspike.convert.weights import IntegerWeights, weights_of
from bitspike.errors import BitspikeError, FileError, NetworkError, UnsupportedError, UsageError
from bitspike.sim.reference import run_reference


def random_network(seed, *, du=None, dv=None, bias=True, steps=12, delays=True):
    """Four populations with skip connections, one-bit and wider weights, exponents and delays."""
    random = np.random.default_rng(seed)
    sizes = {"input": 7, "a": 6, "b": 5, "c": 4, "d": 3}
    populations, connections = [], []
    for name, size in list(sizes.items())[1:]:
        flow = 4096 if random.random() < 0.5 else int(random.integers(1, 4096))
        populations.append(
            Population(
                name=name,
                shape=(size,) if size % 2 else (2, size // 2),
                du=flow if du is None else du,
                dv=int(random.integers(1, 4097)) if dv is None else dv,
                vth=VTH_MAX if name == "d" else int(random.integers(0, 6)),
                bias_mantissa=random.integers(-150, 151, size) if bias else np.zeros(size, int),
                bias_exponent=int(random.integers(0, 3)),
            )
        )
    names = list(sizes)
    for index, target in enumerate(names[1:], start=1):
        sources = {names[index - 1], names[random.integers(index)]}
        for source in sorted(sources):
            values = [[-1, 1], [0, 1], range(-9, 10)][random.integers(3)]
            matrix = random.choice(list(values), (sizes[target], sizes[source]))
            delay = int(random.integers(0, 3)) if delays else 0
            exponent = int(random.integers(0, 4))
            connections.append(
                Dense(source=source, target=target, weights=weights_of(matrix), exponent=exponent, delay=delay)
            )
    network = IntegerNetwork(
        name=f"random {seed}",
        steps=steps,
        inputs=(Input(name="input", shape=(7,)),),
        populations=tuple(populations),
        connections=tuple(connections),
        readouts=(Readout(population="d", kind="membrane_sum"),),
        collapse="map",
    )
    return check(network)


def tiny(**changes):
    """Two populations; the keywords change the first."""
    hidden = {"name": "hidden", "shape": (2,), "dv": 1024, "vth": 1, "bias_mantissa": np.array([5, -7])} | changes
    return IntegerNetwork(
        name="tiny",
        steps=4,
        inputs=(Input(name="input", shape=(3,)),),
        populations=(
            Population(**hidden),
            Population(name="out", shape=(1,), du=2048, dv=1000, vth=VTH_MAX, bias_mantissa=np.array([3])),
        ),
        connections=(
            Dense(source="input", target="hidden", weights=weights_of([[1, -1, 1], [-1, 1, 1]]), exponent=2),
            Dense(source="hidden", target="out", weights=weights_of([[1, -1]])),
            Dense(source="input", target="out", weights=IntegerWeights(values=np.array([[3, -4, 5]])), delay=2),
        ),
        readouts=(Readout(population="out", kind="membrane_last"),),
    )


def message(network, path, **options):
    with pytest.raises(BitspikeError) as caught:
        nir_file.write(network, path, **options)
    assert not list(path.parent.iterdir())
    return str(caught.value)


def told(path):
    with pytest.raises(FileError) as caught:
        nir_file.read(path)
    assert "\n" not in str(caught.value)
    assert caught.value.path == str(path)
    return caught.value.problem


def replaced(path, name, value):
    """Replace a dataset of a NIR file."""
    with h5py.File(path, "a") as file:
        del file[name]
        if value is not None:
            file[name] = value


@pytest.fixture(scope="module")
def tiny_bytes(tmp_path_factory):
    path = tmp_path_factory.mktemp("nir") / "tiny.nir"
    nir_file.write(tiny(), path)
    return path.read_bytes()


@pytest.fixture
def written(tmp_path, tiny_bytes):
    path = tmp_path / "tiny.nir"
    path.write_bytes(tiny_bytes)
    return path


@pytest.mark.parametrize("seed", range(16))
def test_round_trip(tmp_path, seed):
    network = random_network(seed)
    path = tmp_path / "a.nir"
    dt = [1e-4, 1e-3, 1.0, 7e-7][seed % 4]
    nir_file.write(network, path, dt=dt)
    assert nir_file.read(path) == network
    graph = nir.read(path)
    assert float(graph.metadata["dt"]) == dt
    assert graph.metadata["digest"] == network.digest()
    assert not list(find_faults(graph.nodes))


@pytest.mark.parametrize("bias_exponent", [0, 5, 7])
@pytest.mark.parametrize("dv", [1, 3, 4095, 4096])
def test_extreme_numbers_come_back(tmp_path, dv, bias_exponent):
    network = tiny(
        dv=dv, du=4095, vth=VTH_MAX, bias_mantissa=np.array([4095, -4096]), bias_exponent=bias_exponent
    )  # fmt: skip
    wide = IntegerWeights(values=np.array([[255, -256, -255], [0, 1, -1]]))
    for du in (4095, 4096):
        p = replace(network.populations[0], du=du)
        changed = replace(
            network,
            populations=(p, network.populations[1]),
            connections=(replace(network.connections[0], weights=wide, exponent=7), *network.connections[1:]),
        )
        nir_file.write(changed, tmp_path / "a.nir")
        assert nir_file.read(tmp_path / "a.nir") == changed


@pytest.mark.parametrize("number", [np.float64, np.float32])
@pytest.mark.parametrize("dt", [1e-4, 1e-3, 0.3])
@pytest.mark.parametrize("dv", [0, 4096])
def test_a_plain_reader_sees_the_same_spikes_where_nothing_is_truncated(tmp_path, dv, dt, number):
    for seed in range(2):
        network = random_network(seed, du=4096, dv=dv)
        spikes = (np.random.default_rng(seed).random((3, 12, 7)) < 0.4).astype(np.uint8)
        nir_file.write(network, tmp_path / "a.nir", dt=dt)
        seen = euler(nir.read(tmp_path / "a.nir"), spikes, number)
        record = run_reference(network, spikes)
        for p in network.populations[:-1]:
            assert np.array_equal(seen[p.name], record.traces[p.name].spikes)
        assert np.array_equal(np.rint(seen["output"] * 64), record.traces["d"].v)


def test_a_plain_reader_sees_the_same_spikes_after_retiming(tmp_path):
    network = retime(random_network(3, du=4096, dv=0, bias=False))
    spikes = np.zeros((2, 30, 7), np.uint8)
    spikes[:, :12] = np.random.default_rng(0).random((2, 12, 7)) < 0.5
    nir_file.write(network, tmp_path / "a.nir")
    seen = euler(nir.read(tmp_path / "a.nir"), spikes)
    record = run_reference(network, spikes[:, :20])
    assert any(p.start for p in network.populations)
    for p in network.populations[:-1]:
        assert np.array_equal(seen[p.name][:, p.start : p.start + 20], record.traces[p.name].spikes)


def test_a_leaky_graph_follows_the_recursion_but_for_the_truncation(tmp_path):
    """Where the decayed states happen to be whole, a plain reader is exact with any decay."""
    network = tiny(dv=2048, du=2048, bias_mantissa=np.array([64, -64]), vth=20)
    spikes = np.zeros((1, 4, 3), np.uint8)
    spikes[0, 0] = 1
    nir_file.write(network, tmp_path / "a.nir")
    seen = euler(nir.read(tmp_path / "a.nir"), spikes)
    record = run_reference(network, spikes)
    assert np.array_equal(seen["hidden"], record.traces["hidden"].spikes)
    assert nir_file.read(tmp_path / "a.nir") == network


def test_nodes_and_edges():
    graph = nir_file.build(tiny())
    assert {name: type(node).__name__ for name, node in graph.nodes.items()} == {
        "input": "Input",
        "hidden": "LIF",
        "out": "CubaLI",
        "input_to_hidden": "Affine",
        "hidden_to_out": "Linear",
        "input_to_out_2": "Linear",
        "input_to_out_2_delay": "Delay",
        "output": "Output",
    }
    assert graph.edges == [
        ("input", "input_to_hidden"),
        ("input_to_hidden", "hidden"),
        ("hidden", "hidden_to_out"),
        ("hidden_to_out", "out"),
        ("input", "input_to_out_2_delay"),
        ("input_to_out_2_delay", "input_to_out_2"),
        ("input_to_out_2", "out"),
        ("out", "output"),
    ]
    hidden = fields_of(graph.nodes["hidden"])
    f = np.float32
    assert {key: hidden[key].tolist() for key in ("tau", "r", "v_leak", "v_threshold", "v_reset")} == {
        "tau": [float(f(4e-4))] * 2,
        "r": [4.0, 4.0],
        "v_leak": [0.0, 0.0],
        "v_threshold": [1 + 1 / 128] * 2,
        "v_reset": [0.0, 0.0],
    }
    assert graph.nodes["input_to_hidden"].weight.tolist() == [[4, -4, 4], [-4, 4, 4]]
    assert graph.nodes["input_to_hidden"].bias.tolist() == [5 / 64, -7 / 64]
    assert graph.nodes["out"].w_in.tolist() == [2.0]
    assert graph.nodes["out"].v_leak.tolist() == [float(f(3 / 64 * 4.096))]
    assert graph.nodes["input_to_out_2_delay"].delay.tolist() == [float(f(2e-4))] * 3


@pytest.mark.parametrize(
    ("change", "node"),
    [
        ({"dv": 0}, "IF"),
        ({"dv": 4096}, "LIF"),
        ({"du": 1}, "CubaLIF"),
        ({"vth": VTH_MAX}, "LIF"),
    ],
)
def test_kinds_of_neurons(change, node):
    assert type(nir_file.build(tiny(**change)).nodes["hidden"]).__name__ == node


@pytest.mark.parametrize(
    ("change", "node"),
    [({"du": 4096, "dv": 0}, "I"), ({"du": 4096}, "LI"), ({"reset": "subtract"}, "CubaLI"), ({"vth": 5}, "CubaLIF")],
)
def test_kinds_of_read_outs(tmp_path, change, node):
    network = tiny()
    last = replace(network.populations[1], **change)
    kind = "spike_count" if last.spiking else "membrane_sum"
    network = replace(
        network, populations=(network.populations[0], last), readouts=(Readout(population="out", kind=kind),)
    )
    assert type(nir_file.build(network).nodes["out"]).__name__ == node
    nir_file.write(network, tmp_path / "a.nir")
    assert nir_file.read(tmp_path / "a.nir") == network


def test_a_read_out_whose_spikes_are_counted_keeps_its_threshold():
    network = replace(tiny(), readouts=(Readout(population="out", kind="spike_count"),))
    assert type(nir_file.build(network).nodes["out"]).__name__ == "CubaLIF"


def test_the_bias_stands_once(tmp_path):
    network = tiny()
    last = replace(network.populations[1], du=4096)
    graph = nir_file.build(replace(network, populations=(network.populations[0], last)))
    kinds = {name: type(node).__name__ for name, node in graph.nodes.items()}
    assert (kinds["hidden_to_out"], kinds["input_to_out_2"]) == ("Affine", "Linear")


def test_names_that_are_taken(tmp_path):
    """A population may be called as a connection or the output would be."""
    network = tiny()
    names = {"hidden": "output", "out": "input_to_output"}
    network = replace(
        network,
        populations=tuple(replace(p, name=names[p.name]) for p in network.populations),
        connections=tuple(
            replace(c, source=names.get(c.source, c.source), target=names[c.target]) for c in network.connections
        ),
        readouts=(Readout(population="input_to_output", kind="membrane_sum"),),
    )
    nir_file.write(network, tmp_path / "a.nir")
    assert nir_file.read(tmp_path / "a.nir") == network
    assert {"input_to_output_", "output_"} <= set(nir.read(tmp_path / "a.nir").nodes)


def test_a_population_that_feeds_nothing_has_an_output_of_its_own(tmp_path):
    network = tiny()
    network = replace(network, connections=(network.connections[0], network.connections[2]))
    nir_file.write(network, tmp_path / "a.nir")
    assert nir_file.read(tmp_path / "a.nir") == network
    assert ("hidden", "output_hidden") in nir.read(tmp_path / "a.nir").edges


LAYOUT = """\
node/edges object (8, 2)
node/metadata/arrays/0.words uint64 (2, 1)
node/metadata/arrays/1.words uint64 (1, 1)
node/metadata/arrays/2.values int16 (1, 3)
node/metadata/arrays/hidden.bias int32 (2,)
node/metadata/arrays/out.bias int32 (1,)
node/metadata/digest object ()
node/metadata/discretisation object ()
node/metadata/dt float64 ()
node/metadata/form object ()
node/metadata/format object ()
node/metadata/format_version object ()
node/metadata/network object ()
node/metadata/reset object ()
node/metadata/semantics object ()
node/metadata/soft_reset object ()
node/nodes/hidden/r float32 (2,)
node/nodes/hidden/tau float32 (2,)
node/nodes/hidden/type object ()
node/nodes/hidden/v_leak float32 (2,)
node/nodes/hidden/v_reset float32 (2,)
node/nodes/hidden/v_threshold float32 (2,)
node/nodes/hidden_to_out/type object ()
node/nodes/hidden_to_out/weight float32 (1, 2)
node/nodes/input/shape int64 (1,)
node/nodes/input/type object ()
node/nodes/input_to_hidden/bias float32 (2,)
node/nodes/input_to_hidden/type object ()
node/nodes/input_to_hidden/weight float32 (2, 3)
node/nodes/input_to_out_2/type object ()
node/nodes/input_to_out_2/weight float32 (1, 3)
node/nodes/input_to_out_2_delay/delay float32 (3,)
node/nodes/input_to_out_2_delay/type object ()
node/nodes/out/r float32 (1,)
node/nodes/out/tau_mem float32 (1,)
node/nodes/out/tau_syn float32 (1,)
node/nodes/out/type object ()
node/nodes/out/v_leak float32 (1,)
node/nodes/out/w_in float32 (1,)
node/nodes/output/shape int64 (1,)
node/nodes/output/type object ()
node/type object ()
version object ()"""


def test_layout(written):
    """The golden layout of a tiny network's file; a change here is a change of the format."""
    lines = []
    with h5py.File(written) as file:
        file.visititems(
            lambda name, item: (
                lines.append(f"{name} {item.dtype} {item.shape}") if isinstance(item, h5py.Dataset) else None
            )
        )
        texts = {key: file[f"node/metadata/{key}"][()] for key in ("format", "format_version", "reset")}
        assert file["node/metadata/discretisation"][()] == b"euler, synapse first"
    assert "\n".join(sorted(lines)) == LAYOUT
    assert texts == {"format": b"bitspike.nir", "format_version": b"2", "reset": b"zero"}


def test_nodes_are_kept_in_the_order_of_a_step(tmp_path):
    """Whatever their names are: nirtorch takes them as they come."""
    names = {"hidden": "zebra", "out": "ape"}
    network = tiny()
    network = replace(
        network,
        populations=tuple(replace(p, name=names[p.name]) for p in network.populations),
        connections=tuple(
            replace(c, source=names.get(c.source, c.source), target=names[c.target]) for c in network.connections
        ),
        readouts=(Readout(population="ape", kind="membrane_sum"),),
    )
    nir_file.write(network, tmp_path / "a.nir")
    found = [name for name in nir.read(tmp_path / "a.nir").nodes if "_" not in name]
    assert found == ["input", "zebra", "ape", "output"]
    assert not h5py.get_config().track_order


def test_writing_twice_gives_the_same_bytes(written, tmp_path):
    nir_file.write(tiny(), tmp_path / "again.nir")
    assert (tmp_path / "again.nir").read_bytes() == written.read_bytes()


def test_refusals_by_name(tmp_path):
    path = tmp_path / "new" / "a.nir"
    path.parent.mkdir()
    assert message(tiny(reset="subtract"), path) == (
        "population hidden: reset 'subtract'; NIR has only a reset to a fixed potential (it can be encoded as a "
        "threshold with a feedback, which few readers know: soft_reset, --encode-soft-reset)"
    )
    assert message(tiny(du=0), path) == (
        "population hidden: du 0, a current that never decays; NIR has no infinite time constant"
    )
    assert message(tiny(du=77, dv=0), path) == (
        "population hidden: dv 0 with du 77, a membrane that never decays behind a current that does; "
        "NIR has no infinite time constant"
    )
    assert message(tiny(start=3), path) == (
        "population hidden: its state is cleared at step 3 and may be other than zero from step 0 on (a bias, or an "
        "early spike); NIR has no such event: export the network before it is retimed"
    )
    assert "from step 0 on" in message(tiny(start=1, bias_mantissa=np.zeros(2, int)), path)
    lonely = replace(tiny(), connections=tiny().connections[1:])
    assert message(lonely, path) == "population hidden: no connection leads to it; NIR takes such a node for an input"
    for dt in (0.0, -1e-3, float("nan"), float("inf"), 1e-30):
        assert message(tiny(), path, dt=dt) == f"dt {dt}; expected 1e-09..1000.0 seconds"
    assert "vth -1" in message(tiny(vth=-1), path)
    with pytest.raises(UsageError):
        nir_file.build(tiny(), NirForm(dt=0))
    with pytest.raises(UnsupportedError):
        nir_file.build(tiny(du=0))
    with pytest.raises(NetworkError):
        nir_file.build(tiny(vth=-1))


def test_an_old_file_stays_where_writing_fails(written):
    before = written.read_bytes()
    with pytest.raises(UnsupportedError):
        nir_file.write(tiny(du=0), written)
    assert written.read_bytes() == before
    assert [p.name for p in written.parent.iterdir()] == ["tiny.nir"]


def test_what_the_validator_finds():
    f = np.float32
    leak = nir.LI(tau=np.array([-1.0, 1], f), r=np.ones(2, f), v_leak=np.array([np.nan, 0], f))
    faults = list(find_faults({"x": leak, "y": nir.Affine(np.ones((2, 3)), np.ones(3, f))}))
    assert faults == [
        "node x: tau is not positive",
        "node x: v_leak is not finite",
        "node y: weight is float64; expected float32",
        "node y: fields of different lengths [2, 3]",
    ]
    window = {"stride": np.array([1, 1]), "padding": np.array([0, 0]), "dilation": np.array([1, 1]), "groups": 1}
    conv = nir.Conv2d(input_shape=np.array([4, 4]), weight=np.ones((2, 1, 3, 3), f), bias=np.zeros(3, f), **window)
    conv.stride, conv.padding = np.array([1, 0]), np.array([0.5, 0])
    mixed = nir.IF(r=np.ones(2, f), v_threshold=np.ones(2, f), v_reset=np.zeros(2, f))
    mixed.v_reset = np.zeros(1, f)
    assert list(find_faults({"c": conv, "n": mixed, "s": nir.Scale(np.array(2, f))})) == [
        "node c: stride is [1, 0]; expected integers of 1 or more",
        "node c: padding is [0.5, 0.0]; expected integers of 0 or more",
        "node c: fields of different lengths [2, 3]",
        "node n: fields of different lengths [1, 2]",
        "node n: parameters of shapes [(1,), (2,)]; expected one, and one number a neuron",
        "node s: parameters of shapes [()]; expected one, and one number a neuron",
    ]
    assert list(metadata_faults({"dt": 0.0})) == [
        "metadata dt 0.0; expected 1e-09..1000.0 seconds",
        "metadata reset None; expected zero",
        "metadata discretisation is missing",
    ]


NODES = "node/nodes"
TELLS = "is not what the network's description tells of"


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("hidden/v_threshold", np.full(2, 9, "f4"), f"node hidden: v_threshold {TELLS}"),
        ("hidden/v_threshold", None, "is not a readable NIR file ("),
        ("hidden/tau", np.full(3, 9, "f4"), "is not a readable NIR file (All parameters must have the same shape)"),
        ("hidden/type", "IF", "is not a readable NIR file ("),
        ("hidden/type", "Poet", "is not a readable NIR file ("),
        ("hidden_to_out/weight", np.array([[-1, -1]], "f4"), f"node hidden_to_out: weight {TELLS}"),
        ("hidden_to_out/weight", np.array([[1, -1]], "f8"), f"node hidden_to_out: weight {TELLS}"),
        ("input_to_hidden/bias", np.zeros(2, "f4"), f"node input_to_hidden: bias {TELLS}"),
        ("out/v_leak", np.zeros(1, "f4"), f"node out: v_leak {TELLS}"),
        ("input/shape", np.array([4]), f"node input: shape {TELLS}"),
    ],
)
def test_a_changed_node_is_named(written, name, value, expected):
    replaced(written, f"{NODES}/{name}", value)
    assert told(written).startswith(expected)


def forge(path, nodes=None, edges=None, arrays=None, **metadata):
    """Change the graph of a file, as a careful forger would."""
    graph = nir.read(path)
    graph.nodes.update(nodes or {})
    if edges is not None:
        graph.edges = edges(list(graph.edges))
    graph.metadata["arrays"].update(arrays or {})
    graph.metadata["dt"] = float(graph.metadata["dt"])
    graph.metadata.update(metadata)
    nir.write(path, graph)


def test_a_forged_file_is_noticed(written):
    f = np.float32
    original = written.read_bytes()
    lif = {"tau": np.full(2, 4e-4, f), "r": np.full(2, 4, f), "v_leak": np.zeros(2, f), "v_reset": np.zeros(2, f)}
    text = nir.read(written).metadata["network"]
    lie, tells = "is not what belongs to the network in this file", TELLS
    for change, expected in [
        ({"nodes": {"hidden": nir.LIF(v_threshold=np.full(2, 2, f), **lif)}}, f"node hidden: v_threshold {tells}"),
        ({"nodes": {"out": nir.LI(tau=np.ones(1, f), r=np.ones(1, f), v_leak=np.ones(1, f))}}, f"node out: r {tells}"),
        ({"nodes": {"hidden_to_out": nir.Linear(np.array([[1, 0.5]], f))}}, f"node hidden_to_out: weight {tells}"),
        ({"nodes": {"hidden_to_out": nir.Linear(np.zeros((0, 2), f))}}, f"node hidden_to_out: weight {tells}"),
        ({"arrays": {"1.words": np.array([[3]], np.uint64)}}, f"node hidden_to_out: weight {tells}"),
        ({"arrays": {"1.words": np.array([[9]], np.uint64)}}, "words hold bits beyond column 2; expected zeros there"),
        ({"arrays": {"1.words": np.array([[1]], np.int64)}}, "entry '1.words' is int64; expected uint64"),
        ({"arrays": {"more": np.array([[1]], np.int64)}}, "unexpected entry 'more'"),
        ({"arrays": {"hidden.bias": np.array([5, 7], np.int32)}}, f"node input_to_hidden: bias {tells}"),
        ({"nodes": {"extra": nir.Linear(np.array([[1, 1]], f))}}, "node extra does not belong to the network"),
        ({"edges": lambda e: e[:-1]}, "edge out -> output is missing"),
        ({"edges": lambda e: [*e, ("input", "hidden_to_out")]},
         "edge input -> hidden_to_out does not belong to the network"),
        ({"edges": lambda e: e[::-1]}, "the edges are not in the order in which they were written"),
        ({"dt": 1e-3}, "node hidden: tau is not what the network's description tells of"),
        ({"dt": -1.0}, "dt -1.0; expected 1e-09..1000.0 seconds"),
        ({"form": "portable"}, "population out: a bias beside a current that decays (du 2048); "),
        ({"form": "vague"}, "metadata form 'vague'; expected exact or portable"),
        ({"reset": "subtract"}, f"metadata reset {lie}"),
        ({"soft_reset": "encoded"}, f"metadata soft_reset {lie}"),
        ({"comment": "hello"}, f"metadata comment {lie}"),
        ({"digest": "0" * 64}, f"metadata digest {lie}"),
        ({"format_version": "1"}, "version '1'; this bitspike reads '2'"),
        ({"network": text.replace('"steps":4', '"steps":5')}, f"metadata digest {lie}"),
        ({"network": text.replace('"vth":1,', '"vth":3,').replace('"vth":1}', '"vth":3}')},
         f"node hidden: v_threshold {tells}"),
        ({"network": text.replace('"exponent":2', '"exponent":1')}, f"node input_to_hidden: weight {tells}"),
        ({"network": text.replace('"exponent":2', '"exponent":99999999999')},
         "connection input -> hidden: exponent 99999999999; expected 0..7"),
        ({"network": text.replace('"du":2048,', "")}, "population: keys "),
        ({"network": "[]"}, "network: keys list; expected "),
        ({"network": text[:-4]}, "the network's description is not JSON"),
    ]:  # fmt: skip
        written.write_bytes(original)
        forge(written, **change)
        assert told(written).startswith(expected), change


@pytest.mark.parametrize("key", ["dt", "network", "arrays", "form", "digest", "reset", "soft_reset", "semantics"])
def test_missing_metadata(written, key):
    replaced(written, f"node/metadata/{key}", None)
    lie = f"metadata {key} is not what belongs to the network in this file"
    assert told(written) == (lie if key in ("digest", "semantics") else f"metadata {key} is missing")


def test_files_from_elsewhere(tmp_path):
    path = tmp_path / "a.nir"
    assert told(path) == "no such file"
    nir.write(path, nir.NIRGraph.from_list(nir.Linear(np.ones((2, 3))), nir.Threshold(np.ones(2))))
    assert told(path) == "is a NIR file that carries no bitspike integers; expected one that bitspike exported"
    with h5py.File(path, "w") as file:
        file["layer"] = 3
    assert told(path) == "is not a NIR file (it has no /node/type)"
    path.write_bytes(b"PK\3\4 no HDF5")
    assert told(path).startswith("is not a readable NIR file (Unable to synchronously open file (file signature")
    assert told(tmp_path) == "is not a file"


@pytest.mark.parametrize("share", [0.01, 0.3, 0.6, 0.999])
def test_truncated_files(written, share):
    data = written.read_bytes()
    written.write_bytes(data[: int(len(data) * share)])
    assert told(written).startswith("is not a readable NIR file (")


def test_damaged_files(written):
    """Whatever byte is changed: the network, or one line."""
    data = np.frombuffer(written.read_bytes(), np.uint8)
    random = np.random.default_rng(0)
    seen = set()
    for _ in range(30):
        changed = data.copy()
        changed[random.integers(0, len(data), 1)] = random.integers(0, 256, 1)
        written.write_bytes(changed.tobytes())
        try:
            found = nir_file.read(written)
        except FileError as error:
            found = str(error)
        assert found == tiny() or "\n" not in found
        seen.add(type(found))
    assert seen == {IntegerNetwork, str}


def test_links_are_not_followed(written, tmp_path):
    original = written.read_bytes()
    other = tmp_path / "other.h5"
    with h5py.File(other, "w") as file:
        file["w"] = np.array([[1, -1]], "f4")
    name = f"{NODES}/hidden_to_out/weight"
    for link, kind in ((h5py.ExternalLink("other.h5", "w"), "an external link"), (h5py.SoftLink("/x"), "a soft link")):
        written.write_bytes(original)
        replaced(written, name, link)
        assert told(written) == f"{name} is {kind}; expected everything in the file itself"
    with h5py.File(written, "w") as file:
        layout = h5py.VirtualLayout((1, 2), "f4")
        layout[:] = h5py.VirtualSource("other.h5", "w", (1, 2))
        file.create_virtual_dataset("node", layout)
    assert told(written) == "node is virtual, external or packed with an unknown filter; expected plain data"


def test_memory_is_bounded(written):
    with h5py.File(written, "a") as file:
        file.create_dataset("node/nodes/big", shape=(1 << 20, 1 << 20), dtype="f4", chunks=(1024, 1024))
    assert told(written) == "node/nodes/big claims more data than a file of this size can hold"


def test_a_text_that_claims_to_be_long(written):
    """HDF5 makes room for the length that a text claims before it looks for the text: 4 GB here."""
    with h5py.File(written) as file:
        offset = file["node/metadata/network"].id.get_offset()
    data = bytearray(written.read_bytes())
    data[offset : offset + 4] = b"\xff" * 4
    written.write_bytes(data)
    assert told(written) == "node/metadata/network claims more data than a file of this size can hold"


def test_texts_in_pieces(written):
    replaced(written, "node/edges", None)
    with h5py.File(written, "a") as file:
        file.create_dataset("node/edges", data=[["a", "b"]], chunks=(1, 1))
    assert told(written) == "node/edges is text in pieces; expected it in one"


def test_too_many_texts(written):
    replaced(written, "node/edges", np.array(["a"] * 17000, dtype=object))
    assert told(written) == "node/edges holds 17000 texts; expected at most 16384"


def test_a_file_that_contains_itself(written):
    with h5py.File(written, "a") as file:
        file["node/nodes/loop"] = file["node"]
    assert told(written) == "more than 16384 items, or groups more than 6 deep"


def test_other_types_of_data(written):
    replaced(written, f"{NODES}/hidden/tau", np.array([1j, 2]))
    assert told(written) == "node/nodes/hidden/tau is complex128; expected numbers or text"
    replaced(written, f"{NODES}/hidden/tau", h5py.Empty("f4"))
    assert told(written) == "node/nodes/hidden/tau is empty"


def test_an_unwritable_place(tmp_path):
    (tmp_path / "a").write_text("")
    with pytest.raises(FileError, match="cannot be written"):
        nir_file.write(tiny(), Path(tmp_path / "a" / "b.nir"))

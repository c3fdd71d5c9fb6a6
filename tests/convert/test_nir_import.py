"""NIR from anywhere: every node against a small implementation of its own, what is inferred, and what is refused."""

from itertools import pairwise
from pathlib import Path

import h5py
import nir
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitspike.convert.floating.nir_fields import Fields
from bitspike.convert.floating.nir_import import from_nir
from bitspike.convert.floating.nir_raw import RawNode
from bitspike.errors import BitspikeError, FileError, UsageError
from bitspike.sim.floating import simulate_float

DATA = Path(__file__).parents[2] / ".." / "shared" / "data" / "nir"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the shared NIR files are not here")
#: Time constants, gains and steps are powers of two and weights eighths: sums are exact in any order.
DT = 0.25


def each(*values):
    return np.array(values, np.float32)


def chain(*nodes, inputs, outputs, metadata=None):
    named = {
        "input": nir.Input(np.array(inputs)),
        **{f"n{k}": n for k, n in enumerate(nodes)},
        "output": nir.Output(np.array(outputs)),
    }
    names = list(named)
    return nir.NIRGraph(named, list(pairwise(names)), metadata=metadata or {}, type_check=False)


def run(graph, x, **options):
    return simulate_float(from_nir(graph, **options), x).output


def euler(node, x, dt, *, subtract=False):
    """One neuron node as the documentation of NIR gives it, forward Euler, synapse first; x is (steps, neurons)."""
    i = v = np.zeros(x.shape[1])
    for row in x:
        i = i + dt / node.tau_syn * (-i + node.w_in * row) if hasattr(node, "tau_syn") else row
        if hasattr(node, "v_leak"):
            tau = node.tau_mem if hasattr(node, "tau_mem") else node.tau
            v = v + dt / tau * ((node.v_leak - v) + node.r * i)
        else:
            v = v + dt * node.r * i
        if not hasattr(node, "v_threshold"):
            yield v
            continue
        z = v > node.v_threshold
        v = np.where(z, v - node.v_threshold if subtract else node.v_reset, v)
        yield z


R, TAU, LEAK = each(1, 2, 4), each(0.5, 1, 2), each(0, 0.25, -0.5)
THETA, BACK, SYN, W = each(0.5, 1, 1.5), each(0, -0.25, 0.5), each(0.25, 0.5, 1), each(1, 2, 0.5)
NEURONS = [
    nir.I(r=R),
    nir.IF(r=R, v_threshold=THETA),
    nir.IF(r=R, v_threshold=THETA, v_reset=BACK),
    nir.LI(tau=TAU, r=R, v_leak=LEAK),
    nir.LIF(tau=TAU, r=R, v_leak=LEAK, v_threshold=THETA),
    nir.LIF(tau=TAU, r=R, v_leak=LEAK, v_threshold=THETA, v_reset=BACK),
    nir.CubaLI(tau_syn=SYN, tau_mem=TAU, r=R, v_leak=LEAK, w_in=W),
    nir.CubaLIF(tau_syn=SYN, tau_mem=TAU, r=R, v_leak=LEAK, v_threshold=THETA, w_in=W),
    nir.CubaLIF(tau_syn=SYN, tau_mem=TAU, r=R, v_leak=LEAK, v_threshold=THETA, v_reset=BACK),
]


@pytest.mark.parametrize("node", NEURONS, ids=lambda node: type(node).__name__)
def test_neurons_step_as_their_equation_says(node, tmp_path):
    x = np.random.default_rng(1).integers(-4, 12, (2, 16, 3)) / 8
    graph = chain(node, inputs=[3], outputs=[3])
    expected = np.array([list(euler(node, sample, DT)) for sample in x])
    assert np.array_equal(run(graph, x, dt=DT), expected)
    assert expected.any()
    nir.write(tmp_path / "graph.nir", graph)
    assert from_nir(tmp_path / "graph.nir", dt=DT).nodes == from_nir(graph, dt=DT).nodes
    if hasattr(node, "v_threshold") and not np.any(node.v_reset):
        expected = np.array([list(euler(node, sample, DT, subtract=True)) for sample in x])
        assert np.array_equal(run(graph, x, dt=DT, reset="subtract"), expected)


def test_parameters_may_be_one_number_for_all():
    one = nir.LIF(tau=np.float32(1), r=np.float32(2), v_leak=np.float32(0), v_threshold=np.float32(1))
    many = nir.LIF(tau=each(1, 1, 1), r=each(2, 2, 2), v_leak=each(0, 0, 0), v_threshold=each(1, 1, 1))
    scalars, vectors = (from_nir(chain(node, inputs=[3], outputs=[3]), dt=DT) for node in (one, many))
    assert scalars.nodes == vectors.nodes


def test_affine_linear_scale_and_threshold():
    weight, bias = np.arange(-3, 3).reshape(2, 3) / 8, np.array([0.25, -1])
    x = np.random.default_rng(2).integers(0, 9, (1, 6, 3))
    affine = nir.Affine(weight=weight, bias=bias)
    assert np.array_equal(run(chain(affine, inputs=[3], outputs=[2]), x), x @ weight.T + bias)
    assert np.array_equal(run(chain(nir.Linear(weight=weight), inputs=[3], outputs=[2]), x), x @ weight.T)
    scale = nir.Scale(scale=np.array([0.5, 2, -1]))
    assert np.array_equal(run(chain(scale, inputs=[3], outputs=[3]), x), x * [0.5, 2, -1])
    threshold = nir.Threshold(threshold=np.array([1.0, 4, 8]))
    assert np.array_equal(run(chain(threshold, inputs=[3], outputs=[3]), x), x > [1, 4, 8])


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize("padding", [1, (2, 1), "same", "valid"])
@pytest.mark.parametrize(("window", "dilation", "groups"), [((3, 5), 1, 1), ((2, 4), 1, 2), ((4, 2), (1, 3), 1)])
def test_convolutions_are_those_of_torch(padding, window, dilation, groups, tmp_path):
    import torch

    rng = np.random.default_rng(3)
    weight = rng.integers(-8, 9, (4, 4 // groups, *window)) / 8
    bias = rng.integers(-8, 9, 4) / 8
    x = rng.integers(0, 4, (1, 3, 4, 9, 8))
    inner = torch.nn.functional.conv2d
    expected = inner(
        torch.tensor(x[0], dtype=torch.float64), torch.tensor(weight), torch.tensor(bias),
        padding=padding, dilation=dilation, groups=groups,
    ).numpy()  # fmt: skip
    conv = nir.Conv2d((9, 8), weight, 1, padding, dilation, groups, bias)
    graph = chain(conv, inputs=[4, 9, 8], outputs=expected.shape[1:])
    assert np.array_equal(run(graph, x).reshape(expected.shape), expected)
    nir.write(tmp_path / "conv.nir", graph)
    assert from_nir(tmp_path / "conv.nir").nodes == from_nir(graph).nodes
    flat = torch.nn.functional.conv1d(
        torch.tensor(x[0, :, :, 0], dtype=torch.float64), torch.tensor(weight[:, :, 0]), torch.tensor(bias),
        padding=padding if isinstance(padding, str) else 2, dilation=int(np.max(dilation)), groups=groups,
    ).numpy()  # fmt: skip
    one = padding if isinstance(padding, str) else 2
    conv = nir.Conv1d(8, weight[:, :, 0], 1, one, int(np.max(dilation)), groups, bias)
    graph = chain(conv, inputs=[4, 8], outputs=flat.shape[1:])
    assert np.array_equal(run(graph, x[:, :, :, 0]).reshape(flat.shape), flat)


def test_pools_and_flatten():
    x = np.random.default_rng(4).integers(0, 5, (1, 2, 2, 4, 6))
    windows = x.reshape(1, 2, 2, 2, 2, 3, 2)
    flatten = nir.Flatten({"input": np.array([2, 2, 3])}, 0, -1)
    found = run(chain(nir.SumPool2d(2, 2, 0), flatten, inputs=[2, 4, 6], outputs=[12]), x)
    assert np.array_equal(found, windows.sum(axis=(4, 6)).reshape(1, 2, 12))
    pool = nir.AvgPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0]))
    network = from_nir(chain(pool, nir.Flatten({"input": np.array([2, 2, 3])}, 1, 2), inputs=[2, 4, 6], outputs=[2, 6]))
    assert network.node("n1").shape == (2, 6)
    assert np.array_equal(simulate_float(network, x).output, windows.mean(axis=(4, 6)).reshape(1, 2, 12))


def test_delays_come_one_a_number():
    x = np.random.default_rng(5).integers(0, 9, (2, 7, 3))
    same = run(chain(nir.Delay(each(0.5, 0.5, 0.5)), inputs=[3], outputs=[3]), x, dt=DT)
    assert np.array_equal(same[:, 2:], x[:, :-2])
    assert not same[:, :2].any()
    different = run(chain(nir.Delay(each(0, 0.5, 0.25)), inputs=[3], outputs=[3]), x, dt=DT)
    late = np.stack([np.roll(x[:, :, k], d, axis=1) * (np.arange(7) >= d) for k, d in enumerate((0, 2, 1))], axis=2)
    assert np.array_equal(different, late)
    with pytest.raises(UsageError, match=r"node n0 \(Delay\): a delay of 1.2 steps of dt 0.25; expected whole steps"):
        from_nir(chain(nir.Delay(each(0.3)), inputs=[1], outputs=[1]), dt=DT)


def loop(middle, edges, **more):
    lif = nir.LIF(tau=each(1, 1), r=each(4, 4), v_leak=each(0, 0), v_threshold=each(1, 1))
    nodes = {"input": nir.Input(np.array([2])), "lif": lif, **middle, "output": nir.Output(np.array([2]))}
    return nir.NIRGraph(nodes, [("input", "lif"), ("lif", "output"), *edges], type_check=False, **more)


def recurrent(x, weight, delay):
    """Spikes of the loop below: what `weight` makes of the spikes of `delay` steps ago is added to the input."""
    v, spikes = np.zeros(2), []
    for t, row in enumerate(x):
        back = weight @ spikes[t - delay] if t >= delay else 0
        v = v + DT * (-v + 4 * (row + back))
        spikes.append(v > 1)
        v = np.where(spikes[-1], 0, v)
    return np.array(spikes)


def test_loops_close_one_step_later_and_delays_come_on_top():
    weight = np.array([[0, 0.5], [-0.5, 0.25]])
    x = np.random.default_rng(6).integers(0, 8, (1, 30, 2)) / 8
    graph = loop({"again": nir.Linear(weight)}, [("lif", "again"), ("again", "lif")])
    network = from_nir(graph, dt=DT)
    assert "edge again -> lif closes a loop and acts one step later" in network.notes
    assert np.array_equal(simulate_float(network, x).output[0], recurrent(x[0], weight, 1))
    for steps in (1, 2, 5):
        middle = {"again": nir.Linear(weight), "wait": nir.Delay(each(steps * DT, steps * DT))}
        graph = loop(middle, [("lif", "wait"), ("wait", "again"), ("again", "lif")])
        found = simulate_float(from_nir(graph, dt=DT), x).output[0]
        assert np.array_equal(found, recurrent(x[0], weight, 1 + steps))
        graph = loop(middle, [("lif", "again"), ("again", "wait"), ("wait", "lif")])
        assert np.array_equal(simulate_float(from_nir(graph, dt=DT), x).output[0], found)
    assert found.any()


def test_graphs_within_graphs_are_dissolved(tmp_path):
    weight = np.array([[0, 0.5], [-0.5, 0.25]])
    inner = loop({"again": nir.Linear(weight)}, [("lif", "again"), ("again", "lif")])
    outer = chain(nir.Linear(np.eye(2)), inner, inputs=[2], outputs=[2])
    x = np.random.default_rng(7).integers(0, 8, (1, 30, 2)) / 8
    network = from_nir(outer, dt=DT)
    assert [node.name for node in network.nodes] == ["input", "n0", "n1.lif", "n1.again"]
    assert np.array_equal(simulate_float(network, x).output[0], recurrent(x[0], weight, 1))
    nir.write(tmp_path / "nested.nir", outer)
    assert from_nir(tmp_path / "nested.nir", dt=DT).nodes == network.nodes
    assert len(outer.nodes) == 4


def test_edges_sum_and_several_outputs_and_inputs():
    nodes = {
        "a": nir.Input(np.array([2])),
        "b": nir.Input(np.array([2])),
        "double": nir.Scale(np.array([2.0, 2.0])),
        "out": nir.Output(np.array([2])),
        "other": nir.Output(np.array([2])),
    }
    edges = [("a", "double"), ("b", "double"), ("b", "out"), ("double", "out"), ("double", "other")]
    network = from_nir(nir.NIRGraph(nodes, edges, type_check=False))
    a, b = np.ones((1, 1, 2)), np.full((1, 1, 2), 3)
    record = simulate_float(network, {"a": a, "b": b})
    assert network.outputs == ("out", "double")
    assert record.outputs["out"].ravel().tolist() == [11, 11]
    assert record.outputs["double"].ravel().tolist() == [8, 8]


def lif(tau, r, **more):
    size = len(tau)
    fields = {"v_leak": np.zeros(size, np.float32), "v_threshold": np.ones(size, np.float32), **more}
    return nir.LIF(tau=np.array(tau, np.float32), r=np.array(r, np.float32), **fields)


@pytest.mark.parametrize(
    ("node", "metadata", "dt", "note"),
    [
        (lif([0.01], [1]), {"dt": 1e-3}, 1e-3, "dt 0.001 is inferred from metadata dt"),
        (lif([0.01, 0.002], [100, 20]), {}, 1e-4, "dt 0.0001 is inferred from r = tau/dt"),
        (lif([0.0025], [25]), {}, 1e-4, "dt 0.0001 is inferred from r = tau/dt"),
        (nir.IF(r=each(1e4), v_threshold=each(1)), {}, 1e-4, "dt 0.0001 is inferred from r = 1/dt of IF"),
        (
            nir.IF(r=each(1), v_threshold=each(1)),
            {},
            0,
            "dt 1 is inferred from r = 1/dt of IF, the step being the unit",
        ),
        (lif([0.01], [100]), {"dt": 1e-3}, 1e-3, "but the file also says dt 0.0001 (r = tau/dt)"),
    ],
)
def test_the_step_is_inferred_and_said(node, metadata, dt, note):
    size = len(node.r)
    network = from_nir(chain(node, inputs=[size], outputs=[size], metadata=metadata))
    assert network.dt_s == dt
    assert any(told.startswith(note) for told in network.notes)


def test_a_gain_of_one_is_one_whatever_32_bits_made_of_it():
    network = from_nir(chain(lif([0.007, 0.0003], [70, 3]), inputs=[2], outputs=[2]))
    assert network.node("n0").gain.tolist() == [1, 1]
    assert from_nir(chain(lif([1e-4], [1]), inputs=[1], outputs=[1]), dt=1e-4).node("n0").beta.tolist() == [0]


@pytest.mark.parametrize("node", [lif([0.01], [1]), lif([0.0025], [24.02]), lif([0.01, 0.002], [100, 30])])
def test_a_step_that_nobody_says_is_asked_for(node):
    size = len(node.r)
    with pytest.raises(UsageError, match=r"does not say how long a step is, .* give dt \(--dt\)"):
        from_nir(chain(node, inputs=[size], outputs=[size]))


def test_what_was_given_is_compared_with_what_the_file_says():
    graph = chain(lif([0.01], [100]), inputs=[1], outputs=[1], metadata={"dt": 1e-4, "reset": "subtract"})
    network = from_nir(graph, dt=1e-3, reset="value")
    assert "dt 0.001 was given, but the file says 0.0001 (metadata dt)" in network.notes
    assert "but the file's metadata say reset 'subtract'" in network.notes
    assert network.node("n0").reset == "value"
    assert from_nir(graph).node("n0").reset == "subtract"


def test_membranes_begin_at_rest_where_asked():
    graph = chain(lif([1], [1], v_leak=each(0.5)), inputs=[1], outputs=[1])
    x = np.zeros((1, 3, 1))
    begins = {
        start: simulate_float(from_nir(graph, dt=DT, start=start), x, record="all").traces["n0"].v.ravel().tolist()
        for start in ("zero", "rest")
    }
    assert begins == {"zero": [0.125, 0.21875, 0.2890625], "rest": [0.5, 0.5, 0.5]}


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (chain(lif([-1], [1]), inputs=[1], outputs=[1]), r"node n0 \(LIF\): tau reaches -1; expected above 0"),
        (chain(lif([0.1], [1]), inputs=[1], outputs=[1]), r"node n0 \(LIF\): tau is down to 0.1 with steps of dt 0.25"),
        (chain(lif([1, 2], [1, 1]), inputs=[3], outputs=[2]), r"node n0 \(LIF\): r of shape \(2,\); expected one"),
        (chain(lif([np.nan], [1]), inputs=[1], outputs=[1]), r"node n0 \(LIF\): tau is not finite everywhere"),
        (chain(nir.Linear(np.ones((2, 3))), inputs=[4], outputs=[2]), r"node n0 \(Linear\): 4 numbers of shape \(4,\)"),
        (chain(nir.Linear(np.ones((2, 2, 3))), inputs=[6], outputs=[4]), r"weight of shape \(2, 2, 3\); expected"),
        (
            chain(nir.Affine(np.ones((2, 3)), np.ones(3)), inputs=[3], outputs=[2]),
            r"bias of shape \(3,\); expected \(2",
        ),
        (chain(nir.SumPool2d(2, 2, 0), inputs=[4], outputs=[2]), r"expected \(channels, height, width\)"),
        (chain(nir.SumPool2d(3, 2, 0), inputs=[1, 2, 2], outputs=[2]), "node n0: a window of"),
        (chain(nir.Delay(each(-1)), inputs=[1], outputs=[1]), "delay reaches -1; expected 0 or more"),
        (chain(nir.Linear(np.ones((1, 1))), inputs=[1 << 23], outputs=[1]), r"node input \(Input\): shape .* at most"),
        (chain(lif([1], [1], v_reset=each(0.5)), inputs=[1], outputs=[1]), "v_reset other than 0, and a reset by"),
        (loop({"s": nir.Scale(each(1, 1))}, [("s", "nowhere")]), "edge s -> nowhere: no node 'nowhere'"),
        (loop({}, [("lif", "input")]), "edge lif -> input: an Input cannot be a target"),
        (loop({}, [("output", "lif")]), "edge output -> lif: an Output leads nowhere"),
    ],
)
def test_what_cannot_be_read_is_told_in_one_line(graph, message):
    with pytest.raises(BitspikeError, match=message) as told:
        from_nir(graph, dt=DT, reset="subtract")
    assert "\n" not in str(told.value)


def test_a_file_is_named_in_the_error(tmp_path):
    path = tmp_path / "bad.nir"
    nir.write(path, chain(lif([-1], [1]), inputs=[1], outputs=[1]))
    with pytest.raises(FileError, match=r"bad.nir: node n0 \(LIF\): tau reaches -1"):
        from_nir(path, dt=DT)
    with h5py.File(path, "r+") as file:
        file["node/nodes/n0/type"][()] = "Izhikevich"
    with pytest.raises(FileError, match=r"bad.nir: node n0: type 'Izhikevich'; NIR 1.0.8 has Input, Output"):
        from_nir(path, dt=DT)
    with h5py.File(path, "r+") as file:
        file["node/nodes/n0/type"][()] = "LIF"
        file["node/nodes/n0/refractory"] = 1.0
        del file["node/nodes/n0/tau"]
    with pytest.raises(FileError, match=r"node n0 \(LIF\): lacks tau"):
        from_nir(path, dt=DT)
    path.write_bytes(b"not HDF5")
    with pytest.raises(FileError, match=r"bad.nir: is not a readable NIR file"):
        from_nir(path)


numbers = st.sampled_from([0.0, 1.0, -1.0, 0.5, 1e-4, 1e30, np.nan, np.inf, 3.0])
shapes = st.sampled_from([(), (1,), (2,), (3,), (2, 2), (0,), (1, 2, 2), (2, 1, 2, 2)])
arrays = shapes.flatmap(
    lambda shape: st.lists(numbers, min_size=int(np.prod(shape)), max_size=int(np.prod(shape))).map(
        lambda values: np.array(values).reshape(shape)
    )
)
NAMES = ["input", "a", "b", "c", "output", "sub"]


@st.composite
def raw_graphs(draw, depth=1):
    from bitspike.convert.floating.nir_raw import NODES, RawGraph, RawNode

    nodes = [
        RawNode(
            name="input", type="Input", fields={"shape": draw(st.sampled_from([np.array([2]), np.array([1, 2, 2])]))}
        )
    ]
    for name in draw(st.lists(st.sampled_from(NAMES), max_size=5)):
        kind = draw(st.sampled_from([*NODES, "Strange"]))
        needed, optional = NODES.get(kind, ((), ()))
        fields = {field: draw(arrays) for field in needed}
        fields |= {field: draw(arrays) for field in optional if draw(st.booleans())}
        inner = draw(raw_graphs(depth=depth - 1)) if kind == "NIRGraph" and depth else None
        nodes.append(RawNode(name=name, type=kind, fields={} if kind == "NIRGraph" else fields, graph=inner))
    nodes.append(RawNode(name="output", type="Output", fields={"shape": np.array([2])}))
    ends = st.sampled_from([node.name for node in nodes] + ["gone"])
    edges = tuple(draw(st.lists(st.tuples(ends, ends), max_size=8, unique=True)))
    return RawGraph(name="random", nodes=tuple(nodes), edges=edges, metadata={})


@settings(max_examples=150, deadline=None)
@given(raw_graphs(), st.sampled_from([None, 0.25, 1e-4]), st.sampled_from([None, "subtract"]))
def test_any_graph_is_read_or_refused_in_one_line(graph, dt, reset):
    told = "read"
    try:
        network = from_nir(graph, dt=dt, reset=reset)
        simulate_float(network, {node.name: np.ones((1, 3, node.size)) for node in network.inputs})
    except BitspikeError as error:
        told = str(error)
    assert told
    assert "\n" not in told


@needs_data
def test_the_recorded_trace_of_norse():
    network = from_nir(DATA / "lif_norse.nir", dt=1e-4)
    x, v, spikes = np.loadtxt(DATA / "01_lif_traces" / "lif_norse.csv", delimiter=",").T
    trace = simulate_float(network, x[None, :, None], record="all").traces["1"]
    assert np.array_equal(trace.spikes[0, :, 0], spikes)
    assert np.flatnonzero(spikes).tolist() == [460, 510, 710, 760]
    assert np.abs(trace.v[0, :, 0] - v).max() <= 1e-4  # the file was printed with so many digits


@needs_data
def test_the_other_files_of_the_nir_paper():
    rockpool = from_nir(DATA / "lif_rockpool.nir", dt=1e-4)
    assert [node.name for node in rockpool.populations] == ["1_LIFNeuronTorch"]
    two = from_nir(DATA / "two_lif_neurons.nir", dt=1e-4)
    assert simulate_float(two, np.zeros((1, 1000, 1))).counts["lif1"].tolist() == [[5]]
    with pytest.raises(FileError, match=r"lif_rockpool.nir: the file does not say how long a step is"):
        from_nir(DATA / "lif_rockpool.nir")


def test_infinite_steps_agree_with_nothing():
    """Found by the fuzzer: an infinity less itself is no number, of which numpy warned."""
    from bitspike.convert.floating.nir_time import _same

    assert not _same([np.inf, np.inf])
    assert not _same([1.0, np.inf])
    assert _same([2.0, 2.0])


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64, np.longdouble])
def test_numbers_of_any_width_are_read_without_a_warning(kind):
    largest = np.finfo(kind).max
    fields = Fields(name="pool", node=RawNode(name="pool", type="SumPool2d", fields={"a": np.array([2, 3], kind)}))
    assert fields.whole("a") == (2, 3)
    assert fields.reals("a").tolist() == [2.0, 3.0]
    fields = Fields(name="pool", node=RawNode(name="pool", type="SumPool2d", fields={"a": np.array([largest])}))
    if kind is np.float16:
        assert fields.whole("a") == (65504,)
    else:
        with pytest.raises(UsageError, match="expected whole numbers"):
            fields.whole("a")

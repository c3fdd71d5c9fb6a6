"""The float engine against loops over single neurons, torch's convolutions, and what it says of bad data."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitspike.convert.floating.network import Edge, FloatNetwork
from bitspike.convert.floating.nodes import Affine, Convolution, Delay, FloatInput, Neurons, Pool, Reshape, Scale
from bitspike.errors import EngineError, UsageError
from bitspike.sim.floating import simulate_float


def chain(*nodes, dt_s=0.0):
    edges = tuple(Edge(source=a.name, target=b.name) for a, b in pairwise(nodes))
    return FloatNetwork(name="chain", nodes=nodes, edges=edges, outputs=(nodes[-1].name,), dt_s=dt_s)


def one_neuron(p, k, xs):
    """Spikes, currents and membranes of neuron `k`, one step after the other, straight from the docstring."""
    i = 0.0
    v = p.drift[k] / (1 - p.beta[k]) if p.at_rest and p.beta[k] != 1 else 0.0
    s = False
    for x in xs:
        before, i = i, p.alpha[k] * i + p.input_gain[k] * x
        seen = before if p.late_current else i
        if p.reset_late and p.spiking and p.reset == "value" and s:
            v = p.reset_value[k]
        new = p.beta[k] * v + p.gain[k] * seen + p.drift[k]
        if p.reset_late and p.spiking and p.reset == "subtract" and s:
            new -= p.threshold[k]
        if p.reset_late and p.spiking and p.reset == "value" and p.reset_swallows and s:
            new = p.reset_value[k]
        v = new
        s = p.spiking and bool(v > p.threshold[k] if p.strict else v >= p.threshold[k])
        if s and not p.reset_late:
            v = {"value": p.reset_value[k], "subtract": v - p.threshold[k], "none": v}[p.reset]
        yield s, i, v


eighths = st.integers(-16, 16).map(lambda n: n / 8)


@st.composite
def populations(draw):
    def each(numbers):
        return draw(st.lists(numbers, min_size=3, max_size=3))

    return Neurons(
        name="lif",
        extents=(3,),
        alpha=each(st.sampled_from([0, 0.5, 1])),
        beta=each(st.sampled_from([0, 0.5, 0.75, 1])),
        input_gain=each(eighths),
        gain=each(eighths),
        drift=each(eighths),
        threshold=each(eighths.map(abs)),
        reset_value=each(eighths),
        spiking=draw(st.booleans()),
        strict=draw(st.booleans()),
        reset=draw(st.sampled_from(["value", "subtract", "none"])),
        reset_late=draw(st.booleans()),
        reset_swallows=draw(st.booleans()),
        late_current=draw(st.booleans()),
        at_rest=draw(st.booleans()),
    )


@settings(max_examples=100, deadline=None)
@given(populations(), st.integers(0, 2**32 - 1))
def test_a_step_is_what_the_docstring_says(p, seed):
    x = np.random.default_rng(seed).integers(-8, 9, (2, 12, 3)) / 4
    record = simulate_float(chain(FloatInput(name="input", extents=(3,)), p), x, record="all")
    trace = record.traces["lif"]
    for sample in range(2):
        for k in range(3):
            expected = list(one_neuron(p, k, x[sample, :, k]))
            found = zip(trace.spikes[sample, :, k], trace.i[sample, :, k], trace.v[sample, :, k], strict=True)
            # Halves and eighths over twelve steps are exact, whatever the order of the sums.
            assert [(bool(s), i, v) for s, i, v in found] == expected
    sent = trace.spikes if p.spiking else trace.v
    assert np.array_equal(record.output, sent)
    assert np.array_equal(record.counts["lif"], trace.spikes.sum(axis=1))


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize(("stride", "padding", "dilation"), [((1, 1), (0, 0), (1, 1)), ((2, 1), (1, 2), (1, 2))])
def test_convolution_is_that_of_torch(groups, stride, padding, dilation):
    import torch

    rng = np.random.default_rng(1)
    weight = rng.integers(-8, 9, (4, 4 // groups, 3, 2)) / 8
    bias = rng.integers(-8, 9, 4) / 8
    conv = Convolution(
        name="conv", source_shape=(4, 7, 6), weight=weight, bias=bias, stride=stride, padding=padding,
        dilation=dilation, groups=groups,
    )  # fmt: skip
    x = rng.integers(0, 4, (2, 3, 4, 7, 6))
    found = simulate_float(chain(FloatInput(name="input", extents=(4, 7, 6)), conv), x).output
    expected = torch.nn.functional.conv2d(
        torch.tensor(x.reshape(6, 4, 7, 6), dtype=torch.float64), torch.tensor(weight), torch.tensor(bias),
        stride=stride, padding=padding, dilation=dilation, groups=groups,
    ).numpy()  # fmt: skip
    assert conv.shape == expected.shape[1:]
    assert np.array_equal(found.reshape(expected.shape), expected)


@pytest.mark.parametrize("mean", [True, False])
def test_pooling_is_that_of_torch(mean):
    import torch

    x = np.random.default_rng(2).integers(0, 5, (1, 4, 2, 6, 8))
    pool = Pool(name="pool", source_shape=(2, 6, 8), window=(2, 4), stride=(2, 2), padding=(1, 2), mean=mean)
    found = simulate_float(chain(FloatInput(name="input", extents=(2, 6, 8)), pool), x).output
    mean_of = torch.nn.functional.avg_pool2d(
        torch.tensor(x.reshape(4, 2, 6, 8), dtype=torch.float64), (2, 4), (2, 2), (1, 2)
    ).numpy()
    assert np.array_equal(found.reshape(mean_of.shape), mean_of * (1 if mean else 8))


def test_delays_edges_that_sum_and_loops():
    nodes = (
        FloatInput(name="input", extents=(2,)),
        Scale(name="half", extents=(2,), factor=[0.5, 0.25]),
        Delay(name="later", extents=(2,), steps=2),
        Reshape(name="sum", extents=(2, 1)),
        Neurons(name="li", extents=(2, 1), beta=0.0, spiking=False),
    )
    edges = (
        Edge(source="input", target="half"),
        Edge(source="half", target="later"),
        Edge(source="later", target="sum"),
        Edge(source="input", target="sum", delay=1),
        Edge(source="input", target="sum"),
        Edge(source="li", target="sum", delay=3),
        Edge(source="sum", target="li"),
    )
    network = FloatNetwork(name="loop", nodes=nodes, edges=edges, outputs=("li", "later"))
    x = np.random.default_rng(3).integers(0, 9, (2, 9, 2)).astype(float)
    record = simulate_float(network, x)
    expected = np.zeros_like(x)
    for t in range(9):
        back = [x[:, t], x[:, t - 1] if t else 0 * x[:, 0], x[:, t - 2] * [0.5, 0.25] if t > 1 else 0 * x[:, 0]]
        expected[:, t] = sum(back) + (expected[:, t - 3] if t > 2 else 0)
    assert np.array_equal(record.outputs["li"], expected)
    assert np.array_equal(record.outputs["later"][:, 2:], x[:, :-2] * [0.5, 0.25])
    assert not record.outputs["later"][:, :2].any()


def test_batches_do_not_change_integers():
    rng = np.random.default_rng(4)
    network = chain(
        FloatInput(name="input", extents=(6,)),
        Affine(name="fc", weight=rng.integers(-3, 4, (5, 6)), bias=rng.integers(-1, 2, 5)),
        Neurons(name="lif", extents=(5,), beta=0.5, threshold=2.0, reset="subtract"),
        Affine(name="out", weight=rng.integers(-3, 4, (3, 5))),
        Neurons(name="li", extents=(3,), alpha=0.5, beta=0.5, spiking=False),
    )
    x = rng.integers(0, 2, (7, 20, 6)).astype(np.uint8)
    told = []
    whole = simulate_float(network, x, record="all", batch=7)
    parts = simulate_float(network, x, record=["lif"], batch=3, notify=lambda *row: told.append(row))
    single = simulate_float(network, x, dtype="float32")
    assert told == [("chain", 0, 7), ("chain", 3, 7), ("chain", 6, 7)]
    assert np.array_equal(whole.output, parts.output)
    assert whole.extents == parts.extents
    assert np.array_equal(whole.traces["lif"].v, parts.traces["lif"].v)
    assert np.array_equal(whole.counts["lif"], single.counts["lif"])
    assert single.output.dtype == np.float32
    assert list(parts.traces) == ["lif"]
    assert whole.counts["lif"].sum() > 0


def test_the_record_reads_out_prints_and_is_saved(tmp_path):
    network = chain(FloatInput(name="input", extents=(2,)), Neurons(name="if", extents=(2,), beta=1.0, threshold=0.5))
    x = np.zeros((2, 4, 2), np.uint8)
    x[0, :3, 1] = x[1, 1, 0] = 1
    record = simulate_float(network, x, record="all")
    assert record.scores().tolist() == [[0, 3], [1, 0]]
    assert record.scores("last").tolist() == [[0, 0], [0, 0]]
    assert record.scores("max").tolist() == [[0, 1], [1, 0]]
    assert record.predictions().tolist() == [1, 0]
    assert record.accuracy([1, 1]) == 0.5
    assert str(record).splitlines() == [
        "chain: 2 samples x 4 steps, float engine (float64)",
        "population  neurons  spikes/sample  |i| up to  v from  v to",
        "if                2              2          1       0     1",
    ]
    record.save(tmp_path / "record.npz")
    with np.load(tmp_path / "record.npz", allow_pickle=False) as saved:
        assert sorted(saved) == ["if.count", "if.i", "if.spikes", "if.v", "output.if"]
        assert np.array_equal(saved["if.spikes"], record.traces["if"].spikes)
    with pytest.raises(UsageError, match="read-out 'mean'; expected auto, sum, last or max"):
        record.scores("mean")
    with pytest.raises(UsageError, match=r"labels of shape \(3,\) for 2 samples"):
        record.accuracy([0, 1, 2])


def two_inputs():
    nodes = (
        FloatInput(name="a", extents=(1,)),
        FloatInput(name="b", extents=(1,)),
        Neurons(name="li", extents=(1,), beta=0.5, spiking=False),
    )
    edges = (Edge(source="a", target="li"), Edge(source="b", target="li"))
    return FloatNetwork(name="two", nodes=nodes, edges=edges, outputs=("li",))


def test_several_inputs_come_by_name():
    ones = np.ones((1, 2, 1))
    assert simulate_float(two_inputs(), {"a": ones, "b": 2 * ones}).output.ravel().tolist() == [3, 4.5]


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        (np.ones((1, 2, 1)), {}, "one array of data; the network has inputs a, b"),
        ({"a": np.ones((1, 2, 1))}, {}, "data for a; expected one array for each of a, b"),
        ({"a": np.ones((1, 2, 1)), "b": np.ones((1, 3, 1))}, {}, r"inputs of \[\(1, 2\), \(1, 3\)\] samples"),
        ({"a": np.ones((1, 2, 2)), "b": np.ones((1, 2, 1))}, {}, r"input a: data of shape \(2,\) a step; expected"),
        ({"a": np.ones((1, 0, 1)), "b": np.ones((1, 0, 1))}, {}, "at least one sample and one step"),
        ({"a": np.full((1, 2, 1), np.nan), "b": np.ones((1, 2, 1))}, {}, "input a: data that are not finite"),
        ({"a": np.array([[["x"]]]), "b": np.ones((1, 1, 1))}, {}, "expected numbers"),
        ({"a": np.ones((1, 2, 1)), "b": np.ones((1, 2, 1))}, {"record": "li"}, "record 'li'; expected none, all, or"),
        ({"a": np.ones((1, 2, 1)), "b": np.ones((1, 2, 1))}, {"record": ["fc"]}, "no population 'fc'; there are li"),
        ({"a": np.ones((1, 2, 1)), "b": np.ones((1, 2, 1))}, {"dtype": "float16"}, "dtype 'float16'; expected"),
        ({"a": np.ones((1, 2, 1)), "b": np.ones((1, 2, 1))}, {"batch": -1}, "batch -1; expected 1 or more"),
    ],
)
def test_bad_data_are_told_in_one_line(data, options, message):
    with pytest.raises(UsageError, match=message) as told:
        simulate_float(two_inputs(), data, **options)
    assert "\n" not in str(told.value)


def test_a_record_that_cannot_fit_is_refused_before_it_is_made():
    network = chain(
        FloatInput(name="input", extents=(1,)),
        Affine(name="fc", weight=np.zeros((100000, 1))),
        Neurons(name="lif", extents=(100000,), beta=0.5),
    )
    with pytest.raises(UsageError, match="bytes of record; expected at most"):
        simulate_float(network, np.zeros((10, 20000, 1), np.uint8), record="all")


def test_states_that_overflow_are_told():
    grows = Neurons(name="grows", extents=(1,), beta=1e200, spiking=False)
    with pytest.raises(EngineError, match=r"population grows: .* no longer a finite number, from step 2 on"):
        simulate_float(chain(FloatInput(name="input", extents=(1,)), grows), np.ones((1, 9, 1)))

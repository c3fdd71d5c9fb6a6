"""NIR files of convolutions, pools, shortcuts, loops and soft resets: what a plain reader sees, and what is refused."""

from dataclasses import replace
from pathlib import Path

import nir
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nir_support import euler
from onnx_support import every_kind
from strategies import networks, spatial_networks

from bitspike.convert import nir_file
from bitspike.convert.connections import Conv2d, Dense, Identity, SumPool2d
from bitspike.convert.floating.nir_import import from_nir
from bitspike.convert.network import VTH_MAX, Input, IntegerNetwork, Population, Readout
from bitspike.convert.nir_form import NirForm, spatial_places, square
from bitspike.convert.nir_graph import numbers_in_nodes
from bitspike.convert.rules import check
from bitspike.convert.weights import weights_of
from bitspike.errors import FileError, UnsupportedError, UsageError
from bitspike.sim.floating import simulate_float
from bitspike.sim.reference import run_reference


def population(name, *shape, **neuron):
    silent = np.zeros(int(np.prod(shape)), int)
    return Population(**{"name": name, "shape": shape, "dv": 0, "vth": 2, "bias_mantissa": silent} | neuron)


def bits(seed, *shape):
    return weights_of(np.random.default_rng(seed).choice([-1, 1], shape))


def network_of(shape, populations, connections, readout="spike_count", steps=10):
    return check(
        IntegerNetwork(
            name="kinds",
            steps=steps,
            inputs=(Input(name="input", shape=shape),),
            populations=populations,
            connections=connections,
            readouts=(Readout(population=populations[-1].name, kind=readout),),
        )
    )


def convolutional(*, dv=0, groups=1, kernel=(3, 3), bias=(64, 0, -64, 32)):
    """A convolution with a bias a channel, a pool, and a dense read-out."""
    conv = Conv2d(
        source="input", target="conv", source_shape=(2, 9, 9), kernel=kernel, stride=(2, 2), padding=(1, 1),
        weights=bits(0, 4, 2 // groups * kernel[0] * kernel[1]), groups=groups, exponent=1,
    )  # fmt: skip
    pool = SumPool2d(source="conv", target="pool", source_shape=conv.target_shape, kernel=(2, 2), stride=(2, 2))
    size = conv.target_shape[1] * conv.target_shape[2]
    return network_of(
        (2, 9, 9),
        (
            population("conv", *conv.target_shape, dv=dv, vth=4, bias_mantissa=np.repeat(bias, size)),
            population("pool", *pool.target_shape, dv=dv, vth=1),
            population("out", 5, dv=dv),
        ),
        (conv, pool, Dense(source="pool", target="out", weights=bits(1, 5, pool.shape[0]))),
    )


def residual(weight=1, exponent=0):
    """A block of two convolutions beside a shortcut, and a loop over its result."""
    window = {"source_shape": (3, 4, 4), "kernel": (3, 3), "padding": (1, 1)}
    return network_of(
        (3, 4, 4),
        (population("a", 3, 4, 4, vth=1), population("b", 3, 4, 4), population("c", 3, 4, 4, vth=3)),
        (
            Identity(source="input", target="a", size=48, weight=2),
            Conv2d(source="a", target="b", weights=bits(2, 3, 27), **window),
            Conv2d(source="b", target="c", weights=bits(3, 3, 27), **window),
            Identity(source="a", target="c", size=48, weight=weight, exponent=exponent),
            Conv2d(source="c", target="a", weights=bits(4, 3, 27), delay=1, **window),
            Identity(source="c", target="c", size=48, weight=-1, delay=3),
        ),
    )


def kinds(graph):
    return {name: type(node).__name__ for name, node in graph.nodes.items()}


def spikes_of(network, seed=0, samples=3):
    random = np.random.default_rng(seed)
    return (random.random((samples, network.steps, network.input_size)) < 0.4).astype(np.uint8)


def differing(network, path, **options):
    """How many spikes a plain reader of the file sees otherwise, and how many there are."""
    nir_file.write(network, path, **options)
    assert nir_file.read(path) == network
    spikes = spikes_of(network)
    seen = euler(nir.read(path), spikes, order=[p.name for p in network.populations])
    record = run_reference(network, spikes)
    traces = [record.traces[p.name].spikes for p in network.populations if p.spiking]
    found = [seen[p.name] for p in network.populations if p.spiking]
    wrong = sum(int((a != b).sum()) for a, b in zip(traces, found, strict=True))
    return wrong, sum(int(a.sum()) for a in traces)


@pytest.mark.parametrize("portable", [False, True])
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("dv", [0, 4096])
def test_a_convolutional_network(tmp_path, dv, groups, portable):
    network = convolutional(dv=dv, groups=groups)
    wrong, fired = differing(network, tmp_path / "a.nir", portable=portable)
    assert (wrong, fired > 100) == (0, True)
    graph = nir.read(tmp_path / "a.nir")
    assert kinds(graph)["conv_to_pool"] == ("Conv2d" if portable else "SumPool2d")
    assert kinds(graph)["pool_to_out_flatten"] == "Flatten"
    assert (int(graph.nodes["pool_to_out_flatten"].start_dim), graph.nodes["conv"].v_threshold.shape) == (0, (4, 5, 5))
    assert graph.nodes["input_to_conv"].weight.shape == (4, 2, 3, 3)
    assert graph.nodes["input_to_conv"].bias.tolist() == [1, 0, -1, 0.5]


@pytest.mark.parametrize("kernel", [(1, 3), (3, 1), (2, 2), (2, 3), (5, 3), (4, 3)])
def test_kernels_that_are_not_square(tmp_path, kernel):
    network = convolutional(kernel=kernel)
    wrong, fired = differing(network, tmp_path / "a.nir")
    assert (wrong, fired > 100) == (0, True)
    graph = nir.read(tmp_path / "a.nir")
    side = max(kernel)
    assert graph.nodes["input_to_conv"].weight.shape == (4, 2, side, side)


def test_a_kernel_without_a_square_form_is_a_matrix(tmp_path):
    conv = Conv2d(source="input", target="out", source_shape=(1, 5, 6), kernel=(2, 3), weights=bits(0, 2, 6))
    network = network_of((1, 5, 6), (population("out", 2, 4, 4),), (conv,))
    assert square(conv) is None
    assert differing(network, tmp_path / "a.nir")[0] == 0
    assert nir.read(tmp_path / "a.nir").nodes["input_to_out"].weight.shape == (32, 30)


def test_a_bias_that_differs_within_a_channel_makes_a_population_flat(tmp_path):
    network = convolutional()
    uneven = replace(network.populations[0], bias_mantissa=np.arange(100) % 7 * 32)
    network = network.with_populations((uneven, *network.populations[1:]))
    assert spatial_places(network) == frozenset()
    assert differing(network, tmp_path / "a.nir")[0] == 0


def test_a_pool_that_carries_a_bias_or_an_exponent(tmp_path):
    network = convolutional()
    pool = replace(network.populations[1], bias_mantissa=np.repeat([64, -64, 0, 32], network.populations[1].size // 4))
    biased = network.with_populations((network.populations[0], pool, network.populations[2]))
    assert differing(biased, tmp_path / "a.nir")[0] == 0
    shifted = tuple(replace(c, exponent=2) if c.kind == "pool" else c for c in network.connections)
    assert differing(replace(network, connections=shifted), tmp_path / "b.nir")[0] == 0
    for name in ("a.nir", "b.nir"):
        assert kinds(nir.read(tmp_path / name))["conv_to_pool"] == "Conv2d"


@pytest.mark.parametrize(("weight", "exponent", "shortcut"), [(1, 0, None), (-3, 0, "Scale"), (1, 2, "Scale")])
def test_a_residual_block_and_a_loop(tmp_path, weight, exponent, shortcut):
    network = residual(weight, exponent)
    wrong, fired = differing(network, tmp_path / "a.nir")
    assert (wrong, fired > 50) == (0, True)
    graph = nir.read(tmp_path / "a.nir")
    assert kinds(graph).get("a_to_c") == shortcut
    assert (("a", "c") in graph.edges) == (shortcut is None)
    assert graph.nodes["c_to_c_3_delay"].delay.shape == (3, 4, 4)
    assert np.unique(graph.nodes["c_to_c_3_delay"].delay).tolist() == [np.float32(3e-4)]
    assert "c_to_a_1_delay" not in graph.nodes


def test_a_portable_residual_block(tmp_path):
    network = residual(-3)
    network = replace(network, connections=tuple(c for c in network.connections if c.delay < 2))
    assert differing(network, tmp_path / "a.nir", portable=True)[0] == 0
    found = kinds(nir.read(tmp_path / "a.nir"))
    assert (found["a_to_c"], found["input_to_a"]) == ("Conv2d", "Conv2d")


def test_a_portable_read_out_keeps_its_threshold(tmp_path):
    network = convolutional(dv=4096)
    out = replace(network.populations[2], vth=VTH_MAX, dv=1000)
    network = replace(
        network.with_populations((*network.populations[:2], out)),
        readouts=(Readout(population="out", kind="membrane_last"),),
    )
    nir_file.write(network, tmp_path / "a.nir", portable=True)
    graph = nir.read(tmp_path / "a.nir")
    assert (kinds(graph)["out"], kinds(nir_file.build(network))["out"]) == ("CubaLIF", "LI")
    assert graph.nodes["out"].v_threshold.tolist() == [VTH_MAX + 1 / 127] * 5
    assert graph.nodes["out"].tau_syn.tolist() == [1e-4] * 5
    assert euler(graph, spikes_of(network), order=["conv", "pool", "out"])["out"].max() == 0


@pytest.mark.parametrize("dv", [0, 4096])
def test_a_soft_reset_that_is_encoded(tmp_path, dv):
    network = convolutional()
    network = network.with_populations(tuple(replace(p, reset="subtract", dv=dv) for p in network.populations))
    wrong, fired = differing(network, tmp_path / "a.nir", encode_soft_reset=True)
    assert (wrong, fired > 100) == (0, True)
    graph = nir.read(tmp_path / "a.nir")
    assert (graph.metadata["reset"], graph.metadata["soft_reset"]) == ("zero", "encoded")
    assert {name: kinds(graph)[name] for name in ("conv_membrane", "conv", "conv_reset")} == {
        "conv_membrane": "LI" if dv else "I",
        "conv": "Threshold",
        "conv_reset": "Scale",
    }
    assert np.unique(graph.nodes["conv_reset"].scale).tolist() == [-4.0 if dv == 0 else 0.0]


def test_a_leaky_soft_reset_where_nothing_is_truncated(tmp_path):
    """A decay of a half, and input in the first steps only: 64 and its halves are whole for six steps."""
    network = network_of(
        (3,),
        (population("out", 2, dv=2048, vth=3, reset="subtract"),),
        (Dense(source="input", target="out", weights=weights_of([[7, 5, 3], [9, -4, 6]])),),
        steps=6,
    )
    spikes = np.zeros((1, 6, 3), np.uint8)
    spikes[0, :2] = 1
    nir_file.write(network, tmp_path / "a.nir", encode_soft_reset=True)
    seen = euler(nir.read(tmp_path / "a.nir"), spikes, order=["out"])
    record = run_reference(network, spikes)
    assert record.traces["out"].spikes.sum() == 6
    assert np.array_equal(seen["out"], record.traces["out"].spikes)
    assert nir_file.read(tmp_path / "a.nir") == network


def refusal(network, **form):
    with pytest.raises(UnsupportedError) as caught:
        nir_file.build(network, NirForm(**form))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_refusals_by_name():
    network = convolutional()
    last = network.populations[2]
    soft = network.with_populations((*network.populations[:2], replace(last, reset="subtract", dv=9, du=100)))
    assert refusal(soft).startswith("population out: reset 'subtract'; NIR has only a reset to a fixed potential")
    assert refusal(soft, soft_reset=True) == (
        "population out: reset 'subtract' with du 100: the feedback that encodes it would be filtered by the current; "
        "expected du 4096"
    )
    graded = network.with_populations((*network.populations[:1], replace(network.populations[1], spike="graded"), last))
    assert refusal(graded) == "population pool: graded spikes; the NIR writer takes binary spikes only, today"
    with pytest.raises(UsageError, match="portable file has no soft reset"):
        NirForm(portable=True, soft_reset=True)


def test_refusals_of_a_portable_file():
    network = convolutional()
    first, second, last = network.populations
    biased = network.with_populations((replace(first, du=77, dv=5), second, last))
    assert refusal(biased, portable=True) == (
        "population conv: a bias beside a current that decays (du 77); Norse adds it twice, SpikingJelly and snnTorch "
        "refuse it; the exact form can hold it"
    )
    late = replace(network, connections=(*network.connections[:2], replace(network.connections[2], delay=2)))
    assert refusal(late, portable=True) == (
        "connection pool -> out: a delay of 2, other than the one step of a loop with one entry; Norse, SpikingJelly "
        "and snnTorch have no Delay; the exact form can hold it"
    )
    extra = replace(
        network,
        populations=(first, second, population("idle", 4, *second.shape[1:]), last),
        connections=(*network.connections, Identity(source="pool", target="idle", size=second.size)),
    )
    assert refusal(extra, portable=True) == (
        "population idle: a second output, for it is read too or feeds nothing; Norse and SpikingJelly take one only; "
        "the exact form can hold it"
    )


def test_several_inputs_and_read_outs(tmp_path):
    """Each has a node of its own; a portable file has one of each."""
    weights = weights_of([[1, -1], [1, 1]])
    network = check(
        IntegerNetwork(
            name="several",
            steps=8,
            inputs=(Input(name="left", shape=(2,)), Input(name="right", shape=(2,))),
            populations=(population("a", 2, vth=1), population("b", 2, vth=1), population("c", 2, vth=VTH_MAX)),
            connections=(
                Dense(source="left", target="a", weights=weights),
                Dense(source="right", target="a", weights=weights, delay=1),
                Dense(source="a", target="b", weights=weights),
                Dense(source="a", target="c", weights=weights),
            ),
            readouts=(
                Readout(population="b", kind="spike_count", answer="first"),
                Readout(population="c", kind="membrane_sum", answer="second"),
            ),
        )
    )
    nir_file.write(network, tmp_path / "a.nir")
    assert nir_file.read(tmp_path / "a.nir") == network
    graph = nir.read(tmp_path / "a.nir")
    assert {name for name, kind in kinds(graph).items() if kind == "Output"} == {"output_b", "output_c"}
    spikes = spikes_of(network)
    seen = euler(graph, spikes, order=["a", "b", "c"], entries=["left", "right"])
    record = run_reference(network, spikes)
    assert np.array_equal(seen["output_b"], record.traces["b"].spikes)
    assert np.array_equal(seen["output_c"] * 64, record.traces["c"].v)
    assert refusal(network, portable=True).startswith("connection right -> a: a delay of 1, ")
    at_once = replace(network, connections=tuple(replace(c, delay=0) for c in network.connections))
    assert refusal(at_once, portable=True) == (
        "input right: a second input; Norse and SpikingJelly take one only; the exact form can hold it"
    )
    idle = replace(network, inputs=(*network.inputs, Input(name="idle", shape=(1,))))
    assert refusal(idle) == "input idle: leads nowhere; NIR takes such a node for an output"


def test_a_loop_that_spikes_enter_in_several_places(tmp_path):
    """Spikes reach both populations of a loop on ways of their own, so either could be computed first."""
    weights = weights_of([[1, -1], [1, 1]])
    network = network_of(
        (2,),
        (population("a", 2), population("b", 2), population("c", 2)),
        (
            Dense(source="input", target="a", weights=weights),
            Dense(source="input", target="b", weights=weights),
            Dense(source="a", target="c", weights=weights),
            Dense(source="c", target="b", weights=weights, delay=1),
            Dense(source="b", target="a", weights=weights, delay=1),
        ),
    )
    told = (
        "a delay of 1, other than the one step of a loop with one entry; Norse, SpikingJelly and snnTorch have no Delay"
    )
    assert refusal(network, portable=True) == f"connection c -> b: {told}; the exact form can hold it"
    assert nir_file.build(network).nodes["c_to_b_1_delay"].delay.tolist() == [float(np.float32(1e-4))] * 2
    assert nir_file.build(network).nodes["b_to_a_1_delay"].delay.tolist() == [float(np.float32(1e-4))] * 2
    assert differing(network, tmp_path / "a.nir")[0] == 0
    skip = replace(residual(), connections=tuple(c for c in residual().connections if c.delay < 3))
    window = {"source_shape": (3, 4, 4), "kernel": (1, 1), "weights": bits(5, 3, 3), "delay": 1}
    entered = replace(skip, connections=(*skip.connections[:4], Conv2d(source="c", target="b", **window)))
    assert refusal(entered, portable=True) == f"connection c -> b: {told}; the exact form can hold it"
    straight = tuple(c for c in entered.connections if c.name != "a -> c")
    assert "c_to_b_1_delay" not in nir_file.build(replace(entered, connections=straight)).nodes
    only_loops = replace(network, connections=(*network.connections[1:3], replace(network.connections[0], target="c")))
    assert refusal(only_loops) == "population a: no connection leads to it; NIR takes such a node for an input"


def test_a_matrix_that_is_too_large():
    conv = Conv2d(source="input", target="out", source_shape=(1, 300, 301), kernel=(2, 3), weights=bits(0, 1, 6))
    network = network_of((1, 300, 301), (population("out", 1, 299, 299),), (conv,))
    assert refusal(network) == (
        "connection input -> out: its conv between flat populations is a matrix of 89401x90300 in NIR, which cannot "
        "undo a flattening; expected at most 67108864 weights"
    )


def test_a_small_file_that_asks_for_a_large_graph(tmp_path):
    """A pool has no weights; groups without an end would be a square number of them."""
    path = tmp_path / "a.nir"
    nir_file.write(convolutional(), path)
    channels = 1 << 12
    large = network_of(
        (channels, 1, 1),
        (population("out", channels, 1, 1),),
        (
            Conv2d(
                source="input", target="out", source_shape=(channels, 1, 1), kernel=(1, 1),
                weights=weights_of(np.ones((channels, 1), int)), groups=channels,
            ),
        ),
    )  # fmt: skip
    assert numbers_in_nodes(large, NirForm()) == channels + channels**2
    graph = nir.read(path)
    graph.metadata |= {
        "network": nir_file.description_text(large),
        "arrays": nir_file.arrays_of(large),
        "dt": 1e-4,
        "digest": large.digest(),
    }
    nir.write(path, graph)
    with pytest.raises(FileError, match=r"its network needs 16781312 numbers in its nodes, which hold \d+$"):
        nir_file.read(path)


def test_every_kind_in_one_network(tmp_path):
    network = every_kind()
    nir_file.write(network, tmp_path / "a.nir")
    assert nir_file.read(tmp_path / "a.nir") == network
    held = [v for node in nir.read(tmp_path / "a.nir").nodes.values() for v in vars(node).values()]
    assert numbers_in_nodes(network, NirForm()) <= sum(v.size for v in held if isinstance(v, np.ndarray))


def plain(network):
    """`network` with decays, biases and thresholds with which no state is truncated or leaves its register."""
    return replace(
        network,
        populations=tuple(
            replace(
                p,
                du=4096,
                dv=0 if p.dv < 2048 else 4096,
                bias_mantissa=p.bias_mantissa % 5 * 16,
                bias_exponent=0,
            )
            for p in network.populations
        ),
    )


def without_delays(network):
    """`network` with no delay but the step of connections that lead back, one for each pair."""
    place = {name: k for k, name in enumerate(network.shapes())}
    pairs = {
        (c.source, c.target): replace(c, delay=int(place[c.source] >= place[c.target])) for c in network.connections
    }
    return replace(network, connections=tuple(pairs.values()))


def written(network, path, **options):
    """What is written and read back; or the refusal, where it names a population or a connection of the network."""
    names = network.shapes()
    try:
        nir_file.write(network, path, **options)
    except UnsupportedError as error:
        kind, name, *_ = str(error).split(" ")
        return f"refused {kind}" if name.rstrip(":") in names and not path.exists() else str(error)
    return nir_file.read(path)


REFUSED = ("refused population", "refused connection", "refused input")


@settings(max_examples=40, deadline=None)
@given(data=st.data(), portable=st.booleans())
def test_what_is_written_comes_back_and_a_plain_reader_sees_the_same_spikes(tmp_path_factory, data, portable):
    resets = ("zero",) if portable else ("zero", "subtract")
    spatial = spatial_networks(starts=False, resets=resets)
    network = plain(data.draw(st.one_of(spatial, networks(starts=False, resets=resets, inputs=(1, 2), heads=True))))
    network = without_delays(network) if portable else network
    path = Path(tmp_path_factory.mktemp("nir")) / "a.nir"
    found = written(network, path, portable=portable, encode_soft_reset=not portable)
    assert found in (network, *REFUSED)
    if found != network:
        return
    spikes = spikes_of(network, samples=2)
    order, entries = [p.name for p in network.populations], [entry.name for entry in network.inputs]
    seen = euler(nir.read(path), spikes, order=order, entries=entries)
    record = run_reference(network, spikes)
    ours = simulate_float(from_nir(path), network.input_spikes(spikes), record="all").traces
    for p in network.populations:
        if p.spiking:
            assert np.array_equal(seen[p.name], record.traces[p.name].spikes), p.name
            assert p.reset == "subtract" or np.array_equal(ours[p.name].spikes, record.traces[p.name].spikes), p.name

"""The table of readers against Norse, SpikingJelly and snnTorch themselves, where they are installed: a slow proof.

Where the table says ``same``, the spikes of the reader are those of our float engine; where it says ``otherwise``, some
differ; where it says ``refuses``, the reader raises an error.
"""

import json
import subprocess
import sys
from itertools import pairwise

import nir
import numpy as np
import pytest

from bitspike.convert.floating.nir_import import from_nir
from bitspike.convert.floating.nir_lint import lint
from bitspike.sim.floating import simulate_float
from bitspike.sim.portability import WORKER
from bitspike.sim.portability.frameworks import FRAMEWORKS

NAMES = {"norse": "Norse", "spikingjelly": "SpikingJelly", "snntorch": "snnTorch"}
DT = 1e-4


def each(value, size=12):
    return np.full(size, value, np.float32)


def weights(*shape):
    return np.random.default_rng(sum(shape)).normal(0, 0.5, shape).astype(np.float32)


def lif(size=12, **changes):
    fields = {"tau": 1e-3, "r": 10.0, "v_leak": 0.0, "v_threshold": 1.0} | changes
    return nir.LIF(**{name: each(value, size) for name, value in fields.items()})


def cuba(size=12, **changes):
    fields = {"tau_syn": 5e-4, "tau_mem": 1e-3, "r": 10.0, "v_leak": 0.0, "v_threshold": 2.0, "w_in": 5.0} | changes
    return nir.CubaLIF(**{name: each(value, size) for name, value in fields.items()})


def chain(*nodes, inputs=(8,), outputs=(12,), loop=()):
    named = {"input": nir.Input(np.array(inputs)), **{f"n{k}": n for k, n in enumerate(nodes)}}
    path = [*named, "output"]
    named |= {"output": nir.Output(np.array(outputs)), **dict(loop)}
    edges = list(pairwise(path))
    for name, _ in loop:
        edges += [(path[-2], name), (name, path[-2])]
    return nir.NIRGraph(named, edges, metadata={"dt": DT}, type_check=False)


FC = nir.Affine(weights(12, 8), weights(12))
CONV = nir.Conv2d((6, 6), weights(3, 2, 3, 3), 1, 1, 1, 1, weights(3))
IMAGE = {"inputs": (2, 6, 6), "outputs": (108,)}
FLAT = nir.Flatten({"input": np.array([3, 6, 6])}, 0, -1)
GRAPHS = {
    "lif": chain(FC, lif()),
    "lif, r of 1": chain(FC, lif(r=1.0, v_threshold=0.2)),
    "lif, r of 3": chain(FC, lif(r=3.0, v_threshold=0.5)),
    "lif, reset below": chain(FC, lif(r=1.0, v_threshold=0.2, v_reset=-0.5)),
    "lif, leak": chain(FC, lif(r=1.0, v_threshold=0.2, v_leak=0.1)),
    "linear": chain(nir.Linear(weights(12, 8)), lif()),
    "cuba": chain(FC, cuba()),
    "cuba, w_in of 1": chain(FC, cuba(w_in=1.0, v_threshold=0.5)),
    "cuba, leak": chain(FC, cuba(v_leak=0.3)),
    "if": chain(FC, nir.IF(r=each(1 / DT), v_threshold=each(1))),
    "loop": chain(FC, lif(), loop=[("again", nir.Affine(weights(12, 12), 0 * weights(12)))]),
    "cuba in a loop": chain(FC, cuba(), loop=[("again", nir.Affine(weights(12, 12), 0 * weights(12)))]),
    "conv": chain(CONV, FLAT, cuba(108), **IMAGE),
    "scale": chain(FC, nir.Scale(each(2)), lif()),
}


def read_by(framework, graph, name, spikes, folder):
    """The spikes of the last population, or None where the framework refuses the graph."""
    nir.write(folder / "graph.nir", graph)
    np.save(folder / "spikes.npy", spikes)
    (folder / "names.json").write_text(json.dumps([name]), encoding="utf-8")
    command = [sys.executable, *WORKER, framework, str(folder / "graph.nir"), str(folder)]
    subprocess.run(command, capture_output=True, timeout=300, check=True)
    if (folder / "refused.json").exists():
        return None
    with np.load(folder / "out.npz", allow_pickle=False) as found:
        return found[name]


@pytest.mark.slow
@pytest.mark.parametrize("framework", NAMES)
@pytest.mark.parametrize("case", GRAPHS)
def test_a_reader_does_what_the_table_says(case, framework, tmp_path):
    if not FRAMEWORKS[framework].available:
        pytest.skip(f"{framework} is not installed; run: {FRAMEWORKS[framework].install}")
    graph = GRAPHS[case]
    network = from_nir(graph, dt=DT)
    shape = network.inputs[0].shape
    spikes = (np.random.default_rng(0).random((4, 60, *shape)) < 0.4).astype(np.uint8)
    ours = simulate_float(network, spikes).output
    assert ours.any()
    found = read_by(framework, graph, network.outputs[0], spikes, tmp_path)
    told = next(row for row in lint(graph).readers if row.reader.startswith(NAMES[framework]))
    measured = "refuses" if found is None else "otherwise" if (found.reshape(ours.shape) != ours).any() else "same"
    assert measured == told.verdict, told.reasons

"""What a NIR file leaves open or has wrong: every rule once, and what the table says of readers."""

from itertools import pairwise

import h5py
import nir
import numpy as np
import pytest
from shared_data import shared

from bitspike.convert.floating.nir_facts import FACTS
from bitspike.convert.floating.nir_lint import FACT_RULES, lint
from bitspike.convert.floating.nir_raw import NODES
from bitspike.convert.floating.nir_readers import READERS
from bitspike.errors import FileError


def each(*values):
    return np.array(values, np.float32)


def chain(*nodes, inputs=(2,), outputs=(2,), metadata=None):
    named = {
        "input": nir.Input(np.array(inputs)),
        **{f"n{k}": n for k, n in enumerate(nodes)},
        "output": nir.Output(np.array(outputs)),
    }
    return nir.NIRGraph(named, list(pairwise(named)), metadata=metadata or {}, type_check=False)


def lif(**changes):
    fields = {"tau": each(0.01, 0.01), "r": each(100, 100), "v_leak": each(0, 0), "v_threshold": each(1, 1)}
    return nir.LIF(**(fields | changes))


def cuba(**changes):
    fields = {"tau_syn": each(0.01, 0.01), "tau_mem": each(0.01, 0.01), "r": each(100, 100), "v_leak": each(0, 0)}
    return nir.CubaLIF(**(fields | {"v_threshold": each(1, 1), "w_in": each(100, 100)} | changes))


def conv(shape=(2, 2, 3, 3), groups=1, bias=0.0):
    return nir.Conv2d((4, 4), np.ones(shape), 1, 1, 1, groups, np.full(shape[0], bias))


IMAGE = {"inputs": (2, 4, 4), "outputs": (2, 4, 4)}
CASES = [
    (chain(lif()), "note", "dt", "dt 0.0001 follows from r = tau/dt"),
    (chain(lif(r=each(1, 1))), "warning", "dt", "the file does not say how long a step is"),
    (chain(lif()), "note", "reset", "NIR has no reset by subtraction"),
    (chain(cuba()), "note", "synapse", "of this step or the one before"),
    (chain(lif(v_leak=each(1, 0))), "note", "start", "where membranes begin is open"),
    (chain(lif(v_reset=each(1, 0))), "warning", "v_reset", "Norse and snnTorch ignore v_reset"),
    (chain(lif(tau=each(10, 20))), "warning", "units", "in steps, or in ms"),
    (chain(nir.Threshold(np.float32(1))), "warning", "scalars", "nir gives such a node no shape"),
    (chain(conv((2, 1, 3, 3), groups=2), **IMAGE), "warning", "groups", "channels of one group"),
    (chain(conv((2, 2, 1, 3)), **IMAGE), "warning", "kernel", "width from the kernel's height"),
    (chain(nir.Flatten({"input": np.array([2, 4, 4])}, 1, -1), **IMAGE), "warning", "flatten", "without the batch"),
    (chain(nir.Linear(np.ones((2, 2), np.int8))), "warning", "integers", "floats only"),
    (chain(lif(tau=each(-1, 1))), "error", "numbers", "node n0 (LIF): tau reaches -1; expected above 0"),
    (chain(lif(tau=each(np.nan, 1))), "error", "numbers", "node n0 (LIF): tau is not finite everywhere"),
    (chain(nir.Affine(np.ones((2, 2)), np.ones(3))), "error", "graph", "node n0 (Affine): bias of shape (3,)"),
    (chain(nir.Linear(np.ones((2, 5)))), "error", "graph", "2 numbers of shape (2,) enter; expected 5"),
]


@pytest.mark.parametrize(("graph", "severity", "rule", "text"), CASES)
def test_each_rule_finds_its_case(graph, severity, rule, text):
    found = [finding for finding in lint(graph).findings if finding.rule == rule]
    assert [finding.severity for finding in found] == [severity]
    assert text in found[0].text


def test_a_sound_file_has_notes_alone():
    graph = chain(nir.Linear(np.ones((2, 2), np.float32)), lif(), metadata={"dt": 1e-4, "reset": "zero"})
    result = lint(graph)
    assert result.passed
    assert {finding.severity for finding in result.findings} == {"note"}
    assert {reading.reader.split(" ")[0] for reading in result.readers if reading.verdict == "same"} >= {
        "SpikingJelly",
        "snnTorch",
    }


def test_fields_that_no_node_may_have_or_lacks(tmp_path):
    nir.write(tmp_path / "file.nir", chain(lif()))
    with h5py.File(tmp_path / "file.nir", "r+") as file:
        file["node/nodes/n0/refractory"] = 1.0
        del file["node/nodes/input/shape"]
        file["node/nodes/n0/tau_syn"] = np.ones(3)
        file["version"][()] = "0.2.0"
    result = lint(tmp_path / "file.nir")
    assert not result.passed
    texts = [finding.text for finding in result.findings]
    assert "node input (Input): lacks shape" in texts
    assert any("has refractory, tau_syn, which NIR does not know" in text for text in texts)
    assert any(text.startswith("nir cannot read it") for text in texts)
    assert any("written by nir 0.2.0, before 1.0" in text for text in texts)
    (tmp_path / "file.nir").write_bytes(b"no")
    with pytest.raises(FileError, match="is not a readable NIR file"):
        lint(tmp_path / "file.nir")


def test_parameters_of_several_shapes():
    node = lif()
    node.r = np.float32(1)
    found = [finding for finding in lint(chain(node)).findings if finding.rule == "lengths"]
    assert found[0].text == "parameters of shapes (), (2,); nir expects the same of all"


def test_loops_nodes_that_nothing_reaches_and_misled_recurrence():
    nodes = {
        "input": nir.Input(np.array([2])),
        "lif": lif(),
        "again": nir.Linear(np.ones((2, 2))),
        "alone": nir.Scale(each(1, 1)),
        "output": nir.Output(np.array([2])),
    }
    edges = [("input", "again"), ("again", "lif"), ("lif", "again"), ("lif", "output")]
    inner = nir.NIRGraph(nodes, edges, type_check=False)
    found = {finding.rule: finding for finding in lint(inner).findings}
    assert found["unreached"].nodes == ("alone",)
    assert found["loops"].nodes == ("lif -> again",)
    outer = {finding.rule: finding for finding in lint(chain(inner)).findings}
    assert outer["recurrence"].nodes == ("n0",)
    assert "as snnTorch 1.0 exports it by mistake" in outer["recurrence"].text


def verdicts(graph, dt=None):
    return {reading.reader.split(" (")[0]: reading for reading in lint(graph, dt=dt).readers}


@pytest.mark.parametrize(
    ("graph", "dt", "reader", "verdict", "why"),
    [
        (chain(lif(r=each(1, 1))), 1e-3, "Norse", "same", ""),
        (chain(lif()), None, "Norse", "otherwise", "r of LIF is ignored (n0)"),
        (chain(lif(v_reset=each(1, 0), r=each(1, 1))), None, "Norse", "otherwise", "v_reset is ignored (n0)"),
        (chain(cuba()), None, "Norse", "same", ""),
        (chain(lif()), None, "SpikingJelly", "same", ""),
        (chain(lif(r=each(7, 7))), None, "SpikingJelly", "refuses", "r of LIF must be 1 or tau/dt (n0)"),
        (chain(lif(v_leak=each(1, 1))), None, "SpikingJelly", "refuses", "v_leak of LIF must be v_reset (n0)"),
        (chain(cuba(w_in=each(1, 1))), None, "SpikingJelly", "refuses", "w_in of CubaLIF must be tau_syn/dt (n0)"),
        (chain(lif(tau=each(0.01, 0.02))), 1e-4, "SpikingJelly", "refuses", "all neurons of a node must have the same"),
        (chain(lif()), 1e-3, "snnTorch", "otherwise", "it takes dt = 1e-4, whatever the file means"),
        (chain(nir.IF(r=each(1, 1), v_threshold=each(1, 1))), None, "snnTorch", "otherwise", "IF becomes Leaky"),
        (chain(lif()), None, "Sinabs", "otherwise", "exp(-1/tau) with tau in steps"),
        (chain(lif()), None, "Rockpool", "refuses", "looks for tau_mem in LIF (n0)"),
        (chain(conv(bias=1.0), **IMAGE), None, "Lava-dl script", "refuses", "a convolution must have no bias (n0)"),
        (chain(nir.Scale(each(1, 1))), None, "Spyx", "same", ""),
        (chain(nir.Scale(each(1, 1))), None, "SpiNNaker2", "refuses", "has no Scale (n0)"),
        (chain(nir.Linear(np.ones((2, 2)))), None, "Nengo", "refuses", "has no Linear (n0)"),
    ],
)
def test_what_readers_make_of_it(graph, dt, reader, verdict, why):
    found = verdicts(graph, dt)[reader]
    assert found.verdict == verdict
    assert why in "; ".join(found.reasons)


def test_the_tables_speak_of_what_there_is():
    for reader in READERS:
        assert reader.nodes <= set(NODES)
        assert {rule.fact for rule in reader.rules} <= {*FACTS, "loop", "dt not 1e-4"}
    assert {fact for fact, *_ in FACT_RULES} <= {*FACTS, "loop"}


def test_the_report_prints_and_is_plain_data():
    result = lint(chain(lif()))
    lines = str(result).splitlines()
    assert lines[0] == "graph: 3 nodes, 2 edges"
    assert lines[1].startswith("note    dt            dt 0.0001 follows from")
    assert "errors: 0, warnings: 0, notes: 2" in lines
    assert result.as_json()["passed"] is True
    assert result.as_json()["readers"][0]["reader"] == "Norse (1.1.0)"


def test_a_graph_in_memory_is_left_as_it_is():
    graph = chain(lif())
    lint(graph)
    assert list(graph.nodes) == ["input", "n0", "output"]
    assert graph.edges == [("input", "n0"), ("n0", "output")]


@pytest.mark.parametrize("name", ["cnn_sinabs", "lif_norse", "lif_rockpool", "two_lif_neurons"])
def test_the_files_of_the_nir_paper(name):
    result = lint(shared(f"nir/{name}.nir"))
    assert result.passed
    assert ("types" in {finding.rule for finding in result.findings}) == (name == "lif_rockpool")

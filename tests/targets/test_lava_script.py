"""The script for Lava alone: it runs without bitspike, and what it reads off is the reference's."""

import ast
import os
import subprocess
import sys

import numpy as np
import pytest
from builders import chain
from lava_networks import KINDS
from lava_support import needs_lava

from bitspike.errors import RangeError, UsageError
from bitspike.sim.reference import run_reference
from bitspike.targets.emit import EMITTERS, emit, emitter_of
from bitspike.targets.lava.script import generate, write

#: Networks by name, and what of each is read.
NETWORKS = KINDS | {"dense": lambda: chain(readout="membrane_sum"), "last": lambda: chain(readout="membrane_last")}
QUICK = ("dense", "recurrent", "payloads")
#: An interpreter that has lava-nc as its makers meant it: Python 3.10, and nothing else.
PLAIN = os.environ.get("BITSPIKE_LAVA_PYTHON", "")


def answers(python, network, folder, samples=3):
    """The network's script, run by `python` in a folder of its own, and the samples that it was given."""
    write(network, folder / "written.py")
    spikes = (np.random.default_rng(2).random((samples, network.steps, network.input_size)) < 0.4).astype(np.uint8)
    np.savez(folder / "spikes.npz", spikes=spikes)
    alone = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [python, "written.py", "spikes.npz", "answers.npz"],
        cwd=folder, env=alone, capture_output=True, text=True, check=False, timeout=180,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    with np.load(folder / "answers.npz", allow_pickle=False) as file:
        return spikes, dict(file)


def assert_the_same(python, network, folder):
    spikes, found = answers(python, network, folder)
    record = run_reference(network, spikes)
    for readout in network.readouts:
        quantity = "spikes" if readout.kind == "spike_count" else "v"
        expected = getattr(record.traces[readout.population], quantity)
        assert np.array_equal(found[f"{readout.population}.{quantity}"], expected)
        assert len(np.unique(expected)) > 1
    for answer in network.answers():
        assert np.array_equal(found[f"{answer or 'answer'}.scores"], record.scores(network, answer))
        assert np.array_equal(found[f"{answer or 'answer'}.classes"], record.predictions(network, answer))


@needs_lava
@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in NETWORKS]
)
def test_the_script_here(tmp_path, name):
    assert_the_same(sys.executable, NETWORKS[name](), tmp_path)


@pytest.mark.skipif(not PLAIN, reason="set BITSPIKE_LAVA_PYTHON to a Python 3.10 with lava-nc 0.10.0")
@pytest.mark.parametrize("name", NETWORKS)
def test_the_script_in_plain_lava(tmp_path, name):
    assert_the_same(PLAIN, NETWORKS[name](), tmp_path)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_script_imports_lava_and_numpy_alone(name):
    text, data = generate(NETWORKS[name](), "written")
    tree = ast.parse(text, feature_version=(3, 10))
    modules = {a.name for node in ast.walk(tree) if isinstance(node, ast.Import) for a in node.names}
    modules |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {module.partition(".")[0] for module in modules} <= set(sys.stdlib_module_names) | {"lava", "numpy", "scipy"}
    assert ("SubtractingLIF" in text) == (name == "payloads")
    assert all(array.dtype.kind in "iu" for array in data.values())
    assert max(map(len, text.splitlines())) <= 120


def test_what_is_written_says_what_runs():
    text, data = generate(KINDS["recurrent"](), "written")
    assert "GAP = 2  # steps before each sample, in which the input quiet keeps what circulates from firing" in text
    assert 'neurons["loop"] = LIFReset(' in text
    assert 'weights=data["2.loop.loop.weights"]' in text
    assert "from lava.proc.dense.process import DelayDense, Dense\n" in text
    assert data["2.loop.loop.weights"].shape == (14, 14)


def test_it_is_found_by_name_and_by_ending(tmp_path):
    assert emitter_of("network.py") is EMITTERS["lava"]
    emit(chain(), tmp_path / "network.py", EMITTERS["lava"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["network.npz", "network.py"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("net.txt", r"net.txt: ending '.txt'; expected .py"),
        ("2nd.py", "name '2nd'; expected letters, digits and _"),
        ("lava.py", "name 'lava'; a module that the script imports has it"),
        ("types.py", "name 'types'; a module that the script imports has it"),
    ],
)
def test_names_that_would_not_run(tmp_path, name, message):
    with pytest.raises(UsageError, match=message):
        write(chain(), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_what_could_leave_the_registers_is_refused(tmp_path):
    with pytest.raises(RangeError, match="membrane v can reach"):
        write(chain(sizes=(400, 300, 2), dv=0, steps=5000), tmp_path / "network.py")

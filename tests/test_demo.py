"""The demo, whole: what a newcomer sees first must be true."""

import json
import os
import subprocess
import sys

import pytest

from bitspike.sim.engines import ENGINES


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The demo's JSON, from the command, in an empty folder."""
    folder = tmp_path_factory.mktemp("demo")
    done = subprocess.run(
        [sys.executable, "-m", "bitspike", "demo", "--json"],
        cwd=folder, capture_output=True, text=True, timeout=1200, check=False, env=os.environ | {"COLUMNS": "120"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder, json.loads(done.stdout)


def test_accuracy(demo):
    accuracy = demo[1]["accuracy"]
    assert accuracy["map"] >= 0.97
    assert accuracy["posterior"] >= 0.95
    assert accuracy["noisy"] >= 0.95
    assert set(demo[1]["calibration"]) == {"posterior", "committee", "map", "noisy"}
    assert all(0 < scores["ece"] < 0.1 for scores in demo[1]["calibration"].values())


def test_engines_are_equal_on_all_that_they_ran(demo):
    found = {row["engine"]: row for row in demo[1]["engines"]}
    wanted = {"reference": 360, "torch": 360, "onnx": 360}
    if ENGINES["lava"].available:
        wanted |= {"lava-models": 360, "lava": 20, "netx": 20}
    assert {name: row["samples"] for name, row in found.items()} == wanted
    neurons = 256 + 256 + 10
    for row in found.values():
        assert row["compared"] == row["samples"] * 16 * neurons * 3
        assert (row["differing_spikes"], row["differing_currents"], row["differing_membranes"]) == (0, 0, 0)


def test_files_lie_in_the_run_folder_and_are_the_network(demo):
    from bitspike import load

    folder, result = demo
    assert [row["format"] for row in result["files"]] == ["safetensors", "nir", "onnx", "netx"]
    networks = [load(folder / row["path"]) for row in result["files"]]
    assert {network.digest() for network in networks} == {result["network"]["digest"]}
    assert result["folder"] == "runs/demo"
    assert {"recipe.toml", "model.safetensors", "metrics.jsonl", "demo.json", "demo.txt"} <= {
        path.name for path in (folder / "runs" / "demo").iterdir()
    }


def test_the_report_is_about_what_the_demo_found(demo):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    folder, result = demo
    assert result["report"] == "runs/demo/report.html"
    page = (folder / result["report"]).read_text(encoding="utf-8")
    assert f'data-value="{result["energy"]["nominal_nj"]}"' in page
    assert all(f">{row['engine']}<" in page for row in result["engines"])


def test_operations_and_energy(demo):
    result = demo[1]
    assert result["operations"]["synaptic_operations"]["mean"] > 0
    grades = {term["group"]: term["price"]["grade"] for term in result["energy"]["terms"]}
    assert (grades["synapse"], grades["static"]) == ("simulated before silicon", "derived")
    assert result["energy"]["cores"] == 1
    assert result["energy"]["low_nj"] < result["energy"]["nominal_nj"] < result["energy"]["high_nj"]
    assert result["energy"]["not_included"]

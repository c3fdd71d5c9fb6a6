"""The page of a small run: what it says is what the functions say, and nothing in it can call out or run."""

import dataclasses
import re
import shutil
import subprocess
import sys
import tomllib
from html import unescape
from xml.etree import ElementTree

import numpy as np
import pytest

import bitspike
from bitspike.cli import main
from bitspike.errors import FileError, UsageError
from bitspike.reports.parts import data_label, energy
from bitspike.reports.rasters import chosen
from bitspike.train import load_run

pytest.importorskip("matplotlib", reason="matplotlib is not installed")

HOSTILE = '<script>alert(1)</script> & "$x_{$"'
SAMPLES = 40
XHTML, SVG = "{http://www.w3.org/1999/xhtml}", "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def folder(run_folder, tmp_path_factory):
    """A folder of this module's own, with the run of all of them in it."""
    place = tmp_path_factory.mktemp("report")
    shutil.copytree(run_folder, place / "run")
    return place


@pytest.fixture(scope="module")
def made(folder):
    run = load_run(folder / "run")
    hostile = dataclasses.replace(run.test.first(SAMPLES), name=HOSTILE)
    return bitspike.report(run, folder / "page.html", figures=folder / "figures", data=hostile)


@pytest.fixture(scope="module")
def tree(made):
    """The page, which must be well formed to be read at all."""
    return ElementTree.fromstring(made.path.read_text(encoding="utf-8"))


def numbers(tree, table):
    """Rows of a table: the numbers behind the cells, and the words where there are none."""
    found = tree.find(f".//{XHTML}table[@id='{table}-table']/{XHTML}tbody")
    return [
        [float(cell.get("data-value")) if cell.get("data-value") else "".join(cell.itertext()) for cell in row]
        for row in found
    ]


def test_energy_is_that_of_energy(made, tree):
    run = made.findings.run
    estimate = bitspike.energy(bitspike.collapse(run.model, "map"), data=run.test.first(SAMPLES))
    rows = numbers(tree, "terms")
    assert [row[2:6] for row in rows[:-1]] == [[t.events, t.nominal_nj, t.low_nj, t.high_nj] for t in estimate.terms]
    assert rows[-1][3:6] == [estimate.nominal_nj, estimate.low_nj, estimate.high_nj]
    assert [row[4] for row in numbers(tree, "baselines")] == [b.nominal_nj for b in estimate.baselines]
    described = tree.find(f".//{SVG}desc[@id='energy-figure-desc']").text
    assert f"in all {estimate.nominal_nj:,.2f} ({estimate.low_nj:,.2f} to {estimate.high_nj:,.2f})" in described


def test_equality_is_that_of_verify(made, tree):
    run = made.findings.run
    network = bitspike.collapse(run.model, "map")
    proof = bitspike.verify(network, run.model, data=run.test.first(SAMPLES), engines=["reference", "fast", "onnx"])
    assert [row[:8] for row in numbers(tree, "engines")] == [
        [r.engine, r.against, r.samples, r.steps, r.compared, r.differing_spikes, r.differing_currents,
         r.differing_membranes]
        for r in proof.engines
    ]  # fmt: skip
    assert [row[0] for row in numbers(tree, "engines")] == ["reference", "fast", "onnx", "torch"]


def test_accuracy_is_that_of_the_run(made, tree):
    result = made.findings.run.result["test"]
    rows = {row[0]: row[1:] for row in numbers(tree, "accuracy")}
    assert rows["test, MAP bits"][:2] == [result["map"], result["calibration"]["map"]["ece"]]
    assert made.findings.accuracy == np.mean(
        made.findings.scores.argmax(axis=1) == made.findings.run.test.labels[:SAMPLES]
    )


def test_nothing_is_loaded_from_elsewhere(made, tree):
    for element in tree.iter():
        for name, value in element.attrib.items():
            if name.rpartition("}")[2] in ("src", "href"):
                assert value.startswith(("#", "data:")), value
    assert "default-src 'none'" in made.path.read_text(encoding="utf-8")
    assert not re.search(r"url\((?!#)", made.path.read_text(encoding="utf-8"))


def test_identifiers_are_unique_and_figures_have_words(tree):
    names = [element.get("id") for element in tree.iter() if element.get("id")]
    assert len(names) == len(set(names))
    figures = tree.findall(f".//{XHTML}figure/{SVG}svg")
    assert len(figures) >= 6
    for figure in figures:
        assert figure.get("role") == "img"
        said = {element.get("id"): element.text for element in figure.iter() if element.get("id")}
        assert all(said[name] for name in figure.get("aria-labelledby").split())


def test_hostile_names_are_text(made, tree):
    assert len(tree.findall(f".//{XHTML}script")) == 1
    assert any(HOSTILE in (small.text or "") for small in tree.iter(f"{XHTML}small"))
    assert "<script>alert" not in made.path.read_text(encoding="utf-8")
    shown = [pre.text for pre in tree.iter(f"{XHTML}pre") if "[network]" in (pre.text or "")]
    assert tomllib.loads(shown[0])["name"] == "small"


def test_figures_one_by_one(made, folder):
    stems = {one.name for section in made.sections for one in section.drawings}
    assert {"reliability", "mesh", "energy-figure", "baselines-figure", "raster-1"} <= stems
    assert {path.name for path in (folder / "figures").iterdir()} == {f"{s}.{k}" for s in stems for k in ("svg", "png")}
    for path in made.figures:
        if path.suffix == ".svg":
            assert ElementTree.fromstring(path.read_text(encoding="utf-8")).find(f"{SVG}desc").text
        else:
            assert path.read_bytes().startswith(b"\x89PNG")


def test_the_commands_are_those_of_the_program(made, tree, monkeypatch, folder, capsys):
    lines = unescape(tree.findall(f".//{XHTML}section[@id='commands']//{XHTML}pre")[0].text).splitlines()
    assert [line.split()[1] for line in lines] == ["train", "collapse", "verify", "energy", "report"]
    import shlex

    for line in lines[1:3]:
        assert main(shlex.split(line)[1:]) == 0
    assert "equal: every compared value" in capsys.readouterr().out


def test_chips_without_prices_give_counts(folder):
    made = bitspike.report(folder / "run", chip="loihi2", samples=3)
    assert made.findings.estimate is None
    assert "counts only, no total" in made.html()


def test_mistakes_are_told_in_one_line(folder, tmp_path, capsys):
    assert main(["report", str(tmp_path), "--out", str(tmp_path / "a.html")]) == 2
    assert capsys.readouterr().err == f"bitspike: {tmp_path / 'recipe.toml'}: no such file\n"
    assert main(["report", str(tmp_path / "none"), "--out", str(tmp_path / "a.html")]) == 2
    assert "is not a run folder" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(UsageError, match=r"report page\.pdf; expected a name that ends in \.html"):
        bitspike.report(folder / "run", "page.pdf")
    with pytest.raises(FileError, match="is not a run folder"):
        bitspike.report(tmp_path / "none")


def test_amounts_and_names_as_they_are_read():
    assert [energy(nj) for nj in (0.04, 707.51, 6695.8, 2.6e6)] == ["0.0 nJ", "707.5 nJ", "6.70 µJ", "2.60 mJ"]
    assert data_label("nmnist:/home/me/nmnist/frames.npz:test") == "nmnist:frames.npz:test"
    assert data_label("mnist:data/mnist/:test") == "mnist:mnist:test"
    assert data_label("digits:test") == "digits:test"


def test_chosen_samples():
    scores = np.array([[5, 1, 0], [3, 2, 0], [0, 9, 1], [0, 4, 1], [7, 0, 0]])
    found = chosen(scores, np.array([0, 0, 0, 0, 0]))
    assert [(c.sample, c.why) for c in found] == [
        (4, "the clearest right answer"), (1, "the closest right answer"), (2, "the clearest wrong answer"),
    ]  # fmt: skip
    assert [c.sample for c in chosen(scores[:1], np.array([0]))] == [0]


def test_top_name_loads_lazily():
    code = "import sys, bitspike; bitspike.report; assert not {'torch', 'matplotlib'} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

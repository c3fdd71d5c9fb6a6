"""A recipe becomes a page by one command: its run, its certificate that holds, and energy against accuracy."""

import base64
import json
import re
import shlex
import shutil
from xml.etree import ElementTree

import pytest
from small_recipe import small_recipe

from bitspike.cli import main
from bitspike.pareto import Grid, bench_pareto
from bitspike.train import load_run

pytest.importorskip("matplotlib", reason="matplotlib is not installed")
XHTML = "{http://www.w3.org/1999/xhtml}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("command")
    (place / "small.toml").write_text(small_recipe(), encoding="utf-8")
    return place


@pytest.fixture(scope="module")
def answer(folder):
    """What ``bitspike report RECIPE --json`` says, without a run at first."""
    import contextlib
    import io

    written = io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(written):
        assert main(["report", "small.toml", "--out", "pages/small.html", "--json"]) == 0
    return json.loads(written.getvalue())


@pytest.fixture(scope="module")
def tree(folder, answer):
    return ElementTree.fromstring((folder / "pages" / "small.html").read_text(encoding="utf-8"))


def cells(tree, table):
    """Rows of a table, as they are read."""
    rows = tree.findall(f".//{XHTML}table[@id='{table}-table']/{XHTML}tbody/{XHTML}tr")
    return [["".join(cell.itertext()).strip() for cell in row] for row in rows]


def test_a_recipe_is_trained_into_its_own_folder(folder, answer):
    assert answer["run"] == "runs/small"
    assert load_run(folder / "runs" / "small").recipe.name == "small"
    names = {path.name for path in (folder / "pages").iterdir()}
    assert names == {"small.html", "small.certificate.json", "small.safetensors"}


def test_a_run_that_is_there_is_not_trained_again(folder, answer, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    model = (folder / "runs" / "small" / "model.safetensors").stat().st_mtime_ns
    assert main(["report", "small.toml", "--out", "again.html", "--no-pareto", "--samples", "3"]) == 0
    assert (folder / "runs" / "small" / "model.safetensors").stat().st_mtime_ns == model
    assert "trade-offs" not in (folder / "again.html").read_text(encoding="utf-8")
    assert capsys.readouterr().out.splitlines()[-3:] == [
        "run: runs/small", "certificate: again.certificate.json", "report: again.html",
    ]  # fmt: skip
    assert main(["verify", "--certificate", "again.certificate.json"]) == 0


def test_a_run_of_another_recipe_is_refused(folder, answer, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    (folder / "other.toml").write_text(small_recipe(epochs=3), encoding="utf-8")
    assert main(["report", "other.toml", "--out", "other.html"]) == 2
    message = "training.epochs: found 3; expected 2, as in the run to resume in runs/small"
    assert message in capsys.readouterr().err
    assert main(["report", "runs/small", "--run", "elsewhere", "--out", "other.html"]) == 2
    assert "run folder elsewhere: runs/small is one already; expected a recipe" in capsys.readouterr().err
    assert main(["report", "small.toml", "--out", "other.pdf"]) == 2
    assert "report other.pdf; expected a name that ends in .html" in capsys.readouterr().err
    assert not (folder / "other.html").exists()


def test_the_certificate_holds_and_a_changed_one_does_not(folder, answer, tree, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    commands = [pre.text for pre in tree.iter(f"{XHTML}pre")]
    assert "bitspike verify --certificate pages/small.certificate.json" in commands
    assert main(["verify", "--certificate", "pages/small.certificate.json"]) == 0
    assert "holds, every hash and count is the same" in capsys.readouterr().out
    shutil.copytree("runs/small", "moved")
    assert main(["verify", "--certificate", "pages/small.certificate.json", "--run", "moved"]) == 0
    capsys.readouterr()
    changed = (folder / "pages" / "small.certificate.json").read_text(encoding="utf-8")
    changed = changed.replace('"differing_spikes": 0', '"differing_spikes": 1', 1)
    (folder / "changed.json").write_text(changed, encoding="utf-8")
    assert main(["verify", "--certificate", "changed.json"]) == 1
    assert "differing spikes 1 in the certificate, now 0" in capsys.readouterr().out


def test_the_page_says_what_the_certificate_says(folder, answer, tree):
    file = (folder / "pages" / "small.certificate.json").read_bytes()
    (link,) = [a for a in tree.iter(f"{XHTML}a") if a.get("download")]
    assert link.get("download") == "small.certificate.json"
    assert base64.b64decode(link.get("href").removeprefix("data:application/json;base64,")) == file
    found = json.loads(file)
    assert answer["certificate"] == found
    assert [row[1] for row in cells(tree, "hashes")] == [
        found["network"]["digest"], found["data"]["digest"], found["model"],
    ]  # fmt: skip
    assert [(row[0], row[-1]) for row in cells(tree, "engines")] == [
        (line["engine"], line["version"]) for line in found["engines"]
    ]
    compared = sum(line["compared"] for line in found["engines"][1:])
    said = "".join("".join(p.itertext()) for p in tree.iter(f"{XHTML}p"))
    assert f"passed: 0 of {compared:,} values differ" in said


def test_the_trade_offs_are_those_of_the_bench(folder, answer, tree, monkeypatch):
    monkeypatch.chdir(folder)
    wanted = bench_pareto([load_run("runs/small")], grid=Grid(), samples=answer["pareto"]["samples"])
    assert answer["pareto"]["samples"] is None
    assert answer["pareto"]["points"] == list(wanted.as_json()["points"])
    rows = cells(tree, "pareto")
    assert [row[:3] for row in rows] == [[str(p.steps), str(p.members), f"{100 * p.pruned:.0f}"] for p in wanted.points]
    assert [row[4:7] for row in rows] == [
        [f"{p.energy_nj:,.1f}", f"{100 * p.accuracy:.2f}", f"{p.ece:.4f}"] for p in wanted.points
    ]
    whole = [p for p in wanted.points if p.steps == 4 and p.pruned == 0 and p.members > 1]
    assert [row[3] for row in cells(tree, "members")] == [f"{p.member_sd_nj:,.1f}" for p in whole]
    assert all(p.member_low_nj <= p.energy_nj / p.members <= p.member_high_nj for p in whole)


def test_other_data_lie_beside_as_a_recipe(folder, answer, monkeypatch, capsys):
    """Data that are named in place of the run's are encoded as the run's were, here and from the certificate."""
    monkeypatch.chdir(folder)
    assert (
        main(["report", "runs/small", "--data", "digits", "--out", "named.html", "--samples", "4", "--no-pareto"]) == 0
    )
    assert 'name = "digits"' in (folder / "named.recipe.toml").read_text(encoding="utf-8")
    assert main(["verify", "--certificate", "named.certificate.json"]) == 0
    assert "holds" in capsys.readouterr().out


def test_the_page_of_other_data_says_how_its_trade_offs_are_made(folder, answer, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    assert main(["report", "runs/small", "--data", "digits", "--out", "named.html", "--samples", "4", "--json"]) == 0
    points = json.loads(capsys.readouterr().out)["pareto"]["points"]
    (said,) = re.findall(r"bitspike (bench pareto .*)", (folder / "named.html").read_text(encoding="utf-8"))
    assert "--data digits" in said
    assert main([*shlex.split(said), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["points"] == points

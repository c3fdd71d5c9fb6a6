"""Committees on disk: a file for each member, in any format, written whole or not at all."""

import json
from dataclasses import replace

import numpy as np
import pytest
from builders import chain, spikes_for

from bitspike import api
from bitspike.cli import main
from bitspike.convert.collapse import Committee
from bitspike.convert.committee_files import load_members, load_networks
from bitspike.convert.store import save
from bitspike.errors import FileError, UnsupportedError, UsageError


@pytest.fixture(scope="module")
def committee():
    return Committee(tuple(chain(seed=seed, bias=False, readout="spike_count") for seed in range(3)))


@pytest.fixture
def folder(committee, tmp_path):
    api.export(committee, tmp_path / "committee", "safetensors")
    return tmp_path / "committee"


@pytest.mark.parametrize("form", ["safetensors .safetensors", "nir .nir", "onnx .onnx", "netx .net"])
def test_every_format(folder, committee, capsys, form):
    name, ending = form.split()
    out = folder.parent / "out"
    assert main(["export", str(folder), "--format", name, "--out", str(out), "--json"]) == 0
    written = json.loads(capsys.readouterr().out)["files"]
    assert [row["path"] for row in written] == [str(out / f"member-{k}{ending}") for k in range(3)]
    assert sorted(path.name for path in out.iterdir()) == [f"member-{k}{ending}" for k in range(3)]
    assert load_networks(out) == committee.members
    assert not [path for path in out.parent.iterdir() if path.name.startswith(".")]


def test_simulating_a_folder_of_any_format_sums_read_outs(folder, committee, tmp_path, capsys):
    spikes = spikes_for(committee.members[0])
    scores = sum(api.simulate(m, data=api.SpikeData(name="x", spikes=spikes, labels=np.zeros(5, int))).scores(m)
                 for m in committee)  # fmt: skip
    labels = scores.argmax(axis=1)
    np.savez(tmp_path / "x.npz", spikes=spikes, labels=labels)
    api.export(committee, tmp_path / "nir", "nir")
    for where in (folder, tmp_path / "nir"):
        assert main(["simulate", str(where), "--data", str(tmp_path / "x.npz"), "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert (found["members"], found["accuracy"]) == (3, 1.0)


def test_members_come_in_the_order_of_their_numbers(tmp_path):
    networks = [chain(seed=seed) for seed in range(11)]
    api.export(Committee(tuple(networks)), tmp_path / "c", "safetensors")
    assert list(load_members(tmp_path / "c")) == [f"member-{k}" for k in range(11)]
    assert list(load_members(tmp_path / "c").values()) == networks


def test_all_or_nothing(folder, committee, tmp_path):
    """The last member has a bias that NetX cannot hold: nothing is written, and nothing is left behind."""
    odd = chain(seed=2, readout="spike_count")
    odd = odd.with_populations(tuple(replace(p, bias_exponent=0) for p in odd.populations))
    with pytest.raises(UnsupportedError, match="bias in parts of a weight unit"):
        api.export(Committee((*committee.members[:2], odd)), tmp_path / "out", "netx")
    assert [path.name for path in tmp_path.iterdir()] == ["committee"]


def test_refusals(folder, tmp_path, capsys):
    for arguments, expected in [
        (["export", str(folder), "--out", str(tmp_path / "x")], "--format: missing; expected one for the members in"),
        (["export", str(folder), "--format", "nir", "--out", str(folder)], "exists; expected a new folder for a comm"),
        (["export", str(folder), "--format", "tar", "--out", str(tmp_path / "x")], "format 'tar'; expected one of"),
        (["simulate", str(tmp_path), "--data", "digits"], "no network files; expected those of a committee's members"),
    ]:
        assert main(arguments) == 2
        assert expected in capsys.readouterr().err
    save(chain(seed=9, steps=3, readout="spike_count"), folder / "other.safetensors")
    with pytest.raises(UsageError, match="other and member-0 have other inputs, windows or read-outs; no committee"):
        load_members(folder)
    (folder / "other.safetensors").write_bytes(b"damaged")
    with pytest.raises(FileError, match=r"other.safetensors: is not a readable"):
        load_members(folder)
    (folder / "other.safetensors").rename(folder / "other.onnx")
    with pytest.raises(UsageError, match="4 files of onnx, safetensors; expected members of one format"):
        load_members(folder)

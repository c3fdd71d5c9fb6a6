"""The picture of the mesh: it is well-formed, says in words what it shows, and comes out the same each time."""

import xml.etree.ElementTree as ET

import numpy as np
import pytest
from assigned import Scattered
from builders import chain, spikes_for

from bitspike.convert.retime import retime
from bitspike.errors import UsageError
from bitspike.samples import SpikeData
from bitspike.sim.mapped import map_run
from bitspike.sim.mesh_figure import check_figure, describe, mesh_svg, write_mesh
from bitspike.targets.chips import chip

pytest.importorskip("matplotlib", reason="matplotlib is not installed: python -m pip install 'bitspike[plot]'")

OCCUPANCY = [0.25, 1.0, 0.5]


def mapped_on(chip_name):
    network = retime(chain((12, 9, 7, 4), vth=1))
    data = SpikeData(name="random", spikes=spikes_for(network, samples=2), labels=np.zeros(2, int))
    return map_run(Scattered(network=network, core_count=3), data=data, chip=chip(chip_name), engine_name="reference")


@pytest.fixture(scope="module")
def mapped():
    return mapped_on("loihi1")


def test_the_svg_says_what_it_shows(mapped):
    svg = mesh_svg(mapped, OCCUPANCY, title="a < b")
    root = ET.fromstring(svg)
    assert root.get("role") == "img"
    assert [child.tag.split("}")[1] for child in root][:2] == ["title", "desc"]
    assert root[0].text == "a < b"
    assert root[1].text == describe(mapped, OCCUPANCY)
    assert 'href="http' not in svg


def test_the_words_are_those_of_the_numbers(mapped):
    text = describe(mapped, OCCUPANCY)
    received = (mapped.traffic.between().sum(axis=0) + mapped.traffic.into()) / 2
    assert text.startswith("3 cores on a mesh of 4x8 tiles of 4 cores. The fullest is core 1, 100%.")
    assert f"Most messages arrive at core {received.argmax()}, {received.max():,.1f} an inference." in text
    for core, messages in enumerate(received):
        row, column = divmod(int(mapped.placement.places[core]) // 4, 8)
        assert f"Core {core} in row {row + 1}, column {column + 1}: {OCCUPANCY[core]:.0%} full" in text
        assert f"full, {messages:,.1f} messages an inference." in text


def test_files_are_written_and_the_same_each_time(mapped, tmp_path):
    first, again = (write_mesh(mapped, OCCUPANCY, tmp_path / name, title="mesh") for name in ("a.svg", "b.svg"))
    assert first.read_bytes() == again.read_bytes()
    picture = write_mesh(mapped, OCCUPANCY, tmp_path / "a.png", title="mesh")
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_other_endings_and_chips_without_a_mesh_are_refused(tmp_path):
    with pytest.raises(UsageError, match=r"figure mesh.gif; expected a name that ends in .svg or .png"):
        check_figure(tmp_path.__class__("mesh.gif"))
    with pytest.raises(UsageError, match="chip loihi2: its mesh is not published; expected one with a mesh"):
        write_mesh(mapped_on("loihi2"), OCCUPANCY, tmp_path / "mesh.svg", title="mesh")
    assert not list(tmp_path.iterdir())

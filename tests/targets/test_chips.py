"""Chips as data, and the reading of a user's own."""

from pathlib import Path

import pytest

import bitspike.targets.chips
from bitspike.errors import ChipError, FileError, UsageError
from bitspike.targets.chips import CHIPS, GRADES, chip

FOLDER = Path(bitspike.targets.chips.__file__).parent
TINY = (FOLDER / "tiny.toml").read_text(encoding="utf-8")


def written(tmp_path, text):
    """The path of a chip in a file of its own."""
    path = tmp_path / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", CHIPS)
def test_every_figure_has_a_source_and_a_grade(name):
    known = [figure for figure in chip(name).figures().values() if figure is not None]
    assert len(known) >= 17
    for figure in known:
        assert figure.source
        assert figure.grade in GRADES
        assert (figure.grade == "made up") == (name == "tiny")


def test_figures_that_the_mapper_relies_on():
    loihi = chip("loihi1")
    assert (loihi.limit("cores"), loihi.limit("neurons"), loihi.limit("synapse_bits")) == (128, 1024, 128 * 1024 * 8)
    assert (loihi.limit("input_axons"), loihi.limit("output_axons"), loihi.limit("state_bits")) == (4096, 4096, 24)
    assert loihi.limit("mesh_rows") * loihi.limit("mesh_columns") * loihi.limit("cores_per_tile") == 128


def test_chip_prints_its_figures_and_what_nobody_published():
    lines = str(chip("loihi2")).splitlines()
    assert lines[0] == "loihi2: Intel Loihi 2"
    assert any("input_axons" in line and line.endswith("not published") for line in lines)
    assert any("neurons" in line and "8192" in line and "differs between sources" in line for line in lines)
    assert any("weight_widths" in line and "1,2,3,4,5,6,8" in line for line in lines)


def test_unknown_chip_is_told_with_those_that_exist():
    with pytest.raises(UsageError, match=r"chip 'loihi3'; expected one of loihi1, loihi2, tiny, or a file FILE\.toml"):
        chip("loihi3")


def test_a_users_chip_is_read_from_a_file_by_path_or_text(tmp_path):
    path = written(tmp_path, TINY.replace('name = "tiny"', 'name = "mine"').replace("value = 16,", "value = 17,"))
    mine = chip(path)
    assert mine == chip(str(path)) == chip(mine)
    assert (mine.name, mine.limit("cores"), mine.limit("input_axons")) == ("mine", 17, 32)


def test_what_is_not_published_may_be_left_out(tmp_path):
    text = """
    name = "least"
    title = "The least that is a chip"
    [figures]
    cores = { value = 1, source = "me", grade = "made up" }
    neurons = { value = 2, source = "me", grade = "made up" }
    """
    least = chip(written(tmp_path, text))
    assert least.limit("synapse_bits") is None
    assert sum(figure is not None for figure in least.figures().values()) == 2


def test_every_fault_is_told_at_once_with_its_place(tmp_path):
    text = """
    name = 3
    extra = 1
    [figures]
    cores = { value = 0, source = "me", grade = "made up" }
    input_axons = 4096
    colour = { value = 1, source = "me", grade = "made up" }
    synapse_bits = { value = 1, source = "", grade = "certain", unit = "bits" }
    mesh_rows = { value = 2.5, source = "me", grade = "made up" }
    weight_exponents = { value = [7, -7], source = "me", grade = "made up" }
    spike_ns = { value = nan, source = "me", grade = "made up" }
    """
    path = written(tmp_path, text)
    with pytest.raises(ChipError) as caught:
        chip(path)
    faults = caught.value.faults
    expected = [
        "extra: found an unknown key; expected name, title, figures",
        "name: found 3; expected 1..200 printable letters",
        "title: found nothing; expected 1..200 printable letters",
        "figures.cores.value: found 0; expected a whole number of 1 or more",
        "figures.input_axons: found 4096; expected a table of value, source, grade",
        "figures.synapse_bits.unit: found an unknown key; expected value, source, grade",
        "figures.synapse_bits.source: found ''; expected 1..200 printable letters",
        f"figures.synapse_bits.grade: found 'certain'; expected one of {', '.join(GRADES)}",
        "figures.mesh_rows.value: found 2.5; expected a whole number of 1 or more",
        "figures.weight_exponents.value: found [7, -7]; expected an array of the lowest and the highest whole number",
        "figures.spike_ns.value: found nan; expected a number of nanoseconds above 0",
        "figures.neurons: found nothing; expected a whole number of 1 or more",
        "figures.mesh_columns: found nothing; expected it beside mesh_rows",
        "figures.cores_per_tile: found nothing; expected it beside mesh_rows",
        "figures.memory_word_bits: found nothing; expected it beside synapse_bits",
    ]
    assert [fault for fault in faults if not fault.startswith("figures.colour")] == expected
    assert len(faults) == len(expected) + 1
    assert str(caught.value).startswith(f"{path}: extra: found")
    assert caught.value.__reduce__() == (ChipError, (str(path), faults))


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "No such file or directory"),
        (b"name = ", "no TOML"),
        (b"\xff\xfe", "no TOML"),
        (b"a = " + b"[" * 100_000, "no TOML"),
        (b"#" * (1 << 19), "more than 262144 bytes"),
        (b"figures = 3", "figures: found 3; expected a table of figures"),
    ],
)
def test_a_file_that_is_no_chip(tmp_path, content, problem):
    path = tmp_path / "bad.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises((FileError, ChipError), match=problem):
        chip(path)

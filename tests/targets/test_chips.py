"""Chips as data."""

import pytest

from bitspike.errors import UsageError
from bitspike.targets.chips import CHIPS, GRADES, chip


@pytest.mark.parametrize("name", CHIPS)
def test_every_figure_has_a_source_and_a_grade(name):
    limits = chip(name).limits()
    known = [limit for limit in limits.values() if limit is not None]
    assert len(known) >= 7
    for limit in known:
        assert limit.value > 0
        assert limit.source
        assert limit.grade in GRADES


def test_figures_that_the_mapper_relies_on():
    loihi = chip("loihi1")
    assert (loihi.cores.value, loihi.neurons.value, loihi.synapse_bytes.value) == (128, 1024, 128 * 1024)
    assert (loihi.input_axons.value, loihi.output_axons.value, loihi.state_bits.value) == (4096, 4096, 24)


def test_chip_prints_its_figures_and_what_nobody_published():
    lines = str(chip("loihi2")).splitlines()
    assert lines[0] == "loihi2: Intel Loihi 2"
    assert any("input_axons" in line and line.endswith("not published") for line in lines)
    assert any("neurons" in line and "8192" in line and "differs between sources" in line for line in lines)


def test_unknown_chip_is_told_with_those_that_exist():
    with pytest.raises(UsageError, match="chip 'loihi3'; expected one of loihi1, loihi2"):
        chip("loihi3")

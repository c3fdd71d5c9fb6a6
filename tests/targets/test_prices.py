"""Prices as data: what comes with bitspike, what a file may say, and every refusal with its line."""

import pytest

from bitspike.errors import FileError, UsageError
from bitspike.targets.chips import chip
from bitspike.targets.prices import DEFAULTS, EVENTS, GRADES, GROUPS, price_list, price_lists
from bitspike.targets.prices.reader import read_price_list

OWN = """\
chip = "loihi2"
title = "mine"
grade = "illustrative"
source = "me"
covers = ["memory"]

[[price]]
event = "synaptic_operation"
low = 1
nominal = 2
high = 4.5
unit = "nJ"
node_nm = 7
voltage_v = 0.6
note = "a guess"

[[price]]
event = "static_core"
value = 0.2
unit = "W"

[[price]]
event = "barrier"
value = 3
unit = "us"
"""


def written(tmp_path, text=OWN):
    path = tmp_path / "own.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", sorted(price_lists()))
def test_every_list_says_where_its_prices_are_from(name):
    prices = price_lists()[name]
    assert prices.name == name
    assert prices.prices
    for price in prices.prices:
        assert price.grade in GRADES
        assert price.source
        assert price.event in EVENTS
        assert 0 <= price.low <= price.nominal <= price.high
    assert set(prices.covers) <= set(GROUPS)


def test_the_published_figures():
    """By hand, from the tables of the papers."""
    davies = price_lists()["davies2018"]
    energies = {e: davies.energy_pj(e) for e in ("synaptic_operation", "active_update", "inactive_update", "message")}
    assert energies == {"synaptic_operation": 23.6, "active_update": 81, "inactive_update": 52, "message": 1.7}
    assert (davies.energy_pj("hop_east_west"), davies.energy_pj("hop_north_south")) == (3.0, 4.0)
    assert davies.energy_pj("barrier") is None
    assert davies.find("barrier", "time").high == 465
    assert davies.find("synaptic_operation", "time").nominal == 3.5
    assert davies.prices[0].conditions == "14 nm, 0.75 V"
    frady = price_lists()["frady2020"]
    assert (frady.find("static_chip", "power").nominal, frady.find("static_core", "power").nominal) == (104, 0.815)
    sanafe = price_lists()["sanafe"]
    assert sanafe.find("synaptic_operation_conv").nominal == 24.0
    assert sanafe.find("synaptic_operation_dense").nominal == 35.5
    assert sanafe.prices[0].conditions == "14 nm, voltage not stated"
    assert sanafe.find("hop_north_south").grade == "simulated before silicon"
    assert price_lists()["spinnaker2"].energy_pj("synaptic_operation") == 450
    assert price_lists()["horowitz45"].find("access_dram").high == 2600


def test_times_are_those_of_the_chip():
    """The chip's own file has them too, for the time of a step."""
    davies, loihi = price_lists()["davies2018"], chip("loihi1")
    names = {"message": "spike", "synaptic_operation": "synaptic_operation", "hop_east_west": "hop_east_west"}
    for event, name in names.items():
        assert davies.find(event, "time").nominal == loihi.limit(f"{name}_ns")
    barrier = davies.find("barrier", "time")
    assert (barrier.low, barrier.high) == (loihi.limit("barrier_least_ns"), loihi.limit("barrier_most_ns"))


def test_each_chip_has_its_own_prices_and_static_power_stays_a_source_of_its_own():
    for name in DEFAULTS:
        assert price_list(name).chip == name
    both = price_list("loihi1")
    assert both.name == "davies2018 + frady2020"
    assert {(p.prices, p.grade) for p in both.sources()} == {
        ("davies2018", "simulated before silicon"),
        ("frady2020", "derived"),
    }
    assert price_list(prices="sanafe").chip == "loihi1"
    assert price_list() == both


def test_a_file_of_ones_own(tmp_path):
    prices = price_list("loihi2", str(written(tmp_path)))
    assert (prices.name, prices.chip, prices.covers) == ("own", "loihi2", ("memory",))
    first = prices.prices[0]
    assert (first.low, first.nominal, first.high) == (1000, 2000, 4500)
    assert (first.node_nm, first.voltage_v, first.note, first.grade) == (7, 0.6, "a guess", "illustrative")
    assert prices.find("static_core", "power").nominal == 200
    assert prices.find("barrier", "time").nominal == 3000
    assert prices.find("barrier") is None
    assert prices.prices[1].conditions == "node not stated, voltage not stated"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('unit = "W"\n', "", "line 17: price 2, unit: missing; expected one of nW, uW, mW, W"),
        ('unit = "W"', 'unit = "pJ"', "line 20: price 2, unit: found 'pJ' for static_core; expected one of nW, uW"),
        ("value = 0.2", "value = -0.2", "line 19: price 2, value: found -0.2; expected a finite number of 0 or more"),
        ("value = 0.2", "value = nan", "line 19: price 2, value: found nan; expected a finite number"),
        ("value = 0.2", 'value = "2"', "line 19: price 2, value: found '2'; expected a finite number"),
        ("value = 0.2", "value = true", "line 19: price 2, value: found True; expected a finite number"),
        ("value = 0.2\n", "", "line 17: price 2, value: found none; expected value, or low, nominal and high"),
        ("low = 1\n", "", "line 7: price 1, value: found nominal, high; expected value, or low, nominal and high"),
        ("low = 1\n", "low = 3\n", "line 10: price 1, nominal: found 3, 2, 4.5; expected low <= nominal <= high"),
        ('event = "barrier"', 'event = "coffee"', "line 23: price 3, event: found 'coffee'; expected one of syn"),
        ('event = "barrier"\n', "", "line 22: price 3, event: missing; expected a text"),
        ('event = "barrier"', 'event = "synaptic_operation"\nkind = 2', "line 24: price 3, kind: unknown; expected"),
        ('"illustrative"', '"sure"', "line 7: price 1, grade: found 'sure'; expected one of measured, calibrated"),
        ('grade = "illustrative"\n', "", "line 6: price 1, grade: missing; expected a text"),
        ('source = "me"\n', "", "line 6: price 1, source: missing; expected a text"),
        ('source = "me"', 'source = " "', "line 7: price 1, source: found ' '; expected a text"),
        ('chip = "loihi2"\n', "", "line 1: chip: missing; expected a text"),
        ('title = "mine"', 'titel = "mine"', "line 2: titel: unknown; expected one of chip, title"),
        ('["memory"]', '["rent"]', "line 5: covers: found ['rent']; expected some of synapse, neuron"),
        ("node_nm = 7", "node_nm = -7", "line 13: price 1, node_nm: found -7; expected a finite number of 0 or more"),
        ('chip = "loihi2"', "chip =", "is not TOML (Invalid value (at line 1, column 7))"),
        ('event = "barrier"\nvalue = 3', 'event = "static_core"\nvalue = 3', "line 25: price 3, unit: found 'us'"),
    ],
)  # fmt: skip
def test_faults_are_told_with_their_line(tmp_path, old, new, message):
    assert OWN.count(old) == 1
    path = written(tmp_path, OWN.replace(old, new))
    with pytest.raises(FileError) as error:
        read_price_list(path)
    assert str(error.value).startswith(f"{path}: {message}")


def test_other_files_are_refused(tmp_path):
    for text, message in (
        ('chip = "x"\n', "line 1: price: missing; expected [[price]] tables"),
        ('chip = "x"\nprice = [3]\n', "line 2: price 1, price: found 3; expected a table"),
        (
            OWN + OWN.partition("\n\n")[2].partition("\n\n")[0],
            "line 27: price 4, event: synaptic_operation is priced tw",
        ),
        ("#" * (1 << 20) + "\n", "has 1048577 bytes; expected a list of prices of at most 1048576"),
    ):
        with pytest.raises(FileError) as error:
            read_price_list(written(tmp_path, text))
        assert message in str(error.value)
    (tmp_path / "own.toml").write_bytes(b"\xff")
    with pytest.raises(FileError, match="is not TOML"):
        read_price_list(tmp_path / "own.toml")
    with pytest.raises(FileError, match="no such file"):
        price_list(prices=str(tmp_path / "none.toml"))


def test_lists_that_do_not_belong_together_are_refused(tmp_path):
    with pytest.raises(UsageError, match=r"prices davies2018 and sanafe: both price synaptic_operation \(energy\)"):
        price_list(prices=["davies2018", "sanafe"])
    with pytest.raises(UsageError, match="prices davies2018: of chip loihi1; expected prices of chip loihi2"):
        price_list("loihi2", "davies2018")
    with pytest.raises(
        UsageError, match="prices davies2018 of loihi1, merolla2014 of truenorth; expected lists of one"
    ):
        price_list(prices=["davies2018", "merolla2014"])
    with pytest.raises(UsageError, match="chip 'loihi2': no published prices per event; expected loihi1 or truenorth"):
        price_list("loihi2")
    with pytest.raises(UsageError, match="prices 'mine'; expected davies2018, frady2020, "):
        price_list("loihi1", "mine")
    assert price_list(prices=["sanafe", "frady2020"]).name == "sanafe + frady2020"

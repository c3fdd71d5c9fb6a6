"""The fast engine over one quantity at a time: its points, what is called linear, table, JSON and figure."""

import json
from dataclasses import replace

import pytest

from bitspike.cli import main
from bitspike.errors import UsageError
from bitspike.sim.speed import scaling
from bitspike.sim.speed.scaling import Point, bench_scaling


@pytest.fixture(scope="module")
def result():
    return bench_scaling(series=["width", "threads"], runs=2, steps=2, small=True)


def test_one_quantity_varies_in_a_series(result):
    width = [p for p in result.points if p.series == "width"]
    assert [p.value for p in width] == [256, 512]
    assert [p.neurons for p in width] == [266, 522]
    assert len({(p.layers, p.activity, p.batch, p.threads) for p in width}) == 1
    assert all(len(p.seconds) == 2 and p.median > 0 for p in result.points)
    assert width[0].exponent is None
    assert width[1].exponent is not None


def point(series, value, *seconds):
    base = Point(
        series=series, layers=1, width=1, neurons=1, activity=0.1, measured_activity=0.1, batch=1, threads=1,
        seconds=seconds,
    )  # fmt: skip
    return replace(base, **{series: value})


def test_what_is_linear():
    batches = [point("batch", 1, 9.0, 2.0, 1.0), point("batch", 4, 8.0), point("batch", 8, 9.0)]
    points = [*batches, point("threads", 1, 6.0), point("threads", 2, 3.0)]
    found = scaling._with_exponents(points)
    assert [p.exponent for p in found] == [None, pytest.approx(1), pytest.approx(0.17, abs=0.01), None, -1]
    assert [p.linear for p in found] == [False, True, False, False, True]


def test_all_quantities_have_points():
    for name in scaling.SERIES:
        values = [p.value for p in scaling._plans(name, small=False)]
        assert values == sorted(set(values))
        assert len(values) >= 4 or name == "threads"


def test_the_command(tmp_path, capsys, monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(scaling, "SERIES", {"batch": scaling.SERIES["batch"]})
    monkeypatch.setattr(scaling.bench_scaling, "__kwdefaults__", {**bench_scaling.__kwdefaults__, "series": ("batch",)})
    path = tmp_path / "scaling.svg"
    command = ["bench", "sim", "--scaling", "--quick", "--steps", "2", "--figure", str(path)]
    assert main([*command, "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert [(p["value"], p["batch"]) for p in values["points"]] == [(1, 1), (4, 4)]
    assert {"median_s", "exponent", "linear", "neurons", "threads"} <= set(values["points"][0])
    assert values["figure"] == str(path)
    assert path.read_text().startswith("<?xml")


def test_table(result):
    assert "width" in str(result)
    assert "threads: inverse" in str(result)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"series": ["depth"]}, "series 'depth'; expected one of layers, width"), ({"runs": 0}, "runs 0, steps 100")],
)
def test_refusals(options, message):
    with pytest.raises(UsageError, match=message):
        bench_scaling(**options)


def test_a_figure_needs_the_scaling(capsys):
    assert main(["bench", "sim", "--figure", "times.svg"]) == 2
    assert "--figure: draws the scaling; expected --scaling beside it" in capsys.readouterr().err
    assert main(["bench", "sim", "--scaling", "--figure", "times.pdf"]) == 2
    assert "figure times.pdf; expected a name that ends in .svg or .png" in capsys.readouterr().err

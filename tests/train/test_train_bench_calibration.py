"""The bench of calibration: its scores against those of a run, chance, intervals, and what is refused."""

import dataclasses
import json

import numpy as np
import pytest
from small_recipe import small_recipe

from bitspike.cli import main
from bitspike.errors import UsageError
from bitspike.train import fit, load_run
from bitspike.train.bench_calibration import bench_calibration, chance_ece
from bitspike.train.calibration import calibration, softmax
from bitspike.train.moves import thinned
from bitspike.train.paired import ScoreDifference
from bitspike.train.posterior_recipe import PosteriorRecipe
from bitspike.train.recipe import parse_recipe
from bitspike.train.temperature import fit_temperature, heated

TEXT = small_recipe(epochs=3, members=3)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Two runs with a posterior, and one without."""
    place = tmp_path_factory.mktemp("runs")
    recipe = parse_recipe(TEXT, source="small.toml")
    latent = dataclasses.replace(
        recipe,
        posterior=PosteriorRecipe(family="latent"),
        training=dataclasses.replace(recipe.training, sharpness=1.0),
    )
    for name, one in (("a", recipe), ("b", recipe.with_seed(1)), ("plain", latent)):
        fit(one, out=place / name, progress=False)
    return place


def test_scores_are_those_of_the_runs(folders, capsys):
    arguments = [str(folders / "a"), str(folders / "b"), "--against", str(folders / "plain")]
    assert main(["bench", "calibration", *arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["data"], found["samples"]) == ("digits:test", 360)
    rows = {row["kind"]: row for row in found["rows"]}
    assert [(kind, row["runs"]) for kind, row in rows.items()] == [
        ("posterior", 2), ("committee", 2), ("map", 2), ("straight-through", 1),
    ]  # fmt: skip
    saved = {name: json.loads((folders / name / "result.json").read_text()) for name in ("a", "b", "plain")}
    for kind in ("posterior", "committee", "map"):
        for score in ("accuracy", "ece", "nll", "brier"):
            expected = np.mean([saved[name]["test"]["fitted"][kind][score] for name in ("a", "b")])
            assert rows[kind][score] == pytest.approx(expected, rel=1e-9)
    assert rows["straight-through"]["nll"] == pytest.approx(saved["plain"]["test"]["fitted"]["map"]["nll"], rel=1e-9)
    assert [(one["than"], one["score"]) for one in found["differences"]] == [
        (than, score) for than in ("map", "straight-through") for score in ("nll", "brier")
    ]
    for one in found["differences"]:
        less = rows["committee"][one["score"]] - rows[one["than"]][one["score"]]
        assert one["value"] == pytest.approx(less, abs=1e-12)
        assert one["low"] < one["value"] < one["high"]
    assert main(["bench", "calibration", *arguments]) == 0
    assert "digits:test, 360 samples" in capsys.readouterr().out


def test_lost_spikes_are_the_test_parts_alone_and_the_same_for_all(folders, capsys):
    arguments = ["bench", "calibration", str(folders / "a"), "--against", str(folders / "plain")]
    assert main([*arguments, "--drop", "0.5", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["drop"] == 0.5
    rows = {row["kind"]: row for row in found["rows"]}
    for name, kind in (("a", "map"), ("plain", "straight-through")):
        run = load_run(folders / name)
        spikes = run.test.spikes
        left = thinned(spikes, np.arange(len(spikes)), drop=0.5, seed=0, epoch=0)
        assert 0.45 < left.sum() / spikes.sum() < 0.55
        clean, lost = (softmax(run.model.logits(run.model.predict(part)[0])) for part in (run.validation.spikes, left))
        expected = calibration(heated(lost, fit_temperature(clean, run.validation.labels)), run.test.labels)
        assert rows[kind]["accuracy"] == expected.accuracy
        assert rows[kind]["nll"] == pytest.approx(expected.nll, rel=1e-9)
    assert main([*arguments, "--drop", "0.5"]) == 0
    assert "360 samples, 50 % of the spikes lost" in capsys.readouterr().out
    assert main([*arguments, "--seed", "-1"]) == 2
    assert "seed: found -1; expected" in capsys.readouterr().err
    for drop in ("0.95", "0.001", "nan"):
        assert main([*arguments, "--drop", drop]) == 2
        assert f"drop: found {drop}; expected 0, or a number from 1/256 to 0.9" in capsys.readouterr().err


def test_chance_falls_with_the_samples_and_is_0_for_certainty():
    random = np.random.default_rng(0)
    few, many = (chance_ece(np.full(count, 0.8), random) for count in (100, 10_000))
    # One bin: the mean of |k / n - 0.8|, of a normal number of deviation 0.4 / sqrt(n).
    assert few == pytest.approx(0.04 * np.sqrt(2 / np.pi), rel=0.1)
    assert many == pytest.approx(0.004 * np.sqrt(2 / np.pi), rel=0.1)
    assert chance_ece(np.ones(50), random) == 0.0


@pytest.mark.parametrize(
    ("value", "low", "high", "judged"),
    [(-0.01, -0.02, -0.001, "better"), (0.01, 0.001, 0.02, "worse"), (0.01, -0.01, 0.03, "no difference that these")],
)
def test_a_difference_is_judged_by_its_interval(value, low, high, judged):
    found = str(ScoreDifference(than="map", score="nll", value=value, low=low, high=high))
    assert found.startswith(f"nll of the committee less map: {value:+.4f} ({low:+.4f} to ")
    assert judged in found


def test_runs_that_do_not_belong_together_are_refused(folders, tmp_path, capsys):
    other = parse_recipe(TEXT.replace("steps = 4", "steps = 5"), source="small.toml")
    fit(
        dataclasses.replace(other, training=dataclasses.replace(other.training, epochs=1)),
        out=tmp_path / "o",
        progress=False,
    )
    assert main(["bench", "calibration", str(folders / "a"), str(tmp_path / "o")]) == 2
    assert "runs: found data digits; expected the data of the first, digits" in capsys.readouterr().err
    assert main(["bench", "calibration", str(folders / "a"), "--against", str(folders / "b")]) == 2
    assert "against: found family bernoulli; expected latent" in capsys.readouterr().err
    with pytest.raises(UsageError, match="runs: found none; expected one or more"):
        bench_calibration([])

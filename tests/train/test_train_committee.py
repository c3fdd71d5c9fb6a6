"""Committees in a run's result: the same integers as the collapsed committee, and scores at fitted temperatures."""

import dataclasses

import numpy as np
import pytest
from small_recipe import small_recipe

from bitspike.convert.collapse import collapse
from bitspike.errors import UsageError
from bitspike.samples import SpikeData
from bitspike.sim.run import simulate
from bitspike.train import fit
from bitspike.train.accuracy import (
    COMMITTEE,
    collapsed_predictions,
    fitted,
    measured,
    member_readouts,
    noisy_logits,
    posterior_predictive,
)
from bitspike.train.calibration import calibration, softmax
from bitspike.train.recipe import parse_recipe
from bitspike.train.straight_through import straight_through
from bitspike.train.temperature import fit_temperature, heated

TEXT = small_recipe(members=3) + "sharpness = 2.0\n"


@pytest.fixture(scope="module")
def run():
    return fit(parse_recipe(TEXT, source="small.toml"), progress=False)


def test_members_are_those_of_the_collapsed_committee_integer_for_integer(run):
    data = run.test.first(20)
    found = member_readouts(run.model, data.spikes, members=3, seed=5)
    committee = collapse(run.model, "committee", members=3, seed=5)
    assert np.array_equal(found, np.stack([simulate(member, data).scores(member) for member in committee]))
    assert not np.array_equal(found[0], found[1])


def test_a_committee_sums_integers_and_the_posterior_averages_probabilities(run):
    spikes = run.test.spikes[:40]
    members = COMMITTEE + 2
    readouts = member_readouts(run.model, spikes, members=members)
    found = collapsed_predictions(run.model, spikes, members=members)
    assert set(found) == {"posterior", "committee", "map"}
    first = readouts[:COMMITTEE].sum(axis=0)
    assert np.array_equal(found["committee"].argmax(axis=1), first.argmax(axis=1))
    assert found["committee"] == pytest.approx(softmax(run.model.logits(first) / COMMITTEE))
    mean = np.mean([softmax(run.model.logits(member)) for member in readouts], axis=0)
    assert found["posterior"] == pytest.approx(mean)
    assert np.array_equal(found["posterior"], posterior_predictive(run.model, spikes, members=members))


def test_a_result_has_committees_and_fitted_temperatures(run):
    result, kinds = run.result, {"posterior", "committee", "map", "noisy"}
    assert result["committee"] == 3
    assert set(result["temperature"]) == set(result["test"]["fitted"]) == set(result["test"]["calibration"]) == kinds
    probabilities = {
        part: collapsed_predictions(run.model, getattr(run, part).spikes, members=3) for part in ("validation", "test")
    }
    for kind in kinds - {"noisy"}:
        temperature = fit_temperature(probabilities["validation"][kind], run.validation.labels)
        assert result["temperature"][kind] == temperature
        scores = calibration(heated(probabilities["test"][kind], temperature), run.test.labels)
        assert result["test"]["fitted"][kind] == {
            "accuracy": scores.accuracy, "nll": scores.nll, "ece": scores.ece, "brier": scores.brier,
        }  # fmt: skip
        assert result["test"][kind] == scores.accuracy
        # What was fitted is better on the part that it was fitted on.
        assert result["validation"]["fitted"][kind]["nll"] <= result["validation"]["calibration"][kind]["nll"] + 1e-9
    assert "committee" in str(run).splitlines()[1]


def test_the_temperature_is_chosen_without_the_test_part(run):
    parts = {"validation": run.validation, "test": run.test}
    wrong = SpikeData(name="wrong", spikes=run.test.spikes, labels=(run.test.labels + 1) % 10)
    known = measured(run.model, parts, members=2, floor=0.5)
    other = measured(run.model, {**parts, "test": wrong}, members=2, floor=0.5)
    assert known["temperature"] == other["temperature"]
    assert known["test"]["fitted"] != other["test"]["fitted"]


def test_fitted_scores_are_those_of_heated_probabilities():
    probabilities, labels = np.array([[0.8, 0.2], [0.4, 0.6]]), np.array([0, 0])
    found = fitted({"map": probabilities}, labels, {"map": 2.0})["map"]
    assert found["accuracy"] == 0.5
    assert found["nll"] == pytest.approx(calibration(softmax(np.log(probabilities) / 2), labels).nll)


def test_a_run_from_before_there_were_committees_prints_without_one(run):
    before = {part: {k: v for k, v in run.result[part].items() if k != "committee"} for part in ("validation", "test")}
    for part in before.values():
        part["calibration"] = {k: v for k, v in part["calibration"].items() if k != "committee"}
    old = dataclasses.replace(run, result={**run.result, **before})
    assert str(old).splitlines()[1].split() == ["accuracy", "posterior", "map", "noisy"]


def test_no_members_are_refused(run):
    with pytest.raises(UsageError, match=r"^members: found 0; expected 1 or more$"):
        member_readouts(run.model, run.test.spikes, members=0)


def test_a_network_that_was_trained_without_noise_has_none_in_a_noisy_pass():
    """Its floor is the width of a surrogate gradient; its weights are certain, so that the pass is that of the bits."""
    pytest.importorskip("snntorch")
    recipe = straight_through(parse_recipe(small_recipe().replace("dv = 1024", "dv = 4096"), source="small.toml"))
    assert (recipe.estimator.floor, recipe.estimator.membrane_noise) == (8.0, 0.0)
    run = fit(recipe, progress=False)
    logits = noisy_logits(run.model, run.test.spikes, floor=recipe.estimator.membrane_noise)
    readouts, _ = run.model.predict(run.test.spikes)
    assert np.array_equal(np.rint(logits.astype(np.float64) * 20 * 64), readouts)
    assert not np.array_equal(noisy_logits(run.model, run.test.spikes, floor=8.0).argmax(1), logits.argmax(1))
    assert run.result["test"]["noisy"] == np.mean(logits.argmax(1) == run.test.labels)

"""Fitted temperatures: against a grid, at known answers, and that they move no decision."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitspike.errors import UsageError
from bitspike.train.calibration import calibration, softmax
from bitspike.train.temperature import DEVIATION, HIGHEST, LOWEST, fit_temperature, heated


def drawn(seed, samples=400, classes=4, heat=1.0):
    """Logits, and labels that are drawn from their softmax at the temperature `heat`."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 2, (samples, classes))
    chances = softmax(logits / heat).cumsum(axis=1)
    labels = np.minimum((random.random((samples, 1)) > chances).sum(axis=1), classes - 1)
    return logits, labels


def nll(probabilities, labels):
    return calibration(probabilities, labels).nll


def cost(probabilities, labels, temperature):
    """Mean NLL at a temperature, with the prior's share."""
    prior = (np.log(temperature) / DEVIATION) ** 2 / 2
    return nll(heated(probabilities, temperature), labels) + prior / len(labels)


@given(st.integers(0, 2**32 - 1), st.floats(0.3, 4), st.sampled_from([10, 400]))
def test_no_temperature_of_a_grid_is_better(seed, heat, samples):
    logits, labels = drawn(seed, heat=heat, samples=samples)
    probabilities = softmax(logits)
    found = fit_temperature(probabilities, labels)
    assert LOWEST < found < HIGHEST
    best = cost(probabilities, labels, found)
    assert all(best <= cost(probabilities, labels, each) + 1e-9 for each in np.geomspace(0.1, 10, 41))


@pytest.mark.parametrize(("scale", "share"), [(0.01, 0.5), (0.02, 0.3), (0.02, 0.7), (0.05, 0.7)])
def test_of_very_unsure_predictors_too_the_best_is_found(scale, share):
    """Below 1 / e the prior's slope falls again, so that there may be two places where the slope is 0."""
    for seed in range(60):
        random, samples = np.random.default_rng(seed), (20, 60, 190)[seed % 3]
        logits = random.normal(0, scale, (samples, 10))
        labels = np.where(random.random(samples) < share, logits.argmax(axis=1), random.integers(0, 10, samples))
        probabilities = softmax(logits)
        best = cost(probabilities, labels, fit_temperature(probabilities, labels))
        assert all(best <= cost(probabilities, labels, each) + 1e-6 for each in np.geomspace(LOWEST, HIGHEST, 31))


@pytest.mark.parametrize("heat", [0.5, 1.0, 3.0])
def test_the_temperature_that_made_the_labels_is_found(heat):
    logits, labels = drawn(7, samples=20_000, heat=heat)
    assert fit_temperature(softmax(logits), labels) == pytest.approx(heat, rel=0.05)


@given(st.integers(0, 2**32 - 1), st.floats(0.05, 20))
def test_of_one_network_it_divides_the_logits_and_no_decision_moves(seed, temperature):
    logits, _ = drawn(seed, samples=20)
    probabilities = heated(softmax(logits), temperature)
    assert probabilities == pytest.approx(softmax(logits / temperature), abs=1e-9)
    assert np.array_equal(probabilities.argmax(axis=1), logits.argmax(axis=1))


def test_a_few_samples_without_a_mistake_make_no_prediction_certain():
    sure = softmax(np.array([[2.0, 0.0], [0.0, 2.0]] * 20))
    found = fit_temperature(sure, np.array([0, 1] * 20))
    assert 0.3 < found < 1
    # The next sample is wrong: it costs less than e**7, where the lowest temperature made it e**40.
    assert nll(heated(sure[:1], found), np.array([1])) < 7
    assert fit_temperature(sure, np.array([1, 0] * 20)) > 1


def test_probabilities_of_0_stay_finite():
    assert np.isfinite(heated(np.eye(3), 2.0)).all()
    assert LOWEST <= fit_temperature(np.eye(3), np.array([0, 1, 0])) <= HIGHEST


def test_impossible_values_are_refused():
    for value in (0, -1.0, float("nan")):
        with pytest.raises(UsageError, match=r"^temperature: found .*; expected a number above 0$"):
            heated(np.eye(2), value)
    with pytest.raises(UsageError, match=r"expected \(samples, classes\) and \(samples,\), with samples$"):
        fit_temperature(np.eye(2), np.array([0]))

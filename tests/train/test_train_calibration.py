"""Calibration scores on cases that can be worked out by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitspike.errors import UsageError
from bitspike.train.calibration import calibration, detection, softmax


def test_scores_by_hand():
    probabilities = np.array([[0.9, 0.1], [0.6, 0.4], [0.3, 0.7], [0.2, 0.8]])
    found = calibration(probabilities, np.array([0, 1, 1, 1]), bins=10)
    assert found.accuracy == 0.75
    assert found.nll == pytest.approx(-np.log([0.9, 0.4, 0.7, 0.8]).mean())
    assert found.brier == pytest.approx((0.02 + 0.72 + 0.18 + 0.08) / 4)
    assert found.ece == pytest.approx((0.1 + 0.6 + 0.3 + 0.2) / 4)
    assert [(b.low, b.samples, b.accuracy) for b in found.reliability] == [
        (0.5, 1, 0.0), (0.6, 1, 1.0), (0.7, 1, 1.0), (0.8, 1, 1.0),
    ]  # fmt: skip
    assert str(found).startswith("accuracy 0.7500, NLL")
    assert found.as_json()["reliability"][0]["samples"] == 1


def test_certainty_that_is_right_is_perfect_and_wrong_is_finite():
    sure = np.eye(3)
    assert calibration(sure, np.array([0, 1, 2])).as_json() | {"reliability": []} == {
        "accuracy": 1.0, "nll": 0.0, "ece": 0.0, "brier": 0.0, "reliability": [],
    }  # fmt: skip
    wrong = calibration(sure, np.array([1, 2, 0]))
    assert (wrong.accuracy, wrong.ece, wrong.brier) == (0.0, 1.0, 2.0)
    assert np.isfinite(wrong.nll)


@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(2, 6), st.integers(1, 20))
def test_every_sample_is_in_one_bin_and_scores_stay_in_range(seed, samples, classes, bins):
    random = np.random.default_rng(seed)
    found = calibration(
        softmax(random.normal(0, 3, (samples, classes))), random.integers(0, classes, samples), bins=bins
    )
    assert sum(b.samples for b in found.reliability) == samples
    assert all(b.low <= b.confidence <= b.high + 1e-12 for b in found.reliability)
    assert 0 <= found.ece <= 1
    assert 0 <= found.brier <= 2


def test_a_predictor_that_means_what_it_says_has_no_error():
    probabilities = np.tile([0.75, 0.25], (8, 1))
    assert calibration(probabilities, np.array([0, 0, 0, 0, 0, 0, 1, 1])).ece == 0.0


def test_detection_is_the_share_of_pairs_in_the_right_order():
    known, unknown = np.array([[0.9, 0.1], [0.6, 0.4]]), np.array([[0.6, 0.4], [0.5, 0.5]])
    assert detection(known, unknown) == (1 + 1 + 0.5 + 1) / 4
    assert detection(unknown, known) == 1 - detection(known, unknown)


@pytest.mark.parametrize(
    ("probabilities", "labels", "message"),
    [
        ([[0.5, 0.5]], [0, 1], "probabilities of shape (1, 2) and labels of shape (2,)"),
        ([[0.5, 0.6]], [0], "a row sums to 1 but for 0.1"),
        ([[1.5, -0.5]], [0], "some are negative or not finite"),
        ([[0.5, 0.5]], [2], "labels in 2..2; expected 0..1"),
    ],
)
def test_mistakes_are_told(probabilities, labels, message):
    with pytest.raises(UsageError) as caught:
        calibration(np.array(probabilities), np.array(labels))
    assert message in str(caught.value)
    with pytest.raises(UsageError, match="bins: 0; expected 1 or more"):
        calibration(np.array([[1.0, 0.0]]), np.array([0]), bins=0)

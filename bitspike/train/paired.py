"""What few test samples can tell of a difference between two predictors.

The samples are drawn with replacement, the same draws for both predictors and for all runs; the interval holds 95 % of
the differences that come of it. It tells what other samples of the same kind could have said of these trained networks.
What other seeds could have said is told by the spread over the seeds, which it does not hold.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

DRAWS = 1000
_PERCENTILES = (2.5, 97.5)
Rows = npt.NDArray[np.intp]


@dataclass(frozen=True, kw_only=True, slots=True)
class AccuracyDifference:
    """Accuracy of one predictor less that of another, from -1 to 1, and its interval of 95 %.

    Attributes:
        of: the one.
        than: the other.
        samples: of the test part.
        value: the difference, averaged over the runs.
        low: where the interval begins.
        high: where it ends.
    """

    of: str
    than: str
    samples: int
    value: float
    low: float
    high: float

    def __str__(self) -> str:
        if self.low <= 0 <= self.high:
            judged = f"no difference that {self.samples} samples could tell"
        else:
            judged = "better" if self.value > 0 else "worse"
        interval = f"{100 * self.low:+.2f} to {100 * self.high:+.2f}"
        return f"{self.of} less {self.than}: {100 * self.value:+.2f} points ({interval}): {judged}"


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoreDifference:
    """The committee's NLL or Brier score less that of another kind, and its interval of 95 %.

    Both are means over samples. An ECE is not: that of few samples is larger than that of many by what chance puts into
    each bin, which depends on how confidences spread, and samples drawn again have that part twice. Intervals drawn so
    do not hold its difference, and none is told.

    Attributes:
        than: the other kind.
        score: its name; a smaller one is better.
        value: the difference, averaged over the runs.
        low: where the interval begins.
        high: where it ends.
    """

    than: str
    score: str
    value: float
    low: float
    high: float

    def __str__(self) -> str:
        if self.low <= 0 <= self.high:
            judged = "no difference that these samples could tell"
        else:
            judged = "better" if self.value < 0 else "worse"
        interval = f"{self.low:+.4f} to {self.high:+.4f}"
        return f"{self.score} of the committee less {self.than}: {self.value:+.4f} ({interval}): {judged}"


def drawn_rows(samples: int, random: np.random.Generator) -> Rows:
    """Draw samples with replacement; return their rows, shape (DRAWS, samples)."""
    return random.integers(0, samples, (DRAWS, samples))


def interval(score: Callable[[Rows], float], drawn: Rows) -> tuple[float, float]:
    """Return where 95 % of a score over drawn samples lie.

    Args:
        score: of some rows, shape (samples,).
        drawn: as :func:`drawn_rows` gives them.
    """
    low, high = np.percentile([score(rows) for rows in drawn], _PERCENTILES)
    return float(low), float(high)


def right_samples(wrong: list[list[int]], samples: int) -> npt.NDArray[np.float64]:
    """Return which samples each run has right, 0 or 1, shape (runs, samples), of the rows that it has wrong."""
    right = np.ones((len(wrong), samples))
    for run, rows in zip(right, wrong, strict=True):
        run[rows] = 0.0
    return right


def accuracy_difference(
    of: str, ours: npt.NDArray[np.float64], than: str, theirs: npt.NDArray[np.float64], *, seed: int = 0
) -> AccuracyDifference:
    """Return how much more often one predictor is right than another.

    Args:
        of: name of the one.
        ours: which samples its runs have right, 0 or 1, shape (runs, samples).
        than: name of the other.
        theirs: the same of its runs.
        seed: of the draws.
    """
    each = ours.mean(axis=0) - theirs.mean(axis=0)
    random = np.random.Generator(np.random.Philox(seed))
    low, high = interval(lambda rows: float(each[rows].mean()), drawn_rows(len(each), random))
    return AccuracyDifference(of=of, than=than, samples=len(each), value=float(each.mean()), low=low, high=high)

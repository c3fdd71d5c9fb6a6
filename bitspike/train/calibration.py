"""How far predicted probabilities can be trusted: accuracy, NLL, ECE, Brier score, reliability. No torch here.

Probabilities have shape (samples, classes) and sum to 1 a row; labels have shape (samples,).
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bitspike.errors import UsageError

Probabilities = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]
#: Equal bins of the largest probability, as the papers on calibration take them.
BINS = 15
#: Smallest probability that the NLL takes the logarithm of, so that one certain mistake does not make it infinite.
FLOOR = 1e-12


@dataclass(frozen=True, kw_only=True, slots=True)
class Bin:
    """One bar of a reliability diagram: samples whose largest probability lies in (low, high]."""

    low: float
    high: float
    samples: int
    confidence: float
    accuracy: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Calibration:
    """Scores of one predictor on one part.

    Attributes:
        accuracy: share of samples whose most probable class (the lowest of equal ones) is their label.
        nll: mean negative logarithm of the label's probability, in nats.
        ece: expected calibration error: mean of |accuracy - confidence| over the bins, weighted by their samples.
        brier: mean squared distance of the probabilities from the label's unit vector, 0..2.
        reliability: the bins that hold samples.
    """

    accuracy: float
    nll: float
    ece: float
    brier: float
    reliability: tuple[Bin, ...]

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {**asdict(self), "reliability": [asdict(b) for b in self.reliability]}

    def __str__(self) -> str:
        return f"accuracy {self.accuracy:.4f}, NLL {self.nll:.4f}, ECE {self.ece:.4f}, Brier {self.brier:.4f}"


def calibration(probabilities: Probabilities, labels: Labels, *, bins: int = BINS) -> Calibration:
    """Score `probabilities` against `labels`.

    Raises:
        UsageError: for shapes that do not fit, rows that do not sum to 1, or labels out of range.
    """
    _check(probabilities, labels, bins)
    samples, classes = probabilities.shape
    chosen = probabilities.argmax(axis=1)
    confidence = probabilities.max(axis=1)
    right = (chosen == labels).astype(np.float64)
    reliability = tuple(_bins(confidence, right, bins))
    target = np.eye(classes)[labels]
    return Calibration(
        accuracy=float(right.mean()),
        nll=float(-np.log(np.maximum(probabilities[np.arange(samples), labels], FLOOR)).mean()),
        ece=sum(abs(b.accuracy - b.confidence) * b.samples for b in reliability) / samples,
        brier=float(((probabilities - target) ** 2).sum(axis=1).mean()),
        reliability=reliability,
    )


def softmax(logits: npt.NDArray[np.float64]) -> Probabilities:
    """Probabilities of logits, (..., classes)."""
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)


def detection(known: Probabilities, unknown: Probabilities) -> float:
    """How well the largest probability tells `known` samples from `unknown` ones: the area under the ROC curve.

    0.5 is chance and 1 perfect; ties count one half (the Mann-Whitney statistic).
    """
    inside, outside = known.max(axis=1), np.sort(unknown.max(axis=1))
    below = np.searchsorted(outside, inside, side="left")
    up_to = np.searchsorted(outside, inside, side="right")
    return float((below + up_to).sum() / (2 * len(inside) * len(outside)))


def bin_of(confidence: npt.NDArray[np.float64], bins: int) -> npt.NDArray[np.int64]:
    """Return the number of the bin, from 0, in which each largest probability lies; bins are closed above."""
    found: npt.NDArray[np.int64] = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    return found


def _bins(confidence: npt.NDArray[np.float64], right: npt.NDArray[np.float64], bins: int) -> list[Bin]:
    index = bin_of(confidence, bins)
    found = []
    for k in range(bins):
        here = index == k
        if here.any():
            found.append(
                Bin(
                    low=k / bins,
                    high=(k + 1) / bins,
                    samples=int(here.sum()),
                    confidence=float(confidence[here].mean()),
                    accuracy=float(right[here].mean()),
                )
            )
    return found


def _check(probabilities: Probabilities, labels: Labels, bins: int) -> None:
    if probabilities.ndim != 2 or labels.shape != probabilities.shape[:1] or not len(labels):
        raise UsageError(
            f"probabilities of shape {probabilities.shape} and labels of shape {labels.shape}; "
            "expected (samples, classes) and (samples,), with samples"
        )
    if bins < 1:
        raise UsageError(f"bins: {bins}; expected 1 or more")
    if not bool(np.all(np.isfinite(probabilities))) or bool(np.any(probabilities < 0)):
        raise UsageError("probabilities: some are negative or not finite")
    worst = float(np.abs(probabilities.sum(axis=1) - 1).max())
    if worst > 1e-6:
        raise UsageError(f"probabilities: a row sums to 1 but for {worst:.3g}; expected 1e-6 at most")
    if labels.min() < 0 or labels.max() >= probabilities.shape[1]:
        raise UsageError(f"labels in {labels.min()}..{labels.max()}; expected 0..{probabilities.shape[1] - 1}")

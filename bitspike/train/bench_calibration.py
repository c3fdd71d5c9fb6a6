"""Calibration of finished runs, and what their test part is large enough to tell.

An ECE of few samples is not 0 for a predictor that is exactly right: bins of a few samples are off by chance. Beside
each ECE stands what it would be by chance alone: labels are drawn from the predictor's own confidences, again and
again. NLL and Brier score have no bins, are means over samples, and judge: a difference of two predictors in them has
the interval that holds 95 % of the differences over test samples drawn with replacement, the same draws for both and
for all runs. A difference of ECEs has none that could be trusted (:class:`bitspike.train.paired.ScoreDifference`).

All is measured at the temperature that was fitted on the validation part, for each run and kind of prediction alike.
Spikes of the test part may be lost on the way: where inputs are worse than those that the temperature was fitted on,
a prediction that is too sure of itself shows (Ovadia and others, arXiv 1906.02530).
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bitspike.errors import UsageError
from bitspike.train.accuracy import collapsed_predictions
from bitspike.train.calibration import BINS, FLOOR, Labels, Probabilities, bin_of
from bitspike.train.data_recipe import DROP_LEVELS
from bitspike.train.encode import checked_seed
from bitspike.train.moves import thinned
from bitspike.train.paired import ScoreDifference, drawn_rows, interval
from bitspike.train.run import Run
from bitspike.train.temperature import fit_temperature, heated

DRAWS = 1000
"""Of labels, for the ECE by chance."""
MOST_LOST = 0.9
"""Of the test part's spikes."""
_FAMILY = "latent"
SCORES = ("ece", "nll", "brier")
JUDGED = ("nll", "brier")
"""Scores whose differences have intervals; see :class:`bitspike.train.paired.ScoreDifference`."""
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Row:
    """Mean scores of one kind of prediction over the runs.

    Attributes:
        kind: ``posterior``, ``committee``, ``map``, or ``straight-through``.
        runs: how many.
        accuracy, ece, nll, brier: at the fitted temperature.
        chance: the ECE that exact confidences of these sizes would have.
    """

    kind: str
    runs: int
    accuracy: float
    ece: float
    chance: float
    nll: float
    brier: float


@dataclass(frozen=True, kw_only=True)
class CalibrationBench:
    """What was measured; see the module's docstring.

    Attributes:
        data: the test part.
        samples: of it.
        drop: share of its spikes that were lost.
        rows: the scores.
        differences: between them.
    """

    data: str
    samples: int
    drop: float
    rows: tuple[Row, ...]
    differences: tuple[ScoreDifference, ...]

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)

    def __str__(self) -> str:
        from rich import box
        from rich.console import Console
        from rich.table import Table

        lost = f", {100 * self.drop:g} % of the spikes lost" if self.drop else ""
        table = Table(box=box.SIMPLE, padding=(0, 1))
        for heading in ("", "runs", "accuracy %", "ECE %", "by chance %", "NLL", "Brier"):
            table.add_column(heading, justify="right" if heading else "left", no_wrap=True)
        for row in self.rows:
            table.add_row(
                row.kind, str(row.runs), f"{100 * row.accuracy:.2f}", f"{100 * row.ece:.2f}", f"{100 * row.chance:.2f}",
                f"{row.nll:.4f}", f"{row.brier:.4f}",
            )  # fmt: skip
        console = Console(file=io.StringIO(), width=110, color_system=None)
        with console.capture() as printed:
            console.print(table)
        heading = f"{self.data}, {self.samples} samples{lost}"
        return "\n".join([heading, printed.get().rstrip(), *map(str, self.differences)])


@dataclass(frozen=True, eq=False)
class _Found:
    """What each test sample says of one kind, arrays of shape (runs, samples)."""

    confidence: Floats
    right: Floats
    nll: Floats
    brier: Floats

    def score(self, name: str, rows: npt.NDArray[np.intp]) -> float:
        """Return a score over the samples `rows`, averaged over the runs."""
        if name != "ece":
            return float(getattr(self, name)[:, rows].mean())
        pairs = zip(self.confidence, self.right, strict=True)
        return float(np.mean([_ece(confidence[rows], right[rows]) for confidence, right in pairs]))


def bench_calibration(
    runs: Sequence[Run], *, against: Sequence[Run] = (), drop: float = 0.0, seed: int = 0
) -> CalibrationBench:
    """Measure finished runs together.

    Args:
        runs: one or more of one data set, such as those of several seeds.
        against: runs of plain straight-through on the same data; none for no comparison with them.
        drop: each spike of the test part is lost with this probability, 0 or 1/256 to 0.9, rounded to a multiple of
            1/256; the same ones for all runs.
        seed: of the draws, and of the spikes that are lost.

    Raises:
        UsageError: no run, runs of different data, or another probability.
    """
    if drop != 0 and not 1 / DROP_LEVELS <= drop <= MOST_LOST:
        raise UsageError(f"drop: found {drop!r}; expected 0, or a number from 1/{DROP_LEVELS} to {MOST_LOST}")
    checked_seed(seed)
    if not runs:
        raise UsageError("runs: found none; expected one or more")
    data = runs[0].recipe.data
    for run in (*runs, *against):
        if run.recipe.data != data:
            raise UsageError(f"runs: found data {run.recipe.data.name}; expected the data of the first, {data.name}")
    for run in against:
        if run.recipe.posterior.family != _FAMILY:
            raise UsageError(f"against: found family {run.recipe.posterior.family}; expected {_FAMILY}")
    found = _found(runs, against, drop=drop, seed=seed)
    samples = len(runs[0].test)
    everything = np.arange(samples)
    random = np.random.Generator(np.random.Philox(seed))
    rows = tuple(
        Row(
            kind=kind,
            runs=len(each.right),
            accuracy=float(each.right.mean()),
            chance=float(np.mean([chance_ece(one, random) for one in each.confidence])),
            **{name: each.score(name, everything) for name in SCORES},
        )
        for kind, each in found.items()
    )
    return CalibrationBench(
        data=runs[0].test.name,
        samples=samples,
        drop=drop,
        rows=rows,
        differences=_differences(found, random),
    )


def calibration_differences(
    runs: Sequence[Run], against: Sequence[Run] = (), *, seed: int = 0
) -> tuple[ScoreDifference, ...]:
    """Return what the committee's scores have less than those of the most probable bits, and of straight-through.

    Arguments are those of :func:`bench_calibration`.
    """
    return _differences(_found(runs, against), np.random.Generator(np.random.Philox(seed)))


def chance_ece(confidence: Floats, random: np.random.Generator, *, draws: int = DRAWS, bins: int = BINS) -> float:
    """Return the mean ECE over labels that are right with exactly the given confidences, shape (samples,)."""
    return float(
        np.mean([_ece(confidence, random.random(len(confidence)) < confidence, bins=bins) for _ in range(draws)])
    )


def _differences(found: Mapping[str, _Found], random: np.random.Generator) -> tuple[ScoreDifference, ...]:
    drawn = drawn_rows(found["committee"].right.shape[1], random)
    others = [kind for kind in ("map", "straight-through") if kind in found]
    return tuple(
        _difference(found["committee"], found[than], than, score, drawn) for than in others for score in JUDGED
    )


def _difference(
    committee: _Found, other: _Found, than: str, score: str, drawn: npt.NDArray[np.intp]
) -> ScoreDifference:
    def less(rows: npt.NDArray[np.intp]) -> float:
        return committee.score(score, rows) - other.score(score, rows)

    low, high = interval(less, drawn)
    return ScoreDifference(than=than, score=score, value=less(np.arange(drawn.shape[1])), low=low, high=high)


def _found(runs: Sequence[Run], against: Sequence[Run], *, drop: float = 0.0, seed: int = 0) -> dict[str, _Found]:
    ours = [_fitted(run, drop, seed) for run in runs]
    found = {kind: _joined([each[kind] for each in ours]) for kind in ("posterior", "committee", "map")}
    if against:
        found["straight-through"] = _joined([_fitted(run, drop, seed)["map"] for run in against])
    return found


def _joined(each: Sequence[tuple[Floats, Floats, Floats, Floats]]) -> _Found:
    return _Found(*(np.stack(part) for part in zip(*each, strict=True)))


def _fitted(run: Run, drop: float, seed: int) -> dict[str, tuple[Floats, Floats, Floats, Floats]]:
    """Return what each test sample says, by kind, at the temperature fitted on the validation part."""
    # Latent weights are all of one network.
    members = 1 if run.recipe.posterior.family == _FAMILY else run.recipe.training.members
    spikes = run.test.spikes
    if drop > 0:
        spikes = thinned(spikes, np.arange(len(spikes)), drop=drop, seed=seed, epoch=0)
    validation, test = (
        collapsed_predictions(run.model, part, members=members) for part in (run.validation.spikes, spikes)
    )
    return {
        kind: _samples(heated(each, fit_temperature(validation[kind], run.validation.labels)), run.test.labels)
        for kind, each in test.items()
    }


def _samples(probabilities: Probabilities, labels: Labels) -> tuple[Floats, Floats, Floats, Floats]:
    own = probabilities[np.arange(len(labels)), labels]
    right = (probabilities.argmax(axis=1) == labels).astype(np.float64)
    brier = ((probabilities - np.eye(probabilities.shape[1])[labels]) ** 2).sum(axis=1)
    return probabilities.max(axis=1), right, -np.log(np.maximum(own, FLOOR)), brier


def _ece(confidence: Floats, right: npt.NDArray[Any], *, bins: int = BINS) -> float:
    """Return the ECE as :func:`bitspike.train.calibration.calibration` has it."""
    index = bin_of(confidence, bins)
    off = np.bincount(index, weights=confidence - right, minlength=bins)
    return float(np.abs(off).sum()) / len(confidence)

"""What the bench of accuracy found: means and spreads, the collapse gap, and whether what was asked for holds."""

import io
import statistics
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bitspike.train.paired import AccuracyDifference, ScoreDifference, accuracy_difference, right_samples

WITHIN, GAP = 0.02, 0.005
"""Points below full precision, and of collapse gap, that the most probable bits may cost."""
_ROUNDING = 1e-9
_NAMES = {"map": "most probable bits", "posterior": "posterior", "committee": "committee"}
Scores = dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One side trained with one seed.

    Attributes:
        side: its name.
        seed: of the run.
        raw: accuracy, NLL, ECE and Brier score on the test part, by kind of prediction; a side that is one network has
            the kind ``map`` alone.
        fitted: the same at the temperature fitted on the validation part.
        wrong: rows of the test part that are classified wrong, by kind.
        samples: of the test part.
        temperature: that temperature, by kind.
        validation: accuracies on the validation part, by kind.
        seconds: of training.
        weight_bits: that hold all weights, without biases.
        members: networks in the posterior's average and in the committee.
    """

    side: str
    seed: int
    raw: dict[str, Scores]
    fitted: dict[str, Scores]
    wrong: dict[str, list[int]]
    samples: int
    temperature: dict[str, float]
    validation: dict[str, float]
    seconds: float
    weight_bits: int
    members: dict[str, int]

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class Condition:
    """One thing that was asked for, whether it holds, and the figures that say so."""

    name: str
    holds: bool
    figures: str

    def __str__(self) -> str:
        return f"{'holds' if self.holds else 'FAILS':<6} {self.name}: {self.figures}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """One candidate: the values of a side, its accuracy on the validation part, and whether it was taken."""

    side: str
    values: dict[str, float]
    validation: float
    taken: bool

    def __str__(self) -> str:
        values = ", ".join(f"{key} {value:g}" for key, value in self.values.items())
        return f"{'taken' if self.taken else 'tried':<6} {self.side}, {values}: {self.validation:.2%} on validation"


@dataclass(frozen=True, kw_only=True)
class AccuracyBench:
    """What was measured; see :mod:`bitspike.train.bench_accuracy`.

    Attributes:
        recipe: its name.
        data: name of the data set.
        outcomes: one a side and seed.
        trials: the search for the other sides' values, where there was one.
        calibration: fitted NLL and Brier score of the committee less those of the other networks of one-bit weights.
    """

    recipe: str
    data: str
    outcomes: tuple[Outcome, ...]
    trials: tuple[Trial, ...] = ()
    calibration: tuple[ScoreDifference, ...] = ()

    @property
    def sides(self) -> tuple[str, ...]:
        """In the order in which they ran."""
        return tuple(dict.fromkeys(one.side for one in self.outcomes))

    @property
    def seeds(self) -> tuple[int, ...]:
        """In the order in which they ran."""
        return tuple(dict.fromkeys(one.seed for one in self.outcomes))

    def kinds(self, side: str) -> tuple[str, ...]:
        """Return the kinds of prediction of a side."""
        return tuple(self._of(side)[0].raw)

    def values(self, side: str, kind: str, score: str, *, fitted: bool = False) -> tuple[float, ...]:
        """Return one score of each seed."""
        return tuple((one.fitted if fitted else one.raw)[kind][score] for one in self._of(side))

    def mean(self, side: str, kind: str, score: str, *, fitted: bool = False) -> float:
        """Return a score's mean over the seeds."""
        return statistics.fmean(self.values(side, kind, score, fitted=fitted))

    @property
    def gaps(self) -> tuple[float, ...]:
        """Collapse gap of each seed: accuracy of the posterior less that of the most probable bits."""
        if "bitspike" not in self.sides:
            return ()
        pairs = zip(self.values("bitspike", "posterior", "accuracy"), self._map_accuracies(), strict=True)
        return tuple(posterior - most_probable for posterior, most_probable in pairs)

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """What was asked for, as far as the sides that ran can tell."""
        if "bitspike" not in self.sides:
            return ()
        found = [_gap(self.gaps)]
        if "snntorch" in self.sides:
            less, figures = self._against("snntorch")
            name = "most probable bits within 2 points of snnTorch"
            found.append(Condition(name=name, holds=less >= -WITHIN - _ROUNDING, figures=figures))
        if "straight-through" in self.sides:
            less, figures = self._against("straight-through")
            name = "most probable bits better than straight-through"
            found.append(Condition(name=name, holds=less > 0, figures=figures))
        for fitted in (False, True):
            found.append(self._calibrated("bitspike", "the most probable bits", fitted=fitted))
            if "straight-through" in self.sides:
                found.append(self._calibrated("straight-through", "straight-through", fitted=fitted))
        return tuple(found)

    @property
    def differences(self) -> tuple[AccuracyDifference, ...]:
        """The collapse gap, and what the most probable bits have more than the other sides, with intervals."""
        if "bitspike" not in self.sides:
            return ()
        ours = self._right("bitspike", "map")
        found = [accuracy_difference("posterior", self._right("bitspike", "posterior"), _NAMES["map"], ours)]
        others = (side for side in self.sides if side != "bitspike")
        found += [accuracy_difference(_NAMES["map"], ours, side, self._right(side, "map")) for side in others]
        return tuple(found)

    def as_json(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return {
            "recipe": self.recipe,
            "data": self.data,
            "seeds": list(self.seeds),
            "summary": {side: self._summary(side) for side in self.sides},
            "gaps": list(self.gaps),
            "differences": [asdict(one) for one in self.differences],
            "calibration": [asdict(one) for one in self.calibration],
            "conditions": [asdict(one) for one in self.conditions],
            "trials": [asdict(one) for one in self.trials],
            "runs": [one.as_json() for one in self.outcomes],
        }

    def __str__(self) -> str:
        from rich import box
        from rich.console import Console
        from rich.table import Table

        seeds = ", ".join(map(str, self.seeds))
        title = f"{self.recipe} on {self.data}, test part: mean and deviation over seeds {seeds}"
        table = Table(title=title, box=box.SIMPLE, padding=(0, 1))
        for heading in ("", "accuracy %", "ECE %", "fitted ECE %", "NLL", "fitted NLL", "train s", "weight bits"):
            table.add_column(heading, justify="right" if heading else "left", no_wrap=True)
        for side in self.sides:
            for kind in self.kinds(side):
                table.add_row(*self._row(side, kind))
        console = Console(file=io.StringIO(), width=140, color_system=None)
        with console.capture() as printed:
            console.print(table)
        told = map(str, (*self.differences, *self.calibration))
        return "\n".join([printed.get().rstrip(), *map(str, self.trials), *map(str, self.conditions), *told])

    def _row(self, side: str, kind: str) -> Iterable[str]:
        one = self._of(side)[0]
        name = side if len(one.raw) == 1 else f"{side}, {_NAMES[kind]}"
        if kind in one.members:
            name += f" of {one.members[kind]}"
        yield name
        for score, fitted, scale in (
            ("accuracy", False, 100), ("ece", False, 100), ("ece", True, 100), ("nll", False, 1), ("nll", True, 1),
        ):  # fmt: skip
            yield _spread([scale * value for value in self.values(side, kind, score, fitted=fitted)])
        yield f"{statistics.fmean(each.seconds for each in self._of(side)):.1f}"
        yield str(one.weight_bits * one.members.get(kind, 1))

    def _summary(self, side: str) -> dict[str, Any]:
        of = self._of(side)
        scores: dict[str, Any] = {
            kind: {
                key: {
                    score: _mean_and_deviation(self.values(side, kind, score, fitted=key == "fitted"))
                    for score in ("accuracy", "nll", "ece", "brier")
                }
                for key in ("raw", "fitted")
            }
            for kind in self.kinds(side)
        }
        return {**scores, "seconds": statistics.fmean(one.seconds for one in of), "weight_bits": of[0].weight_bits}

    def _calibrated(self, side: str, name: str, *, fitted: bool) -> Condition:
        ours = self.mean("bitspike", "committee", "ece", fitted=fitted)
        theirs = self.mean(side, "map", "ece", fitted=fitted)
        when = "fitted " if fitted else ""
        return Condition(
            name=f"the committee's {when}ECE below that of {name}",
            holds=ours < theirs,
            figures=f"{ours:.2%} against {theirs:.2%}",
        )

    def _against(self, side: str) -> tuple[float, str]:
        """Return the mean by which the most probable bits are better than a side, and the figures."""
        ours, theirs = self._map_accuracies(), self.values(side, "map", "accuracy")
        points = _spread([100 * (one - other) for one, other in zip(ours, theirs, strict=True)], sign="+")
        means = statistics.fmean(ours), statistics.fmean(theirs)
        return means[0] - means[1], f"{means[0]:.2%} against {means[1]:.2%}, {points} points seed by seed"

    def _map_accuracies(self) -> tuple[float, ...]:
        return self.values("bitspike", "map", "accuracy")

    def _right(self, side: str, kind: str) -> npt.NDArray[np.float64]:
        """Return which test samples are right in each run, (seeds, samples)."""
        of = self._of(side)
        return right_samples([one.wrong[kind] for one in of], of[0].samples)

    def _of(self, side: str) -> list[Outcome]:
        return [one for one in self.outcomes if one.side == side]


def _gap(gaps: tuple[float, ...]) -> Condition:
    each = ", ".join(f"{100 * gap:+.2f}" for gap in gaps)
    return Condition(
        name="collapse gap at most 0.5 points in the mean",
        holds=statistics.fmean(gaps) <= GAP + _ROUNDING,
        figures=f"posterior less most probable bits {100 * statistics.fmean(gaps):+.2f} points; seed by seed {each}",
    )


def _mean_and_deviation(values: Iterable[float]) -> dict[str, float | None]:
    found = list(values)
    return {"mean": statistics.fmean(found), "deviation": statistics.stdev(found) if len(found) > 1 else None}


def _spread(values: list[float], *, sign: str = "") -> str:
    mean = f"{statistics.fmean(values):{sign}.2f}"
    return mean if len(values) == 1 else f"{mean} ± {statistics.stdev(values):.2f}"

"""Energy against accuracy and calibration of a trained run: fewer steps, smaller committees, pruned weights.

Of one run every combination is measured on its own: the window is cut to its first steps; a committee of K members is
the first K that ``bitspike collapse --members`` writes, and 1 member is the most probable bits; and of all weights the
share whose posterior mean is nearest to 0 is set to 0, without training after it. Pruned weights are not stored, so
that their operations cost nothing. Each combination has a temperature of its own, fitted on the validation part, so
that none looks badly calibrated only because its read-outs are of another size.
"""

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bitspike.convert.collapse import collapse
from bitspike.convert.network import IntegerNetwork
from bitspike.errors import UsageError
from bitspike.files import replacing
from bitspike.samples import SpikeData
from bitspike.sim.committee_energy import price_committee
from bitspike.sim.count_run import records
from bitspike.sim.counts import Counts, count
from bitspike.sim.counts_combined import joined, without_zeros
from bitspike.sim.placed import CountedRun
from bitspike.targets.prices import PriceList, price_list

if TYPE_CHECKING:
    from bitspike.train import Run
    from bitspike.train.model import SpikingNetwork

Notify = Callable[[str, int, int], None]
Scores = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """One combination, on the test part.

    Attributes:
        run: the recipe's name and its seed.
        steps, members, pruned: what was varied; `pruned` is the share of all weights that were set to 0.
        operations: synaptic operations of an answer, mean.
        energy_nj: nominal, mean.
        member_sd_nj, member_low_nj, member_high_nj: of one member's share of it, over the members: standard deviation,
            5th and 95th percentile.
        accuracy, ece, nll: of the answers, at the fitted temperature.
        best_accuracy, best_ece: whether no other point of the run takes less energy and is as good, or as much and is
            better.
    """

    run: str
    steps: int
    members: int
    pruned: float
    operations: float
    energy_nj: float
    member_sd_nj: float
    member_low_nj: float
    member_high_nj: float
    accuracy: float
    ece: float
    nll: float
    best_accuracy: bool = False
    best_ece: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Pareto:
    """All points; prints as a table, the best of them marked.

    Attributes:
        prices: the names of the price lists.
        samples: of each part; None for all of them.
        unpriced: what has no price in any of them, see :class:`bitspike.sim.estimate.Energy`.
        points: run by run.
    """

    prices: str
    samples: int | None
    unpriced: tuple[str, ...]
    points: tuple[Point, ...]

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)

    def write_csv(self, path: Path) -> None:
        """Write a row a point."""
        with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
            table = csv.DictWriter(file, list(asdict(self.points[0])), lineterminator="\n")
            table.writeheader()
            table.writerows(asdict(point) for point in self.points)

    def __str__(self) -> str:
        partial = f"; not included: {', '.join(self.unpriced)}" if self.unpriced else ""
        head = f"{'run':<20} {'steps':>5} {'members':>7} {'pruned':>6} {'operations':>13} {'nJ':>12}"
        lines = [
            f"test part, energy by {self.prices}{partial}",
            "a: no point of the run has more accuracy for less energy; e: none a smaller ECE",
            f"{head} {'accuracy':>8} {'ECE':>7}",
        ]
        for p in self.points:
            mark = ("a" if p.best_accuracy else "") + ("e" if p.best_ece else "")
            lines.append(
                f"{p.run:<20} {p.steps:>5} {p.members:>7} {p.pruned:>6.0%} {p.operations:>13,.1f} "
                f"{p.energy_nj:>12,.1f} {p.accuracy:>8.2%} {p.ece:>7.4f} {mark}"
            )
        return "\n".join(lines)


@dataclass(frozen=True, kw_only=True, slots=True)
class Grid:
    """What is combined.

    Attributes:
        steps: lengths of the window; without any, a quarter, a half and all of it.
        members: sizes of committees; 1 is the most probable bits.
        pruned: shares of all weights, from 0 to below 1.
    """

    steps: tuple[int, ...] = ()
    members: tuple[int, ...] = (1, 2, 4)
    pruned: tuple[float, ...] = (0.0, 0.25, 0.5)

    def __post_init__(self) -> None:
        if min(self.members, default=0) < 1 or not self.pruned or not all(0 <= share < 1 for share in self.pruned):
            raise UsageError(
                f"members {self.members}, pruned {self.pruned}; "
                "expected sizes of 1 or more, and shares from 0 to below 1"
            )

    def windows(self, whole: int) -> tuple[int, ...]:
        """Lengths for a network with a window of `whole` steps."""
        found = self.steps or tuple(dict.fromkeys(max(1, whole // part) for part in (4, 2, 1)))
        if min(found) < 1 or max(found) > whole:
            raise UsageError(f"steps {found}; expected 1 to {whole}, the window of the run")
        return found


def bench_pareto(
    runs: "Sequence[Run]",
    *,
    grid: Grid | None = None,
    prices: PriceList | None = None,
    samples: int | None = None,
    notify: Notify | None = None,
) -> Pareto:
    """Measure every combination of each run.

    Args:
        runs: trained ones.
        grid: what is combined.
        prices: by default those of Loihi 1.
        samples: the first so many of the validation and of the test part; all by default.
        notify: is called with what is measured, its number and how many there are.
    """
    if not runs:
        raise UsageError("pareto: found no runs; expected one or more")
    wanted, chosen = Grid() if grid is None else grid, price_list() if prices is None else prices
    points: list[Point] = []
    unpriced: set[str] = set()
    for run in runs:
        measured = _Measured(run, wanted, chosen, samples)
        points += _marked(list(measured.points(notify)))
        unpriced |= measured.unpriced
    return Pareto(prices=chosen.name, samples=samples, unpriced=tuple(sorted(unpriced)), points=tuple(points))


class _Pruned:
    """A trained model with the weights that it is least sure of at 0; for :func:`bitspike.convert.collapse.collapse`.

    The mean of a weight of -1 and +1 is near 0 where either is as likely, of 0 and 1 where it is hardly ever set, and
    of an integer where it is small.
    """

    def __init__(self, model: "SpikingNetwork", share: float) -> None:
        self._model = model
        means = {name: np.abs(one.means(1.0).detach().cpu().numpy()) for name, one in model.posteriors().items()}
        ordered = np.sort(np.concatenate([mean.ravel() for mean in means.values()]))
        least = ordered[int(share * len(ordered))] if share else -1.0
        self._kept = {name: mean >= least for name, mean in means.items()}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def map_bits(self) -> dict[str, Any]:
        return self._cut(self._model.map_bits())

    def sample_bits(self, seed: int) -> dict[str, Any]:
        return self._cut(self._model.sample_bits(seed))

    def _cut(self, bits: Mapping[str, Any]) -> dict[str, Any]:
        return {name: matrix * self._kept[name] for name, matrix in bits.items()}


class _Measured:
    """All points of one run."""

    def __init__(self, run: "Run", grid: Grid, prices: PriceList, samples: int | None) -> None:
        self.run, self.grid, self.prices = run, grid, prices
        self.windows = grid.windows(run.model.steps)
        self.validation, self.test = (
            part if samples is None else part.first(samples) for part in (run.validation, run.test)
        )
        self.unpriced: set[str] = set()

    def points(self, notify: Notify | None) -> Iterator[Point]:
        """Every combination, the cheap ones first."""
        combinations = [(share, steps) for share in self.grid.pruned for steps in self.windows]
        for number, (share, steps) in enumerate(combinations):
            if notify is not None:
                notify(f"{self.run.recipe.name}, {steps} steps, {share:.0%} pruned", number, len(combinations))
            networks = [replace(one, steps=steps) for one in self._networks(share)]
            alone, *committee = [self._answers(one, steps) for one in networks]
            for members in self.grid.members:
                answering = [alone] if members == 1 else committee[:members]
                yield self._point(answering, steps=steps, share=share)

    def _networks(self, share: float) -> list[IntegerNetwork]:
        """The most probable bits, and as many members as the largest committee has."""
        model: Any = _Pruned(self.run.model, share)
        most = max(self.grid.members)
        members = list(collapse(model, "committee", members=most)) if most > 1 else []
        return [collapse(model, "map"), *members]

    def _answers(self, network: IntegerNetwork, steps: int) -> tuple[Counts, Scores, Scores]:
        """Counts of the test part, and the read-outs of the validation and the test part."""
        scores = [record.scores(network) for record in records(network, _cut(self.validation, steps))]
        counts, tested = [], []
        for record in records(network, _cut(self.test, steps)):
            counts.append(count(network, record))
            tested.append(record.scores(network))
        return without_zeros(joined(counts)), np.concatenate(scores), np.concatenate(tested)

    def _point(self, answering: Sequence[tuple[Counts, Scores, Scores]], *, steps: int, share: float) -> Point:
        from bitspike.train.calibration import calibration, softmax
        from bitspike.train.temperature import fit_temperature, heated

        counted = [counts for counts, _, _ in answering]
        priced = price_committee([CountedRun(counts=one) for one in counted], self.prices)
        estimate, over = priced.whole, priced.over_members
        self.unpriced |= set(estimate.unpriced)
        validation, test = (
            softmax(self.run.model.logits(np.sum(scores, axis=0)) / len(answering))
            for scores in ([one[1] for one in answering], [one[2] for one in answering])
        )
        temperature = fit_temperature(validation, self.validation.labels)
        scored = calibration(heated(test, temperature), self.test.labels)
        return Point(
            run=f"{self.run.recipe.name} seed {self.run.recipe.seed}",
            steps=steps,
            members=len(answering),
            pruned=share,
            operations=float(estimate.counts.total("synaptic_operations").mean()),
            energy_nj=estimate.nominal_nj,
            member_sd_nj=over["sd_nj"],
            member_low_nj=over["p5_nj"],
            member_high_nj=over["p95_nj"],
            accuracy=scored.accuracy,
            ece=scored.ece,
            nll=scored.nll,
        )


def _cut(data: SpikeData, steps: int) -> SpikeData:
    return replace(data, spikes=data.spikes[:, :steps])


def _marked(points: Sequence[Point]) -> list[Point]:
    """The points, with those marked that no other beats; less energy first."""
    return [
        replace(
            p,
            best_accuracy=not any(_beats((q.energy_nj, -q.accuracy), (p.energy_nj, -p.accuracy)) for q in points),
            best_ece=not any(_beats((q.energy_nj, q.ece), (p.energy_nj, p.ece)) for q in points),
        )
        for p in points
    ]


def _beats(one: tuple[float, float], other: tuple[float, float]) -> bool:
    """Whether `one` is nowhere larger than `other`, and somewhere smaller."""
    return one != other and one[0] <= other[0] and one[1] <= other[1]

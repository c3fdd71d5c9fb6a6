"""What an estimate of energy says: terms with their prices, ranges and spread, what moves it, what it leaves out."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bitspike.sim.counts import Counts
from bitspike.sim.traffic import Hops
from bitspike.targets.prices import GRADES, GROUPS, Price

if TYPE_CHECKING:
    from bitspike.sim.baselines import Baseline

#: What no list of prices is about.
OUTSIDE = ("encoding of the input and transfer to and from the chip", "loading the weights")
#: How far a price without a range is moved, either way, to see what it does to the total.
MARGIN = 0.1

PerSampleReal = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Placed:
    """What a partition and a placement say of a run.

    Attributes:
        hops: of its messages.
        cores, chips: in use.
        step_time_us: of the busiest core; None where nobody bounded it.
    """

    hops: Hops
    cores: int
    chips: int = 1
    step_time_us: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Term:
    """One term of the sum, mean per inference.

    Attributes:
        group: one of :data:`bitspike.targets.prices.GROUPS`.
        event, label: what was counted; static power in core microseconds.
        events: how many.
        low_nj, nominal_nj, high_nj: at the low, nominal and high price. An update is active where the neuron spiked or
            holds a current or a membrane after it; low prices all as inactive, and high all as active.
        price: the price, with its source.
    """

    group: str
    event: str
    label: str
    events: float
    low_nj: float
    nominal_nj: float
    high_nj: float
    price: Price


@dataclass(frozen=True, kw_only=True, slots=True)
class Sensitivity:
    """How far one price moves the total: through its own range, and by a tenth either way at least.

    Attributes:
        label: of the events that it prices.
        share: of the nominal total.
        low_nj, high_nj: the total with this price alone moved.
    """

    label: str
    share: float
    low_nj: float
    high_nj: float


@dataclass(frozen=True, kw_only=True, slots=True, eq=False, repr=False)
class Energy:
    """The energy of one inference in nanojoules.

    Attributes:
        network, chip, prices: what was priced, on what, and the names of the price lists.
        per_sample_nj: the nominal figure of each sample.
        low_nj, nominal_nj, high_nj: means over the samples.
        terms: what they are the sums of.
        step_time_us: length of a step; None where nobody said it, and then no static power is priced.
        cores: in use; None without a placement.
        whole_chip_nj: the nominal figure with the static power of whole chips instead of the cores used; None where it
            is not known.
        unpriced: what was counted, or is known to happen, and has no price here.
        counts: what the figures were computed from.
    """

    network: str
    chip: str
    prices: str
    per_sample_nj: PerSampleReal
    low_nj: float
    nominal_nj: float
    high_nj: float
    terms: tuple[Term, ...]
    step_time_us: float | None
    cores: int | None
    whole_chip_nj: float | None
    unpriced: tuple[str, ...]
    counts: Counts

    @property
    def partial(self) -> bool:
        """Whether something that the chip does has no price in the total."""
        return bool(self.unpriced)

    @property
    def not_included(self) -> tuple[str, ...]:
        """What has no price here, and what no estimate of the chip alone has."""
        return self.unpriced + OUTSIDE

    @property
    def grade(self) -> str:
        """The least trustworthy grade of a term."""
        return max((term.price.grade for term in self.terms), key=GRADES.index, default=GRADES[-1])

    @property
    def sd_nj(self) -> float:
        """Standard deviation over the samples; 0 for one sample."""
        return float(self.per_sample_nj.std(ddof=1)) if len(self.per_sample_nj) > 1 else 0.0

    @property
    def percentiles_nj(self) -> tuple[float, float]:
        """The 5th and the 95th percentile over the samples."""
        low, high = np.percentile(self.per_sample_nj, (5, 95))
        return float(low), float(high)

    @property
    def groups(self) -> dict[str, tuple[float, float, float]]:
        """Low, nominal and high by group, of the groups that have a term."""
        return {
            group: (sum(t.low_nj for t in found), sum(t.nominal_nj for t in found), sum(t.high_nj for t in found))
            for group in GROUPS
            if (found := [t for t in self.terms if t.group == group])
        }

    @property
    def sensitivity(self) -> tuple[Sensitivity, ...]:
        """Every price, the one that moves the total most first."""
        found = [self._moved(term) for term in self.terms]
        return tuple(sorted(found, key=lambda s: s.low_nj - s.high_nj))

    def _moved(self, term: Term) -> Sensitivity:
        unit, price = term.nominal_nj / term.price.nominal if term.price.nominal else 0.0, term.price
        down = max(unit * (price.nominal - price.low), MARGIN * term.nominal_nj)
        up = max(unit * (price.high - price.nominal), MARGIN * term.nominal_nj)
        return Sensitivity(
            label=term.label,
            share=term.nominal_nj / self.nominal_nj if self.nominal_nj else 0.0,
            low_nj=self.nominal_nj - down,
            high_nj=self.nominal_nj + up,
        )

    @property
    def baselines(self) -> "tuple[Baseline, ...]":
        """This network and others of its shape on one 45 nm process; see :mod:`bitspike.sim.baselines`."""
        from bitspike.sim.baselines import baselines

        return baselines(self.counts)

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        plain = ("network", "chip", "prices", "low_nj", "nominal_nj", "high_nj", "sd_nj", "step_time_us", "cores")
        return {
            **{name: getattr(self, name) for name in plain},
            "samples": self.counts.samples,
            "steps": self.counts.steps,
            "grade": self.grade,
            "partial": self.partial,
            "percentiles_nj": dict(zip(("5", "95"), self.percentiles_nj, strict=True)),
            "whole_chip_nj": self.whole_chip_nj,
            "groups": {
                g: dict(zip(("low_nj", "nominal_nj", "high_nj"), v, strict=True)) for g, v in self.groups.items()
            },
            "terms": [asdict(term) for term in self.terms],
            "sensitivity": [asdict(one) for one in self.sensitivity],
            "not_included": list(self.not_included),
            "baselines": [asdict(one) for one in self.baselines],
        }

    def __str__(self) -> str:
        from bitspike.sim.energy_text import text_of

        return text_of(self)

    def __repr__(self) -> str:
        partial = ", partial" if self.partial else ""
        return f"<Energy of {self.network} on {self.chip}: {self.nominal_nj:,.1f} nJ{partial}>"

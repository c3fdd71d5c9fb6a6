"""The energy of one inference: exact counts times published prices, with what is left out."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bitspike.convert.network import IntegerNetwork
from bitspike.samples import SpikeData
from bitspike.sim.count_run import count_run
from bitspike.sim.counts import Counts
from bitspike.targets.prices import PriceList, price_list

#: Said where graded spikes were sent.
PAYLOADS = "payloads of graded spikes (they are counted and priced as binary ones)"
NOT_INCLUDED = (
    "hops between cores (they depend on placement)",
    "static power",
    "barrier synchronisation",
    "encoding of the input and transfer to and from the chip",
    "loading the weights",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Term:
    """One term of the sum, mean per inference: how many events, at what price, in nanojoules."""

    term: str
    events: float
    energy_nj: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Energy:
    """The energy of one inference in nanojoules.

    Attributes:
        chip, prices, grade, source, conditions: whose prices, how they were obtained, and where they stand.
        samples, steps: over how many inferences the mean was taken, and how long each is.
        nominal_nj: mean; an update is active where the neuron spiked or holds a current or membrane after it.
        low_nj, high_nj: the mean with all updates priced as inactive, and as active.
        sd_nj: standard deviation over the samples, of the nominal figure.
        terms: the breakdown of the nominal figure.
        partial: always True today: see `not_included`.
        counts: what the figures were computed from.
    """

    chip: str
    prices: str
    grade: str
    source: str
    conditions: str
    samples: int
    steps: int
    nominal_nj: float
    low_nj: float
    high_nj: float
    sd_nj: float
    terms: tuple[Term, ...]
    partial: bool
    not_included: tuple[str, ...]
    counts: Counts

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        names = [name for name in self.__slots__ if name not in ("counts", "terms")]
        return {
            **{name: getattr(self, name) for name in names},
            "not_included": list(self.not_included),
            "terms": [asdict(term) for term in self.terms],
        }

    def __str__(self) -> str:
        rows = [f"  {t.term:<28} {t.events:>14,.1f} {t.energy_nj:>12,.2f} nJ" for t in self.terms]
        return "\n".join(
            [
                str(self.counts),
                f"energy of one inference on {self.chip}, prices {self.prices} ({self.grade}; {self.conditions}):",
                *rows,
                f"  in all {self.nominal_nj:,.1f} nJ, sd over samples {self.sd_nj:,.1f}, "
                f"range {self.low_nj:,.1f} to {self.high_nj:,.1f} (all updates inactive, all active)",
                f"  not included: {'; '.join(self.not_included)}",
                f"  source: {self.source}",
            ]
        )


def energy(
    network: IntegerNetwork,
    *,
    data: SpikeData,
    chip: str = "loihi1",
    prices: str | None = None,
    engine_name: str = "fast",
) -> Energy:
    """Run `network` on `data`, count, and price one inference on `chip`.

    Raises:
        UsageError: where no prices of that chip are published; :func:`bitspike.sim.count_run.count_run` counts all the
            same.
    """
    chosen = price_list(chip, prices)
    return price(count_run(network, data=data, engine_name=engine_name), chosen)


def price(counts: Counts, prices: PriceList) -> Energy:
    """The energy of `counts` at `prices`; events without a price are listed as not included."""
    inactive = counts.total("updates") - counts.total("active_updates")
    events = {
        "synaptic_operation": ("synaptic operations", counts.total("synaptic_operations")),
        "active_update": ("neuron updates, active", counts.total("active_updates")),
        "inactive_update": ("neuron updates, inactive", inactive),
        "spike": ("spikes sent", counts.total("spikes")),
        "message": ("messages within a tile", counts.messages),
    }
    terms, unpriced = [], []
    per_sample: npt.NDArray[np.float64] = np.zeros(counts.samples)
    for event, (label, numbers) in events.items():
        unit = prices.energy_pj(event)
        if unit is None:
            unpriced.append(f"{label} (this source prices none)")
            continue
        terms.append(Term(term=label, events=float(numbers.mean()), energy_nj=float(numbers.mean()) * unit / 1000))
        per_sample = per_sample + numbers * (unit / 1000)
    nominal = float(per_sample.mean())
    step = ((prices.energy_pj("active_update") or 0.0) - (prices.energy_pj("inactive_update") or 0.0)) / 1000
    return Energy(
        chip=prices.chip,
        prices=prices.name,
        grade=prices.grade,
        source=prices.source,
        conditions=prices.conditions,
        samples=counts.samples,
        steps=counts.steps,
        nominal_nj=nominal,
        low_nj=nominal - step * float(counts.total("active_updates").mean()),
        high_nj=nominal + step * float(inactive.mean()),
        sd_nj=float(per_sample.std(ddof=1)) if counts.samples > 1 else 0.0,
        terms=tuple(terms),
        partial=True,
        not_included=(*unpriced, *([PAYLOADS] if counts.graded_messages.any() else []), *NOT_INCLUDED),
        counts=counts,
    )

"""The energy of a committee: all members answer each sample."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bitspike.convert.network import IntegerNetwork
from bitspike.errors import UsageError
from bitspike.samples import SpikeData
from bitspike.sim.counts_combined import together
from bitspike.sim.energy import price_run
from bitspike.sim.energy_text import text_of
from bitspike.sim.estimate import Energy, Term
from bitspike.sim.placed import CountedRun, counted_run
from bitspike.targets.prices import PriceList, price_list


@dataclass(frozen=True, kw_only=True, slots=True, eq=False, repr=False)
class CommitteeEnergy:
    """The energy of one answer of a committee.

    Attributes:
        whole: that of all members together.
        members: that of each alone.
    """

    whole: Energy
    members: tuple[Energy, ...]

    @property
    def nominal_nj(self) -> float:
        """Of all members, mean over the samples."""
        return self.whole.nominal_nj

    @property
    def over_members(self) -> dict[str, float]:
        """Mean, standard deviation and 5th and 95th percentile of the members' nominal figures."""
        figures = np.array([member.nominal_nj for member in self.members])
        low, high = np.percentile(figures, (5, 95))
        sd = float(figures.std(ddof=1)) if len(figures) > 1 else 0.0
        return {"mean_nj": float(figures.mean()), "sd_nj": sd, "p5_nj": float(low), "p95_nj": float(high)}

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values: those of the whole, and over the members."""
        members = [member.nominal_nj for member in self.members]
        return {**self.whole.as_json(), "members": members, "over_members": self.over_members}

    def __str__(self) -> str:
        over = self.over_members
        line = (
            f"{len(self.members)} members, all of which run; one alone takes {over['mean_nj']:,.1f} nJ, standard "
            f"deviation over members {over['sd_nj']:,.1f} nJ, 5th to 95th percentile {over['p5_nj']:,.1f} to "
            f"{over['p95_nj']:,.1f} nJ"
        )
        return f"{line}\n{text_of(self.whole, counts=False)}"

    def __repr__(self) -> str:
        return f"<CommitteeEnergy of {len(self.members)} members: {self.nominal_nj:,.1f} nJ>"


def committee_energy(
    members: Sequence[IntegerNetwork],
    *,
    data: SpikeData,
    chip: str | None = None,
    prices: str | Sequence[str] | None = None,
    engine_name: str = "fast",
    step_time_us: float | None = None,
    sparse: bool = False,
    place: bool = True,
) -> CommitteeEnergy:
    """Run all `members` on `data`, count, and price one answer; see :func:`bitspike.sim.energy.energy`."""
    chosen = price_list(chip, prices)
    runs = [counted_run(m, data=data, chip=chosen.chip, engine_name=engine_name, place=place) for m in members]
    return price_committee(runs, chosen, step_time_us=step_time_us, sparse=sparse)


def price_committee(
    runs: Sequence[CountedRun], prices: PriceList, *, step_time_us: float | None = None, sparse: bool = False
) -> CommitteeEnergy:
    """The energy of members that ran on the same samples."""
    if not runs:
        raise UsageError("committee: found no members; expected one or more")
    members = tuple(price_run(run, prices, step_time_us=step_time_us, sparse=sparse) for run in runs)
    return CommitteeEnergy(whole=_whole(members), members=members)


def _whole(members: Sequence[Energy]) -> Energy:
    """The sum of all members. Static power counts while a member runs, and for its cores: at once or in turn alike."""
    events = dict.fromkeys(term.event for member in members for term in member.terms)
    name = f"{len(members)} members"
    return Energy(
        network=name,
        chip=members[0].chip,
        prices=members[0].prices,
        per_sample_nj=np.sum([m.per_sample_nj for m in members], axis=0),
        low_nj=sum(m.low_nj for m in members),
        nominal_nj=sum(m.nominal_nj for m in members),
        high_nj=sum(m.high_nj for m in members),
        terms=tuple(_term([t for m in members for t in m.terms if t.event == event]) for event in events),
        step_time_us=_total([m.step_time_us for m in members], np.mean),
        cores=_total([m.cores for m in members], np.sum),
        whole_chip_nj=_total([m.whole_chip_nj for m in members], np.sum),
        unpriced=tuple(dict.fromkeys(one for m in members for one in m.unpriced)),
        counts=together([m.counts for m in members], name=name),
    )


def _term(terms: Sequence[Term]) -> Term:
    sums = {name: sum(getattr(term, name) for term in terms) for name in ("events", "low_nj", "nominal_nj", "high_nj")}
    return replace(terms[0], **sums)


def _total(figures: Sequence[Any], reduce: Callable[..., Any]) -> Any:
    """All figures in one; None where a member has none."""
    return None if any(figure is None for figure in figures) else reduce(figures).item()

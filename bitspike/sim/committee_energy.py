"""The energy of a committee: all members answer each sample, one after the other."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bitspike.convert.network import IntegerNetwork
from bitspike.errors import UsageError
from bitspike.samples import SpikeData
from bitspike.sim.count_run import count_run
from bitspike.sim.counts import Counts
from bitspike.sim.counts_combined import together, without_zeros
from bitspike.sim.energy import price
from bitspike.sim.energy_text import text_of
from bitspike.sim.estimate import Energy
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
            f"{len(self.members)} members one after the other; one alone takes {over['mean_nj']:,.1f} nJ, standard "
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
) -> CommitteeEnergy:
    """Run all `members` on `data`, count, and price one answer; see :func:`bitspike.sim.energy.energy`."""
    if not members:
        raise UsageError("committee: found no members; expected one or more")
    chosen = price_list(chip, prices)
    counted = [count_run(member, data=data, engine_name=engine_name) for member in members]
    counted = [without_zeros(one) for one in counted] if sparse else counted
    return price_committee(counted, chosen, step_time_us=step_time_us)


def price_committee(
    counted: Sequence[Counts], prices: PriceList, *, step_time_us: float | None = None
) -> CommitteeEnergy:
    """The energy of members that were counted on the same samples."""
    whole = together(counted, name=f"{len(counted)} members")
    return CommitteeEnergy(
        whole=price(whole, prices, step_time_us=step_time_us),
        members=tuple(price(one, prices, step_time_us=step_time_us) for one in counted),
    )

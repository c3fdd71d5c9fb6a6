"""Published prices of events on chips, as data: how much, from whom, at which node, and how it was obtained.

A price is a range or one figure with its unit, process node, voltage, precision, grade and source; the files beside
this module hold them, and a user's own file has the same form (:mod:`bitspike.targets.prices.reader`). Lists are put
together only by name, and never two that price the same event, so that no sum mixes sources unseen.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from bitspike.errors import UsageError

#: How a figure was obtained, from the most to the least trustworthy.
GRADES = ("measured", "calibrated on silicon", "simulated before silicon", "derived", "illustrative")
#: What an estimate is broken down into, in its order.
GROUPS = ("synapse", "neuron", "routing", "memory", "static", "synchronisation")
#: Units by what they measure, each in the unit that is calculated with: picojoules, nanoseconds, milliwatts.
UNITS: dict[str, dict[str, float]] = {
    "energy": {"fJ": 1e-3, "pJ": 1.0, "nJ": 1e3, "uJ": 1e6},
    "time": {"ps": 1e-3, "ns": 1.0, "us": 1e3, "ms": 1e6},
    "power": {"nW": 1e-6, "uW": 1e-3, "mW": 1.0, "W": 1e3},
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """Something that can have a price.

    Attributes:
        label: for people, in the plural.
        group: one of :data:`GROUPS`, or ``arithmetic``: an operation of which baselines are made.
        quantities: what its price may be: keys of :data:`UNITS`.
    """

    label: str
    group: str
    quantities: tuple[str, ...] = ("energy", "time")


#: All events; a price of anything else is refused. A memory access moves 64 bits.
EVENTS: dict[str, Event] = {
    "synaptic_operation": Event(label="synaptic operations", group="synapse"),
    "synaptic_operation_dense": Event(label="synaptic operations, dense", group="synapse"),
    "synaptic_operation_conv": Event(label="synaptic operations, conv", group="synapse"),
    "synaptic_operation_pool": Event(label="synaptic operations, pool", group="synapse"),
    "synaptic_operation_identity": Event(label="synaptic operations, identity", group="synapse"),
    "active_update": Event(label="neuron updates, active", group="neuron"),
    "inactive_update": Event(label="neuron updates, inactive", group="neuron"),
    "spike": Event(label="spikes sent", group="neuron"),
    "message": Event(label="messages", group="routing"),
    "hop_east_west": Event(label="hops east or west", group="routing"),
    "hop_north_south": Event(label="hops north or south", group="routing"),
    "accumulator_access": Event(label="accesses to accumulators", group="memory"),
    "weight_read": Event(label="accesses to weights", group="memory"),
    "state_read": Event(label="accesses to states, reading", group="memory"),
    "state_write": Event(label="accesses to states, writing", group="memory"),
    "static_core": Event(label="static power of cores used", group="static", quantities=("power",)),
    "static_chip": Event(label="static power of whole chips", group="static", quantities=("power",)),
    "barrier": Event(label="barriers", group="synchronisation"),
    "add_int8": Event(label="additions of 8 bits", group="arithmetic"),
    "add_int16": Event(label="additions of 16 bits", group="arithmetic"),
    "add_int32": Event(label="additions of 32 bits", group="arithmetic"),
    "add_float32": Event(label="float additions", group="arithmetic"),
    "multiply_int8": Event(label="multiplications of 8 bits", group="arithmetic"),
    "multiply_int32": Event(label="multiplications of 32 bits", group="arithmetic"),
    "multiply_float32": Event(label="float multiplications", group="arithmetic"),
    "xnor_popcount": Event(label="products of two bits, counted", group="arithmetic"),
    "access_8kb": Event(label="accesses to 8 kB", group="arithmetic"),
    "access_32kb": Event(label="accesses to 32 kB", group="arithmetic"),
    "access_1mb": Event(label="accesses to 1 MB", group="arithmetic"),
    "access_dram": Event(label="accesses to DRAM", group="arithmetic"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Price:
    """What one event takes.

    Attributes:
        event: a key of :data:`EVENTS`.
        quantity: a key of :data:`UNITS`; the numbers are in picojoules, nanoseconds or milliwatts.
        low, nominal, high: equal where the source gives one figure.
        grade: one of :data:`GRADES`.
        source: where it was published.
        prices: the list that it is from.
        node_nm: process node; None where it is not stated.
        voltage_v: supply; None where it is not stated.
        precision: of what was priced.
        note: what else has to be known.
    """

    event: str
    quantity: str = "energy"
    low: float
    nominal: float
    high: float
    grade: str
    source: str
    prices: str
    node_nm: float | None = None
    voltage_v: float | None = None
    precision: str = ""
    note: str = ""

    @property
    def conditions(self) -> str:
        """Process node and voltage."""
        node = "node not stated" if self.node_nm is None else f"{self.node_nm:g} nm"
        return f"{node}, " + ("voltage not stated" if self.voltage_v is None else f"{self.voltage_v:g} V")


@dataclass(frozen=True, kw_only=True, slots=True)
class PriceList:
    """Prices of one chip, from one file or from several that were named together.

    Attributes:
        name: as the command line takes it.
        chip: whose prices they are.
        title: for people.
        prices: one an event and quantity; an event without one is listed as not included.
        covers: groups whose events need no price of their own, since the prices that there are include them.
    """

    name: str
    chip: str
    title: str
    prices: tuple[Price, ...]
    covers: tuple[str, ...] = ()

    def find(self, event: str, quantity: str = "energy") -> Price | None:
        """The price of `event`, or None; for operations of one kind without a price of their own that of all kinds."""
        found = {(p.event, p.quantity): p for p in self.prices}
        if (event, quantity) in found:
            return found[event, quantity]
        general = "synaptic_operation"
        return found.get((general, quantity)) if event.startswith(f"{general}_") else None

    def energy_pj(self, event: str) -> float | None:
        """Nominal picojoules of one `event`; None where the source gives none."""
        price = self.find(event)
        return None if price is None else price.nominal

    def sources(self) -> tuple[Price, ...]:
        """A price of each list and grade, for its source and conditions."""
        return tuple({(p.prices, p.source, p.grade): p for p in reversed(self.prices)}.values())[::-1]


#: What is taken for a chip where nobody names prices: one list, or one with another source's static power beside it.
DEFAULTS: dict[str, tuple[str, ...]] = {
    "loihi1": ("davies2018", "frady2020"),
    "truenorth": ("merolla2014",),
    "spinnaker": ("spinnaker",),
    "spinnaker2": ("spinnaker2",),
    "digital45": ("horowitz45",),
}


@cache
def price_lists() -> dict[str, PriceList]:
    """The lists that come with bitspike, by name."""
    from bitspike.targets.prices.reader import read_price_list

    files = sorted(Path(__file__).parent.glob("*.toml"))
    return {file.stem: read_price_list(file) for file in files}


def price_list(chip: str | None = None, prices: str | os.PathLike[str] | Sequence[str] | None = None) -> PriceList:
    """The prices to use.

    Args:
        chip: whose; by default that of the prices, or Loihi 1.
        prices: names of lists that come with bitspike, or paths of TOML files; by default those of :data:`DEFAULTS`.

    Raises:
        UsageError: where the chip has no published prices (Loihi 2), a list is of another chip, or two lists price the
            same event.
        FileError: where a file cannot be read, or says something that a price list cannot.
    """
    if prices is None:
        wanted = "loihi1" if chip is None else chip
        if wanted not in DEFAULTS:
            known = " or ".join(DEFAULTS)
            raise UsageError(f"chip {wanted!r}: no published prices per event; expected {known}, or a file of prices")
        return combined([price_lists()[name] for name in DEFAULTS[wanted]])
    names = [prices] if isinstance(prices, str | os.PathLike) else list(prices)
    lists = [_named(name) for name in names]
    for one in lists:
        if chip is not None and one.chip != chip:
            raise UsageError(f"prices {one.name}: of chip {one.chip}; expected prices of chip {chip}")
    return combined(lists)


def combined(lists: Sequence[PriceList]) -> PriceList:
    """Several lists of one chip as one; UsageError where two of them price the same event."""
    if not lists or len({one.chip for one in lists}) > 1:
        found = ", ".join(f"{one.name} of {one.chip}" for one in lists) or "none"
        raise UsageError(f"prices {found}; expected lists of one chip")
    owner: dict[tuple[str, str], str] = {}
    for price in (p for one in lists for p in one.prices):
        key = price.event, price.quantity
        if key in owner:
            raise UsageError(
                f"prices {owner[key]} and {price.prices}: both price {price.event} ({price.quantity}); "
                "expected one source for each event"
            )
        owner[key] = price.prices
    return PriceList(
        name=" + ".join(one.name for one in lists),
        chip=lists[0].chip,
        title=lists[0].title,
        prices=tuple(p for one in lists for p in one.prices),
        covers=tuple(group for group in GROUPS if any(group in one.covers for one in lists)),
    )


def _named(name: str | os.PathLike[str]) -> PriceList:
    from bitspike.targets.prices.reader import read_price_list

    text = os.fspath(name)
    if text in price_lists():
        return price_lists()[text]
    if text.lower().endswith(".toml"):
        return read_price_list(text)
    raise UsageError(f"prices {text!r}; expected {', '.join(price_lists())}, or a file ending in .toml")

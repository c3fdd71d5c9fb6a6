"""Published prices of chip events, with how each was obtained.

A price list never mixes sources: figures of one list were obtained together, at one process node and voltage.
"""

from dataclasses import dataclass

from bitspike.errors import UsageError

#: How a figure was obtained, from the most to the least trustworthy.
GRADES = ("measured", "calibrated on silicon", "simulated before silicon", "derived", "illustrative")


@dataclass(frozen=True, kw_only=True, slots=True)
class Price:
    """The energy of one event.

    Attributes:
        event: ``synaptic_operation``, ``active_update``, ``inactive_update``, ``spike`` or ``message``.
        energy_pj: in picojoules per event.
    """

    event: str
    energy_pj: float


@dataclass(frozen=True, kw_only=True, slots=True)
class PriceList:
    """Prices from one source.

    Attributes:
        name: as the command line takes it.
        chip: whose prices they are.
        grade: one of :data:`GRADES`.
        source: where they were published.
        conditions: process node and voltage.
        prices: one an event; an event without a price costs nothing in the total and is listed as not included.
    """

    name: str
    chip: str
    grade: str
    source: str
    conditions: str
    prices: tuple[Price, ...]

    def energy_pj(self, event: str) -> float | None:
        """Picojoules of one `event`; None where the source gives none."""
        return next((price.energy_pj for price in self.prices if price.event == event), None)


PRICE_LISTS: tuple[PriceList, ...] = (
    PriceList(
        name="davies2018",
        chip="loihi1",
        grade="simulated before silicon",
        source="Davies et al., Loihi, IEEE Micro 38(1), 2018, table 2",
        conditions="14 nm, 0.75 V",
        prices=(
            Price(event="synaptic_operation", energy_pj=23.6),
            Price(event="active_update", energy_pj=81.0),
            Price(event="inactive_update", energy_pj=52.0),
            Price(event="message", energy_pj=1.7),
        ),
    ),
    PriceList(
        name="sanafe",
        chip="loihi1",
        grade="calibrated on silicon",
        source="SANA-FE's Loihi preset",
        conditions="14 nm, voltage not stated",
        # Neuron access 51.2 in every update, and 21.6 more where there is something to update.
        prices=(
            Price(event="synaptic_operation", energy_pj=35.5),
            Price(event="active_update", energy_pj=51.2 + 21.6),
            Price(event="inactive_update", energy_pj=51.2),
            Price(event="spike", energy_pj=69.3),
            Price(event="message", energy_pj=111.0),
        ),
    ),
)


def price_list(chip: str, name: str | None = None) -> PriceList:
    """The price list called `name`, or the first one, of `chip`.

    Raises:
        UsageError: where the chip has no published prices (Loihi 2), or none of that name.
    """
    known = {prices.name: prices for prices in PRICE_LISTS if prices.chip == chip}
    if not known:
        priced = sorted({prices.chip for prices in PRICE_LISTS})
        raise UsageError(f"chip {chip!r}: no published prices per event; expected {' or '.join(priced)}")
    if name is None:
        return next(iter(known.values()))
    if name not in known:
        raise UsageError(f"prices {name!r}; expected {' or '.join(known)} for chip {chip}")
    return known[name]

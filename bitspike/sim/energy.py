"""The energy of one inference: exact counts times published prices, and by name what has no price."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from bitspike.convert.network import IntegerNetwork
from bitspike.errors import UsageError
from bitspike.samples import SpikeData
from bitspike.sim.counts import Counts
from bitspike.sim.counts_combined import without_zeros
from bitspike.sim.estimate import Energy, Placed, Term
from bitspike.sim.placed import CountedRun, counted_run
from bitspike.targets.prices import EVENTS, GROUPS, Price, PriceList, price_list

__all__ = ["PAYLOADS", "Energy", "Placed", "energy", "price", "price_run"]

#: Said where graded spikes were sent.
PAYLOADS = "payloads of graded spikes (they are counted and priced as binary ones)"
#: What a group is called where nothing of it has a price.
GROUP_LABELS = {
    "synapse": "synaptic operations",
    "neuron": "neuron updates",
    "routing": "messages and hops",
    "memory": "memory accesses",
    "static": "static power",
    "synchronisation": "barrier synchronisation",
}
#: Bits of a memory access.
ACCESS_BITS = 64

#: How often each event happened, one entry a sample; static power in core microseconds.
Events = Mapping[str, npt.NDArray[Any]]


def energy(
    network: IntegerNetwork,
    *,
    data: SpikeData,
    chip: str | None = None,
    prices: str | Sequence[str] | None = None,
    engine_name: str = "fast",
    step_time_us: float | None = None,
    sparse: bool = False,
    place: bool = True,
) -> Energy:
    """Run `network` on `data`, count, and price one inference.

    Args:
        network: any legal network whose range proof holds.
        data: encoded samples.
        chip: whose prices; by default that of `prices`, or Loihi 1.
        prices: names of lists, or paths of files; see :func:`bitspike.targets.prices.price_list`.
        engine_name: which engine runs; all give the same counts.
        step_time_us: length of a step in microseconds; by default what the busiest core needs, where it is placed.
        sparse: whether synapses of weight 0 are not stored; see :func:`bitspike.sim.counts_combined.without_zeros`.
        place: whether to put it on cores, for hops and static power; see :func:`bitspike.sim.placed.counted_run`.

    Raises:
        UsageError: where no prices of that chip are published; :func:`bitspike.sim.count_run.count_run` counts all the
            same.
    """
    chosen = price_list(chip, prices)
    run = counted_run(network, data=data, chip=chosen.chip, engine_name=engine_name, place=place)
    return price_run(run, chosen, step_time_us=step_time_us, sparse=sparse)


def price_run(run: CountedRun, prices: PriceList, *, step_time_us: float | None = None, sparse: bool = False) -> Energy:
    """The energy of a run, on the cores where it lies; see :func:`energy`."""
    counts = without_zeros(run.counts) if sparse else run.counts
    why = f"no placement: {run.why}" if run.why else "no placement"
    return price(counts, prices, placed=run.placed, step_time_us=step_time_us, why=why)


def price(
    counts: Counts,
    prices: PriceList,
    *,
    placed: Placed | None = None,
    step_time_us: float | None = None,
    why: str = "no placement",
) -> Energy:
    """The energy of `counts` at `prices`; events without a price are listed as not included.

    Args:
        counts: of a run.
        prices: of one chip.
        placed: where the network lies; without it every connection is taken to end on one core, and neither hops nor
            the cores whose static power counts are known.
        step_time_us: length of a step; by default that of `placed`.
        why: without a placement, what is said of the lack.
    """
    if step_time_us is not None and not 0 < step_time_us < float("inf"):
        raise UsageError(f"step time: found {step_time_us} us; expected a number above 0")
    if step_time_us is None and placed is not None:
        step_time_us = placed.step_time_us
    events = dict(_events(counts, prices, placed, step_time_us))
    found = {event: priced for event in events if (priced := _price(prices, event)) is not None}
    terms = tuple(_term(event, events, one, found) for event, one in found.items())
    per_sample = np.zeros(counts.samples)
    for term in terms:
        per_sample += events[term.event] * (term.price.nominal * _nj(term.price))
    nominal = float(per_sample.mean())
    static = sum(t.nominal_nj for t in terms if t.group == "static")
    whole = _whole_chip_nj(counts, prices, placed, step_time_us)
    return Energy(
        network=counts.network,
        chip=prices.chip,
        prices=prices.name,
        per_sample_nj=per_sample,
        low_nj=sum(t.low_nj for t in terms),
        nominal_nj=nominal,
        high_nj=sum(t.high_nj for t in terms),
        terms=terms,
        step_time_us=step_time_us,
        cores=None if placed is None else placed.cores,
        whole_chip_nj=None if whole is None else nominal - static + whole,
        unpriced=tuple(_unpriced(counts, prices, events, placed=placed, why=why)),
        counts=counts,
    )


def _events(
    counts: Counts, prices: PriceList, placed: Placed | None, step_time_us: float | None
) -> Iterator[tuple[str, npt.NDArray[Any]]]:
    """Events in the order of the terms; operations of kinds that share a price are one event."""
    operations: dict[str, npt.NDArray[Any]] = {}
    for kind in dict.fromkeys(c.kind for c in counts.connections):
        found = prices.find(f"synaptic_operation_{kind}")
        event = "synaptic_operation" if found is None else found.event
        operations[event] = operations.get(event, counts.none) + counts.operations(kind)
    yield from operations.items()
    yield "active_update", counts.total("active_updates")
    yield "inactive_update", counts.total("inactive_updates")
    yield "spike", counts.total("spikes")
    yield "message", counts.messages if placed is None else placed.hops.messages + placed.hops.entering
    if placed is not None:
        yield "hop_east_west", placed.hops.east_west
        yield "hop_north_south", placed.hops.north_south
    accumulators = counts.total("accumulator_bits")
    yield "accumulator_access", 2 * accumulators / ACCESS_BITS
    yield "weight_read", counts.total("weight_bits_read") / ACCESS_BITS
    yield "state_read", (counts.total("state_bits_read") - accumulators) / ACCESS_BITS
    yield "state_write", (counts.total("state_bits_written") - accumulators) / ACCESS_BITS
    if placed is not None and step_time_us is not None:
        yield "static_core", counts.none + placed.cores * counts.barrier_steps * step_time_us
    yield "barrier", counts.none + counts.barrier_steps


def _price(prices: PriceList, event: str) -> Price | None:
    return prices.find(event, "power" if EVENTS[event].group == "static" else "energy")


def _nj(price: Price) -> float:
    """Nanojoules of one unit: of a picojoule, or of a milliwatt for a microsecond."""
    return 1.0 if price.quantity == "power" else 1e-3


def _term(event: str, events: Events, price: Price, found: Mapping[str, Price]) -> Term:
    """The mean of one event. Which updates are active is our definition: low prices all as inactive, high as active."""
    cheap = found.get("inactive_update", price) if event == "active_update" else price
    dear = found.get("active_update", price) if event == "inactive_update" else price
    number, factor = float(events[event].mean()), _nj(price)
    return Term(
        group=EVENTS[event].group,
        event=event,
        label=EVENTS[event].label,
        events=number,
        low_nj=number * cheap.low * factor,
        nominal_nj=number * price.nominal * factor,
        high_nj=number * dear.high * factor,
        price=price,
    )


def _whole_chip_nj(
    counts: Counts, prices: PriceList, placed: Placed | None, step_time_us: float | None
) -> float | None:
    """Static energy of all chips in use during the run; of one chip where no placement says how many."""
    power = prices.find("static_chip", "power")
    if power is None or step_time_us is None:
        return None
    return power.nominal * (1 if placed is None else placed.chips) * step_time_us * counts.barrier_steps


def _unpriced(counts: Counts, prices: PriceList, events: Events, *, placed: Placed | None, why: str) -> Iterator[str]:
    """What is not in the total: events without a price, by group, and what was not counted for want of a placement."""
    for group in (g for g in GROUPS if g not in prices.covers):
        happened = [event for event, numbers in events.items() if EVENTS[event].group == group and np.any(numbers)]
        missing = [event for event in happened if _price(prices, event) is None]
        if missing and len(missing) == len(happened):
            yield f"{GROUP_LABELS[group]} (no price)"
        else:
            yield from (f"{EVENTS[event].label} (no price)" for event in missing)
        if group == "routing" and placed is None:
            yield f"hops between cores ({why})"
        if group == "static" and not happened:
            known = any(one.quantity == "power" for one in prices.prices)
            lacks = "no price" if not known else "no placement" if placed is None else "no step time"
            yield f"static power ({lacks})"
    if counts.graded_messages.any():
        yield PAYLOADS

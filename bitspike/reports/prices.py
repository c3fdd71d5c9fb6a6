"""Section: what an inference does and costs, with ranges, and what else could do the task."""

from collections.abc import Sequence
from typing import Any

from bitspike.reports.canvas import COLOURS, drawing, plain_numbers
from bitspike.reports.findings import Findings
from bitspike.reports.parts import Cell, Drawing, Headline, Section, Table, Text, energy, number, word
from bitspike.sim.baselines import ASSUMPTIONS
from bitspike.sim.counts import Counts
from bitspike.sim.estimate import Energy

_RANGE = ("nJ", "low, nJ", "high, nJ")


def section(found: Findings) -> Section:
    """Counts, terms, sensitivity and baselines; counts alone where the chip has no published prices."""
    title = "Operations and energy of one inference"
    counts = _counts(found.counted.counts)
    estimate = found.estimate
    if estimate is None:
        said = f"No prices per event are published for {found.chip}: counts only, no total."
        return Section(name="energy", title=title, said=(said,), tables=(counts,))
    return Section(
        name="energy",
        title=title,
        said=_said(estimate),
        tables=(_terms(estimate), counts, _sensitivity(estimate), _baselines(estimate), _sources(estimate)),
        drawings=(_breakdown(estimate), _beside(estimate)),
        texts=(Text(title="What the baselines on 45 nm assume", lines="\n".join(ASSUMPTIONS), long=True),),
    )


def headline(found: Findings) -> Headline | None:
    """The nominal figure with its range."""
    one = found.estimate
    if one is None:
        return None
    return Headline(
        label=f"an inference on {one.chip}" + (", partial" if one.partial else ""),
        figure=energy(one.nominal_nj),
        detail=f"{energy(one.low_nj)} to {energy(one.high_nj)} by prices that are {one.grade}, or better",
    )


def _said(one: Energy) -> tuple[str, ...]:
    low, high = one.percentiles_nj
    partial = " The total is partial." if one.partial else ""
    said = [
        f"An inference takes {energy(one.nominal_nj)} on {one.chip} by {one.prices}, {energy(one.low_nj)} to "
        f"{energy(one.high_nj)} by the ranges of the prices. Over {one.counts.samples:,} samples the standard "
        f"deviation is {energy(one.sd_nj)}, the 5th to 95th percentile {energy(low)} to {energy(high)}.{partial}",
        f"Not included: {'; '.join(one.not_included)}.",
    ]
    if one.step_time_us is not None and one.whole_chip_nj is not None:
        said.append(
            f"A step lasts {one.step_time_us:,.4g} µs; with the static power of the whole chip, not of the cores in "
            f"use, an inference takes {energy(one.whole_chip_nj)}."
        )
    return tuple(said)


def _terms(one: Energy) -> Table:
    rows = [
        (word(t.label), word(t.group), number(t.events, ",.1f"), *_figures(t), word(t.price.grade)) for t in one.terms
    ]
    total = "in all" + (", partial" if one.partial else "")
    rows.append((word(total), word(""), word(""), *_figures(one), word(one.grade)))
    return Table(
        name="terms",
        caption="Mean of an inference, by what was counted: events, and their energy at nominal, low and high prices.",
        heads=("term", "group", "events", *_RANGE, "grade of the price"),
        rows=tuple(rows),
    )


def _figures(one: Any) -> tuple[Cell, ...]:
    return tuple(number(getattr(one, name), ",.2f") for name in ("nominal_nj", "low_nj", "high_nj"))


def _counts(counts: Counts) -> Table:
    names = ("synaptic_operations", "effective_operations", "spikes_in", "spikes", "updates", "active_updates")
    return Table(
        name="counts",
        caption=f"Mean counts of an inference by population, exact over {counts.samples:,} samples.",
        heads=("population", "neurons", *(name.replace("_", " ") for name in names)),
        rows=tuple(
            (word(p.population), number(p.neurons), *(number(float(getattr(p, n).mean()), ",.1f") for n in names))
            for p in counts.populations
        ),
    )


def _sensitivity(one: Energy) -> Table:
    return Table(
        name="sensitivity",
        caption="The total with one price moved through its range, or by a tenth either way at least.",
        heads=("price of", "share, %", "total at its low, nJ", "total at its high, nJ"),
        rows=tuple(
            (
                word(s.label),
                Cell(text=f"{100 * s.share:.1f}", value=s.share),
                number(s.low_nj, ",.1f"),
                number(s.high_nj, ",.1f"),
            )
            for s in one.sensitivity
        ),
    )


def _baselines(one: Energy) -> Table:
    return Table(
        name="baselines",
        caption="Networks of this shape on one 45 nm process.",
        heads=("network", "steps", "operations", "memory, bits", *_RANGE, "arithmetic, nJ", "memory, nJ"),
        rows=tuple(
            (
                word(b.name), number(b.steps), number(b.operations, ",.0f"), number(b.memory_bits, ",.0f"),
                *_figures(b), number(b.arithmetic_nj, ",.1f"), number(b.memory_nj, ",.1f"),
            )
            for b in one.baselines
        ),
    )  # fmt: skip


def _sources(one: Energy) -> Table:
    prices = {(t.price.prices, t.price.source): t.price for t in one.terms}
    return Table(
        name="sources",
        caption="Where the prices come from.",
        heads=("list", "source", "conditions", "grade"),
        rows=tuple((word(p.prices), word(p.source), word(p.conditions), word(p.grade)) for p in prices.values()),
    )


def _breakdown(one: Energy) -> Drawing:
    terms = [t for t in one.terms if t.nominal_nj > 0]
    labels = [*(t.label for t in terms), "in all"]
    return _ranges(
        "energy", f"Energy of an inference on {one.chip}, nJ", labels, [*terms, one], note="the line is the range"
    )


def _beside(one: Energy) -> Drawing:
    found = one.baselines
    return _ranges("baselines", "The same shape on 45 nm, nJ", [b.name for b in found], found, note="by network")


def _ranges(name: str, title: str, labels: Sequence[str], rows: Sequence[Any], *, note: str) -> Drawing:
    """Points with their ranges, from the top down, on a logarithmic axis."""
    said = "; ".join(
        f"{label} {row.nominal_nj:,.2f} ({row.low_nj:,.2f} to {row.high_nj:,.2f})"
        for label, row in zip(labels, rows, strict=True)
    )

    def draw(figure: Any) -> None:
        axis = figure.subplots()
        for place, row in enumerate(rows):
            axis.plot((row.low_nj, row.high_nj), (place, place), color=COLOURS[0], linewidth=4, alpha=0.35)
            axis.plot(row.nominal_nj, place, "o", color=COLOURS[0], markersize=6)
            axis.annotate(f"{row.nominal_nj:,.1f}", (row.nominal_nj, place), (0, 6), textcoords="offset points",
                          ha="center", fontsize=8)  # fmt: skip
        axis.set(yticks=range(len(labels)), yticklabels=labels, xscale="log", xlabel="nJ an inference")
        plain_numbers(axis.xaxis)
        axis.set_ylim(len(labels) - 0.5, -0.7)
        axis.grid(axis="x", color="0.6", alpha=0.3)

    return drawing(
        f"{name}-figure", title, f"Nanojoules, {note}: {said}.", size=(5.5, 1.0 + 0.36 * len(labels)), draw=draw
    )

"""An estimate as text: a short table, and what has to be known to read it."""

from bitspike.sim.estimate import Energy
from bitspike.targets.prices import Price


def text_of(energy: Energy, *, counts: bool = True) -> str:
    """The terms, the total with its ranges, what moves it, what it leaves out, and the same shape on 45 nm.

    `counts` puts the table of the populations in front.
    """
    low, high = energy.percentiles_nj
    head = f"energy of one inference of {energy.network} on {energy.chip}, prices {energy.prices}:"
    lines = [head, f"  {'':<28} {'events':>14} {'nJ':>12} {'low':>12} {'high':>12}  grade"]
    lines += [
        f"  {t.label:<28} {t.events:>14,.1f} {t.nominal_nj:>12,.2f} {t.low_nj:>12,.2f} {t.high_nj:>12,.2f}  "
        f"{t.price.grade}"
        for t in energy.terms
        if t.events
    ]
    total = "in all" + (", partial" if energy.partial else "")
    lines.append(f"  {total:<28} {'':>14} {energy.nominal_nj:>12,.2f} {energy.low_nj:>12,.2f} {energy.high_nj:>12,.2f}")
    if energy.counts.samples > 1:
        lines.append(
            f"  over {energy.counts.samples} samples: standard deviation {energy.sd_nj:,.1f} nJ, "
            f"5th to 95th percentile {low:,.1f} to {high:,.1f} nJ"
        )
    lines += [*_static(energy), *_most(energy)]
    lines.append(f"  not included: {'; '.join(energy.not_included)}")
    lines.append(_baselines(energy))
    return "\n".join([*([str(energy.counts)] if counts else []), *lines, *_sources(energy)])


def _static(energy: Energy) -> list[str]:
    if energy.step_time_us is None:
        return []
    line = f"  a step of {energy.step_time_us:,.4g} us, {energy.counts.barrier_steps} steps"
    line += f", {energy.cores} core{'s' * (energy.cores != 1)}" if energy.cores is not None else ""
    if energy.whole_chip_nj is not None:
        line += f"; with the static power of the whole chip {energy.whole_chip_nj:,.1f} nJ"
    return [line]


def _most(energy: Energy) -> list[str]:
    if not energy.terms:
        return []
    first = energy.sensitivity[0]
    return [
        f"  moves the total most: the price of {first.label}, {first.share:.0%} of it; moved through its range, "
        f"or by a tenth, alone {first.low_nj:,.1f} to {first.high_nj:,.1f} nJ"
    ]


def _baselines(energy: Energy) -> str:
    spiking, *others = energy.baselines
    steps = "one step" if others[0].steps == 1 else f"{others[0].steps} steps"
    rest = ", ".join(f"{one.name} {one.nominal_nj:,.1f}" for one in others)
    return f"  on 45 nm with memory: spiking {spiking.nominal_nj:,.1f} nJ; {steps} of the same shape: {rest} nJ"


def _sources(energy: Energy) -> list[str]:
    found: dict[tuple[str, str], Price] = {}
    for term in energy.terms:
        found.setdefault((term.price.prices, term.price.source), term.price)
    return [f"  {p.prices}: {p.source}; {p.conditions}; {p.grade}" for p in found.values()]

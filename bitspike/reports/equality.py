"""Section: the equality of engines, value by value."""

from bitspike.reports.findings import Findings
from bitspike.reports.parts import Headline, Section, Table, Text, listed, number, word
from bitspike.sim.compare import EngineResult


def section(found: Findings) -> Section:
    """What was compared, how much of it differs, and where engines part first."""
    proof = found.verification
    others = [row.engine for row in proof.engines if row.engine != proof.baseline]
    verdict = (
        f"Every compared value of {listed(others)} is equal to that of {proof.baseline}."
        if proof.passed
        else "Engines part: the first place of each stands below."
    )
    most = max(row.samples for row in proof.engines)
    said = (
        f"{verdict} Compared are every spike, current and membrane of every neuron at every step, as integers, on "
        f"{most:,} of {len(found.data):,} samples of {proof.data}; nothing is rounded and nothing is tolerated.",
        f"Network {proof.digest}; data {proof.data_digest} (SHA-256).",
    )
    table = Table(
        name="engines",
        caption=f"Engines beside {proof.baseline}; numbers of values.",
        heads=("engine", "against", "samples", "steps", "compared", "spikes differ", "currents differ",
               "membranes differ", "seconds"),
        rows=tuple(
            (
                word(row.engine), word(row.against), number(row.samples), number(row.steps), number(row.compared),
                number(row.differing_spikes), number(row.differing_currents), number(row.differing_membranes),
                number(row.seconds, ".2f"),
            )
            for row in proof.engines
        ),
    )  # fmt: skip
    parted = [row for row in proof.engines[1:] if row.first is not None]
    return Section(
        name="equality",
        title="Equality of engines",
        said=said,
        tables=(table,),
        texts=tuple(Text(title=f"{row.engine}: first divergence", lines=_told(row)) for row in parted),
    )


def headline(found: Findings) -> Headline:
    """How many values differ, of how many."""
    rows = found.verification.engines[1:]
    differing = sum(r.differing_spikes + r.differing_currents + r.differing_membranes for r in rows)
    return Headline(
        label="values that differ between engines",
        figure=f"{differing:,}",
        detail=f"of {sum(r.compared for r in rows):,} compared",
    )


def _told(row: EngineResult) -> str:
    reason = row.reason or "none of the known causes explains all of it"
    return f"{row.first}\nreason: {reason}"

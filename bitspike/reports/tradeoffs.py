"""Section: energy against accuracy and calibration: shorter windows, committees, pruned weights."""

from typing import Any

from bitspike.pareto import Pareto, Point
from bitspike.pareto_figure import fill
from bitspike.reports.canvas import COLOURS, INK, drawing
from bitspike.reports.findings import Findings
from bitspike.reports.parts import Cell, Drawing, Section, Table, counted, number, word


def section(found: Findings) -> Section | None:
    """All points, what members of a committee cost each, and the figure; None where nothing was measured."""
    pareto = found.pareto
    if pareto is None:
        return None
    shown = "all samples" if pareto.samples is None else f"the first {counted(pareto.samples, 'sample')}"
    said = (
        "What less or more energy buys: only the first steps of the window, a committee of members drawn from the "
        "posterior, and the weights that the posterior is least sure of set to 0, without training after it and not "
        "stored. One member is the most probable bits.",
        f"Measured on {shown} of the test part, each combination at a temperature fitted on as many of the validation "
        f"part; of few samples one is a large share, and an ECE is large by chance alone. "
        f"Energy by {pareto.prices}, not placed on cores; not "
        f"included: {', '.join(pareto.unpriced) or 'nothing'}.",
    )
    tables = [_points(pareto)]
    committees = [p for p in _whole(pareto) if p.members > 1]
    tables += [_members(committees)] if committees else []
    return Section(
        name="trade-offs",
        title="Energy against accuracy and calibration",
        said=said,
        tables=tuple(tables),
        drawings=(_figure(pareto),),
    )


def _whole(pareto: Pareto) -> list[Point]:
    """The points with the whole window and all weights."""
    steps, pruned = max(p.steps for p in pareto.points), min(p.pruned for p in pareto.points)
    return [p for p in pareto.points if p.steps == steps and p.pruned == pruned]


def _points(pareto: Pareto) -> Table:
    return Table(
        name="pareto",
        caption="Mean of an answer. Best: no other point takes less energy and is right as often, or has as small an "
        "ECE.",
        heads=("steps", "members", "pruned, %", "operations", "energy, nJ", "right, %", "ECE", "NLL, nats", "best"),
        rows=tuple(
            (
                number(p.steps), number(p.members), Cell(text=f"{100 * p.pruned:.0f}", value=p.pruned),
                number(p.operations, ",.0f"), number(p.energy_nj, ",.1f"),
                Cell(text=f"{100 * p.accuracy:.2f}", value=p.accuracy), number(p.ece, ".4f"), number(p.nll, ".4f"),
                word(_best(p)),
            )
            for p in pareto.points
        ),
    )  # fmt: skip


def _best(p: Point) -> str:
    return " and ".join([*(["accuracy"] if p.best_accuracy else []), *(["ECE"] if p.best_ece else [])])


def _members(points: list[Point]) -> Table:
    return Table(
        name="members",
        caption="What the members of a committee take each, over the members, with the whole window and all weights.",
        heads=("members", "together, nJ", "mean of one, nJ", "standard deviation, nJ", "5th percentile, nJ",
               "95th percentile, nJ"),
        rows=tuple(
            (
                number(p.members), number(p.energy_nj, ",.1f"), number(p.energy_nj / p.members, ",.1f"),
                number(p.member_sd_nj, ",.1f"), number(p.member_low_nj, ",.1f"), number(p.member_high_nj, ",.1f"),
            )
            for p in points
        ),
    )  # fmt: skip


def _figure(pareto: Pareto) -> Drawing:
    said = "; ".join(
        f"{counted(p.steps, 'step')}, {counted(p.members, 'member')}, {p.pruned:.0%} pruned: "
        f"{p.energy_nj / 1000:,.2f} µJ, {p.accuracy:.1%} right, ECE {p.ece:.3f}"
        for p in pareto.points
        if p.best_accuracy or p.best_ece
    )

    def draw(figure: Any) -> None:
        fill(figure, pareto, ink=INK, colours=COLOURS)

    return drawing(
        "pareto-figure",
        "Energy against accuracy, left, and against calibration error, right",
        f"The points that no other beats: {said}.",
        size=(8.6, 4.2),
        draw=draw,
    )

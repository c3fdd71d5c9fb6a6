"""The figure of energy against accuracy and calibration; matplotlib is imported at the first use."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bitspike.pareto import Pareto, Point
from bitspike.reports.canvas import plain_numbers
from bitspike.train.bench_figure import check_matplotlib

#: Markers by the place of the committee's size among the sizes; colours by that of the pruned share.
_MARKERS = "os^DvP*X"
_COLOURS = ("C0", "C1", "C2", "C3", "C4", "C5", "C6", "C7", "C8", "C9")


def draw_pareto(pareto: Pareto, folder: Path) -> list[Path]:
    """Write ``pareto.png`` and ``pareto.svg`` into `folder`, which is made; return both paths.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    check_matplotlib()
    from matplotlib.figure import Figure

    folder.mkdir(parents=True, exist_ok=True)
    figure = Figure(figsize=(10, 4.5), layout="constrained")
    fill(figure, pareto)
    figure.suptitle(f"test part; energy by {pareto.prices}", fontsize="medium")
    paths = [folder / f"pareto.{kind}" for kind in ("png", "svg")]
    for path in paths:
        figure.savefig(path)
    return paths


def fill(figure: Any, pareto: Pareto, *, ink: str = "black", colours: Sequence[str] = _COLOURS) -> None:
    """Draw both panels into `figure`: energy against accuracy, and against the calibration error.

    Faint lines join windows of different lengths; the grey steps are the points that no other beats.

    Args:
        figure: of matplotlib.
        pareto: what was measured.
        ink: of the legend's markers.
        colours: of the pruned shares, in their order.
    """
    left, right = figure.subplots(1, 2)
    _panel(left, pareto, "accuracy", "right, %", colours)
    _panel(right, pareto, "ece", "expected calibration error", colours)
    sizes, shares = sorted({p.members for p in pareto.points}), sorted({p.pruned for p in pareto.points})
    for place, size in enumerate(sizes):
        text = "most probable bits" if size == 1 else f"{size} members"
        left.plot([], [], marker=_MARKERS[place % len(_MARKERS)], color=ink, linestyle="", label=text)
    for place, share in enumerate(shares):
        left.plot([], [], marker="s", color=colours[place % len(colours)], linestyle="", label=f"{share:.0%} pruned")
    figure.legend(*left.get_legend_handles_labels(), fontsize="small", loc="outside lower center", ncols=3)


def _panel(axes: Any, pareto: Pareto, quantity: str, label: str, colours: Sequence[str]) -> None:
    sizes = sorted({p.members for p in pareto.points})
    shares = sorted({p.pruned for p in pareto.points})
    scale = 100 if quantity == "accuracy" else 1
    for line in _by_window(pareto):
        colour = colours[shares.index(line[0].pruned) % len(colours)]
        xs, ys = [p.energy_nj / 1000 for p in line], [scale * getattr(p, quantity) for p in line]
        axes.plot(xs, ys, color=colour, linewidth=0.8, alpha=0.4, zorder=1)
    for point in pareto.points:
        axes.plot(
            point.energy_nj / 1000,
            scale * getattr(point, quantity),
            marker=_MARKERS[sizes.index(point.members) % len(_MARKERS)],
            color=colours[shares.index(point.pruned) % len(colours)],
            linestyle="",
        )
    for run in dict.fromkeys(p.run for p in pareto.points):
        best = sorted((p.energy_nj / 1000, scale * getattr(p, quantity)) for p in _front(pareto, run, quantity))
        axes.step(*zip(*best, strict=True), where="post", color="grey", linewidth=1, zorder=0)
    axes.set_xscale("log")
    axes.set_xlabel("energy of an answer, µJ")
    plain_numbers(axes.xaxis)
    axes.set_ylabel(label)


def _by_window(pareto: Pareto) -> list[list[Point]]:
    """The points that differ only in the length of the window, together, the short ones first."""
    groups: dict[tuple[str, int, float], list[Point]] = {}
    for point in sorted(pareto.points, key=lambda p: p.steps):
        groups.setdefault((point.run, point.members, point.pruned), []).append(point)
    return list(groups.values())


def _front(pareto: Pareto, run: str, quantity: str) -> list[Point]:
    marked = "best_accuracy" if quantity == "accuracy" else "best_ece"
    return [p for p in pareto.points if p.run == run and getattr(p, marked)]

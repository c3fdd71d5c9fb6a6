"""The figure of energy against accuracy and calibration; matplotlib is imported at the first use."""

from pathlib import Path
from typing import Any

from bitspike.pareto import Pareto, Point
from bitspike.train.bench_figure import check_matplotlib

#: Markers by the place of the committee's size among the sizes; colours by that of the pruned share.
_MARKERS = "os^DvP*X"


def draw_pareto(pareto: Pareto, folder: Path) -> list[Path]:
    """Write ``pareto.png`` and ``pareto.svg`` into `folder`, which is made; return both paths.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    check_matplotlib()
    from matplotlib.figure import Figure

    folder.mkdir(parents=True, exist_ok=True)
    figure = Figure(figsize=(10, 4.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    _panel(left, pareto, "accuracy", "accuracy")
    _panel(right, pareto, "ece", "expected calibration error")
    left.legend(fontsize="small")
    figure.suptitle(f"test part; energy by {pareto.prices}", fontsize="medium")
    paths = [folder / f"pareto.{kind}" for kind in ("png", "svg")]
    for path in paths:
        figure.savefig(path)
    return paths


def _panel(axes: Any, pareto: Pareto, quantity: str, label: str) -> None:
    sizes = sorted({p.members for p in pareto.points})
    shares = sorted({p.pruned for p in pareto.points})
    for point in pareto.points:
        axes.plot(
            point.energy_nj / 1000,
            getattr(point, quantity),
            marker=_MARKERS[sizes.index(point.members) % len(_MARKERS)],
            color=f"C{shares.index(point.pruned)}",
            linestyle="",
        )
    for run in dict.fromkeys(p.run for p in pareto.points):
        best = sorted((p.energy_nj / 1000, getattr(p, quantity)) for p in _front(pareto, run, quantity))
        axes.step(*zip(*best, strict=True), where="post", color="grey", linewidth=1, zorder=0)
    for place, size in enumerate(sizes):
        text = "most probable bits" if size == 1 else f"{size} members"
        axes.plot([], [], marker=_MARKERS[place % len(_MARKERS)], color="black", linestyle="", label=text)
    for place, share in enumerate(shares):
        axes.plot([], [], marker="s", color=f"C{place}", linestyle="", label=f"{share:.0%} pruned")
    axes.set_xscale("log")
    axes.set_xlabel("energy of an answer, uJ")
    axes.set_ylabel(label)


def _front(pareto: Pareto, run: str, quantity: str) -> list[Point]:
    marked = "best_accuracy" if quantity == "accuracy" else "best_ece"
    return [p for p in pareto.points if p.run == run and getattr(p, marked)]

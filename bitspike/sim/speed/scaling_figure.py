"""The figure of the fast engine's scaling: time over each quantity that was varied, beside a straight line.

matplotlib is optional and is imported at the first use.
"""

from importlib import import_module
from io import BytesIO
from pathlib import Path
from typing import Any

from bitspike.files import replacing
from bitspike.sim.mesh_figure import check_figure
from bitspike.sim.speed.scaling import Point, Scaling


def draw_scaling(scaling: Scaling, path: Path) -> Path:
    """Draw into `path`, an SVG or a PNG; return it.

    Raises:
        UsageError: another ending.
        MissingDependencyError: where matplotlib is not installed.
    """
    check_figure(path)
    matplotlib = import_module("matplotlib")
    names = list(dict.fromkeys(p.series for p in scaling.points))
    with matplotlib.rc_context({"svg.hashsalt": "bitspike", "font.size": 8}):
        figure = import_module("matplotlib.figure").Figure(figsize=(3 * len(names), 3.2), layout="constrained")
        for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
            _panel(axes, [p for p in scaling.points if p.series == name], scaling.steps)
        figure.suptitle(f"Fast engine: time of one step of one sample, {scaling.cores} cores")
        drawn = BytesIO()
        figure.savefig(
            drawn, format=path.suffix[1:], dpi=150, metadata={"Date": None} if path.suffix == ".svg" else None
        )
    with replacing(path) as temporary:
        temporary.write_bytes(drawn.getvalue())
    return path


def _panel(axes: Any, points: list[Point], steps: int) -> None:
    """Draw one series; what is linear would be the dashed line, through the last point."""
    values = [p.value for p in points]
    whole = points[0].series == "batch"
    times = [1e6 * p.median / steps / (1 if whole else p.batch) for p in points]
    slope = -1 if points[0].series == "threads" else 1
    axes.plot(values, times, marker="o")
    axes.plot(
        values, [times[-1] * (v / values[-1]) ** slope for v in values], linestyle="--", color="grey", linewidth=1
    )
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks(values, [f"{v:g}" for v in values])
    axes.set_yticks(times, [f"{t:.3g}" for t in times])
    axes.minorticks_off()
    axes.set_xlabel(points[0].series)
    axes.set_ylabel("us a step, all samples" if whole else "us a step and sample")

"""The figure of the estimators' bench: bias and spread over coupling, one column for each saturation.

matplotlib is optional and is imported at the first use.
"""

from importlib import import_module
from pathlib import Path
from typing import Any

from bitspike.errors import MissingDependencyError
from bitspike.train.bench_estimators import Cell, EstimatorBench

INSTALL = "python -m pip install 'bitspike[plot]'"
_LEAST = 1e-4


def check_matplotlib() -> Any:
    """Return matplotlib; raise MissingDependencyError, with the command to install it, where it is missing."""
    try:
        import_module("matplotlib.figure")
        return import_module("matplotlib")
    except ModuleNotFoundError as error:
        raise MissingDependencyError(f"{error.name} is not installed; run: {INSTALL}") from None


def draw_estimators(bench: EstimatorBench, folder: Path) -> list[Path]:
    """Write ``estimators.png`` and ``estimators.svg``, of the deepest networks, into a folder; return both paths.

    Raises:
        MissingDependencyError: where matplotlib is not installed.
    """
    matplotlib = check_matplotlib()
    deepest = max(cell.depth for cell in bench.cells)
    cells = [cell for cell in bench.cells if cell.depth == deepest]
    saturations = sorted({cell.saturation for cell in cells})
    with matplotlib.rc_context({"svg.hashsalt": "bitspike", "font.size": 8}):
        figure = matplotlib.figure.Figure(figsize=(3.2 * len(saturations) + 2.2, 5.6), layout="constrained")
        axes = figure.subplots(2, len(saturations), sharex=True, sharey="row", squeeze=False)
        for column, saturation in enumerate(saturations):
            chosen = [cell for cell in cells if cell.saturation == saturation]
            for row, quantity in enumerate(("bias", "spread")):
                _lines(axes[row, column], chosen, quantity)
            axes[0, column].set_title(f"saturation {saturation:g}")
            axes[1, column].set_xlabel("coupling (weight / noise)")
        axes[0, 0].set_ylabel("relative bias")
        axes[1, 0].set_ylabel("relative spread of one sample")
        figure.suptitle(f"Gradient estimators, {deepest} layers, exact by enumeration")
        handles, labels = axes[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside right upper", frameon=False)
        folder.mkdir(parents=True, exist_ok=True)
        paths = [folder / "estimators.png", folder / "estimators.svg"]
        figure.savefig(paths[0], dpi=150)
        figure.savefig(paths[1], metadata={"Date": None})
    return paths


def _lines(axis: Any, cells: list[Cell], quantity: str) -> None:
    """Draw one quantity of every estimator; Gaussian noise solid, logistic noise dashed."""
    names = list(dict.fromkeys((cell.noise, cell.estimator) for cell in cells))
    for number, (noise, estimator) in enumerate(names):
        points = [cell for cell in cells if (cell.noise, cell.estimator) == (noise, estimator)]
        axis.plot(
            [cell.coupling for cell in points],
            [max(getattr(cell, quantity), _LEAST) for cell in points],
            label=f"{noise}: {estimator}",
            color=f"C{number}",
            linestyle="-" if noise == "gaussian" else "--",
            marker="o",
            markersize=3,
        )
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.grid(visible=True, alpha=0.3)

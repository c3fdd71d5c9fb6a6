"""Bias and noise of the gradient estimators, exactly, in small networks of drawn bits.

What is measured: networks of `depth` layers of 6 units with a random quadratic loss (see
:mod:`bitspike.train.enumeration`), and the gradient to the first layer's means. `saturation` is the standard deviation
of the units' own means and `coupling` that of a weight, both in standard deviations of the noise. Several random
networks make one case; in each number squares are summed over the networks before the quotient is taken:

    bias    |mean of the estimate - gradient| / |gradient|
    spread  standard deviation of one estimate / |gradient|
    cosine  of the angle between the mean of the estimate and the gradient, averaged over the networks

Bias and spread include a wrong scale, which a learning rate can correct; the cosine does not.
"""

import io
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from bitspike.errors import MissingDependencyError
from bitspike.train.enumeration import BitNetwork, estimated_gradient, exact_gradient, random_network
from bitspike.train.estimators import IWST, Estimator, Tempered
from bitspike.train.gumbel import GumbelRao
from bitspike.train.noise import Density, Gaussian, Logistic
from bitspike.train.surrogates import Surrogate

UNITS = 6
_NOISES: dict[str, Density] = {"gaussian": Gaussian(), "logistic": Logistic()}
_ESTIMATORS: dict[str, dict[str, Estimator]] = {
    "gaussian": {
        "alpha = p": IWST(),
        "tempered 0.5": Tempered(temper=0.5),
        "alpha = 1/2": IWST(alpha=0.5),
        "atan 2": Surrogate(function="atan", slope=2.0),
        "fast_sigmoid 25": Surrogate(function="fast_sigmoid", slope=25.0),
    },
    "logistic": {
        "alpha = p": IWST(noise=Logistic()),
        "alpha = 1/2": IWST(alpha=0.5, noise=Logistic()),
        "Gumbel-Rao 0.5": GumbelRao(temperature=0.5),
        "Gumbel-Rao 1": GumbelRao(temperature=1.0),
        "sigmoid 1": Surrogate(function="sigmoid", slope=1.0, noise=Logistic()),
    },
}
_WIDTH = 110

Notify = Callable[[str, int, int], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """One estimator in one case; see the module's docstring.

    Attributes:
        noise: ``gaussian`` or ``logistic``.
        gradient: root mean square of the networks' |gradient|.
    """

    noise: str
    estimator: str
    depth: int
    saturation: float
    coupling: float
    gradient: float
    bias: float
    spread: float
    cosine: float


@dataclass(frozen=True, kw_only=True, slots=True)
class EstimatorBench:
    """All cells, and what was left out.

    Attributes:
        networks: random networks of each case.
        left_out: estimators that could not be measured here, with the reason.
    """

    cells: tuple[Cell, ...]
    networks: int
    seconds: float
    left_out: tuple[str, ...]

    def __str__(self) -> str:
        from rich.console import Console

        console = Console(file=io.StringIO(), width=_WIDTH, color_system=None)
        with console.capture() as printed:
            for noise in _NOISES:
                console.print(_table(self, noise))
        counted = f"exact, {self.networks} networks of {UNITS} units a layer in each case, {self.seconds:.1f} s"
        scaled = "bias includes a wrong scale; the cosine, in --json, does not"
        return "\n".join(
            [printed.get().rstrip(), counted, scaled, *(f"left out: {reason}" for reason in self.left_out)]
        )

    def as_json(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return {
            "networks": self.networks,
            "units": UNITS,
            "seconds": round(self.seconds, 3),
            "left_out": list(self.left_out),
            "cells": [asdict(cell) for cell in self.cells],
        }

    def cell(self, *, noise: str, estimator: str, depth: int, saturation: float, coupling: float) -> Cell:
        """Return one cell; raise KeyError where there is none."""
        wanted = (noise, estimator, depth, saturation, coupling)
        for cell in self.cells:
            if (cell.noise, cell.estimator, cell.depth, cell.saturation, cell.coupling) == wanted:
                return cell
        raise KeyError(wanted)


def cases(*, quick: bool = False) -> list[tuple[int, float, float]]:
    """Return (depth, saturation, coupling) of each case; with one layer there is nothing to couple."""
    saturations, couplings = ((0.0, 1.0), (0.3, 1.0)) if quick else ((0.0, 1.0, 2.0), (0.1, 0.3, 1.0, 3.0))
    return [
        (depth, saturation, coupling)
        for depth in (1, 2, 3)
        for saturation in saturations
        for coupling in (couplings if depth > 1 else (0.0,))
    ]


def bench_estimators(*, quick: bool = False, notify: Notify | None = None) -> EstimatorBench:
    """Measure every estimator in every case, by enumeration; the same numbers every time.

    Args:
        quick: fewer cases and networks; seconds instead of half a minute.
        notify: called with a label, the number of the case from 0, and the number of cases.
    """
    begun = time.perf_counter()
    networks = 2 if quick else 6
    estimators, left_out = _available()
    wanted = cases(quick=quick)
    cells: list[Cell] = []
    for number, (depth, saturation, coupling) in enumerate(wanted):
        if notify is not None:
            notify(f"{depth} layers", number, len(wanted))
        drawn = [
            random_network(depth=depth, units=UNITS, coupling=coupling, saturation=saturation, seed=seed)
            for seed in range(networks)
        ]
        for noise, named in estimators.items():
            for label, (gradient, bias, spread, cosine) in _measure(drawn, named, _NOISES[noise]).items():
                cells.append(
                    Cell(
                        noise=noise,
                        estimator=label,
                        depth=depth,
                        saturation=saturation,
                        coupling=coupling,
                        gradient=gradient,
                        bias=bias,
                        spread=spread,
                        cosine=cosine,
                    )
                )
    seconds = time.perf_counter() - begun
    return EstimatorBench(cells=tuple(cells), networks=networks, seconds=seconds, left_out=left_out)


def _available() -> tuple[dict[str, dict[str, Estimator]], tuple[str, ...]]:
    """Return the estimators without the surrogates where snnTorch is missing, and a line that says so."""
    try:
        Surrogate().check_installed()
    except MissingDependencyError as error:
        kept = {
            noise: {label: one for label, one in named.items() if not isinstance(one, Surrogate)}
            for noise, named in _ESTIMATORS.items()
        }
        return kept, (f"surrogate gradients: {error}",)
    return _ESTIMATORS, ()


def _measure(
    networks: list[BitNetwork], estimators: dict[str, Estimator], noise: Density
) -> dict[str, tuple[float, float, float, float]]:
    """Return gradient, bias, spread and cosine of each estimator over the networks."""
    exact = [exact_gradient(network, noise) for network in networks]
    total = sum(float(gradient.square().sum()) for gradient in exact)
    size = math.sqrt(total / len(networks))
    found: dict[str, tuple[float, float, float, float]] = {}
    for label, estimator in estimators.items():
        moments = [estimated_gradient(network, estimator, noise) for network in networks]
        pairs = list(zip(moments, exact, strict=True))
        bias = sum(float((one.mean - gradient).square().sum()) for one, gradient in pairs)
        spread = sum(float(one.variance.sum()) for one in moments)
        cosine = sum(float(one.mean @ gradient / (one.mean.norm() * gradient.norm())) for one, gradient in pairs)
        found[label] = (size, math.sqrt(bias / total), math.sqrt(spread / total), cosine / len(networks))
    return found


def _table(bench: EstimatorBench, noise: str) -> Any:
    """Return one noise's cells as a Rich table: a row for each case, bias and spread of an estimator in a column."""
    from rich import box
    from rich.table import Table

    chosen = [cell for cell in bench.cells if cell.noise == noise]
    labels = list(dict.fromkeys(cell.estimator for cell in chosen))
    table = Table(title=f"{noise} noise: bias and spread over the gradient", box=box.SIMPLE, padding=(0, 1))
    for heading in ("layers", "saturation", "coupling", "gradient", *labels):
        table.add_column(heading.replace("_", " ").replace(" ", "\n", 1), justify="right", no_wrap=True)
    rows: dict[tuple[int, float, float], list[Cell]] = {}
    for cell in chosen:
        rows.setdefault((cell.depth, cell.saturation, cell.coupling), []).append(cell)
    for (depth, saturation, coupling), row in rows.items():
        shown = [f"{_short(cell.bias)} {_short(cell.spread)}" for cell in row]
        coupled = f"{coupling:g}" if depth > 1 else "-"
        table.add_row(str(depth), f"{saturation:g}", coupled, f"{row[0].gradient:.1e}", *shown)
    return table


def _short(value: float) -> str:
    """Return a number below 9999.5 in four characters; below 0.0005 it is 0."""
    if value < 0.0005:
        return "   0"
    if value < 0.9995:
        return f"{value:.3f}"[1:]
    return f"{value:4.{2 if value < 9.995 else 1 if value < 99.95 else 0}f}"

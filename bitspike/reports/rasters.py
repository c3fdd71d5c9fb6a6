"""Section: spikes of a few chosen samples, and the membranes that are read out."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bitspike.convert.network import IntegerNetwork
from bitspike.reports.canvas import COLOURS, drawing
from bitspike.reports.findings import Findings
from bitspike.reports.parts import Drawing, Section
from bitspike.sim.record import Record
from bitspike.sim.run import simulate

#: Beyond so many spikes a figure holds their picture, which is smaller than as many shapes.
_SHAPES = 3000
#: Length of a spike's mark in points, at most; less where there are many steps.
_DASH = 16
_MEMBRANE_UNIT = 64


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """A sample that is shown, and why."""

    sample: int
    why: str


def section(found: Findings) -> Section:
    """One figure for each chosen sample."""
    choices = chosen(found.scores, found.data.labels)
    record = simulate(found.network, found.data.spikes[[c.sample for c in choices]], engine_name="fast")
    drawings = tuple(_raster(found, record, place, choice) for place, choice in enumerate(choices))
    said = (
        "Each mark is a spike: the input's at the bottom, those of each population above. On top are membranes that "
        "are read out, in weights: green that of the true class, orange that of a wrong answer. An answer is the "
        "clearer the further its score lies above the next.",
    )
    return Section(name="rasters", title="Spikes of chosen samples", said=said, drawings=drawings)


def chosen(scores: npt.NDArray[np.int64], labels: npt.NDArray[np.int64]) -> tuple[Choice, ...]:
    """The clearest and the closest right answer, and the clearest wrong one, where there are such.

    Of equal margins the first sample is taken; no sample comes twice.
    """
    ranked = np.sort(scores, axis=1)
    margin = ranked[:, -1] - ranked[:, -2] if scores.shape[1] > 1 else ranked[:, -1]
    right = scores.argmax(axis=1) == labels
    found: list[Choice] = []
    for which, sign, why in (
        (right, 1, "the clearest right answer"),
        (right, -1, "the closest right answer"),
        (~right, 1, "the clearest wrong answer"),
    ):
        places = np.flatnonzero(which)
        if len(places):
            sample = int(places[np.argmax(sign * margin[places])])
            if sample not in {choice.sample for choice in found}:
                found.append(Choice(sample=sample, why=why))
    return tuple(found)


def _raster(found: Findings, record: Record, place: int, choice: Choice) -> Drawing:
    network, scores = found.network, found.scores[choice.sample]
    label, answer = int(found.data.labels[choice.sample]), int(scores.argmax())
    spikes = {name: record.spikes_of(network, name)[place] for name in network.shapes()}
    numbers = {name: int(np.count_nonzero(fired)) for name, fired in spikes.items()}
    read = {r.population for r in network.readouts if r.kind != "spike_count"}
    rows = [name for name in spikes if name not in read or numbers[name]]
    membranes = {name: record.traces[name].v[place] for name in spikes if name in read}
    said = (
        f"Sample {choice.sample} of class {label}, answered {answer}. Spikes: "
        + ", ".join(f"{name} {count:,}" for name, count in numbers.items())
        + ". Scores by class: "
        + ", ".join(f"{score:,}" for score in scores)
        + "."
    )

    def draw(figure: Any) -> None:
        heights = [*(_height(network, name) for name in rows), *(1.7 for _ in membranes)]
        axes = figure.subplots(len(heights), 1, sharex=True, height_ratios=heights[::-1], squeeze=False)[::-1, 0]
        for axis, name in zip(axes, rows, strict=False):
            step, neuron = np.nonzero(spikes[name])
            axis.scatter(
                step,
                neuron,
                s=min(_DASH, 150 / record.steps) ** 2,
                marker="_",
                linewidths=0.7,
                color=COLOURS[0],
                rasterized=sum(numbers.values()) > _SHAPES,
            )
            axis.set(ylim=(-1, spikes[name].shape[1]), ylabel=name)
        for axis, (name, v) in zip(axes[len(rows) :], membranes.items(), strict=True):
            for number, course in enumerate((v / _MEMBRANE_UNIT).T):
                mine, theirs = number == label, number == answer
                colour = COLOURS[2] if mine else COLOURS[1] if theirs else "0.6"
                width = 1.8 if mine or theirs else 0.7
                axis.plot(course, color=colour, linewidth=width, zorder=2 + mine + theirs)
            axis.set_ylabel(f"{name}\nmembrane", fontsize=8)
        axes[0].set(xlabel="step", xlim=(-0.5, record.steps - 0.5))
        axes[0].locator_params(axis="x", integer=True)

    return drawing(
        f"raster-{place + 1}",
        f"Sample {choice.sample}, {choice.why}: class {label}, answered {answer}",
        said,
        size=(3.6, 4.8),
        draw=draw,
    )


def _height(network: IntegerNetwork, name: str) -> float:
    """Room that a population's neurons get: more for more, but not in proportion."""
    return float(0.6 + np.log2(1 + np.prod(network.shapes()[name])) / 6)

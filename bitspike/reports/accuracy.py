"""Section: accuracy, calibration and collapse gap, with a reliability diagram.

The figures are those of ``result.json``, which training measured; the integer run is counted anew.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bitspike.errors import UsageError
from bitspike.reports.canvas import COLOURS, drawing, plain_numbers
from bitspike.reports.findings import Findings
from bitspike.reports.parts import Cell, Drawing, Section, Table, data_label, number, word

#: How a kind is called; in the order of the table.
LABELS = {
    "posterior": "posterior",
    "committee": "committee",
    "map": "MAP bits",
    "noisy": "one noisy pass",
}
_SCORES = ("ece", "nll", "brier")


@dataclass(frozen=True, kw_only=True, slots=True)
class Bar:
    """One bin of a reliability diagram: its samples, their mean confidence, and the share that is right."""

    samples: int
    confidence: float
    accuracy: float


def section(found: Findings) -> Section:
    """A table by part and kind, the gap between posterior and most probable bits, and reliability on the test part."""
    result = found.run.result
    rows = tuple(
        (word(f"{part}, {label}"), _share(result[part][kind]), *_calibration(result, part, kind))
        for part in ("test", "validation")
        for kind, label in LABELS.items()
        if kind in result[part]
    )
    gap = 100 * (result["test"]["posterior"] - result["test"]["map"])
    samples = len(found.data)
    said = (
        f"The integer network, run here on {samples:,} samples of {data_label(found.data.name)}, is right on "
        f"{found.accuracy:.2%}.",
        f"The collapse to the most probable bits costs {gap:.2f} points of the posterior's accuracy on the test part"
        f"{' (a negative cost is a gain)' if gap < 0 else ''}.",
        "A posterior is the mean of the probabilities of many networks drawn from it; a committee sums the integer "
        "read-outs of some of them, which a chip can; MAP bits are one network.",
    )
    bars = {kind: found_bars for kind in ("posterior", "committee", "map") if (found_bars := reliability(result, kind))}
    table = Table(
        name="accuracy",
        caption="Accuracy and calibration, as measured after training.",
        heads=("part and kind", "accuracy, %", "ECE", "NLL, nats", "Brier score"),
        rows=rows,
    )
    return Section(
        name="accuracy",
        title="Accuracy and calibration",
        said=said,
        tables=(table,),
        drawings=(_diagram(bars),) if bars else (),
    )


def reliability(result: Mapping[str, Any], kind: str) -> tuple[Bar, ...]:
    """The bins of the test part's diagram; nothing where the run has none.

    Raises:
        UsageError: where the run's file holds something else.
    """
    scores = result["test"].get("calibration", {}).get(kind, {})
    bars = []
    for entry in scores.get("reliability", []):
        values = [_number(entry, key, kind) for key in ("samples", "confidence", "accuracy")]
        bars.append(Bar(samples=int(values[0]), confidence=values[1], accuracy=values[2]))
    return tuple(bars)


def _share(value: float) -> Cell:
    return Cell(text=f"{100 * value:.2f}", value=value)


def _calibration(result: Mapping[str, Any], part: str, kind: str) -> tuple[Cell, ...]:
    scores = result[part].get("calibration", {}).get(kind)
    if scores is None:
        return (word("-"),) * len(_SCORES)
    return tuple(number(_number(scores, name, kind), ".4f") for name in _SCORES)


def _number(entry: Any, key: str, kind: str) -> float:
    value = entry.get(key) if isinstance(entry, Mapping) else None
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise UsageError(f"result.json: calibration.{kind}.{key}: found {value!r}; expected a number")
    return float(value)


def _diagram(bars: Mapping[str, tuple[Bar, ...]]) -> Drawing:
    said = " ".join(
        f"{LABELS[kind]}: "
        + ", ".join(f"{b.accuracy:.0%} of {b.samples} at confidence {b.confidence:.0%}" for b in found)
        + "."
        for kind, found in bars.items()
    )

    most = max(b.samples for found in bars.values() for b in found)

    def draw(figure: Any) -> None:
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        above.plot((0, 100), (0, 100), color="0.6", linewidth=1, linestyle="--")
        for place, (kind, found) in enumerate(bars.items()):
            colour = COLOURS[place]
            confidence = [100 * b.confidence for b in found]
            right = [100 * b.accuracy for b in found]
            # A bin of one sample is right or wrong altogether: its mark is small, and no line leads to it.
            areas = [8 + 130 * (b.samples / most) ** 0.5 for b in found]
            above.scatter(confidence, right, s=areas, color=colour, alpha=0.6, linewidths=0)
            above.plot([], [], "o", color=colour, label=LABELS[kind], markersize=5)
            below.plot(confidence, [b.samples for b in found], "o-", color=colour, markersize=3, linewidth=1)
        above.set(ylabel="right, %", ylim=(-4, 106))
        above.legend(loc="upper left")
        below.set(xlabel="confidence, %", ylabel="samples", yscale="log", xlim=(0, 104))
        plain_numbers(below.yaxis)

    return drawing(
        "reliability",
        "Reliability diagram, test part",
        f"Share that is right against confidence, a mark's area by its samples; on the dashed line confidence is what "
        f"it says. {said}",
        size=(4.6, 4.0),
        draw=draw,
    )

"""How well a trained network tells samples of its own data set from others: out-of-distribution detection.

The score of a sample is the largest class probability, or less the entropy of the class probabilities in nats; the area
under the ROC curve says how often a sample of the data set scores above one of the others: 1 is perfect, 0.5 chance.
Others are samples of another data set, or ``noise``: each test sample's spikes anew, independent in each step and
neuron, at the sample's own mean rate.
"""

import dataclasses
import io
from typing import Any

import numpy as np
import numpy.typing as npt

from bitspike.errors import UsageError
from bitspike.samples import SpikeData
from bitspike.train.accuracy import collapsed_predictions
from bitspike.train.calibration import Probabilities, detection
from bitspike.train.encode import below, words
from bitspike.train.run import Run

NOISE = "noise"
_STREAM = 64 << 32
"""Of the random words of noise; far from the streams of :class:`bitspike.train.encode.Stream`."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Detection:
    """What was measured.

    Attributes:
        data: name of the data set and part that the network should know.
        against: name of the others.
        samples: of each.
        areas: under the ROC curve: ``areas[kind][score]``, kind ``posterior``, ``committee`` or ``map``, score
            ``probability`` or ``entropy``.
        confidence: mean largest probability, ``confidence[kind]["known"]`` and ``["unknown"]``.
    """

    data: str
    against: str
    samples: tuple[int, int]
    areas: dict[str, dict[str, float]]
    confidence: dict[str, dict[str, float]]

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {**dataclasses.asdict(self), "samples": list(self.samples)}

    def __str__(self) -> str:
        from rich import box
        from rich.console import Console
        from rich.table import Table

        title = f"{self.data} ({self.samples[0]} samples) against {self.against} ({self.samples[1]} samples)"
        table = Table(title=title, box=box.SIMPLE, padding=(0, 1))
        for heading in ("", "AUROC, largest probability", "AUROC, entropy", "confidence", "in others"):
            table.add_column(heading, justify="right" if heading else "left", no_wrap=True)
        for kind, areas in self.areas.items():
            known, unknown = self.confidence[kind].values()
            table.add_row(
                kind, f"{areas['probability']:.4f}", f"{areas['entropy']:.4f}", f"{known:.3f}", f"{unknown:.3f}"
            )
        console = Console(file=io.StringIO(), width=110, color_system=None)
        with console.capture() as printed:
            console.print(table)
        return printed.get().rstrip()


def detect(run: Run, *, against: str | SpikeData = NOISE, samples: int | None = None, seed: int = 0) -> Detection:
    """Measure how well the network of a run tells its own test part from others.

    Args:
        run: a finished run.
        against: ``noise``, a data set as a recipe names it (its test part, encoded as the run's), the path of an
            ``.npz`` in one of the forms of ``events`` (all of it), or samples.
        samples: the first so many of each; all by default.
        seed: of the noise and of the first member.

    Raises:
        UsageError: an unknown data set, one of another number of neurons, or an impossible number.
        FileError: a data set that is missing or damaged.
    """
    known = run.test if samples is None else run.test.first(samples)
    unknown = _others(run, known, against, seed)
    if samples is not None:
        unknown = unknown.first(samples)
    if unknown.spikes.shape[1:] != known.spikes.shape[1:]:
        raise UsageError(
            f"against: found samples of shape {unknown.spikes.shape[1:]} in {unknown.name}; "
            f"expected {known.spikes.shape[1:]}, steps and neurons of {known.name}"
        )
    members = run.recipe.training.members
    inside, outside = (
        collapsed_predictions(run.model, data.spikes, members=members, seed=seed) for data in (known, unknown)
    )
    return Detection(
        data=known.name,
        against=unknown.name,
        samples=(len(known), len(unknown)),
        areas={kind: _areas(inside[kind], outside[kind]) for kind in inside},
        confidence={
            kind: {"known": _confidence(inside[kind]), "unknown": _confidence(outside[kind])} for kind in inside
        },
    )


def noise_like(data: SpikeData, *, seed: int = 0) -> SpikeData:
    """Return noise of the shape of `data`; each sample has the mean rate of its model, and its label.

    The words of sample i are those of item i of `seed`, so that fewer samples are the first of more.
    """
    spikes = np.empty_like(data.spikes)
    for index, sample in enumerate(data.spikes):
        raw = words(seed, _STREAM, index, sample.size).reshape(sample.shape)
        spikes[index] = below(raw, np.full(sample.shape, sample.mean(dtype=np.float64)))
    return SpikeData(name=NOISE, spikes=spikes, labels=data.labels, seed=seed, shape=data.shape)


def entropy(probabilities: Probabilities) -> npt.NDArray[np.float64]:
    """Return the entropy of each row in nats, shape (samples,)."""
    logarithms = np.log(np.where(probabilities > 0, probabilities, 1.0))
    found: npt.NDArray[np.float64] = -(probabilities * logarithms).sum(axis=1)
    return found


def _others(run: Run, known: SpikeData, against: str | SpikeData, seed: int) -> SpikeData:
    if isinstance(against, SpikeData):
        return against
    if against == NOISE:
        return noise_like(known, seed=seed)
    if against.endswith(".npz") and ":" not in against:
        return run.recipe.data.of(f"events:{against}").load("all")
    return run.recipe.data.of(against).load("test")


def _areas(inside: Probabilities, outside: Probabilities) -> dict[str, float]:
    certain = [-entropy(each)[:, None] for each in (inside, outside)]
    return {"probability": detection(inside, outside), "entropy": detection(*certain)}


def _confidence(probabilities: Probabilities) -> float:
    return float(probabilities.max(axis=1).mean())

"""What the float engine saw."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from bitspike.errors import UsageError
from bitspike.files import replacing

FloatReadout = Literal["auto", "sum", "last", "max"]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class FloatTrace:
    """One population over each sample; all arrays have shape (samples, steps, neurons).

    Attributes:
        spikes: 0 or 1, uint8; zeros of a population without a threshold.
        i: current at the end of the step, in the units of the file.
        v: membrane at the end of the step, after the reset.
    """

    spikes: npt.NDArray[np.uint8]
    i: npt.NDArray[np.floating]
    v: npt.NDArray[np.floating]


@dataclass(frozen=True, kw_only=True, slots=True)
class Extent:
    """How far the states of one population went in a run.

    Attributes:
        peak_i: the largest current, without its sign.
        low_v, high_v: the lowest and the highest membrane, before the reset.
    """

    peak_i: float
    low_v: float
    high_v: float


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class FloatRecord:
    """One run of the float engine.

    Attributes:
        network: its name.
        dtype: of the arithmetic, ``float64`` or ``float32``.
        steps: of a sample.
        outputs: by name, what left each output of the network, (samples, steps, numbers): uint8 of neurons that spike,
            real numbers otherwise.
        counts: by population, spikes of each neuron over a sample, (samples, neurons), int64.
        extents: by population, how far its states went.
        traces: by population, every step; only of those that were asked for.
    """

    network: str
    dtype: str
    steps: int
    outputs: Mapping[str, npt.NDArray[Any]]
    counts: Mapping[str, npt.NDArray[np.int64]]
    extents: Mapping[str, Extent]
    traces: Mapping[str, FloatTrace]

    def __post_init__(self) -> None:
        for name in ("outputs", "counts", "extents", "traces"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

    @property
    def samples(self) -> int:
        """Number of samples."""
        return len(self.output)

    @property
    def output(self) -> npt.NDArray[Any]:
        """What left the network's first output."""
        return next(iter(self.outputs.values()))

    def scores(self, readout: FloatReadout = "auto") -> npt.NDArray[np.float64]:
        """One number a class, (samples, classes), of the first output.

        Args:
            readout: ``sum`` over the steps (of spikes: their count), the ``last`` step, the ``max`` over the steps;
                ``auto`` is the sum, of spikes as of membranes.
        """
        output = self.output.astype(np.float64)
        if readout == "last":
            return output[:, -1]
        if readout == "max":
            return output.max(axis=1)
        if readout not in ("auto", "sum"):
            raise UsageError(f"read-out {readout!r}; expected auto, sum, last or max")
        return output.sum(axis=1)

    def predictions(self, readout: FloatReadout = "auto") -> npt.NDArray[np.int64]:
        """The class of each sample; ties go to the lowest index."""
        return np.argmax(self.scores(readout), axis=1).astype(np.int64)

    def accuracy(self, labels: npt.ArrayLike, readout: FloatReadout = "auto") -> float:
        """Share of samples whose class is `labels`."""
        expected = np.asarray(labels)
        if expected.shape != (self.samples,):
            raise UsageError(f"labels of shape {expected.shape} for {self.samples} samples")
        return float(np.mean(self.predictions(readout) == expected))

    def as_json(self) -> dict[str, Any]:
        """Sizes, rates and extents as plain numbers."""
        return {
            "network": self.network,
            "engine": f"float ({self.dtype})",
            "samples": self.samples,
            "steps": self.steps,
            "populations": [
                {
                    "name": name,
                    "neurons": counts.shape[1],
                    "spikes_per_sample": float(counts.sum(axis=1).mean()),
                    "peak_i": self.extents[name].peak_i,
                    "low_v": self.extents[name].low_v,
                    "high_v": self.extents[name].high_v,
                }
                for name, counts in self.counts.items()
            ],
        }

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a compressed ``.npz``: ``output.<name>``, ``<population>.count``, and of traces ``.spikes .i .v``."""
        arrays: dict[str, npt.NDArray[Any]] = {f"output.{name}": values for name, values in self.outputs.items()}
        arrays |= {f"{name}.count": counts for name, counts in self.counts.items()}
        for name, trace in self.traces.items():
            arrays |= {f"{name}.spikes": trace.spikes, f"{name}.i": trace.i, f"{name}.v": trace.v}
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **arrays)

    def __str__(self) -> str:
        head = f"{self.network}: {self.samples} samples x {self.steps} steps, float engine ({self.dtype})"
        rows = [("population", "neurons", "spikes/sample", "|i| up to", "v from", "v to")]
        for row in self.as_json()["populations"]:
            figures = (f"{row[key]:.6g}" for key in ("spikes_per_sample", "peak_i", "low_v", "high_v"))
            rows.append((row["name"], str(row["neurons"]), *figures))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ("  ".join([r[0].ljust(widths[0]), *map(str.rjust, r[1:], widths[1:])]) for r in rows)
        return "\n".join([head, *lines])

    def __repr__(self) -> str:
        return f"<FloatRecord {self.network}: {self.samples} samples x {self.steps} steps>"

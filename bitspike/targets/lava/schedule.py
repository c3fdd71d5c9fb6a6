"""When what enters a run and when it answers: samples one after the other, with gaps, or each in a run of its own."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, kw_only=True, slots=True)
class Schedule:
    """How samples lie in runs.

    Attributes:
        samples, steps: of the input.
        latency: steps by which the last population is late.
        gap: steps before each sample; None where each has a run of its own.
        quiet: whether an input of one neuron, the last one, fires in the gaps.
    """

    samples: int
    steps: int
    latency: int
    gap: int | None
    quiet: bool = False

    @property
    def runs(self) -> int:
        """Number of runs."""
        return self.samples if self.gap is None else 1

    @property
    def length(self) -> int:
        """Steps of a run."""
        return self._each * self._period + self.latency

    @property
    def reset_interval(self) -> int:
        """Steps from a population's reset to its next; longer than the run where a sample is alone in it."""
        return self.length + 1 if self.gap is None else self._period

    @property
    def _period(self) -> int:
        return (self.gap or 0) + self.steps

    @property
    def _each(self) -> int:
        return self.samples // self.runs

    def inputs(self, spikes: npt.NDArray[np.uint8]) -> list[npt.NDArray[np.uint8]]:
        """The input of each run, (steps of the run, neurons), of `spikes`, (samples, steps, neurons)."""
        gap = self.gap or 0
        padded = np.pad(spikes, ((0, 0), (gap, 0), (0, int(self.quiet))))
        if self.quiet:
            padded[:, :gap, -1] = 1
        groups = padded.reshape(self.runs, -1, padded.shape[2])
        return [np.pad(group, ((0, self.latency), (0, 0))) for group in groups]

    def answers(self, runs: list[npt.NDArray[Any]], start: int) -> npt.NDArray[Any]:
        """What a population that is late by `start` did: (samples, steps, ...) of (steps of the run, ...) each."""
        parts = [run[start : start + self._each * self._period] for run in runs]
        whole = np.stack(parts).reshape(self.samples, self._period, *parts[0].shape[1:])
        return whole[:, self.gap or 0 :]

"""What an engine saw: spikes, currents and membranes of every neuron at every step."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from bitspike.convert.network import IntegerNetwork, Readout
from bitspike.errors import UsageError
from bitspike.files import replacing


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Trace:
    """One population over the window of each sample; all arrays have shape (samples, steps, neurons).

    Attributes:
        spikes: 0 or 1, uint8; of a population that sends graded spikes 0 or the payload, int32.
        u: current at the end of the step, in 1/64 weight unit, int32.
        v: membrane at the end of the step, after the reset, in 1/64 weight unit, int32.
    """

    spikes: npt.NDArray[np.uint8] | npt.NDArray[np.int32]
    u: npt.NDArray[np.int32]
    v: npt.NDArray[np.int32]


#: Spikes, currents and membranes of one population over a whole run, each of shape (samples, run steps, neurons).
Raw = tuple[npt.NDArray[np.integer], npt.NDArray[np.integer], npt.NDArray[np.integer]]


def run_length(network: IntegerNetwork, steps: int) -> int:
    """Steps that a run of a window of `steps` lasts: the window and the largest latency."""
    return steps + max(network.latencies().values())


def padded(network: IntegerNetwork, spikes: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """`spikes`, (samples, steps, neurons), followed by silence up to the length of the run."""
    silence = run_length(network, spikes.shape[1]) - spikes.shape[1]
    return np.pad(spikes, ((0, 0), (0, silence), (0, 0)))


def aligned(engine: str, network: IntegerNetwork, inputs: npt.NDArray[np.uint8], raw: Mapping[str, Raw]) -> "Record":
    """The record of a run: of each population the window that begins `latency` steps after the start."""
    latency = network.latencies()
    steps = inputs.shape[1]
    traces = {}
    for name, (spikes, u, v) in raw.items():
        window = slice(latency[name], latency[name] + steps)
        sent = spikes[:, window].astype(network.population(name).spike_dtype)
        traces[name] = Trace(spikes=sent, u=u[:, window].astype(np.int32), v=v[:, window].astype(np.int32))
    return Record(engine=engine, inputs=inputs, traces=traces, latency=latency)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Record:
    """One run of one engine.

    Attributes:
        engine: its name.
        inputs: the spikes it was given, (samples, steps, neurons of all inputs), uint8.
        traces: by population, aligned: step `t` of every trace is the step in which the population answers the input
            of step `t`, whatever the latency of the network that ran.
        latency: the steps by which each population was late, already taken out of the traces.
    """

    engine: str
    inputs: npt.NDArray[np.uint8]
    traces: Mapping[str, Trace]
    latency: Mapping[str, int]

    def __post_init__(self) -> None:
        object.__setattr__(self, "traces", MappingProxyType(dict(self.traces)))
        object.__setattr__(self, "latency", MappingProxyType(dict(self.latency)))

    @property
    def samples(self) -> int:
        """Number of samples."""
        return self.inputs.shape[0]

    @property
    def steps(self) -> int:
        """Steps of a sample's window."""
        return self.inputs.shape[1]

    def spikes_of(self, network: IntegerNetwork, name: str) -> npt.NDArray[np.uint8] | npt.NDArray[np.int32]:
        """The spikes of the population or input called `name`, (samples, steps, neurons)."""
        if name in self.traces:
            return self.traces[name].spikes
        return network.input_spikes(self.inputs)[name]

    def scores(self, network: IntegerNetwork, answer: str | None = None) -> npt.NDArray[np.int64]:
        """The integer read-out, shape (samples, classes): that of `answer`, or of the only one that there is.

        Read-outs that belong to one answer are joined, their classes one after the other.

        Raises:
            UsageError: where there are several answers and none is named, or no such answer.
        """
        answers = network.answers()
        if answer is None and len(answers) == 1:
            answer = next(iter(answers))
        if answer not in answers:
            known = ", ".join(map(repr, answers))
            raise UsageError(f"network {network.name}: answer {answer!r}; expected one of {known}")
        return np.concatenate([self._read(readout) for readout in answers[answer]], axis=1)

    def _read(self, readout: Readout) -> npt.NDArray[np.int64]:
        trace = self.traces[readout.population]
        if readout.kind == "spike_count":
            return trace.spikes.sum(axis=1, dtype=np.int64)
        if readout.kind == "membrane_sum":
            return trace.v.sum(axis=1, dtype=np.int64)
        return trace.v[:, -1].astype(np.int64)

    def predictions(self, network: IntegerNetwork, answer: str | None = None) -> npt.NDArray[np.int64]:
        """The class of each sample; ties go to the lowest index."""
        return np.argmax(self.scores(network, answer), axis=1)

    def accuracy(self, network: IntegerNetwork, labels: npt.NDArray[np.int64], answer: str | None = None) -> float:
        """Share of samples whose class is `labels`."""
        if len(labels) != self.samples:
            raise UsageError(f"{len(labels)} labels for {self.samples} samples")
        return float(np.mean(self.predictions(network, answer) == labels))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write all arrays to a compressed ``.npz``: ``inputs`` and ``<population>.spikes``, ``.u``, ``.v``."""
        arrays: dict[str, npt.NDArray[np.generic]] = {"inputs": self.inputs}
        for name, trace in self.traces.items():
            arrays |= {f"{name}.spikes": trace.spikes, f"{name}.u": trace.u, f"{name}.v": trace.v}
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **arrays)

"""The fast engine: whole data sets in tiles on all cores, or an endless stream chunk by chunk.

Every value is that of :mod:`bitspike.sim.reference`: tests compare them on thousands of networks.
"""

import os
from collections import deque
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import numpy as np
import numpy.typing as npt

from bitspike.convert.network import IntegerNetwork
from bitspike.convert.ranges import check_range
from bitspike.errors import UsageError
from bitspike.sim.fast.plan import make_plan
from bitspike.sim.fast.session import Chunk, Session
from bitspike.sim.fast.sources import Array
from bitspike.sim.record import Record, Trace, run_length

#: Inputs of the widest population that a tile holds, or half as many recorded states.
TILE = 1 << 23
#: Samples from which on a further core is worth its start: two cores took twice as long for 4, and as long for 16.
SHARE = 16
#: Most steps that a tile runs at once.
CHUNK = 128


class FastEngine:
    """A network made ready to run: weights packed once, for as many runs as one likes.

    Args:
        network: a legal network. Its range proof must hold for the length of each run.
    """

    def __init__(self, network: IntegerNetwork) -> None:
        self.network = network
        self._plan = make_plan(network)
        self._proved = 0
        self._resting: deque[Session] = deque(maxlen=2 * (os.cpu_count() or 1))

    def run(
        self,
        spikes: npt.NDArray[np.uint8],
        *,
        record: Collection[str] | None = None,
        threads: int | None = None,
        tile: int | None = None,
        chunk: int | None = None,
    ) -> Record:
        """Run samples as :func:`bitspike.sim.reference.run_reference` does, integer for integer.

        Args:
            spikes: 0 or 1, shape (samples, steps, neurons of all inputs).
            record: names of the populations to keep; all by default. The others are not in the record's traces.
            threads: all cores by default, as far as each has samples enough. No result depends on it.
            tile: samples that go through together; chosen by size by default. No result depends on it.
            chunk: steps that a tile runs at once. No result depends on it.

        Raises:
            RangeError: where a state could leave its register.
            UsageError: an unknown population, or fewer than one thread, sample or step.
        """
        self._prove(spikes.shape[1])
        kept = {p.name for p in self.network.populations} if record is None else set(record)
        shapes = {name: (*spikes.shape[:2], self.network.population(name).size) for name in kept}
        length = run_length(self.network, spikes.shape[1])
        chunk = CHUNK if chunk is None else chunk
        cores = min(os.cpu_count() or 1, max(1, len(spikes) // SHARE))
        workers = cores if threads is None else threads
        recorded = sum(self.network.population(name).size for name in kept)
        most = max(1, min(64, TILE // (min(length, max(1, chunk)) * max(self._plan.widest, 2 * recorded))))
        size = _even(len(spikes), most, max(1, workers)) if tile is None else tile
        if size < 1 or workers < 1 or chunk < 1:
            raise UsageError(f"tile {size}, threads {workers}, chunk {chunk}; expected 1 or more")
        traces = {name: _empty(self.network, name, shape) for name, shape in shapes.items()}

        starts = range(0, len(spikes), size)
        workers = min(workers, len(starts))
        waiting = iter(starts)

        def work() -> None:
            for first in waiting:
                rows = slice(first, min(first + size, len(spikes)))
                session = self._session(rows.stop - first)
                _run_tile(session, spikes[rows], chunk, {name: _part(trace, rows) for name, trace in traces.items()})
                self._resting.append(session)

        if workers < 2:
            work()
        else:
            with ThreadPoolExecutor(workers - 1) as pool:
                others = [pool.submit(work) for _ in range(workers - 1)]
                work()
                for other in others:
                    other.result()
        ordered = {p.name: Trace(**traces[p.name]) for p in self.network.populations if p.name in kept}
        return Record(engine="fast", inputs=spikes, traces=ordered, latency=self.network.latencies())

    def stream(self, *, samples: int = 1, steps: int = 10_000) -> "Stream":
        """Begin a run that is fed chunk by chunk: for input that does not end, or does not fit in memory.

        Args:
            samples: independent streams that are fed together.
            steps: for how many the range is proved; a stream refuses more.

        Raises:
            RangeError: where a state could leave its register within them.
            UsageError: fewer than one sample or step.
        """
        if samples < 1 or steps < 1:
            raise UsageError(f"stream of {samples} samples and {steps} steps; expected 1 or more")
        self._prove(steps)
        return Stream(Session(self._plan, samples), steps)

    def _session(self, samples: int) -> Session:
        """A session that rests, or a new one: its arrays are then in memory already."""
        for session in tuple(self._resting):
            if session.samples == samples:
                with suppress(ValueError):  # another thread took it
                    self._resting.remove(session)
                    return session
        return Session(self._plan, samples)

    def _prove(self, steps: int) -> None:
        if steps > self._proved:
            check_range(self.network, steps)
            self._proved = steps


class Stream:
    """A run that goes on: states are kept from chunk to chunk. `step` counts the steps that were run."""

    def __init__(self, session: Session, limit: int) -> None:
        self._session, self._limit = session, limit

    @property
    def step(self) -> int:
        """Steps that were run."""
        return self._session.step

    def feed(
        self, spikes: npt.NDArray[np.uint8], *, record: Collection[str] | None = None, states: bool = False
    ) -> dict[str, Trace]:
        """Run the next steps and return what the populations did in them.

        A population of latency d (its `start`; 0 for a network in the time of training) answers the input of a step d
        steps later.

        Args:
            spikes: 0 or 1, shape (samples, steps, neurons of all inputs).
            record: names of the populations that are wanted; by default those that are read out.
            states: whether currents and membranes are wanted; otherwise they have no samples.

        Raises:
            UsageError: for another shape or other values, an unknown population, or more steps than were proved.
        """
        session = self._session
        network = session.plan.network
        expected = session.samples, network.input_size
        if spikes.ndim != 3 or (spikes.shape[0], spikes.shape[2]) != expected or spikes.max(initial=0) > 1:
            raise UsageError(
                f"spikes of shape {spikes.shape}, up to {spikes.max(initial=0)}; "
                f"expected 0 and 1, ({expected[0]}, steps, {expected[1]})"
            )
        if session.step + spikes.shape[1] > self._limit:
            raise UsageError(f"stream at step {session.step}; expected at most {self._limit} steps: stream(steps=...)")
        wanted = {r.population for r in network.readouts} if record is None else set(record)
        for name in wanted:
            network.population(name)
        found = session.advance(spikes, wanted, states)
        return {name: Trace(spikes=c.spikes.copy(), u=c.u.copy(), v=c.v.copy()) for name, c in found.items()}


def run_fast(network: IntegerNetwork, spikes: npt.NDArray[np.uint8], **options: Any) -> Record:
    """Run a legal network once; for the options see :meth:`FastEngine.run`."""
    return FastEngine(network).run(spikes, **options)


def _even(samples: int, most: int, workers: int) -> int:
    """Return the samples of a tile, `most` at most, so that all workers have about as many tiles."""
    each = -(-samples // workers)
    tiles = max(1, -(-each // most))
    return max(1, -(-each // tiles))


def _empty(network: IntegerNetwork, name: str, shape: tuple[int, ...]) -> dict[str, Any]:
    return {
        "spikes": np.empty(shape, network.population(name).spike_dtype),
        "u": np.empty(shape, np.int32),
        "v": np.empty(shape, np.int32),
    }


def _part(trace: dict[str, Any], rows: slice) -> dict[str, Array]:
    return {key: array[rows] for key, array in trace.items()}


def _run_tile(session: Session, spikes: Array, chunk: int, results: dict[str, dict[str, Array]]) -> None:
    network, steps = session.plan.network, spikes.shape[1]
    length, starts = run_length(network, steps), network.latencies()
    session.reset()
    for first in range(0, length, chunk):
        last = min(length, first + chunk)
        given = spikes[:, first:last]
        silence = last - first - given.shape[1]
        if silence:
            given = np.pad(given, ((0, 0), (0, silence), (0, 0)))
        for name, found in session.advance(given, results).items():
            _keep(results[name], found, first - starts[name], steps)


def _keep(result: dict[str, Array], found: Chunk, first: int, steps: int) -> None:
    """Copy what falls into the window: the chunk's first step is step `first` of it."""
    begin, end = max(0, first), min(steps, first + found.spikes.shape[1])
    if begin < end:
        for key, array in result.items():
            array[:, begin:end] = getattr(found, key)[:, begin - first : end - first]

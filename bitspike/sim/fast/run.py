"""The fast engine's runs: tiles of samples on all cores, each through the groups of the plan."""

import os
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt

from bitspike.convert.network import IntegerNetwork, Population
from bitspike.convert.ranges import check_range
from bitspike.errors import UsageError
from bitspike.sim.fast import kernels
from bitspike.sim.fast.delivery import Array, Rows
from bitspike.sim.fast.plan import Group, Plan, bias, make_plan, settings
from bitspike.sim.record import Record, Trace, run_length

#: Numbers of the widest population over a whole run that a tile has: its inputs then stay in the cache.
TILE = 1 << 20
_NONE = np.empty((0, 0, 0), np.int32)


def run_fast(
    network: IntegerNetwork,
    spikes: npt.NDArray[np.uint8],
    *,
    record: Collection[str] | None = None,
    threads: int | None = None,
    tile: int | None = None,
) -> Record:
    """Run a legal network as :func:`bitspike.sim.reference.run_reference` does, integer for integer.

    Args:
        network: its range proof must hold: the engine relies on it and is not told of an overflow otherwise.
        spikes: 0 or 1, shape (samples, steps, neurons of all inputs).
        record: names of the populations to keep; all by default. The others are not in the record's traces.
        threads: all cores by default. No result depends on it.
        tile: samples that go through together; chosen by size by default. No result depends on it.

    Raises:
        RangeError: where a state could leave its register.
        UsageError: an unknown population, or fewer than one thread or sample.
    """
    check_range(network, spikes.shape[1])
    kept = {p.name for p in network.populations} if record is None else set(record)
    for name in kept:
        network.population(name)
    plan = make_plan(network)
    traces = {name: _empty(network.population(name), spikes.shape[:2]) for name in kept}
    size = tile or max(1, min(64, TILE // (run_length(network, spikes.shape[1]) * plan.widest)))
    workers = threads or os.cpu_count() or 1
    if size < 1 or workers < 1:
        raise UsageError(f"tile {size}, threads {workers}; expected 1 or more")

    def work(first: int) -> None:
        rows = slice(first, min(first + size, len(spikes)))
        _run_tile(plan, spikes[rows], {name: _part(trace, rows) for name, trace in traces.items()})

    starts = range(0, len(spikes), size)
    if workers == 1 or len(starts) == 1:
        for first in starts:
            work(first)
    else:
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(work, starts))
    ordered = {p.name: Trace(**traces[p.name]) for p in network.populations if p.name in kept}
    return Record(engine="fast", inputs=spikes, traces=ordered, latency=network.latencies())


def _empty(population: Population, shape: tuple[int, int]) -> dict[str, Any]:
    whole = (*shape, population.size)
    return {
        "spikes": np.empty(whole, population.spike_dtype),
        "u": np.empty(whole, np.int32),
        "v": np.empty(whole, np.int32),
    }


def _part(trace: dict[str, Any], rows: slice) -> dict[str, Array]:
    return {key: array[rows] for key, array in trace.items()}


class _Tile:
    """Spikes of the samples of a tile by population, and where the records of some go."""

    def __init__(self, network: IntegerNetwork, spikes: Array, results: dict[str, dict[str, Array]]) -> None:
        self.samples, self.steps, _ = spikes.shape
        self.length = run_length(network, self.steps)
        padded = np.pad(spikes, ((0, 0), (0, self.length - self.steps), (0, 0)))
        self.fired: dict[str, Array] = dict(network.input_spikes(padded))
        self.rows: dict[str, Rows] = {}
        self.results = results

    def whole(self, name: str) -> Rows:
        """All rows of a source, (sample, step) in C order."""
        if name not in self.rows:
            fired = self.fired[name]
            self.rows[name] = Rows(fired.reshape(-1, fired.shape[2]))
        return self.rows[name]

    def pairs(self, delay: int) -> Array:
        """Which row of inputs takes which row of a source, `delay` steps earlier."""
        numbers = np.arange(self.samples * self.length, dtype=np.int64).reshape(self.samples, self.length)
        return np.stack([numbers[:, delay:].ravel(), numbers[:, : self.length - delay].ravel()], axis=1)


class _State:
    """One population in one tile."""

    def __init__(self, population: Population, tile: _Tile) -> None:
        self.population, self.tile = population, tile
        shape = (tile.samples, tile.length, population.size)
        self.inputs = np.zeros(shape, np.int16)
        self.fired = np.empty(shape, population.spike_dtype)
        self.state = np.zeros((2, tile.samples, population.size), np.int32)
        recorded = population.name in tile.results
        self.currents, self.membranes = (np.empty(shape, np.int32) if recorded else _NONE for _ in range(2))
        self.settings, self.bias = settings(population), bias(population)

    @property
    def flat(self) -> Array:
        """The inputs as rows."""
        return self.inputs.reshape(-1, self.population.size)

    def advance(self, first: int, last: int) -> None:
        """Run steps `first` to `last` - 1."""
        kernels.neurons(
            self.inputs, self.state, self.bias, self.settings, (first, last), self.fired, self.currents, self.membranes
        )

    def finish(self) -> None:
        """Hand the spikes to later groups, and the window of what is recorded to the record."""
        self.tile.fired[self.population.name] = self.fired
        if self.population.name in self.tile.results:
            window = slice(self.population.start, self.population.start + self.tile.steps)
            found = {"spikes": self.fired, "u": self.currents, "v": self.membranes}
            for key, result in self.tile.results[self.population.name].items():
                result[:] = found[key][:, window]


def _run_tile(plan: Plan, spikes: Array, results: dict[str, dict[str, Array]]) -> None:
    tile = _Tile(plan.network, spikes, results)
    for group in plan.groups:
        states = {p.name: _State(p, tile) for p in group.populations}
        for one in group.outer:
            if one.delay < tile.length:
                one.deliver(tile.whole(one.source), tile.pairs(one.delay), states[one.target].flat)
        if group.inner:
            _step_by_step(group, states, tile)
        else:
            for state in states.values():
                state.advance(0, tile.length)
        for state in states.values():
            state.finish()


def _step_by_step(group: Group, states: dict[str, _State], tile: _Tile) -> None:
    begins = np.arange(tile.samples, dtype=np.int64)
    for step in range(tile.length):
        for population in group.populations:
            state = states[population.name]
            for one in group.inner:
                if one.target == population.name and step >= one.delay:
                    rows = Rows(states[one.source].fired[:, step - one.delay])
                    one.deliver(rows, np.stack([begins * tile.length + step, begins], axis=1), state.flat)
            state.advance(step, step + 1)

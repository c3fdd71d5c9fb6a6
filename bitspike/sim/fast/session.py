"""Some samples in the middle of a run: their states, and the last spikes that delayed connections still read.

A session is fed chunk by chunk. Within a chunk each group of populations goes through all steps at once, sample by
sample where one connection leads to it, so that its weights stay in the cache; a recurrent group goes step by step, in
compiled code where it is one population with one dense loop.
"""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from bitspike.convert.network import DECAY_ONE, STATE_SHIFT, Input, Population
from bitspike.sim.fast import neurons
from bitspike.sim.fast.delivery import Cells, Deliver, Span
from bitspike.sim.fast.lanes import COLUMN
from bitspike.sim.fast.layout import Layout
from bitspike.sim.fast.narrow import LANES, narrow_bias
from bitspike.sim.fast.plan import Group, Plan
from bitspike.sim.fast.sources import Array, BitEvents, Bits, Events, Payloads, empty, pack, whole, zeros

_NONE = np.empty((0, 0, 0), np.int32)
Source = Bits | Payloads


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """What one population did in a chunk, all of shape (samples, steps, neurons).

    Attributes:
        spikes: 0 or 1, uint8, or payloads, int32.
        u, v: int32; of no samples where they were not asked for. The next chunk overwrites them.
    """

    spikes: Array
    u: Array
    v: Array


class Session:
    """States between two chunks; `step` counts the steps that were run.

    Its arrays are made once and used for every chunk, and after :meth:`reset` for other samples.
    """

    def __init__(self, plan: Plan, samples: int) -> None:
        self.plan, self.samples, self.step = plan, samples, 0
        self._bias = {p.name: _filled(p, plan.layouts[p.name]) for p in plan.network.populations}
        self._states = {p.name: zeros((2, samples, whole(p.size)), np.int32) for p in plan.network.populations}
        self._tails = {node.name: _silence(node, samples, plan.leads[node.name]) for node in plan.network.nodes()}
        self._room: dict[tuple[str, str], Array] = {}
        self._pairs: dict[tuple[int, int, int], Array] = {}
        self._turns: dict[tuple[str, int, bool], _Turn] = {}

    def reset(self) -> None:
        """Begin again with other samples."""
        self.step = 0
        for array in (*self._states.values(), *self._tails.values()):
            array[:] = 0

    def room(self, name: str, use: str, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Array:
        """An array for one use of one population, with whatever was left in it, and room for a vector behind it."""
        size = math.prod(shape)
        if (name, use) not in self._room or self._room[name, use].size < size + COLUMN:
            self._room[name, use] = empty((size + COLUMN,), dtype)
        return self._room[name, use][:size].reshape(shape)

    def pairs(self, steps: int, lead: int, delay: int) -> Array:
        """Which row of inputs takes which row of a source: that of `delay` steps earlier."""
        key = steps, lead, delay
        if key not in self._pairs:
            rows = np.arange(self.samples * steps, dtype=np.int64)
            self._pairs[key] = np.stack([rows, rows + (rows // steps + 1) * lead - delay], axis=1)
        return self._pairs[key]

    def advance(self, spikes: Array, record: Collection[str], states: bool = True) -> dict[str, Chunk]:
        """Run the next steps.

        Args:
            spikes: 0 or 1, shape (samples, steps, neurons of all inputs).
            record: names of the populations whose part in it is wanted.
            states: whether currents and membranes are wanted too.
        """
        steps = spikes.shape[1]
        sources = self._given(spikes)
        found: dict[str, Chunk] = {}
        events: dict[str, Events] = {}
        for group in self.plan.groups:
            turns = {p.name: self._turn(p, steps, states and p.name in record) for p in group.populations}
            for one in group.outer:
                if one.source not in events:
                    events[one.source] = sources[one.source].events(partial(self.room, one.source))
            self._run(group, turns, events, steps)
            for name, turn in turns.items():
                sources[name] = turn.fired
                if name in record:
                    found[name] = turn.chunk()
        for name, source in sources.items():
            self._tails[name][:] = source.tail(self.plan.leads[name])
        self.step += steps
        return found

    def _given(self, spikes: Array) -> dict[str, Source]:
        """The spikes of each input, behind those of earlier chunks that are still read."""
        found: dict[str, Source] = {}
        for name, part in self.plan.network.input_spikes(spikes).items():
            tail = self._tails[name]
            lead, width = tail.shape[1:]
            words = self.room(name, "fired", (self.samples, lead + part.shape[1], width), np.uint32)
            words[:, :lead] = tail
            pack(np.ascontiguousarray(part), lead, words)
            found[name] = Bits(words, part.shape[2])
        return found

    def _run(self, group: Group, turns: "Mapping[str, _Turn]", events: Mapping[str, Events], steps: int) -> None:
        """Run a group: a population behind one connection sample by sample, where it can be, or the tile at once."""
        if len(group.outer) == 1 and not group.inner:
            (one,) = group.outer
            if turns[one.target].flow(one.deliver, events[one.source], (steps, self.plan.leads[one.source], one.delay)):
                return
        for one in group.outer:
            pairs = self.pairs(steps, self.plan.leads[one.source], one.delay)
            turns[one.target].receive(one.deliver, events[one.source], pairs)
        if len(group.inner) == 1:
            (one,) = group.inner
            if turns[one.target].loop(one.deliver, (steps, self.plan.leads[one.source], one.delay)):
                return
        if group.inner:
            self._step_by_step(group, turns, steps)
        else:
            for turn in turns.values():
                turn.advance(0, steps)

    def _turn(self, population: Population, steps: int, recorded: bool) -> "_Turn":
        """The turn of a population in this chunk: the same object in every chunk of so many steps."""
        key = population.name, steps, recorded
        if key not in self._turns:
            self._turns[key] = _Turn(self, population, steps, recorded)
        self._turns[key].begin(self.step)
        return self._turns[key]

    def _step_by_step(self, group: Group, turns: "Mapping[str, _Turn]", steps: int) -> None:
        for turn in turns.values():
            turn.clear()
        numbers = np.arange(self.samples, dtype=np.int64)
        for step in range(steps):
            for population in group.populations:
                turn = turns[population.name]
                for one in group.inner:
                    if one.target == population.name:
                        row = turns[one.source].lead + step - one.delay
                        events = turns[one.source].fired.events(partial(self.room, one.source), slice(row, row + 1))
                        turn.receive(one.deliver, events, np.stack([numbers * steps + step, numbers], axis=1))
                turn.advance(step, step + 1)


class _Turn:
    """One population in chunks of so many steps."""

    def __init__(self, session: Session, population: Population, steps: int, recorded: bool) -> None:
        self.population, self.steps = population, steps
        self.lead = session.plan.leads[population.name]
        name, samples = population.name, session.samples
        self._tail = session._tails[name]
        shape = samples, self.lead + steps, self._tail.shape[2]
        self._fired = session.room(name, "fired", shape, self._tail.dtype)
        self.fired: Source = (Payloads if population.graded else Bits)(self._fired, population.size)
        shape = (samples, steps, whole(population.size))
        self._inputs = partial(session.room, name, "inputs", shape, np.int16)
        self._room = partial(session.room, name)
        self.currents, self.membranes = (
            session.room(name, use, shape, np.int32) if recorded else _NONE for use in ("u", "v")
        )
        self._state, self._bias = session._states[name], session._bias[name]
        self._layout = session.plan.layouts[name]
        self._decays = np.int32(DECAY_ONE - population.du), np.int32(DECAY_ONE - population.dv)
        short = empty(self._bias.shape, np.int16)
        most = -1 if recorded else int(narrow_bias(self._bias, short))
        self._small = (
            short,
            most,
            empty(short.shape, np.int16),
            empty(short.shape, np.int16),
            empty((4 * LANES,), np.int16),
        )
        self._threshold, self._zero = np.int32(population.vth << STATE_SHIFT), population.reset == "zero"
        self.begin(session.step)

    def begin(self, step: int) -> None:
        """Begin a chunk at a step of the run: with no input, and the spikes that are still read."""
        self._fresh = True
        self._fired[:, : self.lead] = self._tail
        start = self.population.start - step
        self._settings = (*self._decays, self._threshold, self._zero, start, self.lead)

    @property
    def inputs(self) -> Array:
        """Those of all samples and steps, (samples, steps, neurons)."""
        return self._inputs()

    def flow(self, deliver: Deliver, events: Events, span: Span) -> bool:
        """Run all steps behind the only connection, sample by sample; return whether that can be done."""
        if deliver.flow is None or not isinstance(events, BitEvents) or not isinstance(self.fired, Bits):
            return False
        wide = deliver.flow(events, span, self._room, self._cells((0, self.steps)))
        self._learn(wide or 0)
        return wide is not None

    def loop(self, deliver: Deliver, span: Span) -> bool:
        """Run all steps of a population that reads its own spikes; return whether that can be done."""
        if deliver.loop is None or not isinstance(self.fired, Bits):
            return False
        self.clear()
        self._learn(deliver.loop(span, self.inputs, self._room, self._cells((0, self.steps))))
        return True

    def receive(self, deliver: Deliver, events: Events, pairs: Array) -> None:
        """Add what a connection brings; the first one finds what the last chunk left, and writes over it."""
        inputs = self.inputs
        deliver.add(events, pairs, inputs.reshape(-1, inputs.shape[2]), self._fresh)
        self._fresh = False

    def clear(self) -> None:
        """Begin with no input at all, unless some came already."""
        if self._fresh:
            self.inputs[:] = 0
            self._fresh = False

    def advance(self, first: int, last: int) -> None:
        """Run steps `first` to `last` - 1."""
        self.clear()
        if isinstance(self.fired, Payloads):
            neurons.graded(self.inputs, self._cells((first, last)))
        else:
            self._learn(neurons.binary(self.inputs, self._cells((first, last))))

    def _cells(self, steps: tuple[int, int]) -> Cells:
        """As the kernels take them."""
        recorded = self.currents, self.membranes
        if isinstance(self.fired, Payloads):
            shift = np.int32(self.population.payload_shift)
            return (self._state, self._bias, self._settings, shift, steps, self.fired.values, *recorded)
        return (self._state, self._bias, self._small, self._settings, steps, self.fired.words, *recorded)

    def _learn(self, wide: int) -> None:
        """Try no more with 16 bits where most samples needed 32."""
        if 2 * wide > len(self._fired):
            self._small = (self._small[0], -1, *self._small[2:])

    def chunk(self) -> Chunk:
        """What is recorded."""
        size, outside = self.population.size, self._layout.outside
        spikes = self.fired.dense(slice(self.lead, self.lead + self.steps))
        u, v = self.currents[..., :size], self.membranes[..., :size]
        return Chunk(spikes=outside(spikes), u=outside(u) if len(u) else u, v=outside(v) if len(v) else v)


def _filled(population: Population, layout: Layout) -> Array:
    """Return the bias in 1/64 weight unit, filled up to whole columns with neurons that never fire."""
    bias = zeros((whole(population.size),), np.int32)
    bias[: population.size] = population.bias[layout.order]
    return bias


def _silence(node: Population | Input, samples: int, rows: int) -> Array:
    """Return the spikes before the start."""
    if isinstance(node, Population) and node.graded:
        return np.zeros((samples, rows, whole(node.size)), np.int32)
    return np.zeros((samples, rows, whole(node.size) // 32), np.uint32)

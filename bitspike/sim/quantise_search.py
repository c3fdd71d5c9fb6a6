"""The search for scales: how many weight units the threshold of each population is.

1. For each population scales are tried: each with the true spikes of its sources, those of the float network, and they
   are ranked by how many of its own spikes differ. A scale with which a register could overflow is left out. The best
   is also tried with each decay rounded the other way.
2. The whole network is run with the best of each, and the next best of each population are tried in it: fewest
   differing spikes of what is read out, then of all.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from bitspike.convert.floating.cells import CONSTANT, Cell, Lattice, closed
from bitspike.convert.floating.network import FloatNetwork
from bitspike.convert.floating.nodes import Reals
from bitspike.convert.floating.rounding import Choice, Rounded, round_cell
from bitspike.convert.network import STATE_SHIFT, Input, IntegerNetwork, Readout, ReadoutKind
from bitspike.convert.ranges import check_range
from bitspike.errors import RangeError
from bitspike.sim.floating import simulate_float
from bitspike.sim.floating_record import FloatTrace
from bitspike.sim.gram import gram_of
from bitspike.sim.quantise_data import Spikes, by_input
from bitspike.sim.quantise_scales import alone, choices, other_decays, smaller
from bitspike.sim.whole_window import run_population, run_window

MembraneReadout = Literal["membrane_sum", "membrane_last"]
#: Samples, and bytes of spikes and states, that the search looks at.
SEARCHED = 128
SEARCH_BYTES = 1 << 28
#: Scales of a population that are tried in the whole network.
FINALISTS = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class _Outcome:
    """A choice and what it costs; less is better."""

    cost: tuple[float, ...]
    choice: Choice


class Search:
    """The scales of one lattice."""

    def __init__(
        self,
        network: FloatNetwork,
        plan: Lattice,
        spikes: Spikes,
        *,
        bits: int,
        readout: MembraneReadout,
        notify: Callable[[str, int, int], None] | None = None,
    ) -> None:
        self.plan = plan
        self.bits = bits
        self.steps = spikes.shape[1]
        self.kinds: dict[bool, ReadoutKind] = {True: "spike_count", False: readout}
        self.notify = notify
        self.tried = 0
        self.grams: dict[str, Reals | None] = {}
        self.swallowed: dict[str, float] = {}
        neurons = sum(cell.size for cell in plan.cells)
        self.spikes = spikes[: max(1, min(SEARCHED, SEARCH_BYTES // (16 * self.steps * neurons)))]
        signals = by_input(network.inputs, self.spikes)
        record = simulate_float(network, signals, record="all", dtype="float32")
        self.sent: dict[str, Spikes] = by_input(plan.inputs, self.spikes)
        self.membranes: dict[str, npt.NDArray[np.floating]] = {}
        for cell in plan.cells:
            if cell.name == CONSTANT:
                self.sent[cell.name] = np.ones((*self.spikes.shape[:2], 1), np.uint8)
                continue
            trace = record.traces[cell.origin or cell.name]
            neurons_of = cell.neurons if cell.origin else slice(None)
            self.sent[cell.name] = trace.spikes[:, :, neurons_of]
            if cell.own == "swallow":
                self.swallowed[cell.name] = _mean_swallowed(network, cell, trace)
            self.membranes[cell.name] = trace.v[:, :, neurons_of]

    def run(self) -> dict[str, Choice]:
        """The choice for each cell."""
        ranked = {cell.name: self._rank(cell, number) for number, cell in enumerate(self.plan.cells)}
        for cell in self.plan.cells:
            if self.swallowed.get(cell.name, 0.0) > 0 and ranked[cell.name][0].cost[0]:
                self._take_back(cell, ranked)
        chosen = {name: outcomes[0].choice for name, outcomes in ranked.items()}
        best = self._cost(chosen)
        for cell in self.plan.cells:
            for outcome in ranked[cell.name][1:FINALISTS]:
                if best[0] == 0:
                    return chosen
                changed = chosen | {cell.name: outcome.choice}
                cost = self._cost(changed)
                if cost < best:
                    best, chosen = cost, changed
        return chosen

    def _take_back(self, cell: Cell, ranked: dict[str, list[_Outcome]]) -> None:
        """Let a cell take back the mean of what it should swallow, where fewer of its spikes differ then."""
        changed = replace(cell, swallowed=self.swallowed[cell.name])
        outcomes = self._rank(changed, self.plan.cells.index(cell))
        if outcomes[0].cost < ranked[cell.name][0].cost:
            ranked[cell.name] = outcomes
            cells = tuple(changed if one is cell else one for one in self.plan.cells)
            self.plan = replace(self.plan, cells=cells)

    def rounded(self, cell: Cell, choice: Choice) -> Rounded:
        """A cell in integers, its ranges proved."""
        if cell.name not in self.grams:
            self.grams[cell.name] = gram_of(closed(cell), self.sent)
        found = round_cell(cell, choice, bits=self.bits, gram=self.grams[cell.name])
        check_range(alone(found, self.steps))
        return found

    def network(self, built: Mapping[str, Rounded]) -> IntegerNetwork:
        """The integer network of rounded cells."""
        several = len(self.plan.outputs) > 1
        spiking = {cell.name: cell.spiking for cell in self.plan.cells}
        return IntegerNetwork(
            name=self.plan.name,
            steps=self.steps,
            inputs=tuple(Input(name=entry.name, shape=entry.shape) for entry in self.plan.inputs),
            populations=tuple(built[cell.name].population for cell in self.plan.cells),
            connections=tuple(c for cell in self.plan.cells for c in built[cell.name].connections),
            readouts=tuple(
                Readout(population=name, kind=self.kinds[spiking[name]], answer=name if several else "")
                for name in self.plan.outputs
            ),
        )

    def _rank(self, cell: Cell, number: int) -> list[_Outcome]:
        """All choices for a cell that fit, the best first."""
        if self.notify is not None:
            self.notify(cell.name, number, len(self.plan.cells))
        found: list[_Outcome] = []
        for choice in choices(cell, bits=self.bits, steps=self.steps):
            self._try(cell, choice, found)
            if found and found[-1].cost[0] == 0:
                break
        if not found:  # rounding that makes up for errors may exceed a register by a little
            self._try(cell, smaller(cell, bits=self.bits, steps=self.steps), found)
        best = min(found, key=lambda outcome: outcome.cost)
        if best.cost[0]:
            for choice in other_decays(cell, best.choice):
                self._try(cell, choice, found)
        return sorted(found, key=lambda outcome: outcome.cost)

    def _try(self, cell: Cell, choice: Choice, found: list[_Outcome]) -> None:
        try:
            built = self.rounded(cell, choice)
        except RangeError:
            return
        found.append(_Outcome(cost=self._alone_cost(cell, choice, built), choice=choice))
        self.tried += 1

    def _alone_cost(self, cell: Cell, choice: Choice, built: Rounded) -> tuple[float, ...]:
        moved = sum(move.rms for move in built.moves)
        if not cell.origin:
            return (0.0, moved)
        fired, membranes = run_population(built.population, built.connections, self.sent)
        if cell.spiking:
            return (float(np.count_nonzero(fired != self.sent[cell.name])), moved)
        error = membranes / (choice.scale << STATE_SHIFT) - self.membranes[cell.name]
        return (float(np.sqrt(np.mean(error**2))), moved)

    def _cost(self, chosen: Mapping[str, Choice]) -> tuple[float, ...]:
        """Of the whole network: what differs where it is read out, then everywhere."""
        self.tried += 1
        built = {cell.name: self.rounded(cell, chosen[cell.name]) for cell in self.plan.cells}
        fired, membranes = run_window(self.network(built), self.spikes)
        total = sum(float(np.count_nonzero(fired[cell.name] != self.sent[cell.name])) for cell in self.plan.cells)
        last = 0.0
        for cell in self.plan.cells:
            if cell.name not in self.plan.outputs:
                continue
            if cell.spiking:
                last += np.count_nonzero(fired[cell.name] != self.sent[cell.name])
            else:
                error = membranes[cell.name] / (chosen[cell.name].scale << STATE_SHIFT) - self.membranes[cell.name]
                last += float(np.sqrt(np.mean(error**2)))
        return (last, total)


def _mean_swallowed(network: FloatNetwork, cell: Cell, trace: FloatTrace) -> float:
    """The mean current in the step after a spike, in thresholds of its neuron."""
    node = next(p for p in network.populations if p.name == cell.origin)
    scale = (node.gain / (node.threshold - node.reset_value))[cell.neurons]
    after = trace.spikes[:, :-1, cell.neurons].astype(bool)
    current = (trace.i[:, 1:, cell.neurons] * scale)[after]
    return float(current.mean()) if current.size else 0.0

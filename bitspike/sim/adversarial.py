"""Inputs that no data set has: searched for, so that equality is not claimed on silence.

Data visit few of the places where two arithmetics part. The search wants of every neuron every path of the arithmetic
(:mod:`bitspike.sim.coverage.paths`), and of every population its extremes:

1. Some candidates are aimed: at a neuron that has not taken all its paths, with the inputs that drive it up, or those
   that drive it down (:mod:`bitspike.sim.aim`), for a part of the window, and with their opposites for the rest.
2. Some are bred: of the samples that were kept so far, changed in a few places, or two of them joined at a step.
3. Some are noise, at many rates.
4. All run on the fast engine. Kept are those that add a path of a neuron, or drive a current or a membrane of a
   population further than all before, each time the one that adds most.

The same network, number, window and seed give the same samples, bit for bit: all of it is integers.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from bitspike.convert.network import IntegerNetwork
from bitspike.convert.ranges import range_proof
from bitspike.errors import UsageError
from bitspike.samples import SpikeData
from bitspike.sim.aim import drive_of
from bitspike.sim.count_run import chunk_size
from bitspike.sim.coverage.paths import possible, taken
from bitspike.sim.fast.run import FastEngine

Integers = npt.NDArray[np.int64]
Spikes = npt.NDArray[np.uint8]

#: Rounds of candidates, and how many there are in each: aimed, bred, noise.
ROUNDS, AIMED, BRED, NOISE = 16, 32, 24, 8
_RATES = (0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)
#: Shares of the places that breeding changes.
_CHANGES = (0.002, 0.02, 0.1)


def adversarial(network: IntegerNetwork, samples: int, *, steps: int | None = None, seed: int = 0) -> SpikeData:
    """Search for inputs that drive `network` where data do not go.

    Args:
        network: a legal network whose range proof holds.
        samples: how many inputs.
        steps: window of a sample; default: the network's.
        seed: of the search.

    Returns:
        Samples in the order in which they were chosen: each adds most to those before it. Labels are 0.
    """
    if samples < 1 or seed < 0:
        raise UsageError(f"adversarial: {samples} samples, seed {seed}; expected 1 or more, and 0 or more")
    length = network.steps if steps is None else steps
    if length < 1:
        raise UsageError(f"adversarial: {length} steps; expected 1 or more")
    search = _Search(network, length, seed)
    found = search.measured(np.concatenate([search.plain(), search.noise(AIMED + BRED)]))
    for _ in range(ROUNDS):
        found = found.best(max(2 * samples, AIMED))
        found = found.with_more(search.measured(search.candidates(found)))
    found = found.best(samples)
    more = search.noise(samples - len(found.spikes))  # where nothing is left to add
    return SpikeData(
        name=f"adversarial:{samples}",
        spikes=np.concatenate([found.spikes, more]),
        labels=np.zeros(samples, np.int64),
        seed=seed,
    )


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Measured:
    """Samples and what each of them reached.

    Attributes:
        spikes: (samples, steps, neurons of all inputs).
        marks: the paths that each neuron took, a bit each, (samples, neurons of all populations).
        extremes: how far each direction of each population was driven, (samples, directions), never negative.
    """

    spikes: Spikes
    marks: npt.NDArray[np.uint8]
    extremes: Integers

    def with_more(self, other: "_Measured") -> "_Measured":
        """These samples, and the others after them."""
        return _Measured(
            spikes=np.concatenate([self.spikes, other.spikes]),
            marks=np.concatenate([self.marks, other.marks]),
            extremes=np.concatenate([self.extremes, other.extremes]),
        )

    def best(self, count: int) -> "_Measured":
        """At most `count` of them, each of which adds most to those before it; what adds nothing is left out.

        A path that a neuron had not taken counts one, and so does a direction in which nothing went as far. The first
        wins a tie.
        """
        covered = np.zeros(self.marks.shape[1], np.uint8)
        furthest = np.zeros(self.extremes.shape[1], np.int64)
        found: list[int] = []
        while len(found) < count:
            new = np.bitwise_count(self.marks & ~covered).sum(axis=1, dtype=np.int64)
            new += np.count_nonzero(self.extremes > furthest, axis=1)
            row = int(np.argmax(new))
            if new[row] == 0:
                break
            found.append(row)
            covered |= self.marks[row]
            furthest = np.maximum(furthest, self.extremes[row])
        return _Measured(spikes=self.spikes[found], marks=self.marks[found], extremes=self.extremes[found])


class _Search:
    """What makes candidates and measures them; the only state is that of the generator of random numbers."""

    def __init__(self, network: IntegerNetwork, steps: int, seed: int) -> None:
        self.network, self.steps = network, steps
        self._random = np.random.default_rng(seed)
        self._engine = FastEngine(network)
        self._drives: dict[tuple[str, int], Integers] = {}

    @cached_property
    def _wanted(self) -> npt.NDArray[np.uint8]:
        """The paths that each neuron has, a bit each, over all populations."""
        proof = range_proof(self.network, self.steps)
        bits = [
            np.full(p.size, sum(has << place for place, has in enumerate(possible(p, bounds))), np.uint8)
            for p, bounds in zip(self.network.populations, proof, strict=True)
        ]
        return np.concatenate(bits)

    @cached_property
    def _neurons(self) -> list[tuple[str, int]]:
        """Population and number of each of them."""
        return [(p.name, n) for p in self.network.populations for n in range(p.size)]

    def measured(self, spikes: Spikes) -> _Measured:
        """Run samples and see what they reach."""
        size = max(1, chunk_size(self.network, self.steps) // 2)
        marks, extremes = [], []
        for first in range(0, len(spikes), size):
            record = self._engine.run(spikes[first : first + size])
            found = [taken(p, record.traces[p.name]) for p in self.network.populations]
            marks.append(np.concatenate([each[0] for each in found], axis=1) & self._wanted)
            extremes.append(np.concatenate([np.abs(each[2]) for each in found], axis=1))
        return _Measured(spikes=spikes, marks=np.concatenate(marks), extremes=np.concatenate(extremes))

    def plain(self) -> Spikes:
        """No input, all inputs, and of each population the neurons of most weight driven down, or up, all the time."""
        rows = [np.zeros(self.network.input_size, bool), np.ones(self.network.input_size, bool)]
        for p in self.network.populations:
            pairs = [c.bounds() for c in self.network.incoming(p.name)]
            low, high = (np.sum([pair[way] for pair in pairs], axis=0) for way in (0, 1))
            rows += [self._drive(p.name, int(np.argmin(low))) < 0, self._drive(p.name, int(np.argmax(high))) > 0]
        return np.repeat(np.stack(rows).astype(np.uint8)[:, None], self.steps, axis=1)

    def noise(self, count: int) -> Spikes:
        """Independent spikes, at a rate for each sample."""
        rates = self._random.choice(_RATES, (count, 1, 1))
        return (self._random.random((count, self.steps, self.network.input_size)) < rates).astype(np.uint8)

    def candidates(self, found: _Measured) -> Spikes:
        """New ones, given what was found so far."""
        covered = np.bitwise_or.reduce(found.marks, axis=0)
        missing = np.flatnonzero(covered != self._wanted)
        aims = missing if len(missing) else np.arange(len(covered))
        aimed = [self._aimed(*self._neurons[int(n)]) for n in self._random.choice(aims, AIMED)]
        bred = [self._bred(found.spikes) for _ in range(BRED if len(found.spikes) else 0)]
        return np.concatenate([np.stack(aimed + bred), self.noise(NOISE)])

    def _drive(self, population: str, neuron: int) -> Integers:
        key = population, neuron
        if key not in self._drives:
            self._drives[key] = drive_of(self.network, population, neuron)
        return self._drives[key]

    def _aimed(self, population: str, neuron: int) -> Spikes:
        """One that drives a neuron one way, and from a step on the other way."""
        drive = self._drive(population, neuron) * self._random.choice([-1, 1])
        turn = int(self._random.integers(0, self.steps + 1)) if self._random.random() < 0.7 else 0
        signs = np.where(np.arange(self.steps) < turn, -1, 1)
        rates = self._random.choice(_RATES, (self.steps, 1) if self._random.random() < 0.3 else (1, 1))
        return ((signs[:, None] * drive > 0) & (self._random.random((self.steps, len(drive))) < rates)).astype(np.uint8)

    def _bred(self, parents: Spikes) -> Spikes:
        """One that is another with a few places changed, or two others joined at a step."""
        one, other = parents[self._random.integers(0, len(parents), 2)]
        if self._random.random() < 0.5:
            turn = int(self._random.integers(0, self.steps + 1))
            return np.concatenate([one[:turn], other[turn:]])
        changed = self._random.random(one.shape) < self._random.choice(_CHANGES)
        return one ^ changed.astype(np.uint8)

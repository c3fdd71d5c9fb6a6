"""All kinds of connections: dense, identity, and from :mod:`bitspike.convert.windowed` convolution and sum pooling.

Each kind says what it delivers in plain integers (:meth:`Connection.deliver`); its other methods follow from the same
synapses: the extremes for the range proof, the synapses of a source for the counts, the inputs of one neuron for a
divergence report.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bitspike.convert.connection import Connection, Integers
from bitspike.convert.value import make_integers
from bitspike.convert.weights import Weights
from bitspike.convert.windowed import Conv2d, Pair, Space, SumPool2d, Windowed

__all__ = ["Connection", "Conv2d", "Dense", "Identity", "Integers", "Pair", "Space", "SumPool2d", "Windowed"]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Dense(Connection):
    """All-to-all synapses: `weights` of shape (targets, sources)."""

    kind: ClassVar[str] = "dense"
    weights: Weights

    @property
    def shape(self) -> tuple[int, int]:
        """(target neurons, source neurons)."""
        return self.weights.shape

    def effective(self) -> Integers:
        """``weight << exponent``, shape (targets, sources)."""
        return self.weights.matrix() << self.exponent

    def deliver(self, spikes: Integers) -> Integers:
        """``spikes @ effective.T``."""
        return spikes @ self.effective().T

    def bounds(self, most: Integers | None = None) -> tuple[Integers, Integers]:
        """Sums of the negative and of the positive weights of each row, times `most` of each column."""
        weights = self.effective()
        if most is None:
            return np.minimum(weights, 0).sum(axis=1), np.maximum(weights, 0).sum(axis=1)
        return np.minimum(weights, 0) @ most, np.maximum(weights, 0) @ most

    def fan_out(self) -> Integers:
        """Every source reaches every target."""
        targets, sources = self.shape
        return np.full(sources, targets, dtype=np.int64)

    def nonzero_fan_out(self) -> Integers:
        """Weights that are not 0, in each column."""
        return np.count_nonzero(self.weights.matrix(), axis=0).astype(np.int64)

    @property
    def parameters(self) -> int:
        """One a synapse."""
        return self.weights.shape[0] * self.weights.shape[1]

    @property
    def weight_bits(self) -> int:
        """Those of the matrix."""
        return self.weights.stored_bits

    def inputs_of(self, neuron: int) -> tuple[Integers, Integers]:
        """All sources, and one row of weights."""
        return np.arange(self.shape[1]), self.effective()[neuron]

    def describe(self) -> str:
        """Size, bits and values."""
        rows, columns = self.shape
        return f"{rows}x{columns} {self.weights.describe()} #{self.weights.digest()[:8]}"


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Identity(Connection):
    """One synapse from each neuron to its counterpart, of weight `weight`, -256..255: a shortcut."""

    kind: ClassVar[str] = "identity"
    size: int
    weight: int = 1

    def __post_init__(self) -> None:
        Connection.__post_init__(self)
        make_integers(self, f"connection {self.name}", "size", "weight")

    @property
    def shape(self) -> tuple[int, int]:
        """As many targets as sources."""
        return self.size, self.size

    def deliver(self, spikes: Integers) -> Integers:
        """``spikes * weight << exponent``."""
        return spikes * (self.weight << self.exponent)

    def bounds(self, most: Integers | None = None) -> tuple[Integers, Integers]:
        """Zero and the weight, times `most`."""
        effective = self.weight << self.exponent
        highest = np.ones(self.size, np.int64) if most is None else most
        return highest * min(effective, 0), highest * max(effective, 0)

    def fan_out(self) -> Integers:
        """One."""
        return np.ones(self.size, dtype=np.int64)

    def nonzero_fan_out(self) -> Integers:
        """One, or none where the weight is 0."""
        return np.full(self.size, self.weight != 0, dtype=np.int64)

    @property
    def parameters(self) -> int:
        """The weight that all synapses share."""
        return 1

    @property
    def weight_bits(self) -> int:
        """The fewest that hold the weight's magnitude; all synapses share its sign."""
        return max(1, abs(self.weight).bit_length())

    def inputs_of(self, neuron: int) -> tuple[Integers, Integers]:
        """Its counterpart."""
        return np.array([neuron]), np.array([self.weight << self.exponent])

    def describe(self) -> str:
        """Size and weight."""
        return f"{self.size} weight={self.weight:+d}"

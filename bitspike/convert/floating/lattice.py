"""From a float network to cells: what is left of it when every population has a threshold of 1 and the chip's reset.

Still in real numbers, and exact but for what :attr:`Lattice.notes` says. Rules:

1. Every path without a state from one population to another becomes one :class:`Link`, with its linear map and its
   delay; paths of the same two populations and the same delay are summed. What the nodes on the way add in every step
   becomes a bias.
2. Gains and thresholds of each neuron, and a reset value that is not 0, are put into its weights and biases, so that
   its threshold is 1 and it resets to 0.
3. A bias of neurons that have a current enters that current, over a synapse from a population of one neuron that fires
   in every step. Membranes that see the current of the step before have all their inputs one step later.
4. A reset that the chip does not have becomes the chip's reset by subtraction and a connection of each neuron with
   itself. With b and a what a step keeps of membrane and current, a subtraction one step late is a weight of
   ``-(1 - b)`` after one step and ``a (1 - b)`` after two, which takes back what would stay in the current; no reset at
   all is ``b`` and ``-a b``. A late reset to zero that keeps the input is the chip's reset to zero.
5. Decays are multiples of 1/4096. Neurons of one population whose decays differ are split into groups.
6. An input that is swallowed in the step after a spike cannot be known beforehand; the mean of it can, and is taken
   back by a connection of each neuron with itself where that leaves fewer spikes that differ.
7. What no rule makes exact is approximated and said in a note, or refused where `strict` is asked for.
"""

from dataclasses import dataclass, field, replace

import numpy as np

from bitspike.convert.floating.cells import CONSTANT, Cell, Lattice, Link, Own, decay_of, summed
from bitspike.convert.floating.maps import Diagonal, Map, Matrix, apply, map_of, then
from bitspike.convert.floating.network import FloatNetwork
from bitspike.convert.floating.nodes import Delay, FloatInput, Neurons, Reals
from bitspike.convert.network import DECAY_ONE
from bitspike.errors import UnsupportedError


def lattice(network: FloatNetwork, *, strict: bool = False) -> Lattice:
    """The cells of `network`, before any population is split.

    Raises:
        UnsupportedError: for what the chip cannot do, by name; where `strict`, also for what it can only do nearly.
    """
    return _Builder(network, strict).build()


@dataclass(slots=True, eq=False)
class _Input:
    """What arrives at a node: links, and what is added in every step."""

    links: list[Link] = field(default_factory=list)
    bias: Reals = field(default_factory=lambda: np.zeros(0))

    def through(self, linear: Map, bias: Reals) -> "_Input":
        moved = [replace(link, map=then(link.map, linear)) for link in self.links]
        return _Input(moved, _applied(linear, self.bias) + bias)


class _Builder:
    def __init__(self, network: FloatNetwork, strict: bool) -> None:
        self.network = network
        self.strict = strict
        self.notes: list[str] = []
        self.constant = False
        self._open: set[str] = set()

    def build(self) -> Lattice:
        cells = [self._cell(p) for p in self.network.populations]
        if not cells:
            raise UnsupportedError(f"network {self.network.name}: no neurons; expected at least one population")
        if self.constant:
            cells.insert(0, _constant())
        names = {p.name for p in self.network.populations}
        for name in self.network.outputs:
            if name not in names:
                raise UnsupportedError(f"output {name}: a {self.network.node(name).kind}; expected neurons")
        return Lattice(
            name=self.network.name,
            inputs=self.network.inputs,
            cells=tuple(cells),
            outputs=self.network.outputs,
            notes=tuple(self.notes),
        )

    def _nearly(self, text: str) -> None:
        if self.strict:
            raise UnsupportedError(f"{text} (strict: only what is exact before rounding)")
        self.notes.append(text)

    def _cell(self, p: Neurons) -> Cell:
        arriving = self._arriving(p.name, p.size)
        rest = self._shift(p)
        threshold = p.threshold - rest if p.spiking else np.ones(p.size)
        if threshold.min() <= 0:
            raise UnsupportedError(
                f"{p.name}: a threshold of {threshold.min():g} above its reset; expected more than 0"
            )
        gain = p.input_gain * p.gain / threshold
        driven = arriving.through(Diagonal(factor=gain), np.zeros(p.size))
        links = driven.links
        bias = (p.drift - (1 - p.beta) * rest) / threshold
        if bool(p.alpha.any()):
            if bool(driven.bias.any()):
                self.constant = True
                links.append(Link(source=CONSTANT, delay=0, map=Matrix(weight=driven.bias[:, None])))
        else:
            bias = bias + driven.bias
        if p.late_current:
            links = [replace(link, delay=link.delay + 1) for link in links]
            if not p.alpha.any() and bool(driven.bias.any()):
                self._nearly(f"{p.name}: its bias acts from the first step on, a step earlier than it would")
        self._say(p)
        return Cell(
            name=p.name,
            origin=p.name,
            neurons=np.arange(p.size),
            shape=p.extents,
            alpha=p.alpha,
            beta=p.beta,
            du=int(decay_of(p.alpha)[0]),
            dv=int(decay_of(p.beta)[0]),
            reset="zero" if p.reset == "value" and p.spiking else "subtract",
            links=summed(links),
            bias=bias,
            spiking=p.spiking,
            own=_own(p),
        )

    def _shift(self, p: Neurons) -> Reals:
        """The membrane that is counted from 0: that of the reset, or of a read-out that of rest; rule 2."""
        leak = 1 - p.beta
        rest = np.divide(p.drift, leak, out=np.zeros(p.size), where=leak != 0) if p.at_rest else np.zeros(p.size)
        if not p.spiking:
            return rest if p.at_rest else np.zeros(p.size)
        if p.reset != "value":
            if bool(rest.any()):
                self._nearly(f"{p.name}: its membrane begins at 0 and not at rest")
            return np.zeros(p.size)
        if not np.allclose(rest, p.reset_value, rtol=1e-9, atol=1e-12):
            self._nearly(f"{p.name}: its membrane begins where it resets to")
        return np.asarray(p.reset_value)

    def _say(self, p: Neurons) -> None:
        if p.reset_swallows:
            self._nearly(
                f"{p.name}: the input of the step after a spike is swallowed; here at most its mean is (a reset in the "
                "step of the spike would be exact)"
            )
        elif p.reset_late and p.reset == "value" and bool(p.reset_value.any()):
            self._nearly(
                f"{p.name}: its reset to {p.reset_value[0]:g} comes a step late; here in the step of the spike"
            )
        if p.residual_held:
            self._nearly(
                f"{p.name}: a membrane that its reset leaves above the threshold is held back for a step; here it "
                "spikes again at once (a subtraction a step late would be exact)"
            )
        if not p.strict and p.spiking:
            self._nearly(f"{p.name}: neurons spike at their threshold; here only above it")

    def _arriving(self, name: str, size: int) -> _Input:
        """Rule 1: what enters node `name`."""
        if name in self._open:
            raise UnsupportedError(f"{name}: part of a loop that no neurons are in; expected neurons in every loop")
        self._open.add(name)
        total = _Input(bias=np.zeros(size))
        for edge in self.network.incoming(name):
            part = self._leaving(edge.source)
            if edge.delay and bool(part.bias.any()):
                self._nearly(f"{edge.source}: its bias acts from the first step on, {edge.delay} earlier than it would")
            total.links += [replace(link, delay=link.delay + edge.delay) for link in part.links]
            total.bias = total.bias + part.bias
        self._open.discard(name)
        return total

    def _leaving(self, name: str) -> _Input:
        node = self.network.node(name)
        ones = Diagonal(factor=np.ones(node.size))
        if isinstance(node, FloatInput):
            return _Input([Link(source=name, delay=0, map=ones)], np.zeros(node.size))
        if isinstance(node, Neurons):
            if not node.spiking:
                raise UnsupportedError(f"{name}: its membrane enters other nodes; expected spikes")
            return _Input([Link(source=name, delay=0, map=ones)], np.zeros(node.size))
        if isinstance(node, Delay):
            arriving = self._arriving(name, node.size)
            if node.steps and bool(arriving.bias.any()):
                self._nearly(f"{name}: a bias before it acts from the first step on")
            return _Input([replace(link, delay=link.delay + node.steps) for link in arriving.links], arriving.bias)
        linear, bias = map_of(node)
        return self._arriving(name, linear.shape[1]).through(linear, bias)


def _own(p: Neurons) -> Own:
    if p.spiking and p.reset_swallows:
        return "swallow"
    if not p.spiking or p.reset == "value":
        return "chip"
    if p.reset == "none":
        return "none"
    return "late" if p.reset_late else "chip"


def _applied(linear: Map, bias: Reals) -> Reals:
    return apply(linear, bias[None])[0]


def _constant() -> Cell:
    return Cell(
        name=CONSTANT,
        origin="",
        neurons=np.zeros(0, np.int64),
        shape=(1,),
        alpha=np.zeros(1),
        beta=np.zeros(1),
        du=DECAY_ONE,
        dv=DECAY_ONE,
        reset="zero",
        links=(),
        bias=np.full(1, 2.0),
    )

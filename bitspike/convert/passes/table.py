"""All passes by name, and the runner that checks the network after each."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module

from bitspike.convert.network import IntegerNetwork
from bitspike.convert.rules import check
from bitspike.errors import UsageError


@dataclass(frozen=True, kw_only=True, slots=True)
class Pass:
    """One row of the table: the function of the same name in `module`, with _ for a hyphen.

    Attributes:
        name: as ``--pass`` takes it.
        summary: what it does, in half a sentence.
        module: where it is.
        option: the integer that it takes after a colon, as in ``split:256``; empty where it takes none.
    """

    name: str
    summary: str
    module: str
    option: str = ""

    def load(self) -> Callable[..., IntegerNetwork]:
        """Import the pass."""
        found: Callable[..., IntegerNetwork] = getattr(import_module(self.module), self.name.replace("-", "_"))
        return found


_HERE = "bitspike.convert.passes."
PASSES: dict[str, Pass] = {
    each.name: each
    for each in (
        Pass(name="fold", summary="common factors into thresholds and exponents", module=_HERE + "fold"),
        Pass(name="merge", summary="neurons that always do the same become one", module=_HERE + "merge"),
        Pass(name="prune", summary="what no answer depends on is left out", module=_HERE + "prune"),
        Pass(name="common", summary="equal thresholds where that is exact", module=_HERE + "common"),
        Pass(name="hold", summary="biases from a clock, so that none acts early", module=_HERE + "hold"),
        Pass(name="quiet", summary="an input for the gap between samples in a row", module=_HERE + "quiet"),
        Pass(name="split", summary="populations of at most N neurons", module=_HERE + "split", option="neurons"),
        Pass(name="fan-in", summary="sums of at most N sources, joined from graded spikes",
             module=_HERE + "fan_in", option="sources"),
        Pass(name="fan-in-binary", summary="sums of at most N sources, joined from their digits",
             module=_HERE + "fan_in_binary", option="sources"),
        Pass(name="retime", summary="chip time, delays of at most N steps", module="bitspike.convert.retime",
             option="max_delay"),
    )
}  # fmt: skip
#: What makes a network smaller and nothing else.
SMALLER = ("fold", "merge", "prune")


def run_passes(network: IntegerNetwork, passes: Iterable[str] = SMALLER) -> IntegerNetwork:
    """`network` after the passes of these names, one after the other; each result is a legal network.

    Args:
        network: a legal network.
        passes: names of :data:`PASSES`, with an option after a colon: ``split:256``.

    Raises:
        UsageError: for an unknown pass or option, before any has run.
        UnsupportedError: where a pass cannot do exactly what it is for.
    """
    network = check(network)
    for run, options in find_passes(passes):
        network = check(run(network, **options))
    return network


@dataclass(frozen=True, kw_only=True, slots=True)
class Size:
    """What a network costs: its populations, connections, neurons, and synapses, those of weight 0 counted too."""

    populations: int
    connections: int
    neurons: int
    synapses: int


def size_of(network: IntegerNetwork) -> Size:
    """The size of a legal network, without its inputs."""
    return Size(
        populations=len(network.populations),
        connections=len(network.connections),
        neurons=sum(p.size for p in network.populations),
        synapses=sum(int(c.fan_out().sum()) for c in network.connections),
    )


def find_passes(passes: Iterable[str]) -> list[tuple[Callable[..., IntegerNetwork], dict[str, int]]]:
    """The functions of these names and their options; UsageError for one that is unknown."""
    return [_found(text) for text in passes]


def _found(text: str) -> tuple[Callable[..., IntegerNetwork], dict[str, int]]:
    name, colon, value = text.partition(":")
    chosen = PASSES.get(name)
    if chosen is None:
        raise UsageError(f"pass {name!r}; expected one of {', '.join(PASSES)}")
    if not colon:
        return chosen.load(), {}
    if not chosen.option:
        raise UsageError(f"pass {text!r}; {name} takes no number")
    if not (value.isascii() and value.isdigit() and len(value) < 10):
        raise UsageError(f"pass {text!r}; expected a whole number of {chosen.option} after the colon")
    return chosen.load(), {chosen.option: int(value)}

"""For formats and targets that hold binary spikes only, as far as we write them today."""

from bitspike.convert.network import IntegerNetwork
from bitspike.errors import UnsupportedError


def refuse_graded(network: IntegerNetwork, what: str) -> None:
    """Raise UnsupportedError naming the first population that sends graded spikes, which `what` cannot hold."""
    for p in network.populations:
        if p.graded:
            raise UnsupportedError(f"population {p.name}: graded spikes; {what} takes binary spikes only, today")

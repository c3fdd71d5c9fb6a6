"""For formats and targets that hold dense feed-forward networks, as far as we write them today."""

from bitspike.convert.connections import Dense
from bitspike.convert.network import IntegerNetwork
from bitspike.errors import UnsupportedError


def dense_connections(network: IntegerNetwork, what: str) -> tuple[Dense, ...]:
    """The connections of a legal network, all of them dense and feed-forward.

    Raises:
        UnsupportedError: naming the first connection that is neither, and `what` cannot hold it.
    """
    position = {name: index for index, name in enumerate(network.shapes())}
    dense = []
    for c in network.connections:
        if not isinstance(c, Dense):
            raise UnsupportedError(f"connection {c.name}: of kind {c.kind}; {what} takes dense connections only, today")
        if position[c.source] >= position[c.target]:
            raise UnsupportedError(f"connection {c.name}: recurrent; {what} takes feed-forward connections only, today")
        dense.append(c)
    return tuple(dense)

"""For formats and targets that hold one input and one read-out, as far as we write them today."""

from bitspike.convert.network import IntegerNetwork
from bitspike.errors import UnsupportedError


def refuse_several(network: IntegerNetwork, what: str) -> None:
    """Raise UnsupportedError naming the inputs where there are several, which `what` cannot hold, or the read-outs."""
    if len(network.inputs) > 1:
        names = ", ".join(entry.name for entry in network.inputs)
        raise UnsupportedError(f"network {network.name}: inputs {names}; {what} takes one input only, today")
    if len(network.readouts) > 1:
        names = ", ".join(readout.population for readout in network.readouts)
        raise UnsupportedError(f"network {network.name}: read-outs {names}; {what} takes one read-out only, today")

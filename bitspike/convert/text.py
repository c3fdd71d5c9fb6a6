"""The text form of a network: one line a node, for people and for tests."""

import math

from bitspike.convert.network import Connection, IntegerNetwork, Population


def text_form(network: IntegerNetwork) -> str:
    """The network as text.

    A line for the network, one for each input, then each population preceded by the connections that feed it, last the
    read-outs. ``#`` and eight digits are the beginning of the SHA-256 of a node's arrays, so that two networks with the
    same text are the same but for a collision.
    """
    collapse = f" collapse={network.collapse}" if network.collapse else ""
    lines = [
        f"network {network.name} steps={network.steps}{collapse}",
        *(f"input   {entry.name} shape={_shape(entry.shape)}" for entry in network.inputs),
    ]
    for population in network.populations:
        lines += [_connection(connection) for connection in network.incoming(population.name)]
        lines.append(_population(population))
    for readout in network.readouts:
        answer = f" answer={readout.answer}" if readout.answer else ""
        lines.append(f"readout {readout.population} {readout.kind}{answer}")
    return "\n".join(lines)


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


def _connection(connection: Connection) -> str:
    said, mark, digest = connection.describe().partition(" #")
    return (
        f"{connection.kind:<7} {connection.source} -> {connection.target} {said} "
        f"exponent={connection.exponent} delay={connection.delay}{mark}{digest}"
    )


def _population(population: Population) -> str:
    mantissa = population.bias_mantissa
    low, high = (int(mantissa.min()), int(mantissa.max())) if mantissa.size else (0, 0)
    bias = "0" if low == high == 0 else f"{low}..{high}<<{population.bias_exponent} #{_array_digest(population)}"
    spike = f" spike={population.spike} shift={population.shift}" if population.graded else ""
    size = f"({math.prod(population.shape)})" if len(population.shape) > 1 else ""
    return (
        f"lif     {population.name} shape={_shape(population.shape)}{size} du={population.du} dv={population.dv} "
        f"vth={population.vth} reset={population.reset} start={population.start}{spike} bias={bias}"
    )


def _array_digest(population: Population) -> str:
    import hashlib

    return hashlib.sha256(population.bias_mantissa.tobytes()).hexdigest()[:8]

"""Small networks for tests, made from a seed."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from bitspike.convert.network import VTH_MAX, Dense, Input, IntegerNetwork, Population, Readout
from bitspike.convert.rules import check
from bitspike.convert.weights import weights_of


def chain(
    sizes: Sequence[int] = (12, 9, 7, 4),
    *,
    seed: int = 0,
    steps: int = 10,
    dv: int = 300,
    du: int = 4096,
    vth: int = 2,
    bias: bool = True,
    readout: str = "membrane_sum",
    **last: Any,
) -> IntegerNetwork:
    """A feed-forward chain of one-bit layers, both signs in each; the last population is a read-out."""
    random = np.random.default_rng(seed)
    names = ["input", *(f"hidden{k}" for k in range(1, len(sizes) - 1)), "output"]
    populations, connections = [], []
    for index in range(1, len(sizes)):
        name, size = names[index], sizes[index]
        is_last = index == len(sizes) - 1
        populations.append(
            Population(
                name=name,
                shape=(size,),
                du=du,
                dv=dv,
                vth=VTH_MAX if is_last and readout.startswith("membrane") else vth,
                bias_mantissa=random.integers(-2, 3, size) if bias else np.zeros(size, np.int64),
                bias_exponent=6,
            )
        )
        matrix = random.choice([-1, 1], (size, sizes[index - 1]))
        matrix[0, :2] = -1, 1
        connections.append(Dense(source=names[index - 1], target=name, weights=weights_of(matrix)))
    return check(
        IntegerNetwork(
            name="chain",
            steps=steps,
            inputs=(Input(name="input", shape=(sizes[0],)),),
            populations=tuple(populations),
            connections=tuple(connections),
            readouts=(Readout(population="output", kind=readout),),
            collapse="map",
        )
    )


def spikes_for(network: IntegerNetwork, *, samples: int = 5, seed: int = 1, rate: float = 0.4) -> np.ndarray:
    """Random input of the network's own window, shape (samples, steps, neurons), uint8."""
    random = np.random.default_rng(seed)
    return (random.random((samples, network.steps, network.input_size)) < rate).astype(np.uint8)


def flip_weight(network: IntegerNetwork, target: str, row: int, column: int) -> IntegerNetwork:
    """`network` with one weight bit into `target` flipped."""

    def change(c: Dense) -> Dense:
        matrix = c.weights.matrix()
        matrix[row, column] *= -1
        return replace(c, weights=weights_of(matrix))

    return replace(network, connections=tuple(change(c) if c.target == target else c for c in network.connections))


def change_population(network: IntegerNetwork, name: str, **changes: Any) -> IntegerNetwork:
    """`network` with other parameters of one population."""
    return network.with_populations(tuple(replace(p, **changes) if p.name == name else p for p in network.populations))


def delay_by_one(network: IntegerNetwork, target: str) -> IntegerNetwork:
    """`network` with the connection into `target` a step later."""
    return replace(
        network,
        connections=tuple(replace(c, delay=c.delay + 1) if c.target == target else c for c in network.connections),
    )


def planted_faults(network: IntegerNetwork) -> dict[str, tuple[IntegerNetwork, str]]:
    """Copies of a chain with one fault each, and the population where it must show first."""
    hidden1, hidden2 = network.population("hidden1"), network.population("hidden2")
    return {
        "weight bit": (flip_weight(network, "hidden2", 3, 4), "hidden2"),
        "first weight bit": (flip_weight(network, "hidden1", 0, 4), "hidden1"),
        "threshold": (change_population(network, "hidden2", vth=hidden2.vth + 1), "hidden2"),
        "decay": (change_population(network, "hidden1", dv=hidden1.dv + 1), "hidden1"),
        "read-out decay": (change_population(network, "output", dv=network.population("output").dv - 1), "output"),
        "reset": (change_population(network, "hidden1", reset="subtract"), "hidden1"),
        "delay": (delay_by_one(network, "hidden2"), "hidden2"),
    }

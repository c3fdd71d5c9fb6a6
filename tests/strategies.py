"""Hypothesis strategies: random legal feed-forward networks, and spikes for them.

Every network that comes out is legal and has a range proof for its own window: what could leave the registers is
made smaller (exponents, then decays) rather than thrown away, so that no strategy runs dry.
"""

from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import reject
from hypothesis import strategies as st

from bitspike.convert.network import VTH_MAX, Dense, Input, IntegerNetwork, Population, Readout
from bitspike.convert.ranges import check_range
from bitspike.convert.rules import check
from bitspike.convert.weights import BinaryWeights, IntegerWeights
from bitspike.errors import RangeError

_DECAYS = st.one_of(st.sampled_from([0, 1, 410, 2048, 4095, 4096]), st.integers(0, 4096))
_WIDE = ((-1, 1), (-8, 7), (-127, 127), (-128, 127), (-256, 255))


@st.composite
def networks(
    draw: Any,
    *,
    populations: tuple[int, int] = (1, 3),
    neurons: int = 7,
    steps: tuple[int, int] = (1, 12),
    delays: tuple[int, int] = (0, 3),
    starts: bool = True,
    one_bit: bool = False,
    resets: tuple[str, ...] = ("zero", "subtract"),
    readouts: tuple[str, ...] = ("spike_count", "membrane_sum", "membrane_last"),
) -> IntegerNetwork:
    """A legal feed-forward network whose range proof holds.

    Args:
        draw: given by Hypothesis.
        populations: fewest and most populations; any pair in order may be connected (skips, branches, two delays).
        neurons: most neurons of a population or of the input.
        steps: shortest and longest window.
        delays: smallest and largest delay of a connection.
        starts: whether populations may have a start (any, not only the retimed ones).
        one_bit: only -1/+1 and 0/1 weights.
        resets, readouts: the kinds to choose from.
    """
    count = draw(st.integers(*populations))
    names = ["input", *(f"layer{k}" for k in range(1, count + 1))]
    sizes = [draw(st.integers(1, neurons)) for _ in names]
    kind = draw(st.sampled_from(readouts))
    made, connections = [], []
    for index in range(1, count + 1):
        silent = index == count and kind.startswith("membrane")
        made.append(draw(_populations(names[index], sizes[index], silent=silent, starts=starts, resets=resets)))
        connections += draw(_connections(names[: index + 1], sizes, delays=delays, one_bit=one_bit))
    network = IntegerNetwork(
        name="random",
        steps=draw(st.integers(*steps)),
        input=Input(name="input", shape=(sizes[0],)),
        populations=tuple(made),
        connections=tuple(connections),
        readout=Readout(population=names[-1], kind=kind),
    )
    return _in_range(check(network))


@st.composite
def spikes_for(
    draw: Any, network: IntegerNetwork, *, samples: tuple[int, int] = (1, 4), steps: int | None = None
) -> Any:
    """Input spikes, uint8 0 or 1, shape (samples, steps, neurons); `steps` defaults to the network's window."""
    shape = draw(st.integers(*samples)), steps or network.steps, network.input.size
    rate = draw(st.sampled_from([0.5, 0.7, 0.3, 0.9, 1.0, 0.0]))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return (random.random(shape) < rate).astype(np.uint8)


@st.composite
def _populations(draw: Any, name: str, size: int, *, silent: bool, starts: bool, resets: tuple[str, ...]) -> Population:
    low, high = draw(st.sampled_from([(0, 0), (-3, 3), (-4096, 4095)]))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return Population(
        name=name,
        shape=(size,),
        du=draw(_DECAYS),
        dv=draw(_DECAYS),
        vth=VTH_MAX if silent else draw(st.one_of(st.integers(0, 3), st.integers(0, 12), st.integers(0, 2000))),
        reset=draw(st.sampled_from(resets)),
        bias_mantissa=random.integers(low, high + 1, size),
        bias_exponent=draw(st.sampled_from([0, 0, 3, 7])),
        start=draw(st.sampled_from([0, 0, 1, 2, 5])) if starts else 0,
    )


@st.composite
def _connections(
    draw: Any, names: list[str], sizes: list[int], *, delays: tuple[int, int], one_bit: bool
) -> list[Dense]:
    """One or more connections to the last of `names` from those before it, at times two of different delay."""
    target = len(names) - 1
    found = []
    for source in sorted(draw(st.sets(st.integers(0, target - 1), min_size=1))):
        most = min(2, delays[1] - delays[0] + 1)
        for delay in draw(st.lists(st.integers(*delays), min_size=1, max_size=most, unique=True)):
            weights = draw(_weights(sizes[target], sizes[source], one_bit))
            exponent = draw(st.sampled_from([0, 0, 1, 3, 7]))
            ends = {"source": names[source], "target": names[target]}
            found.append(Dense(**ends, weights=weights, exponent=exponent, delay=delay))
    return found


@st.composite
def _weights(draw: Any, rows: int, columns: int, one_bit: bool) -> BinaryWeights | IntegerWeights:
    kind = draw(st.sampled_from(["pm1", "01"] if one_bit else ["pm1", "01", "int"]))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    if kind == "int":
        low, high = draw(st.sampled_from(_WIDE))
        return IntegerWeights(values=random.integers(low, high + 1, (rows, columns)))
    low = -1 if kind == "pm1" else 0
    return BinaryWeights.pack(random.choice([low, 1], (rows, columns)), low=low)


def _in_range(network: IntegerNetwork) -> IntegerNetwork:
    """`network`, or where its proof fails, the same without exponents, then with stronger decays and small biases."""
    small = tuple(replace(c, exponent=0) for c in network.connections)
    tame = tuple(replace(p, du=max(p.du, 2048), dv=max(p.dv, 2048), bias_exponent=0) for p in network.populations)
    milder = replace(network, connections=small)
    for attempt in (network, milder, replace(milder, populations=tame)):
        try:
            check_range(attempt)
        except RangeError:
            continue
        return attempt
    return reject()

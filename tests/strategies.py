"""Hypothesis strategies: random legal networks, feed-forward ones and ones of all kinds of connections, and spikes.

Every network that comes out is legal and has a range proof for its own window: what could leave the registers is
made smaller (exponents, then decays) rather than thrown away, so that no strategy runs dry.
"""

from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import reject
from hypothesis import strategies as st

from bitspike.convert.connections import Connection, Conv2d, Identity, SumPool2d
from bitspike.convert.network import VTH_MAX, Dense, Input, IntegerNetwork, Population, Readout
from bitspike.convert.ranges import check_range
from bitspike.convert.rules import check
from bitspike.convert.weights import BinaryWeights, IntegerWeights
from bitspike.errors import RangeError

Space = tuple[int, int, int]

_DECAYS = st.one_of(st.sampled_from([0, 1, 410, 2048, 4095, 4096]), st.integers(0, 4096))
_EXPONENTS = st.sampled_from([0, 0, 1, 3])
_SCALES = st.sampled_from([1, 1, -3, 255, -256])
#: All kinds of connections.
KINDS = ("conv", "pool", "identity", "dense")
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
    graded: bool = False,
    inputs: tuple[int, int] = (1, 1),
    heads: bool = False,
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
        graded: whether populations may send graded spikes.
        inputs: fewest and most inputs.
        heads: whether further populations may be read out, each as an answer of its own or joined with the last.
    """
    count = draw(st.integers(*populations))
    entries = ["input", *(f"input{k}" for k in range(2, draw(st.integers(*inputs)) + 1))]
    names = [*entries, *(f"layer{k}" for k in range(1, count + 1))]
    sizes = [draw(st.integers(1, neurons)) for _ in names]
    kind = draw(st.sampled_from(readouts))
    made, connections = [], []
    for index in range(len(entries), len(names)):
        silent = index == len(names) - 1 and kind.startswith("membrane")
        made.append(draw(_populations(names[index], (sizes[index],), silent=silent, starts=starts, resets=resets)))
        connections += draw(_connections(names[: index + 1], sizes, delays=delays, one_bit=one_bit))
    network = IntegerNetwork(
        name="random",
        steps=draw(st.integers(*steps)),
        inputs=tuple(Input(name=name, shape=(size,)) for name, size in zip(entries, sizes, strict=False)),
        populations=tuple(made),
        connections=tuple(connections),
        readouts=(Readout(population=names[-1], kind=kind),),
    )
    network = draw(_with_graded(network)) if graded else network
    return _in_range(check(draw(_with_heads(network)) if heads else network))


@st.composite
def spatial_networks(
    draw: Any,
    *,
    kinds: tuple[str, ...] = KINDS,
    populations: tuple[int, int] = (1, 3),
    steps: tuple[int, int] = (1, 8),
    recurrent: bool = True,
    starts: bool = True,
    resets: tuple[str, ...] = ("zero", "subtract"),
    readouts: tuple[str, ...] = ("spike_count", "membrane_sum", "membrane_last"),
    graded: bool = False,
) -> IntegerNetwork:
    """A legal network of connections of all kinds between populations of shape (channels, height, width).

    Each population is fed by an earlier one, whose window (where it has one) decides the population's shape; further
    connections, of the kinds that fit, lead anywhere: over a delay also back, or from a population to itself.

    Args:
        draw: given by Hypothesis.
        kinds: the kinds of connections to choose from; ``dense`` comes besides, where no other fits two shapes.
        populations: fewest and most populations.
        steps: shortest and longest window.
        recurrent: whether connections may lead back, or to where they come from.
        starts: whether populations may have a start.
        resets, readouts: the kinds to choose from.
        graded: whether populations may send graded spikes.
    """
    readout = draw(st.sampled_from(readouts))
    shapes = {"input": (draw(st.sampled_from([1, 2, 4])), draw(st.integers(1, 5)), draw(st.integers(1, 5)))}
    count = draw(st.integers(*populations))
    made, connections = [], []
    for index in range(1, count + 1):
        name, source = f"layer{index}", draw(st.sampled_from(sorted(shapes)))
        kind = draw(st.sampled_from(kinds))
        first, shapes[name] = draw(_first_connection(kind, source, name, shapes[source]))
        connections.append(first)
        silent = index == count and readout.startswith("membrane")
        made.append(draw(_populations(name, shapes[name], silent=silent, starts=starts, resets=resets)))
    for _ in range(draw(st.integers(0, 3))):
        more = draw(_more_connections(kinds, shapes, recurrent=recurrent))
        if (more.source, more.target, more.delay) not in {(c.source, c.target, c.delay) for c in connections}:
            connections.append(more)
    network = IntegerNetwork(
        name="spatial",
        steps=draw(st.integers(*steps)),
        inputs=(Input(name="input", shape=shapes["input"]),),
        populations=tuple(made),
        connections=tuple(connections),
        readouts=(Readout(population=made[-1].name, kind=readout),),
    )
    return _in_range(check(draw(_with_graded(network)) if graded else network))


@st.composite
def spikes_for(
    draw: Any, network: IntegerNetwork, *, samples: tuple[int, int] = (1, 4), steps: int | None = None
) -> Any:
    """Input spikes, uint8 0 or 1, shape (samples, steps, neurons); `steps` defaults to the network's window."""
    shape = draw(st.integers(*samples)), steps or network.steps, network.input_size
    rate = draw(st.sampled_from([0.5, 0.7, 0.3, 0.9, 1.0, 0.0]))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return (random.random(shape) < rate).astype(np.uint8)


@st.composite
def _populations(
    draw: Any, name: str, shape: tuple[int, ...], *, silent: bool, starts: bool, resets: tuple[str, ...]
) -> Population:
    low, high = draw(st.sampled_from([(0, 0), (-3, 3), (-4096, 4095)]))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return Population(
        name=name,
        shape=shape,
        du=draw(_DECAYS),
        dv=draw(_DECAYS),
        vth=VTH_MAX if silent else draw(st.one_of(st.integers(0, 3), st.integers(0, 12), st.integers(0, 2000))),
        reset=draw(st.sampled_from(resets)),
        bias_mantissa=random.integers(low, high + 1, int(np.prod(shape))),
        bias_exponent=draw(st.sampled_from([0, 0, 3, 7])),
        start=draw(st.sampled_from([0, 0, 1, 2, 5])) if starts else 0,
    )


@st.composite
def _with_graded(draw: Any, network: IntegerNetwork) -> IntegerNetwork:
    """`network` with graded spikes in some of the populations that can spike and are not counted."""
    changed = []
    for p in network.populations:
        counted = network.readout.kind == "spike_count" and p.name == network.readout.population
        if not p.spiking or counted or draw(st.integers(0, 3)) == 3:
            changed.append(p)
            continue
        vth = max(p.vth, 1)
        shift = draw(st.integers(0, min(vth.bit_length() - 1, 16)))
        changed.append(replace(p, vth=vth, spike="graded", shift=shift))
    return network.with_populations(tuple(changed))


@st.composite
def _with_heads(draw: Any, network: IntegerNetwork) -> IntegerNetwork:
    """`network` with read-outs of further populations, by their spikes, in any order."""
    main, found = network.readout, []
    for p in network.populations:
        answers = [None, f"of_{p.name}", f"of_{p.name}", *([""] if main.kind == "spike_count" else [])]
        answer = None if p.graded or p.name == main.population else draw(st.sampled_from(answers))
        if answer is not None:
            found.append(Readout(population=p.name, kind="spike_count", answer=answer))
    return replace(network, readouts=tuple(draw(st.permutations([main, *found]))))


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
def _first_connection(draw: Any, kind: str, source: str, target: str, shape: Space) -> tuple[Connection, Space]:
    """A connection from a source of `shape`, and the shape that its target then has."""
    ends = {
        "source": source,
        "target": target,
        "exponent": draw(_EXPONENTS),
        "delay": draw(st.sampled_from([0, 0, 1, 3])),
    }
    size = int(np.prod(shape))
    if kind == "identity":
        return Identity(**ends, size=size, weight=draw(_SCALES)), shape
    if kind == "dense":
        found = draw(st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3)))
        return Dense(**ends, weights=draw(_weights(int(np.prod(found)), size, False))), found
    axes = [draw(_axes(extent)) for extent in shape[1:]]
    window = {key: tuple(axis[key] for axis in axes) for key in ("kernel", "stride", "padding", "dilation")}
    connection = draw(_windows(kind, ends, shape, channels=draw(st.sampled_from([1, 2, 4])), window=window))
    return connection, connection.target_shape


@st.composite
def _more_connections(draw: Any, kinds: tuple[str, ...], shapes: dict[str, Space], *, recurrent: bool) -> Connection:
    """A connection between two of those that are there, of a kind that fits; over a delay where it leads back."""
    names = list(shapes)
    target = draw(st.integers(1, len(names) - 1))
    source = draw(st.integers(0, len(names) - 1 if recurrent else target - 1))
    ends = {
        "source": names[source],
        "target": names[target],
        "exponent": draw(_EXPONENTS),
        "delay": draw(st.integers(1 if source >= target else 0, 3)),
    }
    one, other = shapes[names[source]], shapes[names[target]]
    sizes = int(np.prod(other)), int(np.prod(one))
    fits = {"dense": True, "identity": sizes[0] == sizes[1], "conv": one[1:] == other[1:], "pool": one == other}
    kind = draw(st.sampled_from([k for k in kinds if fits[k]] or ["dense"]))
    if kind == "dense":
        return Dense(**ends, weights=draw(_weights(*sizes, False)))
    if kind == "identity":
        return Identity(**ends, size=sizes[0], weight=draw(_SCALES))
    # A window of 3 (or 1) that is padded by as much as it is dilated keeps the extents.
    reach = tuple(draw(st.sampled_from([0, 1, 2])) for _ in range(2))
    window = {
        "kernel": tuple(3 if r else 1 for r in reach),
        "stride": (1, 1),
        "padding": reach,
        "dilation": tuple(max(r, 1) for r in reach),
    }
    return draw(_windows(kind, ends, one, channels=other[0], window=window))


@st.composite
def _axes(draw: Any, extent: int) -> dict[str, int]:
    """A window along one axis of `extent`, which it fits into."""
    padding, dilation = draw(st.integers(0, 2)), draw(st.integers(1, 2))
    most = (extent + 2 * padding - 1) // dilation + 1
    kernel = draw(st.integers(1, min(3, most)))
    return {"kernel": kernel, "stride": draw(st.integers(1, 3)), "padding": padding, "dilation": dilation}


@st.composite
def _windows(
    draw: Any, kind: str, ends: dict[str, Any], shape: Space, *, channels: int, window: dict[str, Any]
) -> Conv2d | SumPool2d:
    """A convolution to `channels` channels, in groups where both numbers allow it, or a pool."""
    if kind == "pool":
        return SumPool2d(**ends, source_shape=shape, **window)
    groups = draw(st.sampled_from([g for g in (1, 2, 4) if shape[0] % g == 0 and channels % g == 0]))
    columns = shape[0] // groups * int(np.prod(window["kernel"]))
    weights = draw(_weights(channels, columns, False))
    if draw(st.integers(0, 3)) == 1:  # beyond 8 bits with their sign, which engines take by another way
        random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        weights = IntegerWeights(values=random.integers(-256, 256, (channels, columns)))
    return Conv2d(**ends, source_shape=shape, **window, groups=groups, weights=weights)


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
    small_payloads = [
        tuple(replace(p, vth=max(p.vth, 1 << k), shift=k) if p.graded else p for p in tame) for k in (3, 6, 9, 12)
    ]
    for attempt in (network, milder, *(replace(milder, populations=each) for each in (tame, *small_payloads))):
        try:
            check_range(attempt)
        except RangeError:
            continue
        return attempt
    return reject()

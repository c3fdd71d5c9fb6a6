"""The rules of a legal network, all in one place.

Passes, readers and engines rely on them; :func:`check` is called after each pass and on everything that is read.
"""

import math
import re
from collections import Counter
from collections.abc import Iterator

from bitspike.convert.connections import Connection, Dense, Identity, Windowed
from bitspike.convert.network import DECAY_ONE, VTH_MAX, IntegerNetwork, Population, Readout
from bitspike.errors import NetworkError

#: Names become group names, tensor names and file names, so they are plain.
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
BIAS_MANTISSA = (-4096, 4095)
EXPONENTS = range(8)
MAX_DELAY = 62
MAX_STEPS = 1 << 20
MAX_NEURONS = 1 << 24
#: Places of a window: height times width.
MAX_WINDOW = 1 << 16
RESETS = ("zero", "subtract")
SPIKES = ("binary", "graded")
#: A payload is then 1 bit wide, or more.
MAX_SHIFT = 16
READOUTS = ("spike_count", "membrane_sum", "membrane_last")


def check(network: IntegerNetwork) -> IntegerNetwork:
    """Return `network` itself; raise NetworkError with every fault where it is not legal."""
    faults = list(find_faults(network))
    if faults:
        raise NetworkError(faults)
    return network


def find_faults(network: IntegerNetwork) -> Iterator[str]:
    """Every broken rule, one sentence each."""
    yield from _names(network)
    if not 1 <= network.steps <= MAX_STEPS:
        yield f"network {network.name}: steps {network.steps}; expected 1..{MAX_STEPS}"
    for entry in network.inputs:
        yield from _shape(entry.name, entry.shape)
    for population in network.populations:
        yield from _population(population)
    yield from _connections(network)
    yield from _readouts(network)


def _names(network: IntegerNetwork) -> Iterator[str]:
    names = [node.name for node in network.nodes()]
    for name in names:
        if not NAME.fullmatch(name):
            yield f"name {name!r}: expected letters, digits and _ (at most 64, no digit first)"
    for name, count in Counter(names).items():
        if count > 1:
            yield f"name {name!r} is used {count} times; expected once"
    if not network.name or not network.name.isprintable() or len(network.name) > 200:
        yield f"network name {network.name[:40]!r}: expected 1..200 printable characters"
    if not network.collapse.isprintable() or len(network.collapse) > 200:
        label = network.collapse[:40]
        yield f"network {network.name}: collapse label {label!r}; expected at most 200 printable characters"
    if not network.inputs:
        yield f"network {network.name}: no input; expected one or more"
    if not network.populations:
        yield f"network {network.name}: no population; expected one or more"


def _shape(name: str, shape: tuple[int, ...]) -> Iterator[str]:
    size = 1
    for extent in shape:
        size *= extent if 0 < extent <= MAX_NEURONS else MAX_NEURONS + 1
    if not shape or size > MAX_NEURONS:
        yield f"{name}: shape {shape}; expected positive extents and at most {MAX_NEURONS} neurons"


def _population(p: Population) -> Iterator[str]:
    where = f"population {p.name}"
    yield from _shape(where, p.shape)
    for label, value, high in (("du", p.du, DECAY_ONE), ("dv", p.dv, DECAY_ONE), ("vth", p.vth, VTH_MAX)):
        if not 0 <= value <= high:
            yield f"{where}: {label} {value}; expected 0..{high}"
    if p.reset not in RESETS:
        yield f"{where}: reset {p.reset!r}; expected {' or '.join(RESETS)}"
    yield from _spike(p, where)
    if p.bias_exponent not in EXPONENTS:
        yield f"{where}: bias exponent {p.bias_exponent}; expected 0..7"
    if not 0 <= p.start <= MAX_STEPS:
        yield f"{where}: start {p.start}; expected 0..{MAX_STEPS}"
    if p.bias_mantissa.shape != (p.size,):
        yield f"{where}: bias of shape {p.bias_mantissa.shape}; expected ({p.size},)"
        return
    low, high = int(p.bias_mantissa.min(initial=0)), int(p.bias_mantissa.max(initial=0))
    if low < BIAS_MANTISSA[0] or high > BIAS_MANTISSA[1]:
        yield f"{where}: bias mantissa {low}..{high}; expected {BIAS_MANTISSA[0]}..{BIAS_MANTISSA[1]}"


def _spike(p: Population, where: str) -> Iterator[str]:
    if p.spike not in SPIKES:
        yield f"{where}: spike {p.spike!r}; expected {' or '.join(SPIKES)}"
    elif not p.graded and p.shift:
        yield f"{where}: shift {p.shift} of binary spikes; expected 0"
    elif not 0 <= p.shift <= MAX_SHIFT:
        yield f"{where}: shift {p.shift}; expected 0..{MAX_SHIFT}"
    elif p.graded and not 1 << p.shift <= p.vth < VTH_MAX:
        yield f"{where}: vth {p.vth} with graded spikes; expected 2^shift = {1 << p.shift} or more, below {VTH_MAX}"


def _connections(network: IntegerNetwork) -> Iterator[str]:
    shapes = network.shapes()
    entries = {entry.name for entry in network.inputs}
    position = {name: index for index, name in enumerate(shapes)}
    pairs = Counter((c.source, c.target, c.delay) for c in network.connections)
    for c in network.connections:
        missing = [end for end in (c.source, c.target) if end not in shapes]
        for end in missing:
            yield f"connection {c.name}: no population {end!r}"
        if missing:
            continue
        if c.target in entries:
            yield f"connection {c.name}: the input cannot be a target"
        elif position[c.source] >= position[c.target] and c.delay < 1:
            yield (
                f"connection {c.name}: delay 0, and {c.target} is computed before {c.source}; "
                "expected feed-forward order, or a delay of 1 or more"
            )
        yield from _connection(c, shapes)
    for (source, target, delay), count in pairs.items():
        if count > 1:
            yield f"connection {source} -> {target}: {count} of delay {delay}; expected one"


def _connection(c: Connection, shapes: dict[str, tuple[int, ...]]) -> Iterator[str]:
    where = f"connection {c.name}"
    if c.exponent not in EXPONENTS:
        yield f"{where}: exponent {c.exponent}; expected 0..7"
    if not 0 <= c.delay <= MAX_DELAY:
        yield f"{where}: delay {c.delay}; expected 0..{MAX_DELAY}"
    sizes = tuple(math.prod(shapes[end]) for end in (c.target, c.source))
    if isinstance(c, Dense) and c.weights.shape != sizes:
        yield f"{where}: weights of shape {c.weights.shape}; expected {sizes} (targets, sources)"
    if isinstance(c, Identity):
        if (c.size, c.size) != sizes:
            yield f"{where}: a size of {c.size}; expected {sizes} (targets, sources)"
        if not -256 <= c.weight <= 255:
            yield f"{where}: weight {c.weight}; expected -256..255"
    if isinstance(c, Windowed):
        yield from _window(c, shapes)


def _window(c: Windowed, shapes: dict[str, tuple[int, ...]]) -> Iterator[str]:
    where = f"connection {c.name}"
    extents = (*c.source_shape, *c.window, *c.stride, *c.dilation)
    if min(extents) < 1 or min(c.padding) < 0 or max((*extents, *c.padding)) > MAX_NEURONS:
        yield f"{where}: extents, window, stride and dilation 1 or more, and padding 0 or more, were expected"
        return
    if math.prod(c.window) > MAX_WINDOW:
        yield f"{where}: a window of {c.window[0]}x{c.window[1]}; expected at most {MAX_WINDOW} places"
        return
    if shapes[c.source] != c.source_shape:
        yield f"{where}: it reads shape {c.source_shape}; {c.source} has {shapes[c.source]}"
    if min(c.target_shape) < 1:
        yield f"{where}: the window does not fit into shape {c.source_shape}"
    elif shapes[c.target] != c.target_shape:
        yield f"{where}: it gives shape {c.target_shape}; {c.target} has {shapes[c.target]}"


def _readouts(network: IntegerNetwork) -> Iterator[str]:
    populations = {p.name: p for p in network.populations}
    if not network.readouts:
        yield f"network {network.name}: no read-out; expected one or more"
    for readout in network.readouts:
        yield from _readout(readout, populations.get(readout.population))
    for answer, parts in network.answers().items():
        where = f"answer {answer}" if answer else "read-outs"
        if answer and not NAME.fullmatch(answer):
            yield f"answer {answer!r}: expected letters, digits and _ (at most 64, no digit first)"
        if len({part.kind for part in parts}) > 1:
            yield f"{where}: {', '.join(part.kind for part in parts)} joined in one answer; expected the same kind"
        for name, count in Counter(part.population for part in parts).items():
            if count > 1:
                yield f"{where}: population {name} is read {count} times in one answer; expected once"


def _readout(readout: Readout, found: Population | None) -> Iterator[str]:
    if readout.kind not in READOUTS:
        yield f"readout {readout.kind!r}; expected {', '.join(READOUTS)}"
    if found is None:
        yield f"readout: no population {readout.population!r}"
    elif readout.kind.startswith("membrane") and found.spiking:
        yield f"readout {readout.kind}: {found.name} has vth {found.vth}; expected {VTH_MAX} (it must not spike)"
    elif readout.kind == "spike_count" and found.graded:
        yield f"readout spike_count: {found.name} sends graded spikes; expected binary ones, or a membrane"

"""NetX files that lava-dl wrote itself: dense layers of CUBA neurons become a network, everything else is refused.

What such a file leaves unsaid is filled in as follows: the input is called ``input`` and the populations ``layer1``,
``layer2``, ...; the bias exponent is 6, as NetX sets it; the read-out counts the spikes of the last layer, or sums its
membrane where its threshold is the largest. A layer without a neuron, an input with one, a delay, a threshold beyond
131071 (which NetX uses for "never") and weights that lava-dl's loader would change are refused.
"""

import numpy as np
import numpy.typing as npt

from bitspike.convert.description import Arrays
from bitspike.convert.network import (
    STATE_SHIFT,
    VTH_MAX,
    Dense,
    Input,
    IntegerNetwork,
    Population,
    Readout,
    ReadoutKind,
)
from bitspike.convert.netx_weights import refuse_changed
from bitspike.convert.rules import check
from bitspike.convert.weights import weights_of
from bitspike.errors import BitspikeError

Integers = npt.NDArray[np.int64]
INPUT = {"layer/0/type", "layer/0/shape"}
NEURON_TYPES = ("CUBA", "LOIHI")
#: Entries that NetX ignores, or that say again what a weight matrix says.
IGNORED = {"type", "shape", "inFeatures", "outFeatures", "neuron/type", "neuron/refDelay", "neuron/gradedSpike"}
USED = {"weight", "bias", "delay", "neuron/iDecay", "neuron/vDecay", "neuron/vThMant"}


def network_of(found: Arrays, steps: int | None) -> IntegerNetwork:
    """The network of a file whose datasets are `found`, by path, with a window of `steps`.

    Raises:
        BitspikeError: naming the layer and the entry that is missing or that this reader does not know.
    """
    if steps is None:
        raise BitspikeError("is lava-dl's own NetX file, which says no window; give steps")
    layers = sorted({int(name.split("/")[1]) for name in found if name.startswith("layer/")})
    if layers != list(range(len(layers))):
        raise BitspikeError(f"layers {layers}; expected 0, 1, 2, ...")
    begins = 1 if _type(found, "layer/0/type") == "input" else 0
    if begins and any(name.startswith("layer/0/") and name not in INPUT for name in found):
        raise BitspikeError("layer 0: an input with neurons or a transform; expected none")
    populations, connections = [], []
    source, size = "input", 0
    for number, layer in enumerate(layers[begins:], start=1):
        weights = _weights(found, layer)
        size = size or weights.shape[1]
        p = _population(found, layer, f"layer{number}", weights.shape[0])
        connection = Dense(source=source, target=p.name, weights=weights_of(weights))
        refuse_changed(connection.name, weights)
        populations.append(p)
        connections.append(connection)
        source = p.name
    if not populations:
        raise BitspikeError("has no dense layer")
    kind: ReadoutKind = "spike_count" if populations[-1].spiking else "membrane_sum"
    network = IntegerNetwork(
        name="netx",
        steps=steps,
        inputs=(Input(name="input", shape=(size,)),),
        populations=tuple(populations),
        connections=tuple(connections),
        readouts=(Readout(population=source, kind=kind),),
    )
    return check(network)


def _population(found: Arrays, layer: int, name: str, size: int) -> Population:
    mantissa = np.zeros(size, np.int32)
    if f"layer/{layer}/bias" in found:
        mantissa = _integers(found, layer, "bias").reshape(-1).astype(np.int32)
    number = {key: _number(found, layer, f"neuron/{key}") for key in ("iDecay", "vDecay", "vThMant")}
    if number["vThMant"] > VTH_MAX:
        raise BitspikeError(f"layer {layer}: threshold {number['vThMant']}; expected at most {VTH_MAX}")
    return Population(
        name=name,
        shape=(size,),
        du=number["iDecay"],
        dv=number["vDecay"],
        vth=number["vThMant"],
        bias_mantissa=mantissa,
        bias_exponent=STATE_SHIFT if np.any(mantissa) else 0,
    )


def _weights(found: Arrays, layer: int) -> Integers:
    kind = _type(found, f"layer/{layer}/type")
    if kind != "dense":
        raise BitspikeError(f"layer {layer}: type {kind!r}; expected dense")
    neuron = _type(found, f"layer/{layer}/neuron/type")
    if neuron not in NEURON_TYPES:
        raise BitspikeError(f"layer {layer}: neuron {neuron!r}; expected {' or '.join(NEURON_TYPES)}")
    prefix = f"layer/{layer}/"
    for name in sorted(found):
        if name.startswith(prefix) and name.removeprefix(prefix) not in IGNORED | USED:
            raise BitspikeError(f"layer {layer}: {name.removeprefix(prefix)} is unknown")
    if f"{prefix}delay" in found and np.any(found[f"{prefix}delay"]):
        raise BitspikeError(f"layer {layer}: delays; expected none")
    weights = _integers(found, layer, "weight")
    if weights.ndim != 2:
        raise BitspikeError(f"layer {layer}: weight of shape {weights.shape}; expected (targets, sources)")
    return weights


def _type(found: Arrays, name: str) -> str:
    """A text, alone or in an array of one, as lava-dl writes it."""
    layer, key = name.split("/")[1], "/".join(name.split("/")[2:])
    if name not in found:
        raise BitspikeError(f"layer {layer} has no {key}")
    array = found[name]
    value = array.reshape(-1)[0] if array.size == 1 else None
    if not isinstance(value, bytes):
        raise BitspikeError(f"layer {layer}: {key} is no text")
    return value.decode("ascii")


def _number(found: Arrays, layer: int, key: str) -> int:
    values = _integers(found, layer, key)
    if values.size != 1:
        raise BitspikeError(f"layer {layer}: {key} of shape {values.shape}; expected one number for the layer")
    return int(values.reshape(-1)[0])


def _integers(found: Arrays, layer: int, key: str) -> Integers:
    name = f"layer/{layer}/{key}"
    if name not in found:
        raise BitspikeError(f"layer {layer} has no {key}")
    array = found[name]
    if array.dtype.kind not in "iuf" or not bool(np.all((array == np.rint(array)) & (np.abs(array) < 1 << 31))):
        raise BitspikeError(f"layer {layer}: {key} is not integers")
    return array.astype(np.int64)

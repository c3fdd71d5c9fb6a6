"""NetX files that lava-dl wrote itself, as networks on our lattice.

==============  ====================================================================================================
layer           becomes
==============  ====================================================================================================
``input``       the network's input; neurons that it has stay outside (:mod:`bitspike.convert.lavadl.input_neurons`)
``dense``       a population and a dense connection; a delay of the whole layer, of each neuron or of each source
``dense_rec``   the same, and a connection of the population to itself, one step late
``conv``        a convolution: cross-correlation, as in torch
``pool``        a sum pool, or a convolution of each channel with itself where its weights are no power of two
``flatten``     nothing: it is C order, (channels, height, width), as our populations are flattened
``average``     a read-out that sums the spikes of each group of neurons, which has the same largest member
==============  ====================================================================================================

The rest is refused by name, and so is an entry that would change what is computed. What such a file leaves unsaid is
filled in: the input is called ``input`` and the populations ``layer1``, ``layer2``, ...; the bias exponent is 6, as
NetX sets it; the read-out counts the spikes of the last layer, or takes its membrane where it cannot spike. Weights are
those of the file, also where lava-dl's own loader would change them; a note says so.

Delays are what lava-dl's loader makes of them: it delays the input of a neuron, where lava-dl's training delays its
spikes. Where the neuron has a bias the two are not the same, and the file is refused.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from bitspike.convert.connections import Dense
from bitspike.convert.imported import Imported
from bitspike.convert.json_values import Arrays
from bitspike.convert.lavadl import neurons
from bitspike.convert.lavadl.chain import Chain, Part, scaled
from bitspike.convert.lavadl.convolutions import read_conv, read_pool
from bitspike.convert.lavadl.delays import delays_of
from bitspike.convert.lavadl.input_neurons import describe_neurons
from bitspike.convert.lavadl.layer import Integers, Layer, layers_of
from bitspike.convert.lavadl.neurons import Group
from bitspike.convert.network import DECAY_ONE, VTH_MAX, Input, IntegerNetwork, Readout, ReadoutKind
from bitspike.convert.netx_weights import refuse_changed
from bitspike.convert.rules import check
from bitspike.errors import BitspikeError, UnsupportedError

#: Entries that NetX ignores, or that say again what the weights say.
_SIZES = {"type", "shape", "inFeatures", "outFeatures", "inChannels", "outChannels", "kernelSize"}
_WINDOW = {"stride", "padding", "dilation"}
_KNOWN = {
    "dense": {"weight", "bias", "delay"},
    "dense_rec": {"weight", "weight_rec", "bias", "delay"},
    "conv": {"weight", "bias", "delay", "groups"} | _WINDOW,
    "pool": {"weight", "delay"} | _WINDOW,
}
#: Synapses that an average may have when it is written as a dense connection.
MAX_MEMBERS = 1 << 26
_REFUSED = {
    "convT": "a transposed convolution",
    "unpool": "an unpooling",
    "concat": "several inputs",
    "dense_comp": "complex weights",
}


def network_of(found: Arrays, steps: int | None, input_shape: tuple[int, ...] | None = None) -> Imported:
    """The network of a file whose datasets are `found`, by path.

    Args:
        found: all datasets of the file.
        steps: window of a sample; may be None where the file says one, as those of lava-dl's predecessor do.
        input_shape: (channels, height, width), for a file that begins with a convolution and says no input.

    Raises:
        BitspikeError: naming the layer and the entry that is missing or that this reader does not know.
    """
    chain = Chain(input_shape=input_shape)
    window = steps if steps is not None else _window(found, chain.notes)
    for layer in layers_of(found):
        _read(chain, layer)
    if not chain.populations or chain.signal is None or chain.input_shape is None:
        raise BitspikeError("has no layer of neurons")
    channels = np.concatenate([part.channels for part in chain.signal.parts])
    if not np.array_equal(channels, np.arange(len(channels))):
        raise BitspikeError(
            "the last layer has several kinds of neurons in turn; expected those of a kind one after the other"
        )
    kind: ReadoutKind = (
        "spike_count" if chain.populations[-1].spiking else "membrane_last" if chain.summed else "membrane_sum"
    )
    network = IntegerNetwork(
        name="netx",
        steps=window,
        inputs=(Input(name="input", shape=chain.input_shape),),
        populations=tuple(chain.populations),
        connections=tuple(chain.connections),
        readouts=tuple(Readout(population=part.name, kind=kind) for part in chain.signal.parts),
    )
    return Imported(network=check(network), notes=tuple(chain.notes))


def _window(found: Arrays, notes: list[str]) -> int:
    """The window in steps that the old files have: the time of a sample by that of a step."""
    simulation = Layer(0, {path: array for path, array in found.items() if path.startswith("simulation/")})
    keys = ("simulation/tSample", "simulation/Ts")
    if not all(key in simulation for key in keys):
        raise BitspikeError("is lava-dl's own NetX file, which says no window; give steps")
    sample, step = (int(simulation.integers(key).reshape(-1)[0]) for key in keys)
    if step < 1 or sample < step or sample % step:
        raise BitspikeError(f"simulation: {sample} in steps of {step} is no window; give steps")
    notes.append(f"the window of {sample // step} steps is that of the file's simulation/tSample")
    return sample // step


def _read(chain: Chain, layer: Layer) -> None:
    kind = layer.type
    if kind in _REFUSED or any(key.startswith("weight/") for key in layer.entries):
        raise BitspikeError(f"{layer.where}: type {kind!r}, {_REFUSED.get(kind, 'complex weights')}; {_EXPECTED}")
    if kind not in _READERS:
        raise BitspikeError(f"{layer.where}: type {kind[:40]!r}; {_EXPECTED}")
    if kind in _KNOWN:
        layer.refuse_unknown(_KNOWN[kind] | _SIZES | neurons.KNOWN)
    _READERS[kind](chain, layer)


def _read_input(chain: Chain, layer: Layer) -> None:
    if layer.index:
        raise BitspikeError(f"{layer.where}: an input; expected it as layer 0")
    chain.begin(layer.shape())
    chain.notes += describe_neurons(layer)


def _read_flatten(chain: Chain, layer: Layer) -> None:  # noqa: ARG001
    if chain.signal is not None:
        chain.signal = replace(chain.signal, flat=True)


def _read_dense(chain: Chain, layer: Layer) -> None:
    weights = _matrix(layer, "weight")
    signal = chain.signal or chain.begin(chain.input_shape or (weights.shape[1],))
    size = int(np.prod(signal.shape))
    if weights.shape[1] != size:
        raise BitspikeError(f"{layer.where}: weight of shape {weights.shape}; expected (targets, {size})")
    if not signal.flat and chain.populations:
        raise BitspikeError(f"{layer.where}: dense after a layer of shape {signal.shape}; expected a flatten between")
    targets = len(weights)
    groups = neurons.groups(layer, targets)
    parts = chain.populate(layer, groups, (targets,))
    recurrent = _matrix(layer, "weight_rec") if layer.type == "dense_rec" else None
    if recurrent is not None and recurrent.shape != (targets, targets):
        found, expected = recurrent.shape, (targets, targets)
        raise BitspikeError(f"{layer.where}: weight_rec of shape {found}; expected {expected}")
    delays = delays_of(layer, weights.shape, recurrent=recurrent is not None, biased=_biased(layer))
    chain.notes += _loaders_weights(layer, [weights] if recurrent is None else [weights, recurrent])
    for target in parts:
        for source in signal.parts:
            columns = signal.places(source)
            for delay, kept in delays:
                block = weights * kept.astype(np.int64) if len(delays) > 1 else weights
                chain.connections += _dense(layer, source, target, block[np.ix_(target.channels, columns)], delay)
        if recurrent is not None:
            for source in parts:
                block = recurrent[np.ix_(target.channels, source.channels)]
                chain.connections += _dense(layer, source, target, block, 1)


def _dense(layer: Layer, source: Part, target: Part, block: Integers, delay: int) -> Iterator[Dense]:
    weights, exponent = scaled(layer, block)
    yield Dense(source=source.name, target=target.name, weights=weights, exponent=exponent, delay=delay)


def _read_average(chain: Chain, layer: Layer) -> None:
    """The mean of each of `n` groups of neurons; here their summed spikes, which a membrane without leak holds."""
    signal = chain.signal
    outputs = int(np.prod(layer.shape()))
    if signal is None or not chain.populations or np.prod(signal.shape) % outputs:
        raise BitspikeError(f"{layer.where}: an average of {outputs} groups; expected a divisor of the neurons before")
    size = int(np.prod(signal.shape))
    if size * outputs > MAX_MEMBERS:
        raise BitspikeError(f"{layer.where}: an average of {size} neurons in {outputs} groups, too many")
    members = np.repeat(np.eye(outputs, dtype=np.int64), size // outputs, axis=1)
    everything = Group(du=DECAY_ONE, dv=0, vth=VTH_MAX, channels=np.arange(outputs))
    (target,) = chain.populate(layer, [everything], (outputs,))
    for source in signal.parts:
        chain.connections += _dense(layer, source, target, members[:, signal.places(source)], 0)
    chain.summed = True
    chain.notes.append(f"{layer.where}: an average, read as the summed spikes of each of its {outputs} groups")


def _matrix(layer: Layer, key: str) -> Integers:
    """(targets, sources); lava-dl's loader takes it flat, too."""
    weights = layer.integers(key)
    if weights.ndim == 1 and "shape" in layer and weights.size % np.prod(layer.shape()) == 0:
        weights = weights.reshape(int(np.prod(layer.shape())), -1)
    if weights.ndim != 2 or 0 in weights.shape:
        raise BitspikeError(f"{layer.where}: {key} of shape {weights.shape}; expected (targets, sources)")
    if "shape" in layer and np.prod(layer.shape()) != len(weights):
        raise BitspikeError(f"{layer.where}: shape {layer.shape()}, and {len(weights)} rows of {key}; expected as many")
    return weights


def _biased(layer: Layer) -> bool:
    return "bias" in layer and bool(np.any(layer.integers("bias")))


def _loaders_weights(layer: Layer, matrices: list[Integers]) -> Iterator[str]:
    """A note where lava-dl's own loader, or Lava, would change the weights."""
    try:
        refuse_changed(layer.where, *matrices)
    except UnsupportedError as error:
        yield f"{str(error).removeprefix('connection ')}; the network has the weights of the file"


_READERS: dict[str, Callable[[Chain, Layer], None]] = {
    "input": _read_input,
    "flatten": _read_flatten,
    "dense": _read_dense,
    "dense_rec": _read_dense,
    "conv": read_conv,
    "pool": read_pool,
    "average": _read_average,
}
_EXPECTED = f"expected one of {', '.join(_READERS)}"

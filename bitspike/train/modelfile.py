"""A trained network in one safetensors file.

| tensor | dtype | shape | meaning |
|---|---|---|---|
| ``NAME.natural`` | float32 | (neurons, inputs) | natural parameters of the posterior, sharpness folded in |
| ``NAME.recurrent`` | float32 | (neurons, neurons) | those of the recurrent weights, of kind ``recurrent`` only |
| ``NAME.rho``, ``NAME.recurrent_rho`` | float32 | (1,) | softplus(rho): deviation, of family ``gaussian`` only |
| ``NAME.bias_mantissa`` | int32 | (neurons,) | biases; ``mantissa << bias_exponent`` in 1/64 weight |

The first is called ``NAME.mean`` for family ``gaussian`` and ``NAME.latent`` for ``latent``.
For kind ``conv`` the first is (channels, source channels * kernel * kernel) and the last (channels,); ``pool`` has no
tensors.
The configuration (format ``bitspike-model``, version 1) is the schema below: steps, read-out, temperature, and for each
layer its name, kind, sizes, integer neuron parameters and, unless it is ``bernoulli``, the posterior's family and bits;
where they are not the one before and none, its ``sources`` and ``shortcuts``.
"""

import dataclasses
import math
import os
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from bitspike.errors import FileError, UsageError
from bitspike.train.layers import ConvLayer, DenseLayer, Layer, PoolLayer, RecurrentLayer
from bitspike.train.model import SpikingNetwork, check_read_out
from bitspike.train.network_recipe import at_layer
from bitspike.train.posteriors import FAMILIES, Family, GaussianWeights
from bitspike.train.registers import FORGETS, MANTISSA_RANGE, MAX_SHIFT, NEVER, Neuron
from bitspike.train.schema import Checked, choice, flag, from_table, labels, name, real, ruled, several, whole
from bitspike.train.tensorfile import Tensors, no_more, read_tensors, take_tensor, write_tensors
from bitspike.train.windows import CHANNELS, KERNEL, PADDING, STRIDE, Space, Window
from bitspike.train.wiring import INPUT, Wires, chain, same_shape, widest, wire

MODEL_FILE = "model.safetensors"
_FORM, _VERSION = "bitspike-model", 1
_MOST = 1 << 24


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Layer(Checked, ABC):
    """The neurons of a layer of any kind."""

    name: str = ruled(name())
    kind: str = ruled(choice("dense", "recurrent", "conv", "pool"))
    du: int = ruled(whole(0, FORGETS))
    dv: int = ruled(whole(0, FORGETS))
    vth: int = ruled(whole(0, NEVER))
    reset: Literal["zero", "subtract"] = ruled(choice("zero", "subtract"))
    bias_exponent: int = ruled(whole(0, 7))
    spike: Literal["binary", "graded"] = ruled(choice("binary", "graded"), "binary")
    shift: int = ruled(whole(0, MAX_SHIFT), 0)
    sources: tuple[str, ...] = ruled(labels(), ())
    shortcuts: tuple[str, ...] = ruled(labels(), ())

    @property
    def neuron(self) -> Neuron:
        return Neuron(**{field.name: getattr(self, field.name) for field in dataclasses.fields(Neuron)})

    @abstractmethod
    def made(self, before: tuple[int, ...] | None) -> Layer:
        """Return the layer, untrained, after a population of shape `before`; None where the file has none."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Trained(_Layer, ABC):
    """The posterior of a layer with trained weights."""

    family: str = ruled(choice(*FAMILIES), "bernoulli")
    bits: int = ruled(whole(2, 8), 8)

    @property
    def weights(self) -> Family:
        return Family(name=self.family, bits=self.bits)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Dense(_Trained):
    inputs: int = ruled(whole(1, _MOST))
    neurons: int = ruled(whole(1, _MOST))

    def made(self, before: tuple[int, ...] | None) -> DenseLayer:
        if before is not None and math.prod(before) != self.inputs:
            raise UsageError(f"inputs: found {self.inputs}; expected {math.prod(before)}")
        kind = RecurrentLayer if self.kind == RecurrentLayer.kind else DenseLayer
        return kind(
            name=self.name,
            inputs=self.inputs,
            neurons=self.neurons,
            neuron=self.neuron,
            source_shape=before,
            family=self.weights,
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Window(_Layer, ABC):
    source_channels: int = ruled(whole(1, CHANNELS))
    source_height: int = ruled(whole(1, _MOST))
    source_width: int = ruled(whole(1, _MOST))
    kernel: int = ruled(whole(1, KERNEL))
    stride: int = ruled(whole(1, STRIDE))

    def source(self, before: tuple[int, ...] | None) -> Space:
        shape = (self.source_channels, self.source_height, self.source_width)
        if before is not None and before != shape:
            raise UsageError(f"source: found shape {shape}; expected {before}")
        return shape


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Pool(_Window):
    exact: bool = ruled(flag(), False)

    def made(self, before: tuple[int, ...] | None) -> PoolLayer:
        window, source = Window(kernel=self.kernel, stride=self.stride), self.source(before)
        return PoolLayer(name=self.name, source_shape=source, window=window, neuron=self.neuron, exact=self.exact)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Conv(_Window, _Trained):
    channels: int = ruled(whole(1, CHANNELS))
    padding: int = ruled(whole(0, PADDING))

    def made(self, before: tuple[int, ...] | None) -> ConvLayer:
        window = Window(kernel=self.kernel, stride=self.stride, padding=self.padding)
        source = self.source(before)
        return ConvLayer(
            name=self.name,
            source_shape=source,
            channels=self.channels,
            window=window,
            neuron=self.neuron,
            family=self.weights,
        )


_KINDS = {"dense": _Dense, "recurrent": _Dense, "conv": _Conv, "pool": _Pool}


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Model(Checked):
    steps: int = ruled(whole(1, 1 << 24))
    readout: Literal["spike_count", "membrane_sum", "membrane_last"] = ruled(
        choice("spike_count", "membrane_sum", "membrane_last")
    )
    temperature: float = ruled(real(0, 1e9, above=True))
    layers: tuple[_Layer, ...] = ruled(several(_Layer, _KINDS))

    def __post_init__(self) -> None:
        super().__post_init__()
        names = [layer.name for layer in self.layers]
        names += [f"{layer.name}.recurrent" for layer in self.layers if layer.kind == RecurrentLayer.kind]
        if len(set(names)) < len(names):
            raise UsageError(f"layers: found the names {', '.join(names)}; expected different names")
        check_read_out([layer.kind for layer in self.layers], self.readout)

    def made(self) -> SpikingNetwork:
        """Return the network, untrained."""
        layers: list[Layer] = []
        wires: list[Wires] = []
        shapes: dict[str, tuple[int, ...]] = {}
        for at, layer in enumerate(self.layers):
            wires.append(at_layer(at, wire, [one.name for one in layers], layer.sources, layer.shortcuts))
            before = at_layer(at, widest, shapes, wires[at].sources) if layers else None
            layers.append(at_layer(at, layer.made, before))
            at_layer(at, same_shape, shapes, wires[at].shortcuts, layers[at].shape)
            shapes |= {INPUT: layers[0].source_shape, layer.name: layers[at].shape}
        return SpikingNetwork(layers, steps=self.steps, readout=self.readout, temperature=self.temperature, wires=wires)


def save_model(model: SpikingNetwork, path: str | os.PathLike[str]) -> None:
    """Write a trained network, atomically; its biases are written as the integers that they round to."""
    plain = chain([layer.name for layer in model.populations])
    layers = [
        _described(layer) | _wired(wires, before)
        for layer, wires, before in zip(model.populations, model.wires, plain, strict=True)
    ]
    config = {"steps": model.steps, "readout": model.readout, "temperature": model.temperature, "layers": layers}
    tensors: Tensors = {}
    for layer in model.populations:
        for key, (module, attribute) in layer.stored().items():
            tensors[f"{layer.name}.{key}"] = getattr(module, attribute).detach().cpu().numpy()
        if layer.bias is not None:
            tensors[f"{layer.name}.bias_mantissa"] = layer.trained_mantissa()
    write_tensors(path, tensors, form=_FORM, version=_VERSION, config=config)


def load_model(path: str | os.PathLike[str]) -> SpikingNetwork:
    """Return the network in a model file, or in the model file of a run folder.

    Raises:
        FileError: a missing, damaged or foreign file, or one whose tensors do not fit its configuration.
    """
    file = Path(path) / MODEL_FILE if Path(path).is_dir() else Path(path)
    config, tensors = read_tensors(file, form=_FORM, version=_VERSION)
    try:
        # On no device, so that sizes that do not fit the tensors take no memory.
        with torch.device("meta"):
            model = from_table(_Model, config).made()
    except UsageError as error:
        raise FileError(file, f"has an impossible configuration: {error}") from None
    for layer in model.populations:
        for key, (module, attribute) in layer.stored().items():
            shape = tuple(getattr(module, attribute).shape)
            found = take_tensor(file, tensors, f"{layer.name}.{key}", shape=shape, dtype=np.float32)
            setattr(module, attribute, torch.nn.Parameter(torch.tensor(found)))
        if layer.bias is not None:
            key = f"{layer.name}.bias_mantissa"
            mantissa = take_tensor(file, tensors, key, shape=tuple(layer.bias.shape), dtype=np.int32)
            low, high = MANTISSA_RANGE
            if mantissa.min() < low or mantissa.max() > high:
                raise FileError(file, f"tensor {key}: found a value outside {low} to {high}")
            layer.bias = torch.nn.Parameter(torch.empty(mantissa.shape))
            layer.set_mantissa(mantissa)
    no_more(file, tensors)
    return model


def _wired(wires: Wires, plain: Wires) -> dict[str, list[str]]:
    """Return what a layer's entry says of what it reads: nothing where that is what a chain has."""
    found: dict[str, list[str]] = {}
    if wires.sources != plain.sources:
        found["sources"] = list(wires.sources)
    if wires.shortcuts:
        found["shortcuts"] = list(wires.shortcuts)
    return found


def _described(layer: Layer) -> dict[str, str | int]:
    """Return a layer's entry in the configuration."""
    found: dict[str, str | int] = {"name": layer.name, "kind": layer.kind}
    if isinstance(layer, ConvLayer | PoolLayer):
        channels, height, width = layer.source_shape
        found |= {"source_channels": channels, "source_height": height, "source_width": width}
        found |= {"kernel": layer.window.kernel, "stride": layer.window.stride}
        if isinstance(layer, PoolLayer) and layer.exact:
            found |= {"exact": True}
        if isinstance(layer, ConvLayer):
            found |= {"channels": layer.shape[0], "padding": layer.window.padding}
    else:
        found |= {"inputs": layer.inputs, "neurons": layer.neurons}
    posterior = layer.posteriors().get(layer.name)
    if posterior is not None and posterior.family != "bernoulli":
        found["family"] = posterior.family
        if isinstance(posterior, GaussianWeights):
            found["bits"] = posterior.bits
    return found | dataclasses.asdict(layer.neuron)

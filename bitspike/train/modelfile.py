"""A trained network in one safetensors file.

| tensor | dtype | shape | meaning |
|---|---|---|---|
| ``NAME.natural`` | float32 | (neurons, inputs) | natural parameters of the posterior, sharpness folded in |
| ``NAME.bias_mantissa`` | int32 | (neurons,) | biases; ``mantissa << bias_exponent`` in 1/64 weight |

The configuration (format ``bitspike-model``, version 1) is the schema below: steps, read-out, temperature, and for each
layer its name, sizes and integer neuron parameters.
"""

import dataclasses
import os
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from bitspike.errors import FileError, UsageError
from bitspike.train.model import DenseLayer, SpikingNetwork
from bitspike.train.registers import FORGETS, MANTISSA_RANGE, NEVER, Neuron
from bitspike.train.schema import check, choice, from_table, name, real, ruled, several, whole
from bitspike.train.tensorfile import Tensors, no_more, read_tensors, take_tensor, write_tensors

MODEL_FILE = "model.safetensors"
_FORM, _VERSION = "bitspike-model", 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Layer:
    name: str = ruled(name())
    kind: str = ruled(choice("dense"))
    inputs: int = ruled(whole(1, 1 << 24))
    neurons: int = ruled(whole(1, 1 << 24))
    du: int = ruled(whole(0, FORGETS))
    dv: int = ruled(whole(0, FORGETS))
    vth: int = ruled(whole(0, NEVER))
    reset: Literal["zero", "subtract"] = ruled(choice("zero", "subtract"))
    bias_exponent: int = ruled(whole(0, 7))

    def __post_init__(self) -> None:
        check(self)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Model:
    steps: int = ruled(whole(1, 1 << 24))
    readout: Literal["spike_count", "membrane_sum", "membrane_last"] = ruled(
        choice("spike_count", "membrane_sum", "membrane_last")
    )
    temperature: float = ruled(real(0, 1e9, above=True))
    layers: tuple[_Layer, ...] = ruled(several(_Layer))

    def __post_init__(self) -> None:
        check(self)
        names = [layer.name for layer in self.layers]
        if len(set(names)) < len(names):
            raise UsageError(f"layers: found the names {', '.join(names)}; expected different names")
        for before, (at, layer) in zip(self.layers, enumerate(self.layers[1:], 1), strict=False):
            if layer.inputs != before.neurons:
                raise UsageError(f"layers[{at}].inputs: found {layer.inputs}; expected {before.neurons}")


def save_model(model: SpikingNetwork, path: str | os.PathLike[str]) -> None:
    """Write a trained network, atomically; its biases are written as the integers that they round to."""
    layers = [
        {"name": layer.name, "kind": "dense", "inputs": layer.inputs, "neurons": layer.neurons}
        | dataclasses.asdict(layer.neuron)
        for layer in model.dense
    ]
    config = {"steps": model.steps, "readout": model.readout, "temperature": model.temperature, "layers": layers}
    tensors: Tensors = {}
    for layer in model.dense:
        tensors[f"{layer.name}.natural"] = layer.natural.detach().numpy()
        tensors[f"{layer.name}.bias_mantissa"] = layer.bias_mantissa()
    write_tensors(path, tensors, form=_FORM, version=_VERSION, config=config)


def load_model(path: str | os.PathLike[str]) -> SpikingNetwork:
    """Return the network in a model file, or in the model file of a run folder.

    Raises:
        FileError: a missing, damaged or foreign file, or one whose tensors do not fit its configuration.
    """
    file = Path(path) / MODEL_FILE if Path(path).is_dir() else Path(path)
    config, tensors = read_tensors(file, form=_FORM, version=_VERSION)
    try:
        spec = from_table(_Model, config)
    except UsageError as error:
        raise FileError(file, f"has an impossible configuration: {error}") from None
    layers = []
    for one in spec.layers:
        shape = (one.neurons, one.inputs)
        natural = take_tensor(file, tensors, f"{one.name}.natural", shape=shape, dtype=np.float32)
        key = f"{one.name}.bias_mantissa"
        mantissa = take_tensor(file, tensors, key, shape=shape[:1], dtype=np.int32)
        low, high = MANTISSA_RANGE
        if mantissa.min() < low or mantissa.max() > high:
            raise FileError(file, f"tensor {key}: found a value outside {low} to {high}")
        neuron = Neuron(du=one.du, dv=one.dv, vth=one.vth, reset=one.reset, bias_exponent=one.bias_exponent)
        layer = DenseLayer(name=one.name, inputs=one.inputs, neurons=one.neurons, neuron=neuron)
        with torch.no_grad():
            layer.natural.copy_(torch.from_numpy(natural))
            layer.bias.copy_(torch.from_numpy(mantissa) * neuron.bias_unit)
        layers.append(layer)
    no_more(file, tensors)
    return SpikingNetwork(layers, steps=spec.steps, readout=spec.readout, temperature=spec.temperature)

"""A feed-forward spiking network with a Bernoulli posterior over one-bit weights.

It runs in two ways: with posterior noise and gradients (`noisy`), and with collapsed weights on the chip's lattice,
integer for integer (`record`, `predict`). All layers are evaluated in the same step.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from bitspike.errors import UsageError
from bitspike.train.dynamics import impulse_response, membrane, noisy_population, straight_through
from bitspike.train.encode import Stream, uniform, words
from bitspike.train.estimators import Estimator
from bitspike.train.neurons import evaluate
from bitspike.train.noise import Silent
from bitspike.train.posterior import Bits, checked_bits, local_moments, map_bits, sample_bits
from bitspike.train.registers import MANTISSA_RANGE, UNITS, Neuron, Reset

Readout = Literal["spike_count", "membrane_sum", "membrane_last"]
State = tuple[npt.NDArray[np.uint8], npt.NDArray[np.int32], npt.NDArray[np.int32]]

_CHUNK = 256


class DenseLayer(nn.Module):
    """A population and the one-bit connection that feeds it.

    Attributes:
        name: of the population.
        natural: natural parameters of the weights, shape (neurons, inputs).
        bias: in weights, shape (neurons,); rounded to its mantissa wherever it is used.
    """

    def __init__(self, *, name: str, inputs: int, neurons: int, neuron: Neuron) -> None:
        super().__init__()
        self.name = name
        self.neuron = neuron
        self.natural = nn.Parameter(torch.zeros(neurons, inputs))
        self.bias = nn.Parameter(torch.zeros(neurons))

    @property
    def inputs(self) -> int:
        """Neurons of the population before."""
        return self.natural.shape[1]

    @property
    def neurons(self) -> int:
        """Neurons of this population."""
        return self.natural.shape[0]

    @property
    def du(self) -> int:
        """Current decay, 0 to 4096."""
        return self.neuron.du

    @property
    def dv(self) -> int:
        """Voltage decay, 0 to 4096."""
        return self.neuron.dv

    @property
    def vth(self) -> int:
        """Threshold in whole weights."""
        return self.neuron.vth

    @property
    def reset(self) -> Reset:
        """What a spike leaves of the membrane: ``zero`` or ``subtract``."""
        return self.neuron.reset

    @property
    def bias_exponent(self) -> int:
        """Left shift of the bias mantissa in register units."""
        return self.neuron.bias_exponent

    def bias_mantissa(self) -> npt.NDArray[np.int32]:
        """Return the integer biases, shape (neurons,); register units are ``mantissa << bias_exponent``."""
        return self._mantissa().detach().numpy().astype(np.int32)

    def rounded_bias(self) -> Tensor:
        """Return the bias as the chip holds it, in weights, with a straight-through gradient."""
        return straight_through(self.bias, self._mantissa() * self.neuron.bias_unit)

    def moments(self, spikes: Tensor, sharpness: float) -> tuple[Tensor, Tensor]:
        """Return mean and variance of the summed input for spikes of shape (..., inputs)."""
        return local_moments(spikes, self.natural, sharpness)

    def _mantissa(self) -> Tensor:
        return torch.round(self.bias / self.neuron.bias_unit).clamp(*MANTISSA_RANGE)

    def extra_repr(self) -> str:
        """Describe the population in one line."""
        neuron = f"du={self.du}, dv={self.dv}, vth={self.vth}, reset={self.reset}"
        return f"{self.name}: {self.inputs} -> {self.neurons}, {neuron}"


class SpikingNetwork(nn.Module):
    """Dense layers, one after the other, and a read-out of the last.

    Attributes:
        steps: algorithmic time steps of a sample in training.
        input_size: neurons of the input.
        input_name: name of the input population.
        layers: the populations, first to last.
        readout: ``spike_count``, ``membrane_sum`` or ``membrane_last`` of the last population.
        temperature: weights of integer read-out in one unit of logit.
    """

    input_name = "input"

    def __init__(self, layers: Sequence[DenseLayer], *, steps: int, readout: Readout, temperature: float) -> None:
        super().__init__()
        self.steps = steps
        self.readout: Readout = readout
        self.temperature = temperature
        self.layers = nn.ModuleList(layers)

    @property
    def dense(self) -> list[DenseLayer]:
        """The layers with their own type."""
        return [layer for layer in self.layers if isinstance(layer, DenseLayer)]

    @property
    def input_size(self) -> int:
        """Neurons of the input."""
        return self.dense[0].inputs

    @property
    def classes(self) -> int:
        """Neurons of the last population."""
        return self.dense[-1].neurons

    def initialise(self, seed: int, *, spread: float) -> None:
        """Set natural parameters uniformly in -spread to spread, a function of the seed alone, and biases to 0."""
        with torch.no_grad():
            for index, layer in enumerate(self.dense):
                raw = words(seed, Stream.INITIAL, index, layer.natural.numel())
                values = spread * (2.0 * uniform(raw) - 1.0)
                layer.natural.copy_(torch.from_numpy(values).reshape(layer.natural.shape))
                layer.bias.zero_()

    def fold(self, sharpness: float) -> None:
        """Multiply the sharpness into the natural parameters and round the biases for good."""
        with torch.no_grad():
            for layer in self.dense:
                layer.natural.mul_(sharpness)
                layer.bias.copy_(layer.rounded_bias())

    def noisy(
        self, spikes: Tensor, generator: torch.Generator, *, estimator: Estimator, floor: float, sharpness: float = 1.0
    ) -> tuple[Tensor, Tensor]:
        """Run one pass with posterior noise.

        Args:
            spikes: input, float, shape (steps, samples, input_size).
            generator: source of the noise.
            estimator: the noise, and how gradients pass a bit.
            sharpness: factor on the natural parameters.
            floor: standard deviation of the membranes' own noise, in weights.

        Returns:
            Logits, shape (samples, classes), and the auxiliary sum: (v / s)**2 summed over layers, steps and neurons,
            averaged over samples.
        """
        auxiliary = torch.zeros(())
        spiking = self.dense if self.readout == "spike_count" else self.dense[:-1]
        for layer in spiking:
            mean, variance = layer.moments(spikes, sharpness)
            noise = estimator.noise.draw(mean.shape, generator)
            spikes, ratio = noisy_population(
                mean, variance, layer.rounded_bias(), noise, neuron=layer.neuron, estimator=estimator, floor=floor
            )
            auxiliary = auxiliary + ratio.square().sum() / ratio.shape[1]
        if self.readout == "spike_count":
            return spikes.sum(0) / self.temperature, auxiliary
        source = None if isinstance(estimator.noise, Silent) else generator
        return self._noisy_membrane(spikes, source, sharpness), auxiliary

    def _noisy_membrane(self, spikes: Tensor, generator: torch.Generator | None, sharpness: float) -> Tensor:
        """Return logits of the last membrane; its noise is that of one weight sample held over all steps, or none."""
        layer = self.dense[-1]
        response = torch.tensor(impulse_response(layer.neuron, len(spikes)))
        mean, _ = layer.moments(spikes, sharpness)
        states = membrane(mean, layer.rounded_bias(), layer.neuron)
        if self.readout == "membrane_sum":
            value, kernel = states.sum(0), response.cumsum(0).flip(0)
        else:
            value, kernel = states[-1], response.flip(0)
        if generator is None:
            return value / self.temperature
        _, variance = layer.moments(torch.einsum("t,tbn->bn", kernel, spikes), sharpness)
        noise = torch.randn(value.shape, generator=generator)
        return (value + torch.sqrt(variance + 1e-12) * noise) / self.temperature

    def map_bits(self) -> dict[str, Bits]:
        """Return the most probable weights of each layer, -1 or +1, shape (neurons, inputs)."""
        return {layer.name: map_bits(layer.natural.detach().numpy()) for layer in self.dense}

    def sample_bits(self, seed: int) -> dict[str, Bits]:
        """Draw one network from the posterior; the same seed gives the same bits."""
        return {
            layer.name: sample_bits(layer.natural.detach().numpy(), seed=seed, index=index)
            for index, layer in enumerate(self.dense)
        }

    def record(self, spikes: npt.NDArray[np.uint8], bits: Mapping[str, Bits] | None = None) -> dict[str, State]:
        """Run collapsed weights exactly; return (spikes, u, v) of each layer, shape (samples, steps, neurons).

        Args:
            spikes: input, 0 or 1, shape (samples, steps, input_size).
            bits: weights of each layer; the most probable ones by default.

        Returns:
            For each layer spikes (uint8), and current and membrane at the end of each step (int32, units of 1/64).

        Raises:
            UsageError: input or weights of the wrong shape or with impossible values.
            RangeError: a register that leaves its width.
        """
        self._check_input(spikes)
        weights = self._checked(self.map_bits() if bits is None else bits)
        shape = spikes.shape[:2]
        states: dict[str, State] = {
            layer.name: (
                np.empty((*shape, layer.neurons), dtype=np.uint8),
                np.empty((*shape, layer.neurons), dtype=np.int32),
                np.empty((*shape, layer.neurons), dtype=np.int32),
            )
            for layer in self.dense
        }
        for start in range(0, len(spikes), _CHUNK):
            rows = slice(start, start + _CHUNK)
            before = torch.from_numpy(np.array(spikes[rows].transpose(1, 0, 2), dtype=np.float32))
            for layer in self.dense:
                # Sums of at most 2**24 terms of -1, 0, 1: float32 holds them exactly.
                inputs = (before @ torch.from_numpy(weights[layer.name].astype(np.float32)).T).long()
                bias = torch.from_numpy(layer.bias_mantissa().astype(np.int64) << layer.bias_exponent)
                found = evaluate(inputs, bias, layer.neuron, name=layer.name)
                fired, currents, membranes = states[layer.name]
                fired[rows], currents[rows], membranes[rows] = (part.numpy().transpose(1, 0, 2) for part in found)
                before = found[0].float()
        return states

    def predict(
        self, spikes: npt.NDArray[np.uint8], bits: Mapping[str, Bits] | None = None
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return integer read-outs, shape (samples, classes), and classes, shape (samples,); ties go to the lowest.

        A membrane is read in register units of 1/64 weight, a spike count in spikes.
        """
        fired, _, states = self.record(spikes, bits)[self.dense[-1].name]
        if self.readout == "spike_count":
            values = fired.sum(axis=1, dtype=np.int64)
        elif self.readout == "membrane_sum":
            values = states.sum(axis=1, dtype=np.int64)
        else:
            values = states[:, -1].astype(np.int64)
        return values, values.argmax(axis=1).astype(np.int64)

    def logits(self, readouts: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """Return integer read-outs as the logits of the training loss."""
        unit = 1 if self.readout == "spike_count" else UNITS
        return readouts / (unit * self.temperature)

    def _check_input(self, spikes: npt.NDArray[np.uint8]) -> None:
        if spikes.ndim != 3 or spikes.shape[2] != self.input_size or spikes.shape[1] < 1:
            raise UsageError(f"input spikes: found shape {spikes.shape}; expected (samples, steps, {self.input_size})")
        if not np.isin(spikes, (0, 1)).all():
            raise UsageError("input spikes: found a value other than 0 and 1")

    def _checked(self, bits: Mapping[str, Bits]) -> dict[str, Bits]:
        names = [layer.name for layer in self.dense]
        if set(bits) != set(names):
            raise UsageError(f"weights: found layers {', '.join(map(str, bits))}; expected {', '.join(names)}")
        return {
            layer.name: checked_bits(bits[layer.name], shape=(layer.neurons, layer.inputs), name=layer.name)
            for layer in self.dense
        }

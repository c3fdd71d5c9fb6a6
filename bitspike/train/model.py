"""A spiking network with a Bernoulli posterior over one-bit weights.

It runs in two ways: with posterior noise and gradients (`noisy`), and with collapsed weights on the chip's lattice,
integer for integer (`record`, `predict`). All layers are evaluated in the same step.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from bitspike.errors import UsageError
from bitspike.train.dynamics import impulse_response, membrane
from bitspike.train.encode import Stream, uniform, words
from bitspike.train.estimators import Estimator
from bitspike.train.flow import ExactFlow, NoisyFlow
from bitspike.train.layers import DenseLayer, Layer
from bitspike.train.noise import Silent
from bitspike.train.posterior import Bits, checked_bits, map_bits, sample_bits
from bitspike.train.registers import UNITS
from bitspike.train.wiring import INPUT, Wires, chain

Readout = Literal["spike_count", "membrane_sum", "membrane_last"]
State = tuple[npt.NDArray[np.uint8], npt.NDArray[np.int32], npt.NDArray[np.int32]]

_CHUNK = 256
_MOST_AT_ONCE = 1 << 25
"""Numbers of the largest population over all steps that are evaluated at once; no result depends on it."""
_RECURRENT = 1 << 32
"""Added to a layer's number for the random words of its recurrent weights."""


class SpikingNetwork(nn.Module):
    """Layers that each read earlier ones, and a read-out of the last.

    Attributes:
        steps: algorithmic time steps of a sample in training.
        input_shape: of the input population, flattened in C order.
        input_size: neurons of the input.
        input_name: name of the input population.
        layers: the populations, first to last.
        wires: what each layer reads; the one before by default.
        readout: ``spike_count``, ``membrane_sum`` or ``membrane_last`` of the last population.
        temperature: weights of integer read-out in one unit of logit.
    """

    input_name = INPUT

    def __init__(
        self,
        layers: Sequence[Layer],
        *,
        steps: int,
        readout: Readout,
        temperature: float,
        wires: Sequence[Wires] | None = None,
    ) -> None:
        super().__init__()
        check_read_out([layer.kind for layer in layers], readout)
        self.wires = chain([layer.name for layer in layers]) if wires is None else tuple(wires)
        if len(self.wires) != len(layers):
            raise UsageError(f"wires: found {len(self.wires)}; expected {len(layers)}, as many as layers")
        self.steps = steps
        self.readout: Readout = readout
        self.temperature = temperature
        self.layers = nn.ModuleList(layers)

    @property
    def populations(self) -> list[Layer]:
        """The layers with their own type."""
        return [layer for layer in self.layers if isinstance(layer, Layer)]

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of the input."""
        return self.populations[0].source_shape

    @property
    def input_size(self) -> int:
        """Neurons of the input."""
        return self.populations[0].inputs

    @property
    def classes(self) -> int:
        """Neurons of the last population."""
        return self.populations[-1].neurons

    def posteriors(self) -> dict[str, nn.Parameter]:
        """Return the natural parameters of all trained weights, each of shape (rows, columns), by name of the bits."""
        return {name: natural for layer in self.populations for name, natural in layer.posteriors().items()}

    def biases(self) -> list[nn.Parameter]:
        """Return the biases of the layers that have them."""
        return [layer.bias for layer in self.populations if layer.bias is not None]

    def initialise(self, seed: int, *, spread: float) -> None:
        """Set natural parameters uniformly in -spread to spread, a function of the seed alone, and biases to 0."""
        with torch.no_grad():
            for index, natural in self._numbered().values():
                raw = words(seed, Stream.INITIAL, index, natural.numel())
                values = spread * (2.0 * uniform(raw) - 1.0)
                natural.copy_(torch.from_numpy(values).reshape(natural.shape))
            for bias in self.biases():
                bias.zero_()

    def fold(self, sharpness: float) -> None:
        """Multiply the sharpness into the natural parameters and round the biases for good."""
        with torch.no_grad():
            for natural in self.posteriors().values():
                natural.mul_(sharpness)
        for layer in self.populations:
            layer.set_mantissa(layer.trained_mantissa())

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
        spiking = self.populations if self.readout == "spike_count" else self.populations[:-1]
        flow = NoisyFlow(self.populations, self.wires, spikes, sharpness)
        for layer in spiking:
            noise = estimator.noise.draw((*spikes.shape[:2], layer.neurons), generator)
            mean, variance = flow.moments()
            bits, ratio = layer.fire(mean, variance, noise, estimator=estimator, floor=floor, sharpness=sharpness)
            flow.fired(bits)
            auxiliary = auxiliary + ratio.square().sum() / ratio.shape[1]
        if self.readout == "spike_count":
            return bits.sum(0) / self.temperature, auxiliary
        source = None if isinstance(estimator.noise, Silent) else generator
        return self._noisy_membrane(flow, source), auxiliary

    def _noisy_membrane(self, flow: NoisyFlow, generator: torch.Generator | None) -> Tensor:
        """Return logits of the last membrane; its noise is that of one weight sample held over all steps, or none."""
        layer = self.populations[-1]
        mean, _ = flow.moments()
        response = torch.tensor(impulse_response(layer.neuron, len(mean)))
        states = membrane(mean, layer.rounded_bias(), layer.neuron)
        if self.readout == "membrane_sum":
            value, kernel = states.sum(0), response.cumsum(0).flip(0)
        else:
            value, kernel = states[-1], response.flip(0)
        if generator is None:
            return value / self.temperature
        variance = flow.variance_of(kernel)
        noise = torch.randn(value.shape, generator=generator)
        return (value + torch.sqrt(variance + 1e-12) * noise) / self.temperature

    def map_bits(self) -> dict[str, Bits]:
        """Return the most probable weights, -1 or +1.

        Returns:
            Under a layer's name, shape (neurons, inputs), or (channels, source channels * height * width of the kernel)
            of a convolution; under ``NAME.recurrent``, shape (neurons, neurons): targets, sources.
        """
        return {name: map_bits(natural.detach().numpy()) for name, natural in self.posteriors().items()}

    def sample_bits(self, seed: int) -> dict[str, Bits]:
        """Draw one network from the posterior; the same seed gives the same bits."""
        return {
            name: sample_bits(natural.detach().numpy(), seed=seed, index=index)
            for name, (index, natural) in self._numbered().items()
        }

    def record(self, spikes: npt.NDArray[np.uint8], bits: Mapping[str, Bits] | None = None) -> dict[str, State]:
        """Run collapsed weights exactly; return (spikes, u, v) of each layer, shape (samples, steps, neurons).

        Args:
            spikes: input, 0 or 1, shape (samples, steps, input_size).
            bits: weights as :meth:`map_bits` gives them, which is the default.

        Returns:
            For each layer spikes (uint8), and current and membrane at the end of each step (int32, units of 1/64).

        Raises:
            UsageError: input or weights of the wrong shape or with impossible values.
            RangeError: a register that leaves its width.
        """
        shape = spikes.shape[:2]
        states: dict[str, State] = {
            layer.name: (
                np.empty((*shape, layer.neurons), dtype=np.uint8),
                np.empty((*shape, layer.neurons), dtype=np.int32),
                np.empty((*shape, layer.neurons), dtype=np.int32),
            )
            for layer in self.populations
        }
        for rows, name, found in self._run(spikes, bits):
            fired, currents, membranes = states[name]
            fired[rows], currents[rows], membranes[rows] = found
        return states

    def _run(
        self, spikes: npt.NDArray[np.uint8], bits: Mapping[str, Bits] | None
    ) -> Iterator[tuple[slice, str, State]]:
        """Yield rows of samples, a layer's name, and its states there as `record` gives them, a few samples at once."""
        self._check_input(spikes)
        weights = self._checked(self.map_bits() if bits is None else bits)
        size = spikes.shape[1] * max(self.input_size, *(layer.neurons for layer in self.populations))
        chunk = max(1, min(_CHUNK, _MOST_AT_ONCE // size))
        for start in range(0, max(1, len(spikes)), chunk):
            rows = slice(start, start + chunk)
            first = torch.from_numpy(np.array(spikes[rows].transpose(1, 0, 2), dtype=np.float32))
            flow = ExactFlow(self.populations, self.wires, first, weights)
            for layer in self.populations:
                found = layer.settle(flow.summed(), weights)
                flow.fired(found[0].float())
                yield rows, layer.name, cast(State, tuple(part.numpy().transpose(1, 0, 2) for part in found))

    def predict(
        self, spikes: npt.NDArray[np.uint8], bits: Mapping[str, Bits] | None = None
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return integer read-outs, shape (samples, classes), and classes, shape (samples,); ties go to the lowest.

        A membrane is read in register units of 1/64 weight, a spike count in spikes.
        """
        last = self.populations[-1]
        fired = np.empty((*spikes.shape[:2], last.neurons), dtype=np.uint8)
        states = np.empty(fired.shape, dtype=np.int32)
        for rows, name, (bit, _, state) in self._run(spikes, bits):
            if name == last.name:
                fired[rows], states[rows] = bit, state
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
        expected = {name: natural.shape for name, natural in self.posteriors().items()}
        if set(bits) != set(expected):
            raise UsageError(f"weights: found layers {', '.join(map(str, bits))}; expected {', '.join(expected)}")
        return {
            name: checked_bits(bits[name], shape=(rows, columns), name=name)
            for name, (rows, columns) in expected.items()
        }

    def _numbered(self) -> dict[str, tuple[int, nn.Parameter]]:
        """Return `posteriors` with the number of each one's random words: the layer's, apart for recurrent ones."""
        numbers: dict[str, tuple[int, nn.Parameter]] = {}
        for index, layer in enumerate(self.populations):
            for place, (name, natural) in enumerate(layer.posteriors().items()):
                numbers[name] = (index + _RECURRENT * place, natural)
        return numbers


def check_read_out(kinds: Sequence[str], readout: str) -> None:
    """Raise UsageError, which starts with the layer's key, unless the last kind of layer can have this read-out."""
    if readout != "spike_count" and kinds[-1] != DenseLayer.kind:
        raise UsageError(f"layers[{len(kinds) - 1}].kind: found {kinds[-1]!r}; expected 'dense' with {readout}")

"""A spiking network with a posterior over its integer weights, of one bit or up to eight.

It runs in two ways: with posterior noise and gradients (`noisy`), and with collapsed weights on the chip's lattice,
integer for integer (`record`, `predict`). All layers are evaluated in the same step.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from bitspike.errors import UsageError
from bitspike.samples import are_bits
from bitspike.train.estimators import Estimator
from bitspike.train.flow import ExactFlow, NoisyFlow
from bitspike.train.layers import DenseLayer, Layer
from bitspike.train.noise import Silent
from bitspike.train.posteriors import Bits, Posterior, Prior
from bitspike.train.processes import Share, whole
from bitspike.train.read_out import noisy_membrane
from bitspike.train.registers import UNITS
from bitspike.train.wiring import INPUT, Wires, chain

Readout = Literal["spike_count", "membrane_sum", "membrane_last"]
State = tuple[npt.NDArray[np.uint8] | npt.NDArray[np.int32], npt.NDArray[np.int32], npt.NDArray[np.int32]]

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
        precision: ``float32`` or ``bfloat16``, of spikes and matrix products in :meth:`noisy`.
    """

    input_name = INPUT
    precision: Literal["float32", "bfloat16"] = "float32"

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
        if layers[-1].neuron.graded:
            raise UsageError(f"layers[{len(layers) - 1}].spike: found 'graded'; expected 'binary' in what is read out")
        self.wires = chain([layer.name for layer in layers]) if wires is None else tuple(wires)
        if len(self.wires) != len(layers):
            raise UsageError(f"wires: found {len(self.wires)}; expected {len(layers)}, as many as layers")
        self.steps = steps
        self.readout: Readout = readout
        self.temperature = temperature
        self.layers = nn.ModuleList(layers)
        graded = {layer.name for layer in layers if layer.neuron.graded}
        for layer, wires_of in zip(layers, self.wires, strict=True):
            layer.binary_input = len(wires_of.sources) == 1 and wires_of.sources[0] not in graded

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

    def posteriors(self) -> dict[str, Posterior]:
        """Return the posteriors of all trained weights by name of the bits."""
        return {name: one for layer in self.populations for name, one in layer.posteriors().items()}

    def locations(self) -> list[nn.Parameter]:
        """Return the trained numbers of which each weight has its own: natural parameters, means, latent weights."""
        return [one.location for one in self.posteriors().values()]

    def scales(self) -> list[nn.Parameter]:
        """Return the trained numbers that all weights of a matrix share."""
        return [scale for one in self.posteriors().values() for scale in one.scales().values()]

    def kl(self, prior: Prior, *, sharpness: float = 1.0) -> Tensor:
        """Return the divergence of the posterior from the prior in nats, summed over all weights, with gradients."""
        return torch.stack([one.kl(prior, sharpness=sharpness) for one in self.posteriors().values()]).sum()

    def biases(self) -> list[nn.Parameter]:
        """Return the biases of the layers that have them."""
        return [layer.bias for layer in self.populations if layer.bias is not None]

    def initialise(self, seed: int, *, spread: float, scale: float = 0.5) -> None:
        """Set locations uniformly in -spread to spread, a function of the seed alone, and biases to 0.

        Deviations that are trained start at scale * spread.
        """
        for index, posterior in self._numbered().values():
            posterior.initialise(seed=seed, index=index, spread=spread, scale=scale)
        with torch.no_grad():
            for bias in self.biases():
                bias.zero_()

    def fold(self, sharpness: float) -> None:
        """Take the sharpness into the posteriors and round the biases for good."""
        for posterior in self.posteriors().values():
            posterior.fold(sharpness)
        for layer in self.populations:
            layer.set_mantissa(layer.trained_mantissa())

    def noisy(
        self,
        spikes: Tensor,
        generator: torch.Generator,
        *,
        estimator: Estimator,
        floor: float,
        sharpness: float = 1.0,
        auxiliary: bool = False,
        share: Share | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Run one pass with posterior noise.

        Args:
            spikes: input, float, shape (steps, samples, input_size).
            generator: source of the noise, on the device of the spikes.
            estimator: the noise, and how gradients pass a bit.
            sharpness: how much narrower the posteriors are taken.
            floor: standard deviation of the membranes' own noise, in weights.
            auxiliary: whether the auxiliary sum is wanted.
            share: which samples of a batch these are, where others have the rest; noise is drawn for the whole batch.

        Returns:
            Logits, shape (samples, classes), and the auxiliary sum: (v / s)**2 summed over layers, steps and neurons,
            averaged over samples; 0 where it is not wanted.
        """
        share = whole(spikes.shape[1]) if share is None else share
        sums = torch.zeros((), device=spikes.device)
        spikes = spikes.to(getattr(torch, self.precision))
        layers = self.populations
        spiking = layers if self.readout == "spike_count" else layers[:-1]
        flow = NoisyFlow(layers, self.wires, spikes, sharpness, spread=estimator.reads_variance)
        for layer in spiking:
            spikes, squares = layer.fire(
                flow.inputs(),
                generator,
                estimator=estimator,
                floor=floor,
                sharpness=sharpness,
                summed=auxiliary,
                share=share,
            )
            flow.fired(spikes)
            sums = sums + squares / spikes.shape[1]
        if self.readout == "spike_count":
            return spikes.float().sum(0) / self.temperature, sums
        source = None if isinstance(estimator.noise, Silent) else generator
        summed = self.readout == "membrane_sum"
        values = noisy_membrane(layers[-1], flow, len(spikes), summed=summed, generator=source, share=share)
        return values / self.temperature, sums

    def map_bits(self) -> dict[str, Bits]:
        """Return the most probable weights, integers of the posterior's family.

        Returns:
            Under a layer's name, shape (neurons, inputs), or (channels, source channels * height * width of the kernel)
            of a convolution; under ``NAME.recurrent``, shape (neurons, neurons): targets, sources.
        """
        return {name: one.most_probable() for name, one in self.posteriors().items()}

    def sample_bits(self, seed: int) -> dict[str, Bits]:
        """Draw one network from the posterior; the same seed gives the same bits."""
        return {name: one.sample(seed=seed, index=index) for name, (index, one) in self._numbered().items()}

    def record(self, spikes: npt.NDArray[np.uint8], bits: Mapping[str, Bits] | None = None) -> dict[str, State]:
        """Run collapsed weights exactly; return (spikes, u, v) of each layer, shape (samples, steps, neurons).

        Args:
            spikes: input, 0 or 1, shape (samples, steps, input_size).
            bits: weights as :meth:`map_bits` gives them, which is the default.

        Returns:
            For each layer spikes (uint8; payloads in int32 where they are graded), and current and membrane at the end
            of each step (int32, units of 1/64).

        Raises:
            UsageError: input or weights of the wrong shape or with impossible values.
            RangeError: a register that leaves its width.
        """
        shape = spikes.shape[:2]
        states: dict[str, State] = {
            layer.name: (
                np.empty((*shape, layer.neurons), dtype=np.int32 if layer.neuron.graded else np.uint8),
                np.empty((*shape, layer.neurons), dtype=np.int32),
                np.empty((*shape, layer.neurons), dtype=np.int32),
            )
            for layer in self.populations
        }
        for rows, name, found in self._run(spikes, bits):
            fired, currents, membranes = states[name]
            for whole_of, part in zip((fired, currents, membranes), found, strict=True):
                whole_of[rows] = part.cpu().numpy().transpose(1, 0, 2)
        return states

    def _run(
        self, spikes: npt.NDArray[np.uint8], bits: Mapping[str, Bits] | None
    ) -> Iterator[tuple[slice, str, tuple[Tensor, Tensor, Tensor]]]:
        """Yield rows of samples, a layer's name, and its states there, a few samples at once.

        Their shape is (steps, samples, neurons), and they are where the parameters are.
        """
        self._check_input(spikes)
        weights = self._checked(self.map_bits() if bits is None else bits)
        size = spikes.shape[1] * max(self.input_size, *(layer.neurons for layer in self.populations))
        chunk = max(1, min(_CHUNK, _MOST_AT_ONCE // size))
        device = next(self.parameters()).device
        for start in range(0, max(1, len(spikes)), chunk):
            rows = slice(start, start + chunk)
            first = torch.from_numpy(np.array(spikes[rows].transpose(1, 0, 2), dtype=np.uint8)).to(device).float()
            flow = ExactFlow(self.populations, self.wires, first, weights)
            for layer in self.populations:
                found = layer.settle(flow.summed(), weights)
                flow.fired(found[0].float())
                yield rows, layer.name, found

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
                fired[rows], states[rows] = (part.cpu().numpy().transpose(1, 0, 2) for part in (bit, state))
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
        if not are_bits(spikes):
            raise UsageError("input spikes: found a value other than 0 and 1")

    def _checked(self, bits: Mapping[str, Bits]) -> dict[str, Bits]:
        expected = self.posteriors()
        if set(bits) != set(expected):
            raise UsageError(f"weights: found layers {', '.join(map(str, bits))}; expected {', '.join(expected)}")
        return {name: one.checked(bits[name], name=name) for name, one in expected.items()}

    def _numbered(self) -> dict[str, tuple[int, Posterior]]:
        """Return `posteriors` with the number of each one's random words: the layer's, apart for recurrent ones."""
        numbers: dict[str, tuple[int, Posterior]] = {}
        for index, layer in enumerate(self.populations):
            for place, (name, posterior) in enumerate(layer.posteriors().items()):
                numbers[name] = (index + _RECURRENT * place, posterior)
        return numbers


def check_read_out(kinds: Sequence[str], readout: str) -> None:
    """Raise UsageError, which starts with the layer's key, unless the last kind of layer can have this read-out."""
    if readout != "spike_count" and kinds[-1] != DenseLayer.kind:
        raise UsageError(f"layers[{len(kinds) - 1}].kind: found {kinds[-1]!r}; expected 'dense' with {readout}")

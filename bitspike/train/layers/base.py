"""What all layers share: neurons, biases, and the two ways to run."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from bitspike.train.dynamics import noisy_population, straight_through
from bitspike.train.estimators import Estimator
from bitspike.train.fused import can_run, draw_keys, fused_population
from bitspike.train.graded_dynamics import noisy_graded_population
from bitspike.train.neurons import evaluate
from bitspike.train.noise import Silent
from bitspike.train.posteriors import Bits, Posterior
from bitspike.train.processes import Share, whole
from bitspike.train.registers import MANTISSA_RANGE, Neuron, Reset, Spike


class Layer(nn.Module, ABC):
    """A population and the connection that feeds it.

    Attributes:
        kind: of the connection, as recipes and files call it.
        name: of the population.
        source_shape: of the population before, such as (2, 34, 34).
        shape: of this population; both are flattened in C order.
        neuron: what its neurons share.
        bias: in weights, shape (neurons,) or one for all neurons of a channel; rounded to its mantissa wherever it is
            used. None where the kind has none.
        binary_input: whether the spikes that come in are bits, which are their own squares.
    """

    kind: ClassVar[str]
    bias: nn.Parameter | None
    binary_input: bool = True

    def __init__(self, *, name: str, source_shape: tuple[int, ...], shape: tuple[int, ...], neuron: Neuron) -> None:
        super().__init__()
        self.name = name
        self.source_shape = source_shape
        self.shape = shape
        self.neuron = neuron

    @property
    def inputs(self) -> int:
        """Neurons of the population before."""
        return math.prod(self.source_shape)

    @property
    def neurons(self) -> int:
        """Neurons of this population."""
        return math.prod(self.shape)

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

    @property
    def spike(self) -> Spike:
        """What a neuron sends: ``binary`` or ``graded``."""
        return self.neuron.spike

    @property
    def shift(self) -> int:
        """Of graded spikes: payloads count 2**shift weights."""
        return self.neuron.shift

    @abstractmethod
    def posteriors(self) -> dict[str, Posterior]:
        """Return the posteriors of the trained weights by name of the bits: the layer's, or with a suffix."""

    def stored(self) -> dict[str, tuple[nn.Module, str]]:
        """Return where each trained parameter but the bias lives, module and attribute, by the last part of its name in
        files: ``natural``, ``mean`` or ``latent``, ``rho``, and ``recurrent`` and ``recurrent_rho``."""
        found: dict[str, tuple[nn.Module, str]] = {}
        for name, posterior in self.posteriors().items():
            part = name.removeprefix(self.name).lstrip(".")
            found[part or posterior.location_name] = (posterior, "location")
            for key in posterior.scales():
                found[f"{part}_{key}" if part else key] = (posterior, key)
        return found

    @abstractmethod
    def moments(self, spikes: Tensor, sharpness: float) -> tuple[Tensor, Tensor]:
        """Return mean and variance of the summed input from the population before.

        Args:
            spikes: float, shape (steps, samples, inputs).
            sharpness: how much narrower than its parameters say the posterior is taken, 1 or more.

        Returns:
            Two tensors of shape (steps, samples, neurons), in weights and weights squared; the variance is 0 where the
            weights have no noise.
        """

    @abstractmethod
    def weighted(self, spikes: Tensor, weights: Mapping[str, Tensor]) -> Tensor:
        """Return the summed input of given weights, with gradients to them and to the spikes.

        Args:
            spikes: float, shape (steps, samples, inputs).
            weights: float, in the shapes and under the names of :meth:`posteriors`; recurrent ones are not read.

        Returns:
            Shape (steps, samples, neurons), in weights.
        """

    @abstractmethod
    def summed(self, spikes: Tensor, bits: Mapping[str, Bits]) -> Tensor:
        """Return the exact summed input from the population before, int64, shapes as in :meth:`moments`."""

    def feedback(self, bits: Mapping[str, Bits]) -> Tensor | None:  # noqa: ARG002
        """Return weights, float32 of shape (neurons, neurons), from each neuron's last spike to the others; or None."""
        return None

    def joint_moments(self, spikes: Tensor, sharpness: float, *, spread: bool = True) -> Tensor:
        """Return what :meth:`moments` does in one tensor of the type of `spikes`: means, then variances.

        The shape is (steps, samples, 2 * neurons), or (steps, samples, neurons) where there is no variance or `spread`
        asks for none. Kinds that can make both by one product do so where the spikes are bits.
        """
        mean, variance = self.moments(spikes.float(), sharpness)
        return (torch.cat([mean, variance], dim=-1) if spread else mean).to(spikes.dtype)

    def joint_feedback(self, sharpness: float, dtype: torch.dtype, *, spread: bool = True) -> Tensor | None:  # noqa: ARG002
        """Return means, then variances of the weights from the population's own bits, shape (2 * neurons, neurons).

        Without `spread` the shape is (neurons, neurons).
        """
        return None

    def noisy(
        self,
        spikes: Tensor,
        generator: torch.Generator,
        *,
        estimator: Estimator,
        floor: float,
        sharpness: float,
        summed: bool = False,
        share: Share | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Run with posterior noise on spikes, shape (steps, samples, inputs); else as :meth:`fire`."""
        inputs = self.joint_moments(spikes, sharpness, spread=estimator.reads_variance)
        return self.fire(
            inputs, generator, estimator=estimator, floor=floor, sharpness=sharpness, summed=summed, share=share
        )

    def fire(
        self,
        inputs: Tensor,
        generator: torch.Generator,
        *,
        estimator: Estimator,
        floor: float,
        sharpness: float,
        summed: bool = False,
        share: Share | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Run with posterior noise on a summed input; see :func:`bitspike.train.dynamics.noisy_population`.

        Args:
            inputs: its moments, as :meth:`joint_moments` gives them, float32 or bfloat16.
            generator: source of the noise.
            estimator: how gradients pass a bit.
            floor: standard deviation of the membranes' own noise, in weights, above 0.
            sharpness: how much narrower the posterior is taken.
            summed: whether the auxiliary sum is wanted.
            share: which samples of a batch these are, where others have the rest; noise is drawn for the whole batch.

        Returns:
            Bits, shape (steps, samples, neurons), of the type of `inputs`, or the payloads of graded spikes in float32;
            and the sum of (v / s)**2 before reset, 0 where it is not wanted.
        """
        if can_run(estimator, inputs.device) and not self.neuron.graded:
            return fused_population(
                inputs,
                self.rounded_bias(inputs.device),
                None if isinstance(estimator.noise, Silent) else draw_keys(generator),
                neuron=self.neuron,
                estimator=estimator,
                floor=floor,
                recurrent=self._fed_back(inputs, sharpness, spread=estimator.reads_variance),
                summed=summed,
                share=share,
            )
        share = whole(inputs.shape[1]) if share is None else share
        noise = share.rows(estimator.noise.draw((len(inputs), share.batch, self.neurons), generator))
        mean, variance = self.parted(inputs.float())
        bits, ratio = self.defined(mean, variance, noise, estimator=estimator, floor=floor, sharpness=sharpness)
        squares = ratio.square().sum() if summed else torch.zeros((), device=ratio.device)
        # Payloads may need more digits than bfloat16 has.
        return bits if self.neuron.graded else bits.to(inputs.dtype), squares

    def _fed_back(self, inputs: Tensor, sharpness: float, *, spread: bool) -> Tensor | None:
        """Return what :meth:`joint_feedback` does, with variances of 0 where `inputs` has variances and it has none."""
        weights = self.joint_feedback(sharpness, inputs.dtype, spread=spread)
        missing = 0 if weights is None else inputs.shape[-1] - len(weights)
        return weights if weights is None or missing == 0 else functional.pad(weights, (0, 0, 0, missing))

    def parted(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean and the variance that :meth:`joint_moments` put in one tensor; a variance of 0 for none."""
        mean = inputs[..., : self.neurons]
        return mean, inputs[..., self.neurons :] if inputs.shape[-1] > self.neurons else torch.zeros_like(mean)

    def defined(
        self,
        mean: Tensor,
        variance: Tensor,
        noise: Tensor,
        *,
        estimator: Estimator,
        floor: float,
        sharpness: float,  # noqa: ARG002
    ) -> tuple[Tensor, Tensor]:
        """Run on moments with given noise, by the definition; see :func:`bitspike.train.dynamics.noisy_population`.

        Returns:
            Bits, or the payloads of graded spikes, and ratios v / s before reset, float32, all of shape (steps,
            samples, neurons).
        """
        bias = self.rounded_bias(mean.device)
        population = noisy_graded_population if self.neuron.graded else noisy_population
        return population(mean, variance, bias, noise, neuron=self.neuron, estimator=estimator, floor=floor)

    def evaluate(self, spikes: Tensor, bits: Mapping[str, Bits]) -> tuple[Tensor, Tensor, Tensor]:
        """Run collapsed weights exactly; see :func:`bitspike.train.neurons.evaluate`."""
        return self.settle(self.summed(spikes, bits), bits)

    def settle(self, inputs: Tensor, bits: Mapping[str, Bits]) -> tuple[Tensor, Tensor, Tensor]:
        """Run exactly on a summed input, int64, shape (steps, samples, neurons); else as :meth:`evaluate`."""
        bias = torch.from_numpy(self.bias_mantissa().astype(np.int64) << self.bias_exponent).to(inputs.device)
        weights = self.feedback(bits)
        feedback = None if weights is None else weights.to(inputs.device)
        return evaluate(inputs, bias, self.neuron, name=self.name, feedback=feedback)

    def bias_mantissa(self) -> npt.NDArray[np.int32]:
        """Return the integer biases, shape (neurons,); register units are ``mantissa << bias_exponent``."""
        if self.bias is None:
            return np.zeros(self.neurons, dtype=np.int32)
        return self._for_each_neuron(self._mantissa(self.bias)).detach().cpu().numpy().astype(np.int32)

    def trained_mantissa(self) -> npt.NDArray[np.int32]:
        """Return the integers that the trained biases round to, in the shape of `bias`."""
        bias = torch.zeros(0) if self.bias is None else self._mantissa(self.bias)
        return bias.detach().cpu().numpy().astype(np.int32)

    def set_mantissa(self, mantissa: npt.NDArray[np.int32]) -> None:
        """Set the trained biases to integers in the shape of `bias`."""
        if self.bias is not None:
            with torch.no_grad():
                self.bias.copy_(torch.from_numpy(mantissa) * self.neuron.bias_unit)

    def rounded_bias(self, device: torch.device | None = None) -> Tensor:
        """Return the bias as the chip holds it, in weights, shape (neurons,), with a straight-through gradient.

        Args:
            device: where the zeros shall be of a kind that has no bias.
        """
        if self.bias is None:
            return torch.zeros(self.neurons, device=device)
        return self._for_each_neuron(straight_through(self.bias, self._mantissa(self.bias) * self.neuron.bias_unit))

    def _mantissa(self, bias: Tensor) -> Tensor:
        return torch.round(bias / self.neuron.bias_unit).clamp(*MANTISSA_RANGE)

    def _for_each_neuron(self, values: Tensor) -> Tensor:
        """Repeat each channel's value for all of its neurons."""
        times = self.neurons // len(values)
        return values if times == 1 else values.repeat_interleave(times)

    def extra_repr(self) -> str:
        """Describe the population in one line."""
        neuron = f"du={self.du}, dv={self.dv}, vth={self.vth}, reset={self.reset}"
        neuron += f", spike=graded, shift={self.shift}" if self.neuron.graded else ""
        return f"{self.name}: {dimensions(self.source_shape)} -> {dimensions(self.shape)}, {neuron}"


def dimensions(shape: tuple[int, ...]) -> str:
    """Return a shape as people write it, such as ``2x34x34``."""
    return "x".join(map(str, shape))

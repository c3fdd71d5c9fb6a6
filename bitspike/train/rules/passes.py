"""Forward passes with gradients, and the read-out step by step.

The logits of a window are the mean over its steps of o[t], which is steps * b[t] / temperature with a spike count and
steps * v[t] / temperature with a summed membrane. With the last membrane there are no such parts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bitspike.train.dynamics import impulse_response, membrane, noisy_population
from bitspike.train.estimators import Estimator
from bitspike.train.layers import Layer
from bitspike.train.model import SpikingNetwork
from bitspike.train.noise import Silent
from bitspike.train.rules.boxcar import Boxcar, boxcar_width


@dataclass(frozen=True, eq=False, kw_only=True)
class Outputs:
    """What a pass gives.

    Attributes:
        logits: of the window, shape (samples, classes).
        steps: o, shape (steps, samples, classes), whose mean over the steps are the logits; None where there are none.
        auxiliary: (v / s)**2 summed over layers, steps and neurons, averaged over samples.
    """

    logits: Tensor
    steps: Tensor | None
    auxiliary: Tensor


def spiking_layers(model: SpikingNetwork) -> list[Layer]:
    """Return the layers that spike: all, or all but a membrane read-out."""
    return model.populations if model.readout == "spike_count" else model.populations[:-1]


def read_out(model: SpikingNetwork, last: Tensor, auxiliary: Tensor | None = None) -> Outputs:
    """Return the logits of spikes, or of membranes before the reset, of the last population.

    Args:
        model: the network, which says how it is read.
        last: shape (steps, samples, classes).
        auxiliary: of the pass; 0 by default.
    """
    none = torch.zeros(()) if auxiliary is None else auxiliary
    if model.readout == "membrane_last":
        return Outputs(logits=last[-1] / model.temperature, steps=None, auxiliary=none)
    logits = last.sum(0) / model.temperature
    return Outputs(logits=logits, steps=last * (len(last) / model.temperature), auxiliary=none)


def weighted_pass(
    model: SpikingNetwork,
    spikes: Tensor,
    draws: Sequence[Mapping[str, Tensor]],
    *,
    boxcar: float,
    through_time: bool = True,
) -> Outputs:
    """Run given weights with the boxcar's gradients; with bits this is the collapsed network, spike for spike.

    Args:
        model: the network.
        spikes: input, float, shape (steps, samples, inputs).
        draws: weights by name, one for all steps or one for each.
        boxcar: width in sqrt(fan-in).
        through_time: whether gradients of spikes also go to the steps before.
    """
    for layer in spiking_layers(model):
        currents = _currents(layer, spikes, draws)
        none = torch.zeros_like(currents)
        spikes, _ = noisy_population(
            currents,
            none,
            layer.rounded_bias(),
            none,
            neuron=layer.neuron,
            estimator=Boxcar(),
            floor=boxcar_width(layer, boxcar),
            through_time=through_time,
        )
    if model.readout == "spike_count":
        return read_out(model, spikes)
    layer = model.populations[-1]
    return read_out(model, membrane(_currents(layer, spikes, draws), layer.rounded_bias(), layer.neuron))


def _currents(layer: Layer, spikes: Tensor, draws: Sequence[Mapping[str, Tensor]]) -> Tensor:
    """Return the summed input of one draw, or of one draw a step."""
    if len(draws) == 1:
        return layer.weighted(spikes, draws[0])
    return torch.cat([layer.weighted(step[None], weights) for step, weights in zip(spikes, draws, strict=True)])


def noisy_pass(
    model: SpikingNetwork,
    spikes: Tensor,
    generator: torch.Generator,
    *,
    estimator: Estimator,
    floor: float,
    sharpness: float,
    through_time: bool = True,
) -> Outputs:
    """Run with posterior noise, as :meth:`SpikingNetwork.noisy`, and return the read-out step by step.

    The noise of a membrane read-out is that of one sample of its weights held over the window; it is added to all
    steps alike. The arguments are those of :meth:`SpikingNetwork.noisy`, with `through_time` of :func:`weighted_pass`.
    """
    auxiliary = torch.zeros(())
    for layer in spiking_layers(model):
        if through_time:
            spikes, squares = layer.noisy(
                spikes, generator, estimator=estimator, floor=floor, sharpness=sharpness, summed=True
            )
        else:
            noise = estimator.noise.draw((*spikes.shape[:2], layer.neurons), generator)
            spikes, ratio = noisy_population(
                *layer.moments(spikes, sharpness),
                layer.rounded_bias(),
                noise,
                neuron=layer.neuron,
                estimator=estimator,
                floor=floor,
                through_time=False,
            )
            squares = ratio.square().sum()
        auxiliary = auxiliary + squares / spikes.shape[1]
    if model.readout == "spike_count":
        return read_out(model, spikes, auxiliary)
    source = None if isinstance(estimator.noise, Silent) else generator
    return read_out(model, _noisy_membranes(model, spikes, source, sharpness), auxiliary)


def _noisy_membranes(
    model: SpikingNetwork, spikes: Tensor, generator: torch.Generator | None, sharpness: float
) -> Tensor:
    """Return the last population's membranes, shape (steps, samples, classes), with the noise of the read-out."""
    layer = model.populations[-1]
    mean, _ = layer.moments(spikes, sharpness)
    states = membrane(mean, layer.rounded_bias(), layer.neuron)
    if generator is None:
        return states
    response = torch.tensor(impulse_response(layer.neuron, len(spikes)))
    summed = model.readout == "membrane_sum"
    kernel = response.cumsum(0).flip(0) if summed else response.flip(0)
    _, variance = layer.moments(torch.einsum("t,tbn->bn", kernel, spikes), sharpness)
    noise = torch.sqrt(variance + 1e-12) * torch.randn(states.shape[1:], generator=generator)
    return states + noise / len(spikes) if summed else states + noise

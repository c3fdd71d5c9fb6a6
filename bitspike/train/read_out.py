"""What a noisy pass reads out of a membrane that never spikes."""

from functools import lru_cache

import torch
from torch import Tensor

from bitspike.train.dynamics import impulse_response, membrane
from bitspike.train.flow import NoisyFlow
from bitspike.train.layers import Layer
from bitspike.train.processes import Share
from bitspike.train.registers import Neuron


def noisy_membrane(
    layer: Layer, flow: NoisyFlow, steps: int, *, summed: bool, generator: torch.Generator | None, share: Share
) -> Tensor:
    """Return the read-out of the last membrane in weights, shape (samples, neurons).

    Args:
        layer: the last population.
        flow: whose turn it is.
        steps: of the pass.
        summed: whether the membrane is summed over the steps; else it is the last one.
        generator: source of the noise, which is that of one weight sample held over all steps; None for no noise.
        share: which samples of a batch these are.
    """
    neuron = layer.neuron
    mean, variance = flow.folded(_kernel(neuron, steps, summed, flow.device))
    if neuron.keep_v == 1 and neuron.keep_u in (0, 1):
        # No decay truncates, so that the read-out is linear in what comes in.
        value = mean + layer.rounded_bias() * (steps * (steps + 1) / 2 if summed else float(steps))
    else:
        drive, _ = layer.parted(flow.inputs().float())
        states = membrane(drive, layer.rounded_bias(), neuron)
        value = states.sum(0) if summed else states[-1]
    if generator is None:
        return value
    noise = share.rows(torch.randn((share.batch, layer.neurons), generator=generator, device=generator.device))
    return value + torch.sqrt(variance + 1e-12) * noise


@lru_cache(maxsize=64)
def _kernel(neuron: Neuron, steps: int, summed: bool, device: torch.device) -> Tensor:
    """Return by what an input of each step counts in the read-out, shape (steps,); it is kept where it is used."""
    response = torch.tensor(impulse_response(neuron, steps))
    return (response.cumsum(0).flip(0) if summed else response.flip(0)).to(device)

"""Adam over the parameters of a network, with a learning rate for each kind of them."""

from collections.abc import Sequence

import torch
from torch import Tensor

from bitspike.train.model import SpikingNetwork


def adam(model: SpikingNetwork, device: torch.device) -> torch.optim.Adam:
    """Return Adam over the locations of a network's posteriors, its biases, and its scales, on their device."""
    gpu = device.type == "cuda"
    optimiser = torch.optim.Adam(
        [
            {"params": model.locations()},
            {"params": [bias for bias in model.biases() if bias.requires_grad]},
            {"params": [scale for scale in model.scales() if scale.requires_grad]},
        ],
        fused=True,
        capturable=gpu,
    )
    if gpu:
        # What is recorded there reads the rates where they are.
        for group in optimiser.param_groups:
            group["lr"] = torch.zeros((), device=device)
    return optimiser


def set_rates(optimiser: torch.optim.Optimizer, rates: Sequence[float]) -> None:
    """Set the learning rates of locations, biases and scales."""
    for group, rate in zip(optimiser.param_groups, rates, strict=True):
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate

"""Models of snnTorch whose sums are exact, for tests that ask for every spike."""

import itertools

import pytest
import torch
from torch import nn

snn = pytest.importorskip("snntorch", reason="snnTorch is not installed")

CLASSES = ("Leaky", "Synaptic", "RLeaky", "RSynaptic")
STEPS = 8
COMBINATIONS = list(itertools.product(CLASSES, ("subtract", "zero", "none"), (True, False)))


def dyadic(model, seed=0):
    """Weights and biases that are multiples of 1/4, so that every sum is exact."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "threshold" not in name and "beta" not in name and "alpha" not in name:
                parameter.copy_(torch.randint(-3, 4, parameter.shape, generator=generator) / 4)
    return model


def neurons(kind, size, **settings):
    """A module of a class that has `size` neurons."""
    settings = {"beta": 0.5, "threshold": 0.75} | settings
    if kind.endswith("Synaptic"):
        settings["alpha"] = 0.5
    if kind.startswith("R"):
        settings["linear_features"] = size
    return getattr(snn, kind)(**settings)


class Explicit(nn.Module):
    """The form of the tutorials: states by hand, and a loop over the steps."""

    def __init__(self, kind="Leaky", size=12, **settings):
        super().__init__()
        self.kind = kind
        self.size = size
        self.fc1 = nn.Linear(6, size)
        self.lif1 = neurons(kind, size, **settings)
        self.fc2 = nn.Linear(size, size)
        self.lif2 = neurons(kind, size, **settings)

    def states(self, x):
        count = {"Leaky": 1, "Synaptic": 2, "RLeaky": 2, "RSynaptic": 3}[self.kind]
        return [torch.zeros(x.shape[1], self.size) for _ in range(count)]

    def step(self, module, current, states):
        spikes, *rest = module(current, *states)
        return spikes, [spikes, *rest] if self.kind.startswith("R") else rest

    def forward(self, x):
        first, second, recorded = self.states(x), self.states(x), []
        for step in range(len(x)):
            spk1, first = self.step(self.lif1, self.fc1(x[step]), first)
            spk2, second = self.step(self.lif2, self.fc2(spk1), second)
            recorded.append(spk2)
        return torch.stack(recorded)

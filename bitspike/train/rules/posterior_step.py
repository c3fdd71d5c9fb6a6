"""Draws of a network's weights, and the plain step that their gradients make."""

import torch
from torch import Tensor

from bitspike.train.model import SpikingNetwork
from bitspike.train.rule_recipe import RuleRecipe
from bitspike.train.rules.draws import build_draw, natural_prior
from bitspike.train.rules.updater import parameter_groups

Weights = dict[str, Tensor]


class PosteriorStep:
    """The natural parameters of a network, drawn from and stepped; see :mod:`bitspike.train.rules.draws`.

    Attributes:
        optimiser: plain gradient steps; for the natural parameters g + rho * w in place of g, which is the step
            w <- (1 - eta * rho) * w - eta * g with g = dL/dmu - rho * w0. It has no state.
    """

    def __init__(self, rule: RuleRecipe, model: SpikingNetwork) -> None:
        self._naturals = {name: posterior.location for name, posterior in model.posteriors().items()}
        self._draw = build_draw(rule)
        rho = float(rule.rho) if self._draw.bayesian else 0.0
        self._pull = rho * natural_prior(float(rule.prior))
        self.optimiser = torch.optim.SGD(parameter_groups(model), lr=0.0)
        self.optimiser.param_groups[0]["weight_decay"] = rho
        self.optimiser.zero_grad()

    def draw(self, generator: torch.Generator) -> Weights:
        """Return weights to run, each with a gradient of its own to be filled."""
        return {
            name: self._draw.weights(natural.detach(), generator).requires_grad_()
            for name, natural in self._naturals.items()
        }

    def collect(self, weights: Weights) -> None:
        """Add dL/dmu of drawn weights, whose gradients were filled, to what the next step will be."""
        with torch.no_grad():
            for name, drawn in weights.items():
                if drawn.grad is None:
                    continue
                natural = self._naturals[name]
                found = self._draw.mean_gradient(drawn.grad, drawn.detach(), natural.detach())
                natural.grad = found if natural.grad is None else natural.grad + found

    def apply(self) -> None:
        """Take the step; what was collected, and the gradients of the biases, are then used up."""
        for natural in self._naturals.values():
            found = torch.zeros_like(natural) if natural.grad is None else natural.grad
            natural.grad = found - self._pull
        self.optimiser.step()
        self.optimiser.zero_grad()

"""Rules with one loss for the whole window: the read-out's, with gradients through the layers."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from bitspike.train.dataset import Samples
from bitspike.train.estimators import Estimator
from bitspike.train.model import SpikingNetwork
from bitspike.train.recipe import Recipe
from bitspike.train.rules.distil import Distiller
from bitspike.train.rules.passes import noisy_pass, weighted_pass
from bitspike.train.rules.posterior_step import PosteriorStep
from bitspike.train.rules.updater import Updater, parameter_groups


class WindowRule(Updater):
    """Weights from a draw, cross-entropy of the read-out, back-propagation through time, plain steps."""

    def __init__(self, recipe: Recipe, model: SpikingNetwork) -> None:
        self._recipe, self._model = recipe, model
        self._step = PosteriorStep(recipe.rule, model)
        self.optimiser = self._step.optimiser
        self._distiller = Distiller(recipe.distil, model, kind=recipe.data.kind)

    def see(self, batch: Samples, *, seed: int, stream: int) -> None:
        """Show the batch to the teacher."""
        self._distiller.see(batch, seed=seed, stream=stream)

    def update(
        self,
        spikes: Tensor,
        labels: Tensor,
        generator: torch.Generator,
        sharpness: float,  # noqa: ARG002
    ) -> tuple[Tensor, float]:
        """Train on one batch."""
        rule = self._recipe.rule
        draws = [self._step.draw(generator) for _ in range(len(spikes) if rule.draw == "step" else 1)]
        outputs = weighted_pass(
            self._model, spikes, draws, boxcar=float(rule.boxcar), through_time=rule.temporal == "through"
        )
        loss, error = self._distiller.loss(outputs, labels)
        loss.backward()  # type: ignore[no-untyped-call]
        for weights in draws:
            self._step.collect(weights)
        self._step.apply()
        return outputs.logits.detach(), float(error.detach())


class TaughtAdam(Updater):
    """Adam with posterior noise, as the loop without a rule has it, with a teacher or with gradients within steps."""

    moments: ClassVar[Sequence[str]] = ("exp_avg", "exp_avg_sq")

    def __init__(self, recipe: Recipe, model: SpikingNetwork, estimator: Estimator) -> None:
        self._recipe, self._model, self._estimator = recipe, model, estimator
        self.optimiser = torch.optim.Adam(parameter_groups(model))
        self._distiller = Distiller(recipe.distil, model, kind=recipe.data.kind)

    def see(self, batch: Samples, *, seed: int, stream: int) -> None:
        """Show the batch to the teacher."""
        self._distiller.see(batch, seed=seed, stream=stream)

    def update(
        self, spikes: Tensor, labels: Tensor, generator: torch.Generator, sharpness: float
    ) -> tuple[Tensor, float]:
        """Train on one batch."""
        recipe = self._recipe
        outputs = noisy_pass(
            self._model,
            spikes,
            generator,
            estimator=self._estimator,
            floor=recipe.estimator.floor,
            sharpness=sharpness,
            through_time=recipe.rule.temporal == "through",
        )
        loss, error = self._distiller.loss(outputs, labels)
        if recipe.estimator.auxiliary > 0:
            loss = loss + recipe.estimator.auxiliary * outputs.auxiliary
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        return outputs.logits.detach(), float(error.detach())

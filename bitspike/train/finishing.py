"""The finish of a training: what its epochs have beside those before, of which the network is the collapsed one."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from bitspike.train.build import build_finishing
from bitspike.train.model import SpikingNetwork
from bitspike.train.recipe import Recipe
from bitspike.train.rules.posterior_teacher import BEFORE, PosteriorTeacher
from bitspike.train.running_means import MEAN, follow
from bitspike.train.schedule import Schedule


class Finishing:
    """The epochs on the collapsed network.

    Attributes:
        estimator: how gradients pass its spikes.
        width: of that, in weights.
        averages: whether a running mean of the parameters is kept.
        moments: names of what is kept of each parameter beside Adam's moments.
    """

    def __init__(self, recipe: Recipe, model: SpikingNetwork, device: torch.device) -> None:
        self.estimator = build_finishing()
        self.width = recipe.finish.width
        self.averages = recipe.finish.average > 0
        self._share = recipe.finish.average
        self._teacher: PosteriorTeacher | None = None
        if recipe.distil.teacher == "posterior":
            schedule = Schedule(recipe)
            sharpness = schedule.sharpness(schedule.before)
            self._teacher = PosteriorTeacher(recipe, model, sharpness=sharpness, device=device)
        self.moments = (*([MEAN] if self.averages else []), *([BEFORE] if self._teacher is not None else []))

    def begin(self, optimiser: torch.optim.Optimizer) -> None:
        """Begin an epoch."""
        if self._teacher is not None:
            self._teacher.learn(optimiser)

    def loss(self, spikes: Tensor, logits: Tensor, error: Tensor) -> Tensor:
        """Return the loss of a batch in nats: the labels' cross-entropy `error`, and what a teacher makes of it."""
        return error if self._teacher is None else self._teacher.loss(spikes, logits, error)

    def stepped(self, optimiser: torch.optim.Optimizer, parameters: Sequence[nn.Parameter]) -> None:
        """Take an update of the parameters into what is kept of them."""
        if self.averages:
            follow(optimiser, parameters, share=self._share)
        if self._teacher is not None:
            self._teacher.keep(optimiser)

"""What changes from epoch to epoch: the sharpness, the learning rates, and when the finish begins. No torch here."""

import math
from dataclasses import dataclass

from bitspike.train.recipe import Recipe

_LEAST = 0.01
"""Where a cosine of the learning rates would end."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """The course of a recipe's training; epochs are numbered from 1."""

    recipe: Recipe

    @property
    def before(self) -> int:
        """Epochs before the finish."""
        return self.recipe.training.epochs - self.recipe.finish.epochs

    def finishing(self, epoch: int) -> bool:
        """Whether the collapsed network itself is trained in an epoch."""
        return epoch > self.before

    def sharpness(self, epoch: int) -> float:
        """Return the factor on the natural parameters of the posterior that an epoch leaves.

        It is 1 in the first epoch and the recipe's in the last before the finish. With the schedule ``sqrt`` it grows
        with the square root of the time between: for most of the training the network is then nearly the one that it
        will be collapsed to.
        """
        training, finish = self.recipe.training, self.recipe.finish
        if self.finishing(epoch) and finish.sharpness > 0:
            return finish.sharpness
        if training.schedule == "none":
            return 1.0
        if epoch >= self.before:
            # Exactly, and also where there is one epoch only.
            return training.sharpness
        done = (epoch - 1) / (self.before - 1)
        return 1.0 + (training.sharpness - 1.0) * (math.sqrt(done) if training.schedule == "sqrt" else done)

    def decay(self, epoch: int) -> float:
        """Return the factor on the learning rates: a cosine from 1, and one more over the finish.

        Each would reach a hundredth one epoch after its last.
        """
        start, length = (self.before, self.recipe.finish.epochs) if self.finishing(epoch) else (0, self.before)
        return _LEAST + (1.0 - _LEAST) * (1.0 + math.cos(math.pi * (epoch - 1 - start) / length)) / 2.0

    def rates(self, epoch: int) -> tuple[float, float, float]:
        """Return the learning rates of locations, biases and scales."""
        part = self.recipe.finish if self.finishing(epoch) else self.recipe.training
        rates = part.rate, part.bias_rate, part.rate * self.recipe.posterior.scale_rate
        location, bias, scale = (rate * self.decay(epoch) for rate in rates)
        return location, bias, scale

r"""Distillation: a teacher beside the labels.

With o[t] the logits of a step, of :mod:`bitspike.train.rules.passes`, T_k the temperature and g the teacher's share,

    L = (1 - g) * CE(mean_t o[t], y) + g * T_k**2 * KL(softmax(teacher / T_k) || softmax(mean_t o[t] / T_k))

A network that teaches itself has as teacher the mean over the steps, without gradients, and as pupils the steps: the
second part is then the mean over t of the same with o[t] alone. The view of a window as an ensemble of its steps is
Meng and others' (arXiv 2508.12609); their exact recipe is not public, and this is not it.
"""

from abc import ABC, abstractmethod
from collections import deque
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional

from bitspike.errors import UsageError
from bitspike.train.dataset import Samples
from bitspike.train.encoders import Kind
from bitspike.train.model import SpikingNetwork
from bitspike.train.modelfile import load_model
from bitspike.train.rule_recipe import DistilRecipe
from bitspike.train.rules.passes import Outputs


class Teacher(ABC):
    """Someone who knows more than the label of a sample."""

    def see(self, batch: Samples, *, seed: int, stream: int) -> None:  # noqa: B027
        """Take note of the samples that are taught next; see :meth:`bitspike.train.rules.updater.Updater.see`."""

    @abstractmethod
    def lesson(self, outputs: Outputs, temperature: float) -> Tensor:
        """Return T_k**2 * KL(teacher || network), averaged over the samples, in nats."""


class Itself(Teacher):
    """The mean over the steps teaches each step."""

    def lesson(self, outputs: Outputs, temperature: float) -> Tensor:
        """Return the mean over the steps of the divergence of their logits from the window's."""
        steps = cast(Tensor, outputs.steps)
        return divergence(outputs.logits.detach().expand_as(steps), steps, temperature)


class TrainedRun(Teacher):
    """The most probable bits of a trained network, run exactly on the same samples.

    Images are those that have moved, with its own number of steps; recordings are seen before they move.

    Attributes:
        model: the network.
    """

    def __init__(self, model: SpikingNetwork) -> None:
        self.model = model
        self._lessons: deque[Tensor] = deque()

    def see(self, batch: Samples, *, seed: int, stream: int) -> None:
        """Run the network on the batch; the lessons are given in the order in which the batches were seen."""
        readouts, _ = self.model.predict(batch.encode(steps=self.model.steps, seed=seed, stream=stream))
        self._lessons.append(torch.from_numpy(self.model.logits(readouts)).float())

    def lesson(self, outputs: Outputs, temperature: float) -> Tensor:
        """Return the divergence of the window's logits from the oldest lesson that was not given."""
        return divergence(self._lessons.popleft(), outputs.logits, temperature)


def divergence(teacher: Tensor, pupil: Tensor, temperature: float) -> Tensor:
    """Return T_k**2 * KL(softmax(teacher / T_k) || softmax(pupil / T_k)), a mean over all but the classes, in nats."""
    wanted = functional.log_softmax(teacher / temperature, -1)
    found = functional.log_softmax(pupil / temperature, -1)
    return temperature**2 * (wanted.exp() * (wanted - found)).sum(-1).mean()


class Distiller:
    """The loss of labels and teacher.

    Attributes:
        recipe: shares and temperature.
        teacher: None where only the labels teach.
    """

    def __init__(self, recipe: DistilRecipe, pupil: SpikingNetwork, *, kind: Kind) -> None:
        self.recipe = recipe
        self.teacher = _teacher(recipe.teacher, pupil, kind)

    def see(self, batch: Samples, *, seed: int, stream: int) -> None:
        """Show the next batch to the teacher."""
        if self.teacher is not None:
            self.teacher.see(batch, seed=seed, stream=stream)

    def loss(self, outputs: Outputs, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss, and its cross-entropy of the labels alone, in nats."""
        error = functional.cross_entropy(outputs.logits, labels)
        if self.teacher is None:
            return error, error
        share = self.recipe.weight
        return (1 - share) * error + share * self.teacher.lesson(outputs, float(self.recipe.temperature)), error


def _teacher(name: str, pupil: SpikingNetwork, kind: Kind) -> Teacher | None:
    """Return the teacher of a recipe; raise UsageError for one of other data and FileError for one that is no run."""
    if name in ("none", "self"):
        return Itself() if name == "self" else None
    model = load_model(name)
    found, expected = (model.input_size, model.classes), (pupil.input_size, pupil.classes)
    if found != expected:
        raise UsageError(
            f"distil.teacher: found {found[0]} inputs and {found[1]} classes in {name}; "
            f"expected {expected[0]} and {expected[1]}"
        )
    if kind != "stills" and model.steps != pupil.steps:
        raise UsageError(
            f"distil.teacher: found {model.steps} steps in {name}; expected {pupil.steps}: recordings have their own"
        )
    return TrainedRun(model)

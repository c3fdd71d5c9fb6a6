r"""The posterior teaches the bits that it collapses to.

In a finish with the teacher ``posterior``, the network of the posterior's means as they were when the finish began, a
network of real weights without noise, sees the same spikes as the bits. With its logits o', those of the bits o, the
temperature T_k and the teacher's share g, the loss is that of :mod:`bitspike.train.rules.distil`:

    L = (1 - g) * CE(o, y) + g * T_k**2 * KL(softmax(o' / T_k) || softmax(o / T_k))

so that the bits are asked for what the posterior says of a sample and not for its label alone.
"""

import torch
from torch import Tensor

from bitspike.train.build import build_finishing, build_network
from bitspike.train.model import SpikingNetwork
from bitspike.train.recipe import Recipe
from bitspike.train.rules.distil import divergence

BEFORE = "before"
"""Name of what a parameter was before the finish, in the optimiser's state of it, and so in a checkpoint."""


class PosteriorTeacher:
    """The network of the means before a finish, and the loss that it makes.

    Attributes:
        network: the teacher; of what parameters is told by :meth:`learn`.
        sharpness: of its posterior.
    """

    def __init__(self, recipe: Recipe, pupil: SpikingNetwork, *, sharpness: float, device: torch.device) -> None:
        self.network = build_network(recipe).to(device)
        self.network.precision = pupil.precision
        self.network.requires_grad_(False)
        self.sharpness = sharpness
        self._pupil, self._recipe = pupil, recipe
        self._estimator = build_finishing()
        # Nothing is drawn. Made here, since none can be made while a GPU records an update.
        self._undrawn = torch.Generator(device=device)

    def learn(self, optimiser: torch.optim.Optimizer) -> None:
        """Take over what the pupil was before the finish: what the optimiser's state keeps of it, or what it is now."""
        for mine, parameter in self._pairs():
            mine.copy_(optimiser.state.get(parameter, {}).get(BEFORE, parameter.detach()))

    def keep(self, optimiser: torch.optim.Optimizer) -> None:
        """Write what the pupil was before into the state that the optimiser's first update has made."""
        for mine, parameter in self._pairs():
            if parameter.requires_grad and BEFORE not in optimiser.state[parameter]:
                optimiser.state[parameter][BEFORE] = mine.clone()

    def loss(self, spikes: Tensor, logits: Tensor, error: Tensor) -> Tensor:
        """Return the loss of labels and teacher, in nats, with gradients to the pupil's logits.

        Args:
            spikes: input of both, shape (steps, samples, inputs).
            logits: of the pupil, shape (samples, classes).
            error: the pupil's cross-entropy of the labels.
        """
        with torch.no_grad():
            taught, _ = self.network.noisy(
                spikes,
                self._undrawn,
                estimator=self._estimator,
                floor=self._recipe.finish.width,
                sharpness=self.sharpness,
            )
        share, temperature = self._recipe.distil.weight, float(self._recipe.distil.temperature)
        return (1 - share) * error + share * divergence(taught, logits, temperature)

    def _pairs(self) -> list[tuple[torch.nn.Parameter, torch.nn.Parameter]]:
        return list(zip(self.network.parameters(), self._pupil.parameters(), strict=True))

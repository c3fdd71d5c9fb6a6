"""The architecture of a recipe in snnTorch: weights of full precision, surrogate gradients, the same spikes.

What is the same: layers and their shapes, decays alpha = (4096 - du) / 4096 and beta = (4096 - dv) / 4096, the reset,
the read-out, cross-entropy, epochs, batches, augmentation and encoded spikes. What is snnTorch's and torch's own: the
initial values, thresholds of 1 (a pool keeps its recipe's, since its weights are 1), the arctangent surrogate, and Adam
with the recipe's cosine. Membranes and spike counts are means over the steps, so that the first logits are small.

The recurrent weights are a matrix of their own beside ``Leaky`` or ``Synaptic``, from the spikes of the step before,
which is what ``RLeaky`` and ``RSynaptic`` compute: their reset within the step does nothing in snnTorch 1.0.
"""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from bitspike.errors import UnsupportedError, UsageError
from bitspike.train.bench_sides import CPU, check_snntorch, settled
from bitspike.train.calibration import softmax
from bitspike.train.denormals import flushed_denormals
from bitspike.train.finish_recipe import FinishRecipe
from bitspike.train.loop import Trainer, time_first
from bitspike.train.network_recipe import (
    ConvRecipe,
    DenseRecipe,
    LayerRecipe,
    NetworkRecipe,
    PoolRecipe,
    RecurrentRecipe,
    Shape,
    space,
)
from bitspike.train.processes import Processes
from bitspike.train.recipe import Recipe
from bitspike.train.registers import FORGETS, NEVER
from bitspike.train.rule_recipe import DistilRecipe, RuleRecipe
from bitspike.train.threads import torch_threads

RATE = 1e-3
"""Learning rate of Adam, as snnTorch's tutorials have it."""
_CHUNK = 256

Notify = Callable[[str, int, int], None]


class SumPool(nn.Module):
    """The number of spikes in a window, channel by channel; nothing in it is trained."""

    def __init__(self, kernel: int, stride: int) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, spikes: Tensor) -> Tensor:
        """Return the sums, (samples, channels, height, width)."""
        return functional.avg_pool2d(spikes, self.kernel, stride=self.stride, divisor_override=1)


class Population(nn.Module):
    """One layer: its connection, the neurons that snnTorch has for it, and their state.

    Attributes:
        before: the shape that the connection takes.
        shape: of the population.
    """

    def __init__(self, recipe: LayerRecipe, *, before: Shape, shape: Shape, bias: bool) -> None:
        super().__init__()
        snntorch, surrogate = check_snntorch()
        spatial = isinstance(recipe, ConvRecipe | PoolRecipe)
        self.before: Shape = space(before) if spatial else (math.prod(before),)
        self.shape = shape
        self.connection = _connection(recipe, self.before, shape, bias=bias)
        self.recurrent = nn.Linear(shape[0], shape[0], bias=False) if isinstance(recipe, RecurrentRecipe) else None
        self._has_current = recipe.du < FORGETS
        settings: dict[str, Any] = {
            "beta": (FORGETS - recipe.dv) / FORGETS,
            "threshold": float(recipe.vth) if isinstance(recipe, PoolRecipe) else 1.0,
            "spike_grad": surrogate.atan(),
            "reset_mechanism": "none" if recipe.vth == NEVER else recipe.reset,
            "reset_delay": False,
        }
        if self._has_current:
            self.neuron = snntorch.Synaptic(alpha=(FORGETS - recipe.du) / FORGETS, **settings)
        else:
            self.neuron = snntorch.Leaky(**settings)
        self._state: tuple[Tensor, ...] = ()
        self._spikes: Tensor | None = None

    def clear(self) -> None:
        """Forget what was before the sample."""
        self._state = self.neuron.reset_mem()
        if not self._has_current:
            self._state = (self._state,)  # type: ignore[assignment]
        self._spikes = None

    def forward(self, spikes: Tensor) -> tuple[Tensor, Tensor]:
        """Run one step; return spikes and membranes, shape (samples, *shape)."""
        summed = self.connection(spikes.reshape(len(spikes), *self.before))
        if self.recurrent is not None and self._spikes is not None:
            summed = summed + self.recurrent(self._spikes)
        self._spikes, *state = self.neuron(summed, *self._state)
        self._state = tuple(state)
        return self._spikes, state[-1]


class SnnTorchNetwork(nn.Module):
    """A recipe's layers in snnTorch; its initial values are a function of the recipe's seed."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        check_sequence(recipe.network)
        self.readout = recipe.network.readout
        with torch.random.fork_rng(devices=()):
            torch.manual_seed(recipe.seed)
            self.populations = nn.ModuleList(_populations(recipe.network, recipe.network_shapes()))

    def forward(self, spikes: Tensor) -> Tensor:
        """Return logits, shape (samples, classes), of spikes of shape (steps, samples, neurons)."""
        populations = [one for one in self.populations if isinstance(one, Population)]
        for population in populations:
            population.clear()
        total = torch.zeros(())
        membrane = total
        for now in spikes:
            signal = now
            for population in populations:
                signal, membrane = population(signal)
            total = total + (signal if self.readout == "spike_count" else membrane)
        return membrane if self.readout == "membrane_last" else total / len(spikes)


@dataclass(frozen=True, eq=False, kw_only=True)
class SnnTorchRun:
    """A trained network, its seconds without encoding the parts that it is measured on, and its device."""

    network: SnnTorchNetwork
    seconds: float
    device: torch.device = CPU

    @property
    def weights(self) -> int:
        """Trained weights, without biases."""
        return sum(one.numel() for one in self.network.parameters() if one.dim() > 1)

    def probabilities(self, spikes: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
        """Return class probabilities, (samples, classes), of spikes of shape (samples, steps, neurons)."""
        parts = []
        with torch.no_grad():
            for start in range(0, len(spikes), _CHUNK):
                now = time_first(spikes[start : start + _CHUNK]).to(self.device)
                parts.append(self.network(now).cpu().numpy().astype(np.float64))
        return softmax(np.concatenate(parts))


class _Epochs(Trainer):
    """The batches of a recipe, as its own training has them."""

    def batches(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield spikes, shape (steps, samples, neurons), and labels."""
        for spikes, labels, *_ in self._batches(epoch):
            yield spikes, labels


def train_snntorch(
    recipe: Recipe, *, rate: float = RATE, device: torch.device = CPU, notify: Notify | None = None
) -> SnnTorchRun:
    """Train a recipe's architecture in snnTorch; equal recipes give equal networks.

    Args:
        recipe: its data, network, seed, epochs, batch and threads are used, its posterior and estimator are not.
        rate: learning rate of Adam at the start, above 0.
        device: where it trains; its initial values are the same everywhere.
        notify: called with a label, the number of the epoch from 0, and the number of epochs.

    Raises:
        UsageError: an impossible rate.
        MissingDependencyError: snnTorch is not installed.
    """
    if not 0 < rate < math.inf:
        raise UsageError(f"rate: found {rate}; expected a number above 0")
    network = SnnTorchNetwork(recipe).to(device)
    # One cosine over all epochs: there are no bits that an end of the training could be for.
    # Nor are there teachers, or rules of one-bit weights.
    alone = replace(recipe, finish=FinishRecipe(), rule=RuleRecipe(), distil=DistilRecipe())
    epochs = _Epochs(alone, Processes(device=device))
    with torch_threads(recipe.training.threads):
        seconds = _trained(network, epochs, rate, device, notify)
    return SnnTorchRun(network=network, seconds=seconds, device=device)


def _trained(
    network: SnnTorchNetwork, epochs: _Epochs, rate: float, device: torch.device, notify: Notify | None
) -> float:
    """Train through all epochs; return the seconds."""
    recipe = epochs.recipe
    optimiser = torch.optim.Adam(network.parameters(), lr=rate)
    start = time.perf_counter()
    for epoch in range(1, recipe.training.epochs + 1):
        if notify is not None:
            notify(f"snntorch seed {recipe.seed}", epoch - 1, recipe.training.epochs)
        for group in optimiser.param_groups:
            group["lr"] = rate * epochs.schedule.decay(epoch)
        for spikes, labels in epochs.batches(epoch):
            with flushed_denormals():
                loss = functional.cross_entropy(network(spikes), labels)
                optimiser.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
    return settled(device) - start


def check_sequence(network: NetworkRecipe) -> None:
    """Refuse layers that this module would not build as the recipe means them.

    Raises:
        UnsupportedError: another kind of layer, or one with sources, shortcuts, graded spikes or exact sums.
    """
    known = (DenseRecipe, RecurrentRecipe, ConvRecipe, PoolRecipe)
    for at, layer in enumerate(network.layers):
        # Told by the keys, some of which a recipe's layers need not have.
        keys = vars(layer)
        more = [key for key in ("sources", "shortcuts", "exact") if keys.get(key)]
        more += ["spike"] if keys.get("spike", "binary") != "binary" else []
        if not isinstance(layer, known) or more:
            found = more[0] if more else f"kind {layer.kind!r}"
            raise UnsupportedError(
                f"network.layers[{at}]: found {found}; expected layers one after the other with binary spikes "
                "for the snnTorch side"
            )


def _populations(network: NetworkRecipe, shapes: tuple[Shape, ...]) -> Iterator[Population]:
    for layer, (before, after) in zip(network.layers, pairwise(shapes), strict=True):
        yield Population(layer, before=before, shape=after, bias=network.bias)


def _connection(recipe: LayerRecipe, before: Shape, shape: Shape, *, bias: bool) -> nn.Module:
    if isinstance(recipe, ConvRecipe):
        return nn.Conv2d(before[0], shape[0], recipe.kernel, stride=recipe.stride, padding=recipe.padding, bias=bias)
    if isinstance(recipe, PoolRecipe):
        return SumPool(recipe.kernel, recipe.stride)
    return nn.Linear(before[0], math.prod(shape), bias=bias)

"""Gradients of deep networks of one-bit weights, layer by layer: residual, and as a plain chain.

Both have the same convolutions of 3 x 3, 19 in three stages or 25 in four (the shapes of arXiv 2505.17962 with fewer
channels), no normalisation, and thresholds by the same rule, :func:`bitspike.train.residual.threshold`, from the sum
that each reads. The plain chain lacks what goes round the pairs, and nothing else. Images are scikit-learn's digits of
the training part, each pixel repeated to 32 x 32, as spikes of their levels' rates.

What is measured: the norm of the loss's gradient to each layer's natural parameters, root mean square over batches with
fresh noise, before the first update and after some updates of Adam; and `ratio`, the norm of the first convolution
over that of the last. Layers differ in size, so that 1 is not to be expected; what counts is that it is not small.
"""

import io
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from bitspike.errors import UsageError
from bitspike.train.build import assemble
from bitspike.train.data import load_samples
from bitspike.train.denormals import flushed_denormals
from bitspike.train.encode import Stream, permutation
from bitspike.train.encoders import Encoding
from bitspike.train.estimators import IWST
from bitspike.train.loop import time_first
from bitspike.train.model import SpikingNetwork
from bitspike.train.network_recipe import ConvRecipe, DenseRecipe, LayerRecipe, NetworkRecipe, ResidualRecipe
from bitspike.train.residual import KERNEL, threshold

DEPTHS = {19: (8, 16, 32), 25: (8, 16, 32, 64)}
"""Channels of each stage by the number of convolutions."""
STEPS, BATCH, SIDE, ZOOM = 4, 16, 32, 4
RATE, DECAY, FLOOR, SPREAD, LEARNING, TEMPERATURE = 0.3, 2048, 0.5, 0.5, 0.03, 300.0
_INPUT_RATE = 0.3
"""Mean level of the digits."""
_BATCHES = 4

Notify = Callable[[str, int, int], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Side:
    """One network.

    Attributes:
        layers: names of the convolutions, first to last.
        before, after: norm of the gradient of each, before the first update and after the last.
        losses: mean loss of the batches that were measured, before and after.
    """

    layers: tuple[str, ...]
    before: tuple[float, ...]
    after: tuple[float, ...]
    losses: tuple[float, float]

    @property
    def ratios(self) -> tuple[float, float]:
        """First convolution over the last, before and after; infinite where the last has none."""
        first, last = (self.before[0], self.after[0]), (self.before[-1], self.after[-1])
        return (_ratio(first[0], last[0]), _ratio(first[1], last[1]))


@dataclass(frozen=True, kw_only=True, slots=True)
class GradientBench:
    """What was measured; see the module's docstring."""

    depth: int
    updates: int
    residual: Side
    plain: Side

    def __str__(self) -> str:
        from rich import box
        from rich.console import Console
        from rich.table import Table

        table = Table(title=f"norm of the gradient, {self.depth} convolutions", box=box.SIMPLE, padding=(0, 1))
        after = f"after {self.updates}"
        for heading in ("layer", "residual, start", after, "plain, start", after):
            table.add_column(heading, justify="left" if heading == "layer" else "right", no_wrap=True)
        sides = (self.residual, self.plain)
        columns = (self.residual.layers, *(column for side in sides for column in (side.before, side.after)))
        for name, *norms in zip(*columns, strict=True):
            table.add_row(name, *(f"{norm:.2e}" for norm in norms))
        table.add_row("first / last", *(f"{ratio:.2g}" for side in sides for ratio in side.ratios))
        table.add_row("loss", *(f"{loss:.2f}" for side in sides for loss in side.losses))
        console = Console(file=io.StringIO(), width=100, color_system=None)
        with console.capture() as printed:
            console.print(table)
        told = f"{STEPS} steps, batches of {BATCH}, weights start with |w| < {SPREAD}; no normalisation"
        return f"{printed.get().rstrip()}\n{told}"

    def as_json(self) -> dict[str, Any]:
        """Return everything as plain values."""
        sides = {"residual": self.residual, "plain": self.plain}
        return {
            "depth": self.depth,
            "updates": self.updates,
            **{name: {**asdict(side), "ratios": list(side.ratios)} for name, side in sides.items()},
        }


def bench_gradients(*, depth: int = 25, updates: int = 10, notify: Notify | None = None) -> GradientBench:
    """Measure both; the same numbers every time on one machine.

    Args:
        depth: number of convolutions, 19 or 25.
        updates: between the two measurements, 1 or more.
        notify: called with a label, the number of the step from 0, and the number of steps.

    Raises:
        UsageError: another depth, or no update.
    """
    if depth not in DEPTHS:
        raise UsageError(f"depth: found {depth}; expected {' or '.join(map(str, DEPTHS))}")
    if updates < 1:
        raise UsageError(f"updates: found {updates}; expected 1 or more")
    sides: dict[str, Side] = {}
    for number, (name, layers) in enumerate((("residual", residual_layers(depth)), ("plain", plain_layers(depth)))):
        if notify is not None:
            notify(name, number, 2)
        network = NetworkRecipe(temperature=TEMPERATURE, layers=layers)
        model = assemble(network, network.shapes((1, SIDE, SIDE)), steps=STEPS)
        model.initialise(0, spread=SPREAD)
        sides[name] = _measured(model, updates)
    return GradientBench(depth=depth, updates=updates, **sides)


def residual_layers(depth: int) -> tuple[LayerRecipe, ...]:
    """Return a convolution, the residual stages and a read-out."""
    stages = (
        ResidualRecipe(channels=channels, stride=1 if at == 0 else 2, dv=DECAY, rate=RATE)
        for at, channels in enumerate(DEPTHS[depth])
    )
    return (_stem(depth), *stages, DenseRecipe(neurons=10))


def plain_layers(depth: int) -> tuple[LayerRecipe, ...]:
    """Return the same convolutions one after the other, with thresholds from what each then reads."""
    found = [_stem(depth)]
    for layer in NetworkRecipe(temperature=1.0, layers=residual_layers(depth)).layers[1:]:
        if isinstance(layer, ConvRecipe):
            vth = threshold(KERNEL**2 * found[-1].channels * RATE, rate=RATE, dv=DECAY)
            conv = ConvRecipe(channels=layer.channels, stride=layer.stride, padding=1, vth=vth, dv=DECAY)
            found.append(conv)
    return (*found, DenseRecipe(neurons=10))


def _stem(depth: int) -> ConvRecipe:
    vth = threshold(KERNEL**2 * _INPUT_RATE, rate=RATE, dv=DECAY)
    return ConvRecipe(name="stem", channels=DEPTHS[depth][0], padding=1, vth=vth, dv=DECAY)


def _measured(model: SpikingNetwork, updates: int) -> Side:
    generator = torch.Generator().manual_seed(0)
    parameters = [one for one in model.parameters() if one.requires_grad]
    optimiser = torch.optim.Adam(parameters, lr=LEARNING)
    batches = _batches(2 * _BATCHES + updates)
    before = _norms(model, [next(batches) for _ in range(_BATCHES)], generator)
    for _ in range(updates):
        _backward(model, *next(batches), generator)
        optimiser.step()
    after = _norms(model, [next(batches) for _ in range(_BATCHES)], generator)
    layers = [layer.name for layer in model.populations if layer.kind == "conv"]
    norms = [tuple(found[name] for name in layers) for found, _ in (before, after)]
    return Side(layers=tuple(layers), before=norms[0], after=norms[1], losses=(before[1], after[1]))


def _norms(
    model: SpikingNetwork, batches: list[tuple[Tensor, Tensor]], generator: torch.Generator
) -> tuple[dict[str, float], float]:
    """Return the root mean square of the norms over the batches by name of the weights, and the mean loss."""
    squares = dict.fromkeys(model.posteriors(), 0.0)
    loss = 0.0
    for spikes, labels in batches:
        loss += _backward(model, spikes, labels, generator) / len(batches)
        for name, posterior in model.posteriors().items():
            natural = posterior.location
            gradient = torch.zeros_like(natural) if natural.grad is None else natural.grad
            squares[name] += float(gradient.double().square().sum()) / len(batches)
    return {name: math.sqrt(square) for name, square in squares.items()}, loss


def _backward(model: SpikingNetwork, spikes: Tensor, labels: Tensor, generator: torch.Generator) -> float:
    model.zero_grad()
    with flushed_denormals():
        logits, _ = model.noisy(spikes, generator, estimator=IWST(), floor=FLOOR)
        loss = functional.cross_entropy(logits, labels)
        loss.backward()  # type: ignore[no-untyped-call]
    return float(loss.detach())


def _batches(count: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield batches of enlarged digits as spikes, shape (steps, samples, neurons), and labels."""
    samples = load_samples("digits", "train", Encoding(steps=STEPS))
    order = permutation(len(samples), seed=0, stream=Stream.ORDER)
    for number in range(count):
        batch = samples.take(order[number * BATCH % len(order) :][:BATCH])
        small = batch.encode(steps=STEPS, seed=0, stream=Stream.SPIKES)
        images = small.reshape(len(small), STEPS, SIDE // ZOOM, SIDE // ZOOM)
        large = images.repeat(ZOOM, axis=2).repeat(ZOOM, axis=3)
        yield time_first(large.reshape(len(small), STEPS, -1)), torch.from_numpy(np.array(batch.labels))


def _ratio(first: float, last: float) -> float:
    return first / last if last > 0 else math.inf

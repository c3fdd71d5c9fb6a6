"""The training loop. All randomness of an epoch is a function of the recipe's seed and the epoch's number."""

import dataclasses
import math
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from bitspike.samples import SpikeData
from bitspike.train.augment import moved, random_moves
from bitspike.train.build import build_estimator, build_network
from bitspike.train.data import load_samples
from bitspike.train.dataset import LevelSamples, Samples
from bitspike.train.encode import Stream, permutation, words
from bitspike.train.model import SpikingNetwork
from bitspike.train.moves import moved_spikes
from bitspike.train.recipe import Recipe

Metrics = dict[str, float | int]


class Trainer:
    """A network in training.

    Attributes:
        recipe: what decides everything.
        model: the network; its natural parameters are not yet multiplied by the sharpness.
        optimiser: Adam, its state part of a checkpoint.
        epoch: epochs done.
    """

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.model = build_network(recipe)
        self._estimator = build_estimator(recipe.estimator)
        self.optimiser = torch.optim.Adam(
            [
                {"params": list(self.model.posteriors().values())},
                {"params": [bias for bias in self.model.biases() if bias.requires_grad]},
            ]
        )
        self.epoch = 0
        self._samples = load_samples(recipe.data.name, "train", recipe.data.encoding)
        self._validation = recipe.data.load("validation")

    @property
    def updates(self) -> int:
        """Updates in one epoch."""
        return math.ceil(len(self._samples) / self.recipe.training.batch)

    def sharpness(self, epoch: int) -> float:
        """Return the factor on the natural parameters in an epoch.

        It is 1 in the first epoch and the recipe's in the last, and grows with the square root of the time between: for
        most of the training the network is then nearly the one that it will be collapsed to.
        """
        training = self.recipe.training
        done = (epoch - 1) / (training.epochs - 1) if training.epochs > 1 else 1.0
        return 1.0 + (training.sharpness - 1.0) * math.sqrt(done)

    def decay(self, epoch: int) -> float:
        """Return the factor on the learning rates in an epoch: a cosine from 1 to a hundredth."""
        done = (epoch - 1) / self.recipe.training.epochs
        return 0.01 + 0.99 * (1.0 + math.cos(math.pi * done)) / 2.0

    def run_epoch(self) -> Iterator[Metrics]:
        """Train one more epoch; yield loss and accuracy so far after each update, then the epoch's metrics.

        The last value also has ``epoch``, ``rate``, ``sharpness`` and ``validation_map``, the accuracy of the most
        probable bits. The epoch counts as done when the iterator is exhausted.
        """
        epoch = self.epoch + 1
        training = self.recipe.training
        for group, rate in zip(self.optimiser.param_groups, (training.rate, training.bias_rate), strict=True):
            group["lr"] = rate * self.decay(epoch)
        noise = int(words(self.recipe.seed, Stream.NOISE + epoch, 0, 1)[0] >> np.uint64(1))
        generator = torch.Generator().manual_seed(noise)
        loss, right, seen = 0.0, 0, 0
        for spikes, labels in self._batches(epoch):
            logits, batch_loss = self._update(spikes, labels, generator, self.sharpness(epoch))
            seen += len(labels)
            loss += batch_loss * len(labels)
            right += int((logits.argmax(1) == labels).sum())
            yield {"loss": loss / seen, "accuracy": right / seen}
        self.epoch = epoch
        yield {
            "epoch": epoch,
            "loss": loss / seen,
            "accuracy": right / seen,
            "validation_map": map_accuracy(self.model, self._validation),
            "rate": training.rate * self.decay(epoch),
            "sharpness": self.sharpness(epoch),
        }

    def finished_model(self) -> SpikingNetwork:
        """Return the trained network with the final sharpness folded in; the trainer is not changed."""
        model = build_network(self.recipe)
        model.load_state_dict(self.model.state_dict())
        model.fold(self.recipe.training.sharpness)
        return model

    def _batches(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield fresh spikes, shape (steps, samples, neurons), and labels in the epoch's own order."""
        seed = self.recipe.seed
        order = permutation(len(self._samples), seed=seed, stream=Stream.ORDER + epoch)
        for start in range(0, len(order), self.recipe.training.batch):
            batch = self._moved(self._samples.take(order[start : start + self.recipe.training.batch]), epoch)
            spikes = batch.encode(steps=self.recipe.data.steps, seed=seed, stream=Stream.SPIKES + epoch)
            spikes = moved_spikes(spikes, batch, self.recipe.data, seed=seed, epoch=epoch)
            yield time_first(spikes), torch.from_numpy(batch.labels.copy())

    def _moved(self, batch: Samples, epoch: int) -> Samples:
        """Return the batch's images as they are moved in this epoch."""
        data = self.recipe.data
        if data.shift == data.turn == data.zoom == 0 or not isinstance(batch, LevelSamples) or batch.kind != "stills":
            return batch
        height, width = batch.sensor[-2:]
        images = (batch.levels / batch.full).reshape(-1, height, width)
        moves = random_moves(batch.indices, seed=self.recipe.seed, epoch=epoch)
        # The planes of a colour image move together.
        moves = np.repeat(moves, len(images) // len(batch), axis=0)
        images = moved(images, moves, shift=data.shift, turn=data.turn, zoom=data.zoom)
        return dataclasses.replace(batch, levels=images.reshape(batch.levels.shape) * batch.full)

    def _update(
        self, spikes: Tensor, labels: Tensor, generator: torch.Generator, sharpness: float
    ) -> tuple[Tensor, float]:
        estimator = self.recipe.estimator
        with flushed_denormals():
            logits, auxiliary = self.model.noisy(
                spikes, generator, estimator=self._estimator, sharpness=sharpness, floor=estimator.floor
            )
            error = functional.cross_entropy(logits, labels)
            loss = error + estimator.auxiliary * auxiliary if estimator.auxiliary > 0 else error
            self.optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimiser.step()
        return logits.detach(), float(error.detach())


@contextmanager
def flushed_denormals() -> Iterator[None]:
    """Let the processor treat numbers below 1e-38 as 0 in this block.

    Gradients of almost certain bits, and Adam's squares of them, fall below that size and would make a step several
    times slower.
    """
    already = float(torch.tensor([1e-38]) * 0.01) == 0.0
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(already)


def time_first(spikes: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> Tensor:
    """Return spikes of shape (samples, steps, neurons) as floats of shape (steps, samples, neurons)."""
    return torch.from_numpy(np.array(spikes.transpose(1, 0, 2), dtype=np.float32))


def map_accuracy(model: SpikingNetwork, data: SpikeData) -> float:
    """Return the accuracy of the most probable bits, evaluated exactly."""
    _, classes = model.predict(data.spikes)
    return float((classes == data.labels).mean())

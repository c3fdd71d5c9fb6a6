"""Accuracies of a trained network: of its posterior, of its most probable bits, of one noisy pass."""

import numpy as np
import numpy.typing as npt
import torch

from bitspike.samples import SpikeData
from bitspike.train.encode import Stream, words
from bitspike.train.estimators import IWST
from bitspike.train.loop import time_first
from bitspike.train.model import SpikingNetwork

Accuracies = dict[str, float]


def posterior_predictive(
    model: SpikingNetwork, spikes: npt.NDArray[np.uint8], *, members: int, seed: int = 0
) -> npt.NDArray[np.float64]:
    """Return class probabilities averaged over networks drawn from the posterior, shape (samples, classes).

    Each member is a network of real bits, evaluated exactly; its integer read-outs are divided by the temperature of
    the training loss and go through a softmax. Member k is ``model.sample_bits(seed + k)``.
    """
    total = np.zeros((len(spikes), model.classes))
    for member in range(members):
        readouts, _ = model.predict(spikes, model.sample_bits(seed + member))
        logits = model.logits(readouts)
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        total += odds / odds.sum(axis=1, keepdims=True)
    return total / members


def noisy_logits(
    model: SpikingNetwork, spikes: npt.NDArray[np.uint8], *, floor: float, seed: int = 0
) -> npt.NDArray[np.float32]:
    """Return the logits of one pass with posterior noise, shape (samples, classes)."""
    generator = torch.Generator().manual_seed(int(words(seed, Stream.NOISE, 0, 1)[0] >> np.uint64(1)))
    with torch.no_grad():
        logits, _ = model.noisy(time_first(spikes), generator, estimator=IWST(), floor=floor)
    found: npt.NDArray[np.float32] = logits.numpy()
    return found


def accuracies(model: SpikingNetwork, data: SpikeData, *, members: int, floor: float, seed: int = 0) -> Accuracies:
    """Return the fractions of samples classified right, under ``posterior``, ``map`` and ``noisy``."""
    classes = {
        "posterior": posterior_predictive(model, data.spikes, members=members, seed=seed).argmax(axis=1),
        "map": model.predict(data.spikes)[1],
        "noisy": noisy_logits(model, data.spikes, floor=floor, seed=seed).argmax(axis=1),
    }
    return {name: float((found == data.labels).mean()) for name, found in classes.items()}

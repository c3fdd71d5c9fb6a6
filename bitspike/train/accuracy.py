"""Accuracy and calibration of a trained network: of its posterior, its most probable bits, one noisy pass."""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from bitspike.samples import SpikeData
from bitspike.train.calibration import calibration, softmax
from bitspike.train.encode import Stream, words
from bitspike.train.estimators import IWST
from bitspike.train.loop import time_first
from bitspike.train.model import SpikingNetwork


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
        total += softmax(logits)
    return total / members


def noisy_logits(
    model: SpikingNetwork, spikes: npt.NDArray[np.uint8], *, floor: float, seed: int = 0
) -> npt.NDArray[np.float32]:
    """Return the logits of one pass with posterior noise, shape (samples, classes)."""
    device = next(model.parameters()).device
    generator = torch.Generator(device=device).manual_seed(int(words(seed, Stream.NOISE, 0, 1)[0] >> np.uint64(1)))
    with torch.no_grad():
        logits, _ = model.noisy(time_first(spikes).to(device), generator, estimator=IWST(), floor=floor)
    found: npt.NDArray[np.float32] = logits.cpu().numpy()
    return found


def predictions(
    model: SpikingNetwork, data: SpikeData, *, members: int, floor: float, seed: int = 0
) -> dict[str, npt.NDArray[np.float64]]:
    """Return class probabilities, shape (samples, classes), under ``posterior``, ``map`` and ``noisy``."""
    return {
        "posterior": posterior_predictive(model, data.spikes, members=members, seed=seed),
        "map": softmax(model.logits(model.predict(data.spikes)[0])),
        "noisy": softmax(noisy_logits(model, data.spikes, floor=floor, seed=seed).astype(np.float64)),
    }


def accuracies(model: SpikingNetwork, data: SpikeData, *, members: int, floor: float, seed: int = 0) -> dict[str, Any]:
    """Return the fractions of samples classified right under each kind of prediction, and how far each can be trusted.

    Returns:
        ``posterior``, ``map``, ``noisy``: accuracies; ``calibration``: NLL, ECE, Brier score and reliability of each.
    """
    scores = {
        kind: calibration(found, data.labels)
        for kind, found in predictions(model, data, members=members, floor=floor, seed=seed).items()
    }
    shares = {kind: found.accuracy for kind, found in scores.items()}
    return {**shares, "calibration": {kind: found.as_json() for kind, found in scores.items()}}
